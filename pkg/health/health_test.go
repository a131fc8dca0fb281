package health_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = tick.Of(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))

// step is one attempt, minutes after noon, and what it leads to.
type step struct {
	minute   int
	cause    health.Cause
	state    health.State
	next     int // minutes after noon; 0: none
	failures int
}

func TestStateMachine(t *testing.T) {
	const (
		ok, degraded, reauth = health.OK, health.Degraded, health.NeedsReauth
		e401, e403, e500     = health.Unauthorized, health.Forbidden, health.Unavailable
	)
	for name, steps := range map[string][]step{
		"it works": {{0, "", ok, 0, 0}, {1, "", ok, 0, 0}},
		"a key that is bad": {
			{0, e401, degraded, 1, 1}, {1, e401, reauth, 6, 2}, {6, e401, reauth, 16, 3}, {16, e401, reauth, 36, 4},
			{36, e401, reauth, 76, 5}, {76, e401, reauth, 136, 6}, {136, e401, reauth, 196, 7}, {196, "", ok, 0, 0},
		},
		"a slip":                        {{0, e401, degraded, 1, 1}, {1, "", ok, 0, 0}, {2, e401, degraded, 3, 1}},
		"the same tick again":           {{0, e401, degraded, 1, 1}, {0, e401, degraded, 1, 1}, {1, e401, reauth, 6, 2}, {1, e401, reauth, 6, 2}},
		"an older tick says nothing":    {{5, "", ok, 0, 0}, {4, e401, ok, 0, 0}},
		"an older tick heals nothing":   {{5, e401, degraded, 6, 1}, {4, "", degraded, 6, 1}},
		"two different slips":           {{0, e401, degraded, 1, 1}, {1, e403, degraded, 2, 2}, {2, e403, health.Restricted, 12, 3}},
		"trouble between two refusals":  {{0, e401, degraded, 1, 1}, {1, e500, degraded, 2, 2}, {2, e401, degraded, 3, 3}, {3, e401, reauth, 23, 4}},
		"trouble says nothing of keys":  {{0, e401, degraded, 1, 1}, {1, e401, reauth, 6, 2}, {6, e500, reauth, 16, 3}},
		"keys that became a ban":        {{0, e401, degraded, 1, 1}, {1, e401, reauth, 6, 2}, {6, e403, degraded, 7, 3}, {7, e403, health.Restricted, 27, 4}},
		"the broker is down":            {{0, e500, degraded, 1, 1}, {1, health.Timeout, degraded, 2, 2}, {2, health.Malformed, degraded, 3, 3}, {3, "", ok, 0, 0}},
		"no secret":                     {{0, health.KeysMissing, degraded, 1, 1}, {1, health.KeysMissing, reauth, 6, 2}},
		"a limit":                       {{0, health.Limited, health.RateLimited, 1, 1}, {1, "", ok, 0, 0}},
		"a cause that nobody has heard": {{0, "NEW", degraded, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var h health.Health
			for _, s := range steps {
				at := noon + tick.Tick(s.minute)
				h = h.After(health.Attempt{Tick: at, At: at.Time().Add(time.Second), Cause: s.cause, Cadence: 1})
				want := time.Time{}
				if s.next != 0 {
					want = (noon + tick.Tick(s.next)).Time()
				}
				if h.State != s.state || !h.NextAttemptAt.Equal(want) || h.Failures != s.failures {
					t.Errorf("minute %d, %s: %s, next %s, %d failures; want %s, %s, %d", s.minute, s.cause, h.State, h.NextAttemptAt, h.Failures, s.state, want, s.failures)
				}
				if (h.Advice() == "") != (h.State == health.OK) || (h.Cause == "") != (h.State == health.OK) {
					t.Errorf("minute %d: %s has the cause %q and the advice %q", s.minute, h.State, h.Cause, h.Advice())
				}
			}
		})
	}
}

func TestRateLimit(t *testing.T) {
	for reset, want := range map[time.Duration]time.Duration{
		-time.Hour: time.Minute, 20 * time.Second: time.Minute, 3 * time.Minute: 3 * time.Minute, 90 * 365 * 24 * time.Hour: 15 * time.Minute,
	} {
		h := health.Health{}.After(health.Attempt{Tick: noon, At: noon.Time(), Cause: health.Limited, ResetAt: noon.Time().Add(reset)})
		if got := h.NextAttemptAt.Sub(noon.Time()); got != want {
			t.Errorf("a limit that resets after %s: next attempt after %s, want %s", reset, got, want)
		}
	}
}

func TestPartial(t *testing.T) {
	var h health.Health
	for i := range tick.Tick(3) {
		h = h.After(health.Attempt{Tick: noon + i, At: (noon + i).Time(), Cause: health.Forbidden, Partial: true})
	}
	if h.State != health.Degraded || h.Failures != 3 {
		t.Errorf("an account that is read without its positions: %+v, want degraded", h)
	}
}

func TestDue(t *testing.T) {
	var h health.Health
	for i := range tick.Tick(2) {
		h = h.After(health.Attempt{Tick: noon + i, At: (noon + i).Time(), Cause: health.Unauthorized, KeyVersion: "1"})
	}
	for _, c := range []struct {
		minute  tick.Tick
		version string
		want    bool
	}{{2, "1", false}, {5, "1", false}, {6, "1", true}, {2, "2", true}, {2, "", true}} {
		if got := h.Due(noon+c.minute, c.version); got != c.want {
			t.Errorf("minute %d, keys %q: due %t, want %t", c.minute, c.version, got, c.want)
		}
	}
	if !(health.Health{}).Due(noon, "") {
		t.Error("a user who never failed is not due")
	}
}

func TestOf(t *testing.T) {
	failing := health.Health{State: health.Restricted}
	for _, c := range []struct {
		status user.Status
		synced bool
		h      health.Health
		want   health.State
	}{
		{user.Active, false, health.Health{}, health.Pending},
		{user.Active, true, health.Health{}, health.OK},
		{user.Active, true, health.Health{State: health.OK}, health.OK},
		{user.Active, false, health.Health{State: health.Pending}, health.Pending},
		{user.Active, true, failing, health.Restricted},
		{user.Paused, true, failing, health.Disabled},
	} {
		if got := health.Of(c.status, c.synced, c.h); got != c.want {
			t.Errorf("%s, synced %t, %s: %s, want %s", c.status, c.synced, c.h.State, got, c.want)
		}
	}
}

func TestCauseOf(t *testing.T) {
	for _, kind := range []broker.Kind{
		broker.Unauthorized, broker.Forbidden, broker.RateLimited, broker.Unavailable, broker.Timeout, broker.Malformed, broker.Rejected,
	} {
		c := health.CauseOf(fmt.Errorf("sync: %w", &broker.Error{Kind: kind}))
		if c == "" || c.Group() == "" {
			t.Errorf("%s has the cause %q of group %q", kind, c, c.Group())
		}
		if want := kind == broker.Unavailable || kind == broker.Timeout; c.Retried() != want {
			t.Errorf("%s is retried: %t, want %t", kind, c.Retried(), want)
		}
	}
	for err, want := range map[error]health.Cause{
		secret.ErrNotFound: health.KeysMissing, secret.ErrMalformed: health.KeysMalformed, secret.ErrDenied: health.KeysDenied,
		errors.New("ours"): "",
	} {
		if got := health.CauseOf(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// attempts are those of one user over an hour, each delivered once or twice, from machines whose clocks differ by up to
// a minute.
func attempts(t *rapid.T) []health.Attempt {
	causes := rapid.SampledFrom(append(health.Causes(), "", "", ""))
	minute, list := 0, []health.Attempt(nil)
	for range rapid.IntRange(1, 12).Draw(t, "ticks") {
		minute += rapid.IntRange(1, 7).Draw(t, "gap")
		at := noon + tick.Tick(minute)
		for range rapid.IntRange(1, 2).Draw(t, "deliveries") {
			skew := rapid.IntRange(-60, 60).Draw(t, "skew")
			list = append(list, health.Attempt{
				Tick: at, At: at.Time().Add(time.Duration(skew)*time.Second + time.Duration(len(list))*time.Microsecond), Cause: causes.Draw(t, "cause"), Cadence: 1,
				Partial: rapid.Bool().Draw(t, "partial"), ResetAt: at.Time().Add(time.Duration(rapid.Int64Range(-1e12, 1e18).Draw(t, "reset"))),
				KeyVersion: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "version"),
			})
		}
	}
	return list
}

// In whatever order the attempts arrive: the record ends with the newest of them, failures never outnumber the ticks,
// the next attempt is never further away than an hour, and an attempt that arrives again changes nothing.
func TestAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.Permutation(attempts(t)).Draw(t, "order")
		var h health.Health
		newest := list[0]
		ticks := map[tick.Tick]bool{}
		for _, a := range list {
			was := h
			h = h.After(a)
			if a.Tick > newest.Tick || (a.Tick == newest.Tick && a.At.After(newest.At)) {
				newest = a
			}
			ticks[a.Tick] = true
			if h.Tick < was.Tick {
				t.Fatalf("the record went back from %s to %s", was.Tick, h.Tick)
			}
			if diff := cmp.Diff(h, h.After(a)); diff != "" {
				t.Fatalf("the same attempt again changed it:\n%s", diff)
			}
			if h.Failing() && h.Advice() == "" {
				t.Fatalf("%s without advice", h.State)
			}
		}
		if h.Tick != newest.Tick || (newest.Cause == "") != (h.State == health.OK) {
			t.Fatalf("ends with %+v, but the newest attempt is %+v", h, newest)
		}
		if h.Failures > len(ticks) {
			t.Fatalf("%d failures in %d ticks", h.Failures, len(ticks))
		}
		if wait := h.NextAttemptAt.Sub(h.Tick.Time()); h.Failing() && (wait < time.Minute || wait > time.Hour) {
			t.Fatalf("%s: the next attempt is %s after the last", h.State, wait)
		}
	})
}

// Nobody is told to act for what a single tick said.
func TestConfirmation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h health.Health
		refused := map[health.State]map[tick.Tick]bool{health.NeedsReauth: {}, health.Restricted: {}}
		for _, a := range attempts(t) {
			h = h.After(a)
			switch a.Cause {
			case health.Forbidden:
				refused[health.Restricted][a.Tick] = true
			case health.Unauthorized, health.KeysMissing, health.KeysMalformed, health.KeysDenied:
				refused[health.NeedsReauth][a.Tick] = true
			}
			if h.State.Confirmed() && len(refused[h.State]) < 2 {
				t.Fatalf("%s after refusals at %v alone", h.State, refused[h.State])
			}
		}
	})
}
