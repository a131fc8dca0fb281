package syncer

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// record writes what an attempt means for the user's health. A user who was well and still is costs no read and no write.
func (s *Service) record(ctx context.Context, req event.SyncRequest, a health.Attempt) error {
	if a.Cause == "" && req.Health == "" {
		return nil
	}
	before, after, err := s.Health.Update(ctx, req.UserID, func(h health.Health) health.Health { return h.After(a) })
	switch {
	case errors.Is(err, user.ErrGone):
		return event.Drop(err)
	case err != nil:
		return err
	}
	if after.Failing() && after != before && !a.Partial {
		s.breaker.marked(before, after)
	}
	if before.State != after.State {
		s.Changed(ctx, before, after)
	}
	s.undo(ctx) // the breaker may have opened meanwhile
	return nil
}

// undo takes back the marks that were made while the broker was at fault, once the breaker knows.
func (s *Service) undo(ctx context.Context) {
	var failed []mark
	for _, m := range s.breaker.wrong() {
		_, now, err := s.Health.Update(ctx, m.after.UserID, func(h health.Health) health.Health {
			if h == m.after {
				return m.before
			}
			return h // somebody knows better by now
		})
		switch {
		case errors.Is(err, user.ErrGone):
		case err != nil:
			s.Fault(ctx, m.after.UserID, fmt.Errorf("undo the mark %s of user %s, who failed like many others: %w", m.after.State, m.after.UserID, err))
			failed = append(failed, m)
		case now == m.before && m.before.State != m.after.State:
			s.Changed(ctx, m.after, m.before)
		}
	}
	if len(failed) > 0 {
		s.breaker.again(failed)
	}
}
