package mem

import (
	"sync"
	"testing"
	"time"
)

func TestClockBetweenSteps(t *testing.T) {
	start := time.Date(2026, 3, 2, 14, 30, 42, 7, time.FixedZone("", 3600))
	base := time.Date(2026, 3, 2, 13, 30, 0, 0, time.UTC)
	source := time.Unix(1000, 0)
	c := newClock(start, 2*time.Second, func() time.Time { return source })
	check := func(what string, want time.Time) {
		t.Helper()
		if got := c.Now(); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: Now is %s, want %s in UTC", what, got, want)
		}
	}
	check("at the start", base)
	source = source.Add(time.Second)
	check("half a minute in", base.Add(30*time.Second))
	source = source.Add(-900 * time.Millisecond)
	check("with the source gone back", base.Add(30*time.Second))
	source = source.Add(time.Hour)
	check("long past the minute", base.Add(time.Minute-time.Microsecond))
	for i := 1; i <= 3; i++ {
		want := base.Add(time.Duration(i) * time.Minute)
		if got := c.Step(); !got.Equal(want) {
			t.Errorf("step %d is %s, want %s", i, got, want)
		}
		check("after a step", want)
	}
}

func TestClockStandsStill(t *testing.T) {
	source := time.Unix(1000, 0)
	c := newClock(source, 0, func() time.Time { return source })
	first := c.Now()
	source = source.Add(time.Hour)
	if got := c.Now(); !got.Equal(first) {
		t.Errorf("moved from %s to %s without a step", first, got)
	}
}

func TestClockConcurrently(t *testing.T) {
	start := time.Unix(0, 0)
	c := NewClock(start, time.Millisecond)
	const workers, steps = 4, 200
	var mu sync.Mutex
	given := map[time.Time]int{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			last := c.Now()
			for range steps {
				minute := c.Step()
				now := c.Now()
				if now.Before(last) || now.Before(minute) {
					t.Errorf("Now is %s after %s and a step to %s", now, last, minute)
				}
				last = now
				mu.Lock()
				given[minute]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := 1; i <= workers*steps; i++ {
		if n := given[start.Add(time.Duration(i)*time.Minute).UTC()]; n != 1 {
			t.Errorf("minute %d was given %d times", i, n)
		}
	}
}
