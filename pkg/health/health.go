// Package health is whether each user's account can be synced, and what a person can do where it can't: the failure
// classes, and a pure state machine that every attempt moves.
//
//	attempt ──▶ CauseOf(err) ─▶ Health.After(attempt) ─▶ state, next attempt, advice
package health

import (
	"context"
	"time"

	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// State is how syncing a user's account goes.
type State string

// The states. Pending and Disabled follow from the user's documents; the others from the attempts.
const (
	Pending     State = "pending"      // never synced yet
	OK          State = "ok"           // the last attempt succeeded
	Degraded    State = "degraded"     // the last attempt failed; the next tick is the retry
	RateLimited State = "rate_limited" // not asked before the broker's limit resets
	NeedsReauth State = "needs_reauth" // the keys don't work: the user must store others; probed slowly
	Restricted  State = "restricted"   // the broker restricts the account; probed slowly
	Disabled    State = "disabled"     // the user is not active: nothing is asked
)

// States are all of them, from well to ill.
func States() []State {
	return []State{OK, Pending, Degraded, RateLimited, NeedsReauth, Restricted, Disabled}
}

const (
	firstProbe = 5 * time.Minute  // after the confirmation; doubles with each failure
	lastProbe  = time.Hour        // the longest time between two probes: no state is a dead end
	maxReset   = 15 * time.Minute // Alpaca's windows are a minute: a later reset time is not believed
)

// Health is the record of one user's attempts. The zero Health is that of a user who never failed.
type Health struct {
	UserID        string
	State         State
	Cause         Cause     // of the last failure; "" in OK and Pending
	Failures      int       // ticks in a row that failed
	Tick          tick.Tick // of the last attempt
	LastAttemptAt time.Time
	NextAttemptAt time.Time // not before this time; zero: at the next tick
	KeyVersion    string    // the version of the keys that the last attempt asked for; another one makes the user due
}

// Attempt is one sync that came to an end.
type Attempt struct {
	Tick       tick.Tick
	At         time.Time // its start
	Cause      Cause     // "" is success
	Partial    bool      // the account was read, its positions or orders were not
	ResetAt    time.Time // of a rate limit; zero if not said
	KeyVersion string    // as the request named it
	Cadence    int       // minutes
}

// After is the health after an attempt. It depends on nothing else, and an attempt of an earlier tick, or an earlier
// one of the same tick, changes nothing: deliveries may come twice and in any order, from machines whose clocks differ.
func (h Health) After(a Attempt) Health {
	if h.overtakes(a) {
		return h
	}
	next := Health{
		UserID: h.UserID, Tick: a.Tick, LastAttemptAt: a.At.UTC().Truncate(time.Microsecond), KeyVersion: a.KeyVersion,
		State: OK,
	}
	if a.Cause == "" {
		return next
	}
	next.Failures = h.Failures
	if !h.Failing() || a.Tick > h.Tick { // a second delivery is no second failure
		next.Failures++
	}
	next.State, next.Cause = h.fail(a)
	next.NextAttemptAt = next.retryAt(a)
	return next
}

func (h Health) overtakes(a Attempt) bool {
	return a.Tick < h.Tick || (a.Tick == h.Tick && a.At.Before(h.LastAttemptAt))
}

// fail is the state that a failure leads to. The keys or the account are at fault only once a second tick says so; and
// once they are, trouble on the way to the broker says nothing about them.
func (h Health) fail(a Attempt) (State, Cause) {
	state := rules()[a.Cause].state
	if state == "" || a.Partial {
		state = Degraded
	}
	switch {
	case h.confirmed() && !state.confirmed():
		return h.State, h.Cause
	case !state.confirmed(), state == h.State:
		return state, a.Cause
	case h.Failing() && h.Cause == a.Cause && (h.Tick < a.Tick):
		return state, a.Cause
	}
	return Degraded, a.Cause
}

// retryAt counts from the tick, which is the same for every machine.
func (h Health) retryAt(a Attempt) time.Time {
	begin := a.Tick.Time()
	next := begin.Add(time.Duration(max(1, a.Cadence)) * time.Minute)
	switch h.State {
	case RateLimited:
		return latest(next, earliest(a.ResetAt.UTC().Truncate(time.Microsecond), begin.Add(maxReset)))
	case NeedsReauth, Restricted:
		return latest(next, begin.Add(probeAfter(h.Failures)))
	}
	return next
}

// probeAfter is 5, 10, 20, 40 and then 60 minutes.
func probeAfter(failures int) time.Duration {
	wait := firstProbe
	for n := 2; n < failures && wait < lastProbe; n++ {
		wait *= 2
	}
	return min(wait, lastProbe)
}

// Awake is the health once there is a reason to try at the next tick: new keys.
func (h Health) Awake() Health {
	h.NextAttemptAt = time.Time{}
	return h
}

// Failing says that the last attempt failed.
func (h Health) Failing() bool {
	return h.State != "" && h.State != OK && h.State != Pending
}

func (h Health) confirmed() bool { return h.State.confirmed() }

func (s State) confirmed() bool { return s == NeedsReauth || s == Restricted }

// Confirmed says that the user or the account is at fault, and not the broker: such a failure is no evidence against it.
func (s State) Confirmed() bool { return s.confirmed() }

// Due says whether the user is asked for at a tick: when the time has come, or when there are other keys than those
// that failed.
func (h Health) Due(t tick.Tick, keyVersion string) bool {
	return !h.Failing() || !h.NextAttemptAt.After(t.Time()) || keyVersion != h.KeyVersion
}

// Of is a user's state, from all that is stored: the user's status, whether there is a snapshot, and the health.
func Of(status user.Status, synced bool, h Health) State {
	switch {
	case status != user.Active:
		return Disabled
	case h.Failing():
		return h.State
	case synced:
		return OK
	}
	return Pending
}

// Lister lists the users in trouble.
type Lister interface {
	// Failing returns the health of every user whose last attempt failed, by user id.
	Failing(ctx context.Context) (map[string]Health, error)
}

// Store keeps the users' health.
type Store interface {
	Lister
	// Update replaces a user's health by what change makes of it, in one transaction: change may run more than once.
	// Where it changes nothing, nothing is written. A user who is gone or not active gets no record: user.ErrGone.
	Update(ctx context.Context, userID string, change func(Health) Health) (before, after Health, err error)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
