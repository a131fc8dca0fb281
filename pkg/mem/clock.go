package mem

import (
	"sync/atomic"
	"time"
)

// clockGap is how close Now comes to the next minute without a Step: the finest step Firestore keeps.
const clockGap = time.Microsecond

// Clock is the injected clock of local runs: its minutes come one by one, by Step, as fast as the run can take
// them; between two steps it moves on with real time, at a rate of its own. It never goes back and never skips
// or repeats a minute. All times are UTC, in whole microseconds. Safe for concurrent use.
type Clock struct {
	minute time.Duration
	real   func() time.Time
	at     atomic.Pointer[clockStep]
	last   atomic.Int64 // µs since the epoch, the latest time handed out
}

type clockStep struct {
	base time.Time // the current minute
	mark time.Time // the real time at which it began
}

// NewClock returns a clock that stands at start, truncated to the minute. minute is the real time that one
// simulated minute takes between steps; 0 or less: the clock stands still between steps.
func NewClock(start time.Time, minute time.Duration) *Clock {
	return newClock(start, minute, time.Now)
}

func newClock(start time.Time, minute time.Duration, real func() time.Time) *Clock {
	c := &Clock{minute: minute, real: real}
	base := start.UTC().Truncate(time.Minute)
	c.last.Store(base.UnixMicro())
	c.at.Store(&clockStep{base: base, mark: real()})
	return c
}

// Now returns the simulated time, UTC: never before an earlier answer, and before the next minute until Step.
func (c *Clock) Now() time.Time {
	at := c.at.Load()
	us := at.base.Add(c.into(at.mark)).UnixMicro()
	for {
		last := c.last.Load()
		if us <= last {
			us = last // a Step came in between, or the source went back
			break
		}
		if c.last.CompareAndSwap(last, us) {
			break
		}
	}
	return time.UnixMicro(us).UTC()
}

// Step moves the clock on to the next whole minute and returns it, UTC. Each call gives one minute, each minute
// is given once.
func (c *Clock) Step() time.Time {
	for {
		at := c.at.Load()
		next := &clockStep{base: at.base.Add(time.Minute), mark: c.real()}
		if c.at.CompareAndSwap(at, next) {
			return next.base
		}
	}
}

// into is how far the clock has come into the minute that began at the real time mark.
func (c *Clock) into(mark time.Time) time.Duration {
	if c.minute <= 0 {
		return 0
	}
	gone := c.real().Sub(mark)
	if gone <= 0 {
		return 0
	}
	d := time.Minute - clockGap
	if gone < c.minute {
		// In floats: the product overflows an int64 from 0.15 s on.
		d = min(d, time.Duration(float64(gone)/float64(c.minute)*float64(time.Minute)))
	}
	return d
}
