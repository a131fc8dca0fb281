package syncer

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/agenttrader/agenttrader/pkg/health"
)

// ErrBreakerOpen says that many users failed alike, so it is the broker or the way to it. Nobody is asked for, and nobody is
// marked, until a probe succeeds.
var ErrBreakerOpen = errors.New("circuit breaker is open: many users failed alike, so the broker or the way to it is at fault")

// breaker opens when many different users fail alike within a window: at least so many, and half of all, those under way
// included.
type breaker struct {
	cb     *gobreaker.TwoStepCircuitBreaker[struct{}]
	users  int
	window time.Duration
	now    func() time.Time

	mu     sync.Mutex
	closed bool
	seen   map[string]seen // by user
	active int             // syncs under way: failures are often faster than successes
	swept  time.Time
	marks  []mark // made within the window: they are undone when it opens
}

// seen is how a user's last sync ended.
type seen struct {
	group health.Cause // "" is well
	at    time.Time
}

// mark is a failure that was written into a user's health.
type mark struct {
	before, after health.Health
	at            time.Time
}

var (
	errFailed     = errors.New("failed")
	errNoEvidence = errors.New("says nothing about the broker")
)

func newBreaker(cfg Config, now func() time.Time, changed func(from, to string)) *breaker {
	b := &breaker{users: cfg.BreakerUsers, window: cfg.BreakerWindow, now: now, closed: true, seen: map[string]seen{}, swept: now()}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1, // one probe at a time
		Timeout:      cfg.BreakerOpen,
		ReadyToTrip:  func(gobreaker.Counts) bool { return b.alike() },
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return errors.Is(err, errNoEvidence) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.turn(to)
			changed(from.String(), to.String())
		},
	})
	return b
}

// permit is a sync that may go ahead. Its end must be told, or a probe would never end.
type permit struct {
	b      *breaker
	userID string
	known  bool // to be at fault: no evidence against the broker
	done   func(error)
}

// allow lets a sync go ahead. While the breaker is not closed, a user whose keys or account are at fault would be a
// probe that proves nothing.
func (b *breaker) allow(userID string, state health.State) (*permit, error) {
	if state.Confirmed() && !b.isClosed() {
		return nil, ErrBreakerOpen
	}
	done, err := b.cb.Allow()
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrBreakerOpen, err)
	}
	b.count(+1)
	return &permit{b, userID, state.Confirmed(), done}, nil
}

// ended tells that the sync succeeded, or failed for a cause of the user's or the broker's.
func (p *permit) ended(cause health.Cause) {
	switch {
	case cause == "":
		p.b.note(p.userID, "")
		p.tell(nil)
	case p.known:
		p.tell(errNoEvidence)
	default:
		p.b.note(p.userID, cause.Group())
		p.tell(errFailed)
	}
}

// dropped tells that it came to no end that says anything, unless one was told.
func (p *permit) dropped() { p.tell(errNoEvidence) }

func (p *permit) tell(err error) {
	if done := p.done; done != nil {
		p.done = nil
		p.b.count(-1)
		done(err)
	}
}

func (b *breaker) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active += n
}

func (b *breaker) note(userID string, group health.Cause) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.seen[userID] = seen{group, now}
	if now.Sub(b.swept) > b.window/2 {
		b.sweep(now)
	}
}

// sweep forgets what is older than the window. The caller holds the lock.
func (b *breaker) sweep(now time.Time) {
	maps.DeleteFunc(b.seen, func(_ string, s seen) bool { return now.Sub(s.at) > b.window })
	kept := b.marks[:0]
	for _, m := range b.marks {
		if now.Sub(m.at) <= b.window {
			kept = append(kept, m)
		}
	}
	b.marks, b.swept = kept, now
}

// alike says whether so many different users failed alike. It is asked at each failure.
func (b *breaker) alike() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(b.now())
	groups := map[health.Cause]int{}
	for _, s := range b.seen {
		groups[s.group]++
	}
	delete(groups, "")
	for _, n := range groups {
		if n >= b.users && 2*n >= len(b.seen)+b.active {
			return true
		}
	}
	return false
}

func (b *breaker) turn(to gobreaker.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = to == gobreaker.StateClosed
	if b.closed {
		clear(b.seen)
	}
}

func (b *breaker) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// marked remembers a mark for as long as the breaker may yet open on it.
func (b *breaker) marked(before, after health.Health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks = append(b.marks, mark{before, after, b.now()})
}

// wrong are the marks to undo: none while the breaker is closed.
func (b *breaker) wrong() []mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	marks := b.marks
	b.marks = nil
	return marks
}

// again takes marks back that could not be undone yet.
func (b *breaker) again(marks []mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks = append(b.marks, marks...)
}
