package limit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/limit"
)

// Over any stretch of time, retries are at most a fifth of the calls, what the floor gives, and what was saved.
func TestRetries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		now, latest := start, start
		r := limit.NewRetries(0.2, 1, func() time.Time { return now })
		calls, retries := 0, 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(-1000, 3000).Draw(t, "ms")) * time.Millisecond)
			case 1:
				calls++
				r.Called()
			default:
				if r.Take() {
					retries++
				}
			}
			if now.After(latest) { // a clock that steps back and on again earns nothing
				latest = now
			}
			if most := 10 + 0.2*float64(calls) + latest.Sub(start).Seconds() + 1e-6; float64(retries) > most {
				t.Fatalf("%d retries of %d calls in %s", retries, calls, latest.Sub(start))
			}
		}
	})
}

func TestRetriesRunOut(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r := limit.NewRetries(0.2, 1, func() time.Time { return now })
	take := func() (n int) {
		for r.Take() {
			n++
		}
		return n
	}
	if n := take(); n != 10 {
		t.Errorf("%d retries at the start, want 10", n)
	}
	for range 50 {
		r.Called()
	}
	if n := take(); n < 9 || n > 10 { // floats
		t.Errorf("%d retries for 50 calls, want 10", n)
	}
	if now = now.Add(time.Hour); true {
		if n := take(); n != 100 {
			t.Errorf("%d retries after an hour of rest, want 100", n)
		}
	}
}

func TestSlotsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.NewSlots(8)
		acquire := func(key string, suspect bool) (func(), error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return s.Acquire(ctx, key, suspect)
		}
		var held []func()
		must := func(key string, suspect bool) {
			t.Helper()
			release, err := acquire(key, suspect)
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			held = append(held, release)
		}
		must("s1", true)
		must("s2", true)
		if _, err := acquire("s3", true); !errors.Is(err, limit.ErrBusy) {
			t.Errorf("a third suspect of 8 slots: %v, want ErrBusy", err)
		}
		must("a", false)
		must("a", false)
		if _, err := acquire("a", false); !errors.Is(err, limit.ErrBusy) {
			t.Errorf("a third slot of one key: %v, want ErrBusy", err)
		}
		for i := range 4 {
			must(fmt.Sprint("u", i), false)
		}
		if _, err := acquire("u9", false); !errors.Is(err, limit.ErrBusy) {
			t.Errorf("a ninth of 8 slots: %v, want ErrBusy", err)
		}
		for key, suspect := range map[string]bool{"a": false, "s3": true, "u9": false} {
			if _, ok := s.TryAcquire(key, suspect); ok {
				t.Errorf("%s got a slot at once", key)
			}
		}
		for _, release := range held {
			release()
		}
		held = nil
		for i := range 8 { // nothing leaked on these refusals either
			release, ok := s.TryAcquire(fmt.Sprint("t", i/2), i < 2)
			if !ok {
				t.Fatalf("slot %d was not free", i)
			}
			held = append(held, release)
		}
		for _, release := range held {
			release()
		}
		held = nil
		for i := range 8 {
			must(fmt.Sprint("v", i), false) // nothing leaked on the refusals
		}
	})
}

func TestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		k := limit.NewKeys(150, func() time.Time { return now })
		var made []time.Time
		for range rapid.IntRange(1, 400).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			ok, next := k.Allow("k")
			if !ok {
				if !next.After(now) || next.After(now.Add(time.Minute)) {
					t.Fatalf("refused at %s until %s", now, next)
				}
				continue
			}
			made = append(made, now)
			in := 0
			for _, at := range made {
				if now.Sub(at) < time.Minute {
					in++
				}
			}
			if in > 150 {
				t.Fatalf("%d requests in a minute", in)
			}
		}
		if ok, _ := k.Allow("another"); !ok {
			t.Fatal("one key's requests were counted for another")
		}
	})
}
