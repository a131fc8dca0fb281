package signaler

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// advice is a model's answer to a strategy, and what its signals keep of question and answer. The zero advice is none.
type advice struct {
	answer *strategy.Answer
	raw    string
}

// advise asks the model for a strategy that wants it, once in a run. Nothing is asked on a snapshot that may not be traded
// on.
func (s *Service) advise(ctx context.Context, r *run, snap account.Snapshot) error {
	asker, ok := r.strategy.(strategy.Asker)
	if !ok || s.Advisor == nil || risk.Usable(snap, r.now, r.maxAge) != nil {
		return nil
	}
	q := asker.Ask(r.input(snap, &risk.State{}))
	if q == nil {
		return nil
	}
	d := r.definition
	a, err := s.Advisor.Advise(ctx, d.UserID, *q)
	if err != nil {
		return fmt.Errorf("strategy %s of user %s asks the model: %w", d.ID, d.UserID, err)
	}
	if a.Failure == strategy.ModelUnavailable || a.Failure == strategy.ModelTimeout { // the operator's to see to
		s.Fault(ctx, d.UserID, fmt.Errorf("strategy %s: no answer of the model: %s", d.ID, a.Detail))
	}
	r.told = advice{answer: &a, raw: strategy.RawOutput(*q, a)}
	return nil
}
