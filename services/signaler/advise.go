package signaler

import (
	"context"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// advice is a model's answer to a strategy, and what its signals keep of question and answer. The zero advice is none.
type advice struct {
	answer *strategy.Answer
	raw    string
}

// advise asks the model for a strategy that wants it, once in a run: one that is overtaken decides on the same answer
// again. Nothing is asked on a snapshot that may not be traded on.
func (s *Service) advise(ctx context.Context, d strategy.Definition, strat strategy.Strategy, cause strategy.Cause, snap account.Snapshot, quotes market.Prices, told advice) (advice, error) {
	asker, ok := strat.(strategy.Asker)
	now := s.Now()
	if !ok || s.Advisor == nil || told.answer != nil || risk.Usable(snap, now, tick.StaleAfter(time.Duration(s.cfg.MaxSnapshotAge), 1)) != nil {
		return told, nil
	}
	q := asker.Ask(input(now, cause, snap, quotes))
	if q == nil {
		return told, nil
	}
	a, err := s.Advisor.Advise(ctx, d.UserID, *q)
	if err != nil {
		return told, fmt.Errorf("strategy %s of user %s asks the model: %w", d.ID, d.UserID, err)
	}
	if a.Failure == strategy.ModelUnavailable || a.Failure == strategy.ModelTimeout { // the operator's to see to
		s.Fault(ctx, d.UserID, fmt.Errorf("strategy %s: no answer of the model: %s", d.ID, a.Detail))
	}
	return advice{answer: &a, raw: strategy.RawOutput(*q, a)}, nil
}
