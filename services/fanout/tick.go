package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// tick publishes one tick, and then does what may fail without harm to it.
func (s *Service) tick(ctx context.Context, e event.Event) error {
	t, err := s.tickOf(e)
	if err != nil {
		return err
	}
	claim, err := s.claim(ctx, t, "")
	if errors.Is(err, tick.ErrDone) {
		return nil
	}
	if err != nil {
		return err
	}
	folded, err := s.publishTick(ctx, claim)
	if err != nil {
		return err
	}
	s.forget(ctx, folded)
	s.reconcile(ctx, t)
	return nil
}

// publishTick returns the changes that are in the roster now. On an error it gives the claim back.
func (s *Service) publishTick(ctx context.Context, claim tick.Claim) ([]roster.Change, error) {
	if listing(claim.Cursor) {
		return nil, s.list(ctx, claim) // as the delivery did that died here
	}
	shards, folded, err := s.fold(ctx)
	switch {
	case errors.Is(err, roster.ErrNone):
		return nil, s.list(ctx, claim)
	case err != nil:
		return nil, s.giveBack(ctx, claim, err)
	case len(shards) > s.cfg.InlineShards:
		return folded, s.handOut(ctx, claim, shards)
	}
	return folded, s.publish(ctx, claim, shards)
}

// tickOf is the minute in which Pub/Sub took the message: it is the same for every delivery of it.
func (s *Service) tickOf(e event.Event) (tick.Tick, error) {
	at, err := event.PublishTime(e)
	if err != nil {
		return 0, event.Reject(err)
	}
	t := tick.Of(at)
	return t, event.CheckAge(t, s.Now(), s.cfg.MaxAge)
}

// handOut has the shards published by as many instances as there are.
func (s *Service) handOut(ctx context.Context, claim tick.Claim, shards []roster.Shard) error {
	work, cancel := context.WithTimeout(ctx, s.cfg.Hold/2)
	defer cancel()
	events := make([]event.Event, len(shards))
	for i, shard := range shards {
		var err error
		if events[i], err = event.NewTickShard(claim.Tick, shard.ID); err != nil {
			return s.giveBack(ctx, claim, err)
		}
	}
	if err := s.Shards.Publish(work, events...); err != nil {
		return s.giveBack(ctx, claim, fmt.Errorf("hand out the %d shards of tick %s: %w", len(shards), claim.Tick, err))
	}
	if _, err := s.Ledger.Advance(work, claim, "", 0, s.heldUntil()); err != nil {
		return s.giveBack(ctx, claim, err)
	}
	return nil
}

// shard publishes one shard of a tick.
func (s *Service) shard(ctx context.Context, e event.Event) error {
	t, id, err := event.ParseTickShard(e)
	if err != nil {
		return err
	}
	if err := event.CheckAge(t, s.Now(), s.cfg.MaxAge); err != nil {
		return err
	}
	claim, err := s.claim(ctx, t, id)
	if errors.Is(err, tick.ErrDone) {
		return nil
	}
	if err != nil {
		return err
	}
	shards, err := s.find(ctx, id)
	if err != nil {
		return s.giveBack(ctx, claim, err)
	}
	return s.publish(ctx, claim, shards)
}

// Claiming, folding and the first page together end before the claim does, and so does each further page: whoever
// takes over then finds nobody at work.
func (s *Service) claim(ctx context.Context, t tick.Tick, shard string) (tick.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	claim, err := s.Ledger.Claim(ctx, t, shard, s.NewOwner(), s.Now(), s.heldUntil())
	if errors.Is(err, tick.ErrHeld) {
		return claim, event.Defer(err)
	}
	return claim, err
}

// giveBack lets the redelivery start at once instead of when the claim runs out.
func (s *Service) giveBack(ctx context.Context, claim tick.Claim, cause error) error {
	if errors.Is(cause, tick.ErrLost) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(cause, s.Ledger.Release(ctx, claim))
}

func (s *Service) heldUntil() time.Time { return s.Now().Add(s.cfg.Hold) }
