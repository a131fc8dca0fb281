package syncer

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// conflicts is how often a write may meet another one before the request is left to its redelivery.
const conflicts = 5

// store writes the observation where the rules want it: never over a newer one, and only for a reason.
func (s *Service) store(ctx context.Context, r *reader, next account.Snapshot, cadence int) (Outcome, error) {
	detailed := false
	for n := range conflicts {
		stored, remembered, err := s.stored(ctx, next.UserID, n == 0)
		first := errors.Is(err, account.ErrNotFound)
		if err != nil && !first {
			return "", err
		}
		if !first && next.Older(stored) {
			return Superseded, nil
		}
		// A missed heartbeat is made up for: the snapshot stays fresh as soon as syncing works again.
		missed := next.Tick-stored.Tick >= tick.HeartbeatEvery && (!remembered || s.memory.missed(next.Tick))
		heartbeat := stored.Tick < next.Tick && (missed || next.Tick.Heartbeat(next.UserID, cadence))
		if !detailed && (first || heartbeat || stored.Incomplete || stored.Account.Restructured(next.Account)) {
			s.readDetail(ctx, r, &next)
			detailed = true
		}
		if !first && (!detailed || r.detail != nil) {
			next.Kept, next.DetailAt, next.Incomplete = stored.Detail(), stored.DetailAt, detailed || stored.Incomplete
		}
		material := first || s.material(stored, next)
		if !material && !heartbeat {
			return Unchanged, nil
		}
		next.Tick = max(next.Tick, stored.Tick) // a late request refreshes, but never turns the tick back
		next.Version, next.Seq, next.ChangedSeq = stored.Version, stored.Seq+1, stored.ChangedSeq
		if material {
			next.ChangedSeq = next.Seq
		}
		next.ContentHash = next.Hash()
		switch version, err := s.Snapshots.PutSnapshot(ctx, next); {
		case err == nil:
			s.memory.keep(next, version)
			return Written, nil
		case errors.Is(err, user.ErrGone):
			return "", event.Drop(err)
		case !errors.Is(err, account.ErrConflict):
			return "", err
		case remembered:
			s.memory.wrong(stored, next.Tick)
		}
	}
	return "", fmt.Errorf("snapshot of user %s: %d writers got in between", next.UserID, conflicts)
}

// stored is the user's snapshot as this instance remembers it, or as it is.
func (s *Service) stored(ctx context.Context, userID string, remembered bool) (account.Snapshot, bool, error) {
	if remembered {
		if last, ok := s.memory.recall(userID); ok {
			return last, true, nil
		}
	}
	stored, err := s.Snapshots.Snapshot(ctx, userID)
	if err == nil {
		s.memory.keep(stored, stored.Version)
	}
	return stored, false, err
}

func (s *Service) material(stored, next account.Snapshot) bool {
	return stored.Account.Changed(next.Account, s.cfg.Band) || stored.Incomplete != next.Incomplete || stored.Detail() != next.Detail()
}

// readDetail reads positions and open orders. Where that fails, the account is still worth storing: the older ones stay,
// and the snapshot says Incomplete, so that nothing is traded on it until the next tick.
func (s *Service) readDetail(ctx context.Context, r *reader, next *account.Snapshot) {
	positions, orders, more, err := r.positionsAndOrders(ctx)
	if err != nil {
		r.detail = fmt.Errorf("positions and open orders of user %s: %w", next.UserID, err)
		s.Fault(ctx, next.UserID, r.detail)
		next.Incomplete = true
		return
	}
	if len(positions) > account.MaxPositions {
		positions, more = positions[:account.MaxPositions], true
	}
	next.Positions, next.OpenOrders, next.DetailAt, next.Incomplete = positions, orders, next.ObservedAt, more
	next.Kept = account.Digest{}
}
