package market_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// broker has a calendar and a clock, and counts who asks. It lives in a bubble of synctest, whose time is moved to a
// day in November 2026.
type broker struct {
	t        *testing.T
	moved    time.Duration
	calendar func(ctx context.Context, from, to time.Time) (market.Calendar, error)
	clock    func(ctx context.Context) (market.Clock, error)

	mu                sync.Mutex
	calendars, clocks int
	faults            []error
}

func newBroker(t *testing.T, at string) *broker {
	b := &broker{t: t, moved: time.Until(ny(t, at))}
	b.calendar = func(context.Context, time.Time, time.Time) (market.Calendar, error) { return year(t), nil }
	return b
}

func (b *broker) now() time.Time { return time.Now().Add(b.moved) }

// turns replaces the calendar's answers.
func (b *broker) turns(calendar func(context.Context, time.Time, time.Time) (market.Calendar, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calendar = calendar
}

// until sleeps until a time in New York.
func (b *broker) until(at string) time.Time {
	b.t.Helper()
	to := ny(b.t, at)
	if d := to.Sub(b.now()); d >= 0 {
		time.Sleep(d)
	} else {
		b.t.Fatalf("%s is over", at)
	}
	return to
}

func (b *broker) Calendar(ctx context.Context, from, to time.Time) (market.Calendar, error) {
	b.mu.Lock()
	b.calendars++
	calendar := b.calendar
	b.mu.Unlock()
	return calendar(ctx, from, to)
}

func (b *broker) Clock(ctx context.Context) (market.Clock, error) {
	b.mu.Lock()
	b.clocks++
	b.mu.Unlock()
	return b.clock(ctx)
}

func (b *broker) fault(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, err)
}

// counts waits until nobody is at work.
func (b *broker) counts() (calendars, clocks, faults int) {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calendars, b.clocks, len(b.faults)
}

func (b *broker) timetable() *market.Timetable {
	cfg := market.TimetableConfig{Sessions: b, Now: b.now, Fault: b.fault}
	if b.clock != nil {
		cfg.Clocks = b
	}
	return market.NewTimetable(cfg)
}

func check(t *testing.T, table *market.Timetable, at time.Time, hours market.Hours, want bool) {
	t.Helper()
	if got := table.Open(t.Context(), at, hours); got != want {
		t.Errorf("%s, %s: open %t, want %t", at.UTC().Format(time.RFC3339), hours, got, want)
	}
}

// However many ask at once, the broker is asked once, and then once a day.
func TestOneCalendarForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, "2026-11-24 03:00")
		b.calendar = func(_ context.Context, from, to time.Time) (market.Calendar, error) {
			time.Sleep(time.Second)
			if ahead := to.Sub(b.now()); from.After(b.now()) || ahead < 20*24*time.Hour {
				t.Errorf("asked for %s to %s", from, to)
			}
			return year(t), nil
		}
		table := b.timetable()
		check(t, table, b.now(), market.Always, true)
		check(t, table, b.now(), "", true)
		if n, _, _ := b.counts(); n != 0 {
			t.Errorf("%d calls for those who are synced always", n)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { check(t, table, b.now(), market.Extended, false) })
		}
		wg.Wait()
		for range 23 {
			time.Sleep(time.Hour)
			for range 3 {
				table.Open(t.Context(), b.now(), market.Regular)
			}
		}
		if n, _, faults := b.counts(); n != 1 || faults != 0 {
			t.Errorf("%d calls on the first day, %d faults; want one call", n, faults)
		}
		at := b.until("2026-11-25 09:30")
		started := time.Now()
		check(t, table, at, market.Regular, true)
		if time.Since(started) != 0 {
			t.Errorf("it waited %s for the second calendar", time.Since(started))
		}
		time.Sleep(2 * time.Second)
		if n, _, _ := b.counts(); n != 2 {
			t.Errorf("%d calls on two days", n)
		}
	})
}

// A broker that does not answer holds everybody up for three seconds once, and leaves everything open.
func TestNoCalendar(t *testing.T) {
	hangs := func(ctx context.Context, _, _ time.Time) (market.Calendar, error) {
		<-ctx.Done()
		return market.Calendar{}, ctx.Err()
	}
	for name, tt := range map[string]struct {
		calendar func(context.Context, time.Time, time.Time) (market.Calendar, error)
		wait     time.Duration
	}{
		"hangs": {hangs, 3 * time.Second},
		"hangs for ever": {func(context.Context, time.Time, time.Time) (market.Calendar, error) {
			time.Sleep(10 * time.Second) // whatever its context says
			return market.Calendar{}, errors.New("at last")
		}, 3 * time.Second},
		"fails": {func(context.Context, time.Time, time.Time) (market.Calendar, error) {
			return market.Calendar{}, errors.New("HTTP 401")
		}, 0},
		"is empty": {func(_ context.Context, from, to time.Time) (market.Calendar, error) {
			return market.NewCalendar(from, to, nil)
		}, 0},
		"is of last month": {func(context.Context, time.Time, time.Time) (market.Calendar, error) {
			return calendar(t, "2026-10-01", "2026-10-31", nil, nil), nil
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, "2026-11-28 12:00") // a Saturday
				b.calendar = tt.calendar
				table := b.timetable()
				started := time.Now()
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() { check(t, table, b.now(), market.Regular, true) })
				}
				wg.Wait()
				if d := time.Since(started); d != tt.wait {
					t.Errorf("waited %s, want %s", d, tt.wait)
				}
				time.Sleep(20 * time.Second)
				for range 10 {
					check(t, table, b.now(), market.Regular, true)
				}
				if n, _, faults := b.counts(); n != 1 || faults != 1 {
					t.Errorf("%d calls, %d faults in a minute; want one of each", n, faults)
				}
				time.Sleep(time.Minute)
				started = time.Now()
				check(t, table, b.now(), market.Regular, true)
				if d := time.Since(started); d != 0 {
					t.Errorf("the second time waited %s", d)
				}
				time.Sleep(20 * time.Second)
				b.turns(func(context.Context, time.Time, time.Time) (market.Calendar, error) { return year(t), nil })
				time.Sleep(time.Minute)
				check(t, table, b.now(), market.Regular, true)
				synctest.Wait()
				check(t, table, b.now(), market.Regular, false)
				if n, _, faults := b.counts(); n != 3 || faults != 2 {
					t.Errorf("%d calls, %d faults; want 3 and 2", n, faults)
				}
			})
		})
	}
}

// The first caller's end is not the call's: the others wait for it too.
func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, "2026-11-28 12:00")
		b.calendar = func(ctx context.Context, _, _ time.Time) (market.Calendar, error) {
			select {
			case <-time.After(2 * time.Second):
				return year(t), nil
			case <-ctx.Done():
				return market.Calendar{}, ctx.Err()
			}
		}
		table := b.timetable()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		if !table.Open(ctx, b.now(), market.Regular) || time.Since(started) != time.Second {
			t.Errorf("closed without a calendar, or after %s", time.Since(started))
		}
		check(t, table, b.now(), market.Regular, false)
		if n, _, faults := b.counts(); n != 1 || faults != 0 {
			t.Errorf("%d calls, %d faults; want one call", n, faults)
		}
	})
}

// The last good calendar outlives an outage of weeks; when it ends, everything is open.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, "2026-11-02 12:00")
		b.calendar = func(_ context.Context, from, to time.Time) (market.Calendar, error) {
			return calendar(t, from.In(zone(t)).Format(time.DateOnly), to.In(zone(t)).Format(time.DateOnly), []string{"2026-11-26"}, nil), nil
		}
		table := b.timetable()
		check(t, table, b.now(), market.Regular, true)
		b.turns(func(context.Context, time.Time, time.Time) (market.Calendar, error) {
			return market.Calendar{}, errors.New("HTTP 503")
		})
		for _, tt := range []struct {
			at   string
			want bool
		}{{"2026-11-02 21:00", false}, {"2026-11-14 12:00", false}, {"2026-11-25 12:00", true}, {"2026-11-26 12:00", false}, {"2026-12-02 23:59", false}, {"2026-12-05 12:00", true}} {
			check(t, table, b.until(tt.at), market.Regular, tt.want)
		}
		if n, _, faults := b.counts(); n != faults+1 || faults != 5 {
			t.Errorf("%d calls, %d faults; want each that failed told once", n, faults)
		}
		b.turns(func(context.Context, time.Time, time.Time) (market.Calendar, error) { return year(t), nil })
		table.Open(t.Context(), b.until("2026-12-05 12:02"), market.Regular)
		synctest.Wait()
		check(t, table, b.now(), market.Regular, false)
	})
}

// The clock closes regular hours that the calendar does not know to be off, and opens what it does not know to be on.
func TestClock(t *testing.T) {
	says := func(at string, open bool, nextOpen, nextClose string) market.Clock {
		return market.Clock{At: ny(t, at), Open: open, NextOpen: ny(t, nextOpen), NextClose: ny(t, nextClose)}
	}
	mourning := says("2026-11-24 12:00:03", false, "2026-11-25 09:30", "2026-11-25 16:00")
	for name, tt := range map[string]struct {
		clock             market.Clock
		err               error
		at                string
		regular, extended bool
	}{
		"as the calendar":                 {says("2026-11-24 12:00:03", true, "2026-11-25 09:30", "2026-11-24 16:00"), nil, "2026-11-24 12:01", true, true},
		"closed all day":                  {mourning, nil, "2026-11-24 12:01", false, true},
		"closed, for a late tick too":     {mourning, nil, "2026-11-24 11:59", false, true},
		"closed, said long ago":           {mourning, nil, "2026-11-24 12:03", true, true},
		"closed for a halt of an hour":    {says("2026-11-24 12:00:03", false, "2026-11-24 13:00", "2026-11-24 16:00"), nil, "2026-11-24 12:01", true, true},
		"closed before the open":          {says("2026-11-24 09:29:58", false, "2026-11-24 09:30", "2026-11-24 16:00"), nil, "2026-11-24 09:30", true, true},
		"closed after the close":          {says("2026-11-24 16:00:03", false, "2026-11-25 09:30", "2026-11-25 16:00"), nil, "2026-11-24 15:59", true, true},
		"closed, the closing snapshot":    {says("2026-11-24 16:00:03", false, "2026-11-25 09:30", "2026-11-25 16:00"), nil, "2026-11-24 16:00", true, true},
		"closed in the night":             {says("2026-11-24 22:00:03", false, "2026-11-25 09:30", "2026-11-25 16:00"), nil, "2026-11-24 22:01", false, false},
		"open on a Saturday":              {says("2026-11-28 12:00:03", true, "2026-11-30 09:30", "2026-11-28 16:00"), nil, "2026-11-28 12:01", true, true},
		"open on a Saturday, till now":    {says("2026-11-28 15:59:30", true, "2026-11-30 09:30", "2026-11-28 16:00"), nil, "2026-11-28 16:00", false, false},
		"open on a Saturday, a while ago": {says("2026-11-28 12:00:03", true, "2026-11-30 09:30", "2026-11-28 16:00"), nil, "2026-11-28 12:03", false, false},
		"no clock":                        {mourning, errors.New("HTTP 503"), "2026-11-24 12:01", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, tt.at)
				b.clock = func(context.Context) (market.Clock, error) { return tt.clock, tt.err }
				table := b.timetable()
				table.Open(t.Context(), b.now(), market.Regular)
				_, _, faults := b.counts()
				check(t, table, b.now(), market.Regular, tt.regular)
				check(t, table, b.now(), market.Extended, tt.extended)
				check(t, table, b.now(), market.Always, true)
				if (faults != 0) != (tt.err != nil) {
					t.Errorf("%d faults", faults)
				}
			})
		})
	}
}

// The clock is asked once a minute, and nobody waits for it.
func TestClockIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, "2026-11-24 12:00")
		b.clock = func(ctx context.Context) (market.Clock, error) {
			<-ctx.Done()
			return market.Clock{}, ctx.Err()
		}
		table := b.timetable()
		started := time.Now()
		for range 10 {
			for range 1000 {
				check(t, table, b.now(), market.Regular, true)
			}
			time.Sleep(time.Minute)
		}
		if d := time.Since(started); d != 10*time.Minute {
			t.Errorf("waited %s for the clock", d-10*time.Minute)
		}
		if calendars, clocks, faults := b.counts(); calendars != 1 || clocks != 10 || faults != 10 {
			t.Errorf("%d calendars, %d clocks, %d faults in ten minutes", calendars, clocks, faults)
		}
	})
}

// Orders are taken until the close, to the second; the account is synced for a minute more.
func TestTrading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tt := market.NewTimetable(market.TimetableConfig{Sessions: known(year(t)), Now: func() time.Time { return ny(t, "2026-11-24 12:00:00") }})
		for at, want := range map[string][3]bool{ // synced, regular orders, extended orders
			"2026-11-24 09:29:59": {false, false, true}, "2026-11-24 09:30:00": {true, true, true}, "2026-11-24 15:59:59": {true, true, true},
			"2026-11-24 16:00:00": {true, false, true}, "2026-11-24 16:00:59": {true, false, true}, "2026-11-24 16:01:00": {false, false, true},
			"2026-11-24 19:59:59": {false, false, true}, "2026-11-24 20:00:00": {false, false, false},
			"2026-11-27 12:59:59": {true, true, true}, "2026-11-27 13:00:00": {true, false, true}, "2026-11-26 12:00:00": {false, false, false},
		} {
			synced := tt.Open(t.Context(), ny(t, at), market.Regular)
			regular, known := tt.Trading(t.Context(), ny(t, at), market.Regular)
			extended, known2 := tt.Trading(t.Context(), ny(t, at), market.Extended)
			if got := [3]bool{synced, regular, extended}; got != want || !known || !known2 {
				t.Errorf("%s: %v, known %t and %t; want %v", at, got, known, known2, want)
			}
		}
	})
}

// known is a calendar that is there at once.
type known market.Calendar

func (k known) Calendar(context.Context, time.Time, time.Time) (market.Calendar, error) {
	return market.Calendar(k), nil
}

// Without keys there is no calendar: open, at once, and nobody is told.
func TestNoSessions(t *testing.T) {
	table := market.NewTimetable(market.TimetableConfig{Now: time.Now, Fault: func(err error) { t.Error(err) }})
	check(t, table, ny(t, "2026-11-28 12:00"), market.Regular, true)
}

// Whatever the clock says, wider hours are open while narrower ones are.
func TestWiderHoursByTheClock(t *testing.T) {
	c := year(t)
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			at := ny(t, "2026-03-01").Add(time.Duration(rapid.IntRange(0, 300*24*60).Draw(rt, "minute")) * time.Minute)
			minutes := func(name string, low, high int) time.Duration {
				return time.Duration(rapid.IntRange(low, high).Draw(rt, name)) * time.Minute
			}
			said := at.Add(minutes("said", -4, 4))
			clock := market.Clock{At: said, Open: rapid.Bool().Draw(rt, "open"), NextOpen: said.Add(minutes("next open", 0, 3000)), NextClose: said.Add(minutes("next close", 0, 3000))}
			b := &broker{t: t, moved: time.Until(at), clock: func(context.Context) (market.Clock, error) { return clock, nil }}
			b.calendar = func(context.Context, time.Time, time.Time) (market.Calendar, error) { return c, nil }
			table := b.timetable()
			table.Open(t.Context(), at, market.Regular)
			b.counts()
			regular, extended := table.Open(t.Context(), at, market.Regular), table.Open(t.Context(), at, market.Extended)
			if regular && !extended {
				t.Errorf("%s, clock %+v: regular is open, extended is not", at, clock)
			}
			if open, _ := c.Open(at, market.Extended); open && !extended {
				t.Errorf("%s, clock %+v: closes extended hours", at, clock)
			}
		})
	})
}

// A call that does not end is one call, however long: where a platform's minute is short, the next is due before it ends.
func TestOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, "2026-11-24 12:00")
		b.calendar = func(context.Context, time.Time, time.Time) (market.Calendar, error) {
			time.Sleep(150 * time.Second)
			return year(t), nil
		}
		b.clock = func(context.Context) (market.Clock, error) {
			time.Sleep(150 * time.Second)
			return market.Clock{}, nil
		}
		table := b.timetable()
		for range 3 {
			check(t, table, b.now(), market.Regular, true)
			time.Sleep(time.Minute - time.Second)
		}
		if calendars, clocks, _ := b.counts(); calendars != 1 || clocks != 1 {
			t.Errorf("%d calendars, %d clocks at once", calendars, clocks)
		}
	})
}
