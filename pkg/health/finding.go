package health

import (
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Finding is how one user is, and what a person can do.
type Finding struct {
	UserID     string
	State      State
	Well       bool      // there is nothing to do
	Stale      bool      // the snapshot is older than it may be, though no attempt is known to have failed
	Cause      Cause     // of the last failure
	Failures   int       // ticks in a row that failed
	ObservedAt time.Time // of the snapshot; zero: there is none
	NextAt     time.Time // not asked before; zero: at the next tick
	Advice     string    // "" if Well
}

const (
	staleAfter = 5 * time.Minute            // at the platform's own pace, the predecessor's limit
	idle       = 5                          // minutes: the cadence of a user of whom nothing says one
	longClosed = 4 * 24 * time.Hour         // the market, at most: of who is synced in its hours only
	firstSync  = staleAfter + 5*time.Minute // from a user's first keys
)

// Find judges a user by all that is stored: snapshot is nil where there is none, unreadable why it can't be read.
func Find(p user.Profile, snapshot *account.Snapshot, unreadable error, h Health, now time.Time) Finding {
	f := Finding{UserID: p.ID, State: Of(p.Status, snapshot != nil, h), Cause: h.Cause, Failures: h.Failures, NextAt: h.NextAttemptAt}
	if snapshot != nil {
		f.ObservedAt = snapshot.ObservedAt
	}
	switch fault := p.Check(); {
	case !p.RemovedAt.IsZero():
		f.Advice = fmt.Sprintf("The removal of this user began at %s and did not end: run 'agenttrader users remove %s' again.", p.RemovedAt.UTC().Format(time.RFC3339), p.ID)
	case p.Status == user.Pending:
		f.State, f.Advice = Pending, fmt.Sprintf("There are no API keys yet: 'agenttrader keys set %s' stores them.", p.ID)
	case p.Status == user.Paused, p.Status == user.Disabled:
		f.Well = true // somebody wants it so
	case p.Status != user.Active:
		f.Advice = fmt.Sprintf("The status %.40q is none that the platform knows, so nothing is synced: 'agenttrader users resume %s' makes the user active.", p.Status, p.ID)
	case fault != nil:
		f.State, f.Advice = Disabled, fmt.Sprintf("The user can't be synced as the document stands: %v.", fault)
	case h.Failing():
		f.Advice = h.Advice()
	case unreadable != nil && !errors.Is(unreadable, account.ErrNotFound):
		f.State, f.Advice = Degraded, fmt.Sprintf("The stored snapshot can't be read: %v. Delete it, and the next sync writes it anew.", unreadable)
	case snapshot == nil:
		f.Well = now.Sub(latest(p.CreatedAt, p.LastActiveAt)) < firstSync
		f.Advice = "The account was never synced, and no attempt failed. Do ticks come, and do fanout and syncer run? 'agenttrader doctor' looks."
	case snapshot.Stale(now, staleLimit(p.User, snapshot.CadenceMinutes)):
		f.Stale = true
		f.Advice = fmt.Sprintf("The snapshot is of %s, and no attempt failed since. Do ticks come, and do fanout and syncer run? 'agenttrader doctor' looks.", snapshot.ObservedAt.UTC().Format(time.RFC3339))
	default:
		f.Well = true
	}
	if f.Well {
		f.Advice = ""
	}
	return f
}

// staleLimit is how old a user's snapshot may be, by the cadence at which it was written if the user has none. Where the market's
// hours count, nothing is known of the calendar here.
func staleLimit(u user.User, written int) time.Duration {
	cadence := u.CadenceMinutes
	if cadence == 0 {
		cadence = written
	}
	if cadence == 0 {
		cadence = idle
	}
	limit := tick.StaleAfter(staleAfter, cadence)
	if u.SyncHours != market.Always && u.SyncHours != "" {
		limit += longClosed
	}
	return limit
}
