package syncer

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// newKeys makes a user who stored new keys due at the next tick: the requests name the new version from then on.
func (s *Service) newKeys(ctx context.Context, e event.Event) error {
	k, ok, err := event.ParseNewKeys(e)
	if err != nil || !ok {
		return err
	}
	if err := s.Keys.RaiseKeyVersion(ctx, k.UserID, k.Version); err != nil {
		return gone(fmt.Errorf("new keys: %w", err))
	}
	// A version that was disabled and is enabled again is no higher one.
	_, _, err = s.Health.Update(ctx, k.UserID, health.Health.Awake)
	return gone(err)
}

// gone: a user who is not there, or not active, is no fault.
func gone(err error) error {
	if errors.Is(err, user.ErrGone) {
		return event.Drop(err)
	}
	return err
}
