package market

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Sessions gives the broker's calendar.
type Sessions interface {
	// Calendar returns the trading days from the day of from to that of to, both in New York and both included. It ends
	// with its context.
	Calendar(ctx context.Context, from, to time.Time) (Calendar, error)
}

// Clock is what the broker said of the regular market. Times are UTC.
type Clock struct {
	At                  time.Time // when it said so, by its own clock
	Open                bool
	NextOpen, NextClose time.Time // after At
}

// Clocks gives the broker's clock.
type Clocks interface {
	// Clock returns what the broker says now. It ends with its context.
	Clock(ctx context.Context) (Clock, error)
}

// TimetableConfig is what a Timetable stands on.
type TimetableConfig struct {
	Sessions Sessions         // nil: no calendar, and everything is open
	Clocks   Clocks           // nil: the calendar alone
	Now      func() time.Time // in which minutes and days are counted
	Fault    func(error)      // told once of each call to the broker that failed, from another goroutine; may be nil
}

const (
	refreshEvery = 24 * time.Hour
	askAgain     = time.Minute     // from one call to the next, of the clock or after a failure
	callTimeout  = 3 * time.Second // of a call, and the longest that anybody waits, once
	daysBack     = 3               // a tick may be handled late, a time zone is early
	daysAhead    = 30              // the outage of the broker that the calendar outlives
	clockFresh   = 2 * time.Minute // what the clock said is used for the tick after it
)

// Timetable says which hours are open, for all users of an instance. It reads the calendar when it is first asked and
// daily from then on, for 30 days ahead, and the clock once a minute while it is asked; each call runs in the
// background, one at a time, with a limit of 3 s. The last good calendar stays during an outage. Without one everything
// is open: syncing too often does no harm, not syncing does.
//
// The clock mends what the calendar does not know yet. A market that the clock says is open counts as open. Regular
// hours in which it says that the market is closed, and does not open again before the calendar's close, are closed for
// Regular users, and for them only: extended sessions are not on the clock. What it said is used for two minutes.
type Timetable struct {
	cfg TimetableConfig

	mu       sync.Mutex
	calendar Calendar
	fetched  time.Time // the calendar; zero: not yet
	clock    Clock     // the zero Clock is too old to be used
	reading  call      // of the calendar
	asking   call      // of the clock
	first    <-chan struct{}
}

// call is a call to the broker in the background.
type call struct {
	running bool
	next    time.Time // not before
}

func (c *call) due(now time.Time) bool { return !c.running && !now.Before(c.next) }

// NewTimetable is a timetable; it calls nobody yet.
func NewTimetable(cfg TimetableConfig) *Timetable {
	if cfg.Fault == nil {
		cfg.Fault = func(error) {}
	}
	return &Timetable{cfg: cfg}
}

// Open says whether an account with these hours is synced at a time: by Says, and always while that is not known.
func (t *Timetable) Open(ctx context.Context, at time.Time, hours Hours) bool {
	open, known := t.Says(ctx, at, hours)
	return open || !known
}

// Says is Calendar.Open in the light of the clock. While the calendar is read for the first time it waits, for 3 s at most or
// until ctx ends; after that it answers at once. It calls nobody for Always.
func (t *Timetable) Says(ctx context.Context, at time.Time, hours Hours) (open, known bool) {
	switch {
	case !hours.gated():
		return true, true
	case t.cfg.Sessions == nil:
		return false, false
	}
	select {
	case <-t.refresh(ctx):
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if open, known = t.calendar.Open(at, hours); !known {
		return false, false
	}
	return t.clock.correct(t.calendar, at, hours, open), true
}

// Trading says whether orders are taken in these hours at a time, if that is known: it is Says without the minute after the
// close.
func (t *Timetable) Trading(ctx context.Context, at time.Time, hours Hours) (open, known bool) {
	open, known = t.Says(ctx, at, hours)
	if open && known {
		open, known = t.Says(ctx, at.Add(closing), hours)
	}
	return open, known
}

// refresh starts the calls that are due. What it returns is closed once the first reading of the calendar has ended.
func (t *Timetable) refresh(ctx context.Context) <-chan struct{} {
	ctx = context.WithoutCancel(ctx) // the calls are for all callers
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale(now) && t.reading.due(now) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		if t.first == nil {
			t.first = ctx.Done()
		}
		t.reading = call{running: true, next: now.Add(askAgain)}
		go func() {
			defer cancel()
			t.readCalendar(ctx, now)
		}()
	}
	if t.cfg.Clocks != nil && t.asking.due(now) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		t.asking = call{running: true, next: now.Add(askAgain)}
		go func() {
			defer cancel()
			t.readClock(ctx)
		}()
	}
	return t.first
}

// stale: a day old, or of another time.
func (t *Timetable) stale(now time.Time) bool {
	_, known := t.calendar.Open(now, Regular)
	return !known || now.Sub(t.fetched) >= refreshEvery
}

func (t *Timetable) readCalendar(ctx context.Context, now time.Time) {
	c, err := t.cfg.Sessions.Calendar(ctx, now.AddDate(0, 0, -daysBack), now.AddDate(0, 0, daysAhead))
	if _, known := c.Open(now, Regular); err == nil && !known {
		err = errors.New("it does not know today")
	}
	t.mu.Lock()
	t.reading.running = false
	if err == nil {
		t.calendar, t.fetched = c, now
	}
	t.mu.Unlock()
	if err != nil {
		t.cfg.Fault(fmt.Errorf("the market's calendar can't be read; the last one is used, and without one everybody is synced round the clock: %w", err))
	}
}

func (t *Timetable) readClock(ctx context.Context) {
	c, err := t.cfg.Clocks.Clock(ctx)
	t.mu.Lock()
	t.asking.running = false
	if err == nil {
		t.clock = c
	}
	t.mu.Unlock()
	if err != nil {
		t.cfg.Fault(fmt.Errorf("the market's clock can't be read; the calendar is used alone: %w", err))
	}
}

// correct is the calendar's answer in the light of the clock.
func (k Clock) correct(c Calendar, at time.Time, hours Hours, open bool) bool {
	if at.Sub(k.At).Abs() > clockFresh {
		return open
	}
	if k.Open {
		return open || at.Before(k.NextClose)
	}
	if hours != Regular {
		return open
	}
	// It was said in regular hours, and of the rest of them: before the open and after the close both agree.
	d, regular := c.regular(at)
	if regular && within(k.At, d.Open, d.Close) && !k.NextOpen.Before(d.Close) {
		return false
	}
	return open
}
