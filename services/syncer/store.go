package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const (
	conflicts  = 5                // that a write may meet before the request is left to its redelivery
	detailLife = 15 * time.Minute // after which positions and orders are read again though nothing shows that they changed
)

// store writes the observation where the rules want it: never over a newer one, and only for a reason.
func (s *Service) store(ctx context.Context, r *reader, next account.Snapshot, req event.SyncRequest) (Outcome, error) {
	detailed, flows := false, flows{}
	for n := range conflicts {
		stored, remembered, err := s.stored(ctx, next.UserID, n == 0)
		first := errors.Is(err, account.ErrNotFound)
		if err != nil && !first {
			return "", err
		}
		if !first && next.Older(stored.Snapshot) {
			return Superseded, nil
		}
		// A missed heartbeat is made up for: the snapshot stays fresh as soon as syncing works again.
		missed := next.Tick-stored.Tick >= tick.HeartbeatEvery && (!remembered || s.memory.missed(next.Tick))
		heartbeat := stored.Tick < next.Tick && (missed || next.Tick.Heartbeat(next.UserID, req.CadenceMinutes))
		if !detailed && (first || s.wantsDetail(stored, next, heartbeat)) {
			s.readDetail(ctx, r, &next)
			detailed = true
		}
		if first {
			next.Kept = account.Digest{} // there is nothing any more to keep
		} else if !detailed || r.detail != nil {
			next.Kept, next.DetailAt, next.Incomplete = stored.Detail(), stored.DetailAt, detailed || stored.Incomplete
		}
		if first || flows.read || s.wantsFlows(stored.Snapshot, next, heartbeat) {
			if stored.Flows.Kept {
				s.memory.forget(next.UserID) // what is stored has to be read
				continue
			}
			s.readFlows(ctx, r, &flows, stored.Snapshot, next)
		}
		next.Flows = flows.of(stored.Snapshot, next)
		material := first || s.material(stored.Snapshot, next)
		if !material && !heartbeat {
			return Unchanged, nil
		}
		next.Tick = max(next.Tick, stored.Tick) // a late request refreshes, but never turns the tick back
		next.Version, next.Seq, next.ChangedSeq, next.Changed = stored.Version, stored.Seq+1, stored.ChangedSeq, stored.Changed
		if material {
			next.ChangedSeq, next.Changed = next.Seq, next.Account.Figures()
		}
		next.LastEquityAt = stored.LastEquitySeen(next)
		ordering := len(next.OpenOrders) > 0 || (next.Kept != account.Digest{} && stored.ordering)
		next.ContentHash = next.Hash()
		switch version, err := s.put(ctx, next, req.TenantID); {
		case err == nil:
			s.memory.keep(next, version, ordering)
			return Written, nil
		case errors.Is(err, user.ErrGone):
			return "", event.Drop(err)
		case !errors.Is(err, account.ErrConflict):
			return "", err
		case remembered:
			s.memory.wrong(stored.Snapshot, next.Tick)
		}
	}
	return "", fmt.Errorf("snapshot of user %s: %d writers got in between", next.UserID, conflicts)
}

// put writes the snapshot, and in the same commit the predecessor's documents that are the user's: so each of them is as
// fresh as the snapshot, and no older observation ever replaces a newer one.
func (s *Service) put(ctx context.Context, next account.Snapshot, tenantID string) (version time.Time, err error) {
	copies, left := s.cfg.Legacy.Copies(next.UserID, tenantID)
	if len(copies) == 0 {
		version, err = s.Snapshots.PutSnapshot(ctx, next)
	} else {
		var others error
		version, others, err = s.Snapshots.PutWithCopies(ctx, next, copies)
		left = errors.Join(left, others)
	}
	if err == nil && left != nil {
		s.Fault(ctx, next.UserID, left)
	}
	return version, err
}

// wantsDetail says whether positions and orders are read too: where something has changed, since then they may have; where
// a strategy may act on what is written; while orders are open; and now and then. So what is acted on is fresh, and an
// account at rest takes one call a minute.
func (s *Service) wantsDetail(stored last, next account.Snapshot, heartbeat bool) bool {
	if stored.Incomplete || stored.AccountChanged(next.Account, s.cfg.Band) {
		return true
	}
	next.ChangedSeq = stored.ChangedSeq
	return heartbeat && (stored.ordering || next.ObservedAt.Sub(stored.DetailAt) >= detailLife || strategy.Between(&stored.Snapshot, next).Any())
}

// stored is the user's snapshot as this instance remembers it, or as it is.
func (s *Service) stored(ctx context.Context, userID string, remembered bool) (last, bool, error) {
	if remembered {
		if l, ok := s.memory.recall(userID); ok {
			return l, true, nil
		}
	}
	stored, err := s.Snapshots.Snapshot(ctx, userID)
	switch {
	case err == nil:
		s.memory.keep(stored, stored.Version, len(stored.OpenOrders) > 0)
	case errors.Is(err, account.ErrNotFound):
		s.memory.forget(userID)
	}
	return last{stored, len(stored.OpenOrders) > 0}, false, err
}

func (s *Service) material(stored, next account.Snapshot) bool {
	return stored.AccountChanged(next.Account, s.cfg.Band) || stored.Incomplete != next.Incomplete || stored.Detail() != next.Detail() || stored.Flows.Changed(next.Flows)
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

// flows is what the broker lists of deposits and withdrawals, if it was asked.
type flows struct {
	read   bool
	failed bool
	listed []account.Flow
}

// wantsFlows says whether deposits and withdrawals are read too: where cash, positions or orders changed, since a flow changes
// cash or positions; where they could not be read before; and once a day. An account at rest takes no call for them.
func (s *Service) wantsFlows(stored, next account.Snapshot, heartbeat bool) bool {
	return !stored.Account.SameCash(next.Account) || stored.Detail() != next.Detail() || stored.Account.ID != next.Account.ID || !stored.Flows.Gap.IsZero() || (heartbeat && stored.Flows.Due(next.ObservedAt))
}

// readFlows asks once. Where that fails, the account is still worth storing: the flows are not known then, so that a limit that
// needs them lets nothing open until the next tick.
func (s *Service) readFlows(ctx context.Context, r *reader, f *flows, stored, next account.Snapshot) {
	if f.read {
		return
	}
	f.read = true
	list, err := r.deposits(ctx, stored.Flows.From(next.ObservedAt))
	if err != nil {
		r.flows = fmt.Errorf("deposits and withdrawals of user %s: %w", next.UserID, err)
		s.Fault(ctx, next.UserID, r.flows)
		f.failed = true
	}
	f.listed = list
}

// of is the flows of next, after those of stored. Another account has others: they begin anew.
func (f flows) of(stored, next account.Snapshot) account.Flows {
	if stored.Account.ID != next.Account.ID {
		stored.Flows = account.Flows{}
	}
	switch {
	case f.failed:
		return stored.Flows.Unread(stored.Seen())
	case f.read:
		return stored.Flows.After(f.listed, stored.Seen(), next.Seen(), stored.Detail() != next.Detail())
	}
	return stored.Flows.WithoutRecent()
}
