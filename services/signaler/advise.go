package signaler

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// advise asks the model for a strategy that wants it, once in a run. Nothing is asked, and paid for, on a snapshot that may not
// be traded on, or where nothing may come of it: trading is halted, the market closed, the account blocked.
func (s *Service) advise(ctx context.Context, c *decision.Case, snap account.Snapshot) error {
	if s.Advisor == nil || risk.Usable(snap, c.Now, c.MaxSnapshotAge) != nil {
		return nil
	}
	q := c.Question(snap)
	if q == nil {
		return nil
	}
	d := c.Definition
	var there bool
	var refused *strategy.Denial
	err := s.Signals.Watch(ctx, d.UserID, func(v risk.View) bool {
		there, refused = true, c.Refused(v)
		return false
	})
	switch {
	case err != nil:
		return err
	case !there:
		return nil // the user was removed
	case refused != nil:
		c.Answer = &strategy.Answer{Failure: refused.Code, Detail: refused.Reason}
		return nil
	}
	a, err := s.consult(ctx, d.UserID, *q)
	if err != nil {
		return fmt.Errorf("strategy %s of user %s asks the model: %w", d.ID, d.UserID, err)
	}
	if a.Failure == strategy.ModelUnavailable || a.Failure == strategy.ModelTimeout { // the operator's to see to
		s.Fault(ctx, d.UserID, fmt.Errorf("strategy %s: no answer of the model: %s", d.ID, a.Detail))
	}
	c.Answer, c.RawModelOutput = &a, strategy.RawOutput(*q, a)
	return nil
}

// consult asks the model. A panic on the way is no answer, so that the event does not come again and again. The type of its
// value is told, not the value: it could hold anything, a key among it.
func (s *Service) consult(ctx context.Context, userID string, q strategy.Question) (a strategy.Answer, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.Fault(ctx, userID, fmt.Errorf("panic (%T) while the model was asked: %s", fault, debug.Stack()))
			a, err = strategy.Answer{Failure: strategy.ModelUnavailable, Detail: fmt.Sprintf("panic (%T) while it was asked", fault)}, nil
		}
	}()
	return s.Advisor.Advise(ctx, userID, q)
}
