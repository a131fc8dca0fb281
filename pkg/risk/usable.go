// Package risk decides whether an intent may become a signal, and keeps count of what was decided. It is pure, and it
// denies when in doubt: what opens exposure, never what closes it.
//
//	limits.go, trading.go, controls.go  what people set: limits and trading states, by level
//	state.go, reserve.go, day.go,       what the signaler remembers of a user: reservations, counts of the day,
//	equity.go                           high-water mark, breaches
//	engine.go, checks.go, stake.go      one intent against all limits; what is held and on its way
//	plan.go                             one run against one view of the stored state
package risk

import (
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Usable says why no strategy may run on a snapshot, nil if one may: it is older than the limit, or it does not
// show all positions and orders.
func Usable(s account.Snapshot, now time.Time, limit time.Duration) *strategy.Denial {
	switch {
	case s.Stale(now, limit):
		return &strategy.Denial{Code: SnapshotStale, Reason: account.TextStale}
	case s.Incomplete:
		return &strategy.Denial{Code: SnapshotIncomplete, Reason: "missing=positions,open_orders"}
	}
	return nil
}
