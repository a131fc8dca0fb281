package signaler

import (
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// An edit that finds no snapshot to run on, or a stale one, as on any evening of a user who is synced while the market is open,
// waits: the write of the next one runs it, if nothing else does. What a snapshot's event tells of the one before is enough to
// know it, and a later edit takes the earlier one's place. Either event may come first, twice or late: the cause is the same.

// skew is how far the clocks of instances and of the database may be apart.
const skew = time.Minute

// waits says whether an edit waits for a newer snapshot than the stored one. One that is older than the snapshot does not: its
// event is late, and nothing would run it.
func (s *Service) waits(d strategy.Definition, snap account.Snapshot, now time.Time) bool {
	return d.UpdatedAt.After(snap.ObservedAt) && snap.Stale(now, s.staleAfter(snap))
}

// silent says whether an edit may have waited for a snapshot's write; old is the one before, nil if there was none.
func (s *Service) silent(old *account.Snapshot, now account.Snapshot) bool {
	return old == nil || now.Version.Sub(old.ObservedAt) > s.staleAfter(*old)-skew
}

// waited is the cause of an edit that may have waited for a snapshot's write, as the edit's own event names it. One that is newer
// than the write found it there.
func (s *Service) waited(d strategy.Definition, old *account.Snapshot, now account.Snapshot) (strategy.Cause, bool) {
	if !s.silent(old, now) || d.UpdatedAt.After(now.Version) || old != nil && !d.UpdatedAt.After(old.ObservedAt) {
		return strategy.Cause{}, false
	}
	return strategy.Edit(d, d.UpdatedAt)
}
