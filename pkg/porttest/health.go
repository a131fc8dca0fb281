package porttest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

func storeHealth(t *testing.T, s Stores, _ func(string) []map[string]any) {
	at := tick.Of(noon)
	want := map[string]health.Health{}
	for _, uid := range []string{"well", "bad", "limited", "healed"} {
		must(t, s.PutUser(t.Context(), user.User{ID: uid, Status: user.Active}))
	}
	fail := func(uid string, n tick.Tick, c health.Cause) {
		_, after, err := s.Update(t.Context(), uid, func(h health.Health) health.Health {
			return h.After(health.Attempt{Tick: at + n, At: noon.Add(time.Duration(n)*time.Minute + 123456*time.Microsecond), Cause: c, KeyVersion: "7"})
		})
		must(t, err)
		if want[uid] = after; !after.Failing() {
			delete(want, uid)
		}
	}
	fail("bad", 0, health.Unauthorized)
	fail("bad", 1, health.Unauthorized)
	fail("limited", 1, health.Limited)
	fail("healed", 0, health.Timeout)
	fail("healed", 1, "")
	got, err := s.Failing(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Failing (-want +got):\n%s", diff)
	}
	if len(got) != 2 || got["bad"].State != health.NeedsReauth || got["bad"].UserID != "bad" {
		t.Errorf("Failing = %+v, want bad and limited", got)
	}
	before, after, err := s.Update(t.Context(), "bad", func(h health.Health) health.Health { return h })
	must(t, err)
	if before != got["bad"] || after != before {
		t.Errorf("an update that changes nothing: %+v, then %+v", before, after)
	}
	must(t, s.PutUser(t.Context(), user.User{ID: "paused", Status: user.Paused}))
	for _, uid := range []string{"nobody", "paused"} {
		if _, _, err := s.Update(t.Context(), uid, func(h health.Health) health.Health { h.State = health.OK; return h }); !errors.Is(err, user.ErrGone) {
			t.Errorf("health of %s: %v, want ErrGone", uid, err)
		}
	}
}

// Two instances that note failures of one user lose none.
func storeHealthRace(t *testing.T, s Stores, _ func(string) []map[string]any) {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, _, err := s.Update(t.Context(), "u", func(h health.Health) health.Health {
				h.State, h.Failures = health.Degraded, h.Failures+1
				return h
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
	wg.Wait()
	got, err := s.Failing(t.Context())
	must(t, err)
	if got["u"].Failures != 4 {
		t.Errorf("%d failures are noted, want 4", got["u"].Failures)
	}
}

func storeKeys(t *testing.T, s Stores, _ func(string) []map[string]any) {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active, CadenceMinutes: 5}))
	for _, c := range []struct{ raise, want string }{{"9", "9"}, {"10", "10"}, {"9", "10"}, {"10", "10"}, {"", "10"}, {"011", "10"}} {
		must(t, s.RaiseKeyVersion(t.Context(), "u", c.raise))
		p, err := s.Users(t.Context(), "", 10)
		must(t, err)
		if u := p.Users[0]; u.KeyVersion != c.want || u.CadenceMinutes != 5 || u.Status != user.Active {
			t.Errorf("raised to %q: %+v, want version %s and nothing else changed", c.raise, u, c.want)
		}
	}
	if err := s.RaiseKeyVersion(t.Context(), "nobody", "1"); !errors.Is(err, user.ErrGone) {
		t.Errorf("version of nobody: %v, want ErrGone", err)
	}
}
