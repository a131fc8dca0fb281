package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/fanout"
)

// Changes of users count at the next tick, in whatever order their events come, and however often.
func TestChangesCountAtTheNextTick(t *testing.T) {
	w := newWorld(t, 3, 10)
	if got := w.tickAfter(t, 0); len(got) != 3 {
		t.Fatalf("the first tick, without a roster: %v, want all three", got)
	}
	put := func(u user.User) {
		t.Helper()
		if err := w.store.PutUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	put(user.User{ID: "u000", Status: user.Paused})
	put(user.User{ID: "u001", Status: user.Paused})
	put(user.User{ID: "u001", Status: user.Active}) // thought better of it
	put(user.User{ID: "u003", Status: user.Active})
	if err := w.db.Delete(t.Context(), store.UserPath("u002"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	w.tell(t)
	for minute := 1; minute < 3; minute++ {
		if diff := cmp.Diff([]string{"u001", "u003"}, w.tickAfter(t, minute)); diff != "" {
			t.Errorf("tick %d (-want +got):\n%s", minute, diff)
		}
	}
	for _, kind := range []roster.Kind{roster.OfUser, roster.OfHealth} {
		if left, err := w.store.Changes(t.Context(), kind, "", 10); err != nil || len(left) != 0 {
			t.Errorf("%d changes are left (%v)", len(left), err)
		}
	}
	if len(w.faults) != 0 {
		t.Errorf("faults: %v", w.faults)
	}
}

// A tick reads a few documents, and writes none for users.
func TestTickCosts(t *testing.T) {
	w := newWorld(t, 500, 1000)
	w.tickAfter(t, 0)
	w.tickAfter(t, 1)
	reads, writes := w.db.Counts()
	if got := w.tickAfter(t, 2); len(got) != 500 {
		t.Fatalf("%d asked for, want 500", len(got))
	}
	r, wr := w.db.Counts()
	if r-reads > 5 || wr-writes > 2 {
		t.Errorf("a tick of 500 users: %d reads, %d writes; want at most 5 and 2", r-reads, wr-writes)
	}
}

// Users without an enabled strategy are synced at the idle cadence, unless their documents say otherwise.
func TestIdleCadence(t *testing.T) {
	w := newWorld(t, 2, 10, func(c *fanout.Config) { c.IdleCadence = 10 })
	if err := w.store.PutUser(t.Context(), user.User{ID: "u001", Status: user.Active, CadenceMinutes: 2}); err != nil {
		t.Fatal(err)
	}
	count := func(from int) map[string]int {
		n := map[string]int{}
		for i := range 10 {
			for _, uid := range w.tickAfter(t, from+i) {
				n[uid]++
			}
		}
		return n
	}
	if diff := cmp.Diff(map[string]int{"u000": 1, "u001": 5}, count(0)); diff != "" {
		t.Errorf("in 10 minutes (-want +got):\n%s", diff)
	}
	w.tell(t)
	if err := w.db.Set(t.Context(), store.StrategyPath("u000", "s"), document.Fields{"enabled": true}); err != nil {
		t.Fatal(err)
	}
	w.tell(t)
	if diff := cmp.Diff(map[string]int{"u000": 10, "u001": 5}, count(10)); diff != "" {
		t.Errorf("with a strategy (-want +got):\n%s", diff)
	}
}

// Whoever has readers of the predecessor's, who want a snapshot of the last 300 s, is synced each minute, if nothing says
// otherwise; and the request carries the tenant, from the users as from the roster.
func TestLegacyReaders(t *testing.T) {
	for phase, minutely := range map[account.Phase]bool{account.Both: true, account.UserFirst: true, account.Off: false} {
		w := newWorld(t, 0, 10, func(c *fanout.Config) {
			c.IdleCadence, c.Legacy = 10, account.Legacy{Phase: phase, User: "global"}
		})
		long := strings.Repeat("x", 500)
		for _, u := range []user.User{{ID: "none"}, {ID: "global"}, {ID: "tenant", TenantID: "t"}, {ID: "slow", TenantID: "t", CadenceMinutes: 5}, {ID: "long", TenantID: long}} {
			u.Status = user.Active
			if err := w.store.PutUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]int{"none": 1, "global": 1, "tenant": 1, "slow": 2, "long": 1}
		if minutely {
			want["global"], want["tenant"], want["long"] = 10, 10, 10
		}
		got := map[string]int{}
		for minute := range 10 {
			for _, uid := range w.tickAfter(t, minute) {
				got[uid]++
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: in 10 minutes (-want +got):\n%s", phase, d)
		}
		if w.tenants["tenant"] != "t" || w.tenants["none"] != "" || user.CheckTenant(w.tenants["long"]) == nil || len(w.tenants["long"]) == len(long) {
			t.Errorf("%s: tenants %q", phase, w.tenants)
		}
		w.tell(t)
		if err := w.store.PutUser(t.Context(), user.User{ID: "none", Status: user.Active, TenantID: "late", CadenceMinutes: 1}); err != nil {
			t.Fatal(err)
		}
		w.tell(t)
		if w.tickAfter(t, 10); w.tenants["none"] != "late" {
			t.Errorf("%s: a tenant that was set is carried as %q", phase, w.tenants["none"])
		}
	}
}

// Users whose market is closed are not asked for.
func TestHours(t *testing.T) {
	w := newWorld(t, 0, 10)
	for id, hours := range map[string]market.Hours{"a": market.Regular, "b": market.Extended, "c": market.Always, "d": "", "e": "whenever"} {
		if err := w.store.PutUser(t.Context(), user.User{ID: id, Status: user.Active, SyncHours: hours}); err != nil {
			t.Fatal(err)
		}
	}
	w.closed = []market.Hours{market.Regular, market.Extended}
	for minute := range 2 { // listed, and from the roster
		if diff := cmp.Diff([]string{"c", "d", "e"}, w.tickAfter(t, minute)); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	}
	w.closed = nil
	if got := w.tickAfter(t, 2); len(got) != 5 {
		t.Errorf("with all open: %v, want five", got)
	}
	// The market closes between two ticks of a user who is due every five minutes: that user is due once more.
	if err := w.store.PutUser(t.Context(), user.User{ID: "slow", Status: user.Active, SyncHours: market.Regular, CadenceMinutes: 5}); err != nil {
		t.Fatal(err)
	}
	w.tell(t)
	w.closed, w.closedAt = []market.Hours{market.Regular}, tick.Of(noon.Add(7*time.Minute)).Time()
	asked := 0
	for minute := 7; minute < 30; minute++ {
		if slices.Contains(w.tickAfter(t, minute), "slow") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("asked for %d times after the close, want once", asked)
	}
}

// Of health, which an outage changes for thousands at once, a tick folds in a bounded number; people's changes all.
func TestManyChanges(t *testing.T) {
	w := newWorld(t, 40, 100, func(c *fanout.Config) { c.HealthChanges = 10 })
	w.tickAfter(t, 0)
	at := tick.Of(noon)
	for i := range 30 {
		for n := range tick.Tick(2) {
			_, _, err := w.store.Update(t.Context(), fmt.Sprintf("u%03d", i), func(h health.Health) health.Health {
				return h.After(health.Attempt{Tick: at - 1 + n, At: (at - 1 + n).Time(), Cause: health.Unauthorized})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 20 {
		if err := w.store.PutUser(t.Context(), user.User{ID: fmt.Sprintf("u%03d", i), Status: user.Paused}); err != nil {
			t.Fatal(err)
		}
	}
	w.tell(t)
	if got := w.tickAfter(t, 1); len(got) != 10 { // 20 paused, and 10 resting
		t.Errorf("at the next tick %d are asked for, want 10", len(got))
	}
}

// While one outage after the other changes the first users' health, the last ones' comes in too.
func TestFloodStarvesNobody(t *testing.T) {
	w := newWorld(t, 40, 100, func(c *fanout.Config) { c.HealthChanges = 10 })
	w.tickAfter(t, 0)
	fail := func(i, minute int) {
		for n := range tick.Tick(2) {
			_, _, err := w.store.Update(t.Context(), fmt.Sprintf("u%03d", i), func(h health.Health) health.Health {
				at := tick.Of(noon) + tick.Tick(minute) - 1 + n
				return h.After(health.Attempt{Tick: at, At: at.Time(), Cause: health.Unauthorized})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	fail(39, 0)
	for minute := 1; minute < 4; minute++ {
		for i := range 20 {
			fail(i, minute)
		}
		w.tell(t)
		w.tickAfter(t, minute)
	}
	left, err := w.store.Changes(t.Context(), roster.OfHealth, "u038", 10)
	if err != nil || len(left) != 0 {
		t.Errorf("the last user's change still waits (%v, %v)", left, err)
	}
}

// With many shards a tick hands them out; each is published once, and one that fails is resumed alone.
func TestShardedTick(t *testing.T) {
	w := newWorld(t, 300, 20, func(c *fanout.Config) { c.InlineShards = 1 })
	w.tickAfter(t, 0)
	w.split(t)
	if got := w.tickAfter(t, 1); len(got) != 0 || len(w.handed) < 2 {
		t.Fatalf("the tick published %d requests and handed out %d shards, want 0 and some", len(got), len(w.handed))
	}
	w.calls, w.fail = 0, func(call int) error {
		if call == 3 {
			return errors.New("topic unavailable")
		}
		return nil
	}
	failed := 0
	for _, e := range slices.Concat(w.handed, w.handed, w.handed) {
		if err := w.svc.Handle(t.Context(), e); event.ClassOf(err) == event.Retry {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got := w.asked(); failed != 1 || len(got) != 300 || len(slices.Compact(got)) != 300 {
		t.Errorf("%d deliveries failed, %d requests of %d users; want 1, 300 and 300", failed, len(w.sent), len(slices.Compact(got)))
	}
}

// A shard that was split after it was handed out is found in its halves.
func TestShardSplitMeanwhile(t *testing.T) {
	w := newWorld(t, 100, 1000)
	w.tickAfter(t, 0)
	heads, err := w.store.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.NewTickShard(tick.Of(noon)+1, heads[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	w.split(t)
	w.now, w.sent = noon.Add(time.Minute), nil
	if err := w.svc.Handle(t.Context(), e); err != nil || len(w.sent) != 100 {
		t.Errorf("%d requests, %v; want 100", len(w.sent), err)
	}
}

// split replaces the roster's first shard by four.
func (w *world) split(t *testing.T) {
	t.Helper()
	heads, err := w.store.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shard, err := w.store.Shard(t.Context(), heads[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := roster.Unpack(shard.Packed)
	if err != nil {
		t.Fatal(err)
	}
	next := roster.Split("test", "", entries, len(shard.Packed)/3)
	if err := w.store.Replace(t.Context(), shard, next); err != nil || len(next) < 2 {
		t.Fatalf("split into %d: %v", len(next), err)
	}
}

// The scan finds whom the events did not tell of, part by part, and says so.
func TestScanRepairs(t *testing.T) {
	w := newWorld(t, 30, 5, func(c *fanout.Config) { c.ScanEvery, c.ScanParts = 1, 3 })
	w.tickAfter(t, 0)
	w.changes = nil
	for id, s := range map[string]user.Status{"u003": user.Paused, "u030": user.Active} {
		if err := w.store.PutUser(t.Context(), user.User{ID: id, Status: s}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"u017", "u029"} {
		if err := w.db.Delete(t.Context(), store.UserPath(id), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	for minute := 1; minute < 6; minute++ {
		w.tickAfter(t, minute)
	}
	slices.Sort(w.repaired)
	if diff := cmp.Diff([]string{"u003", "u017", "u029", "u030"}, w.repaired); diff != "" {
		t.Errorf("repaired (-want +got):\n%s", diff)
	}
	got := w.tickAfter(t, 6)
	if len(got) != 28 || slices.Contains(got, "u003") || slices.Contains(got, "u017") || !slices.Contains(got, "u030") {
		t.Errorf("asked for after the repair: %v", got)
	}
	if len(w.faults) != 0 {
		t.Errorf("faults: %v", w.faults)
	}
}

// Another tick that folds at the same time is noticed: nothing that it folded in is undone.
func TestFoldsSideBySide(t *testing.T) {
	w := newWorld(t, 3, 10)
	w.tickAfter(t, 0)
	if err := w.store.PutUser(t.Context(), user.User{ID: "u000", Status: user.Paused}); err != nil {
		t.Fatal(err)
	}
	w.tell(t)
	// Between this tick's look at the changes and its write, the user is active again and a later tick folds that in.
	once := false
	between := func() error {
		once = true
		if err := w.store.PutUser(t.Context(), user.User{ID: "u000", Status: user.Active}); err != nil {
			return err
		}
		w.tell(t)
		now, sent := w.now, w.sent
		w.tickAfter(t, 2)
		w.now, w.sent = now, sent
		return nil
	}
	w.db.SetHook(func(_ context.Context, op mem.Op) error {
		if op.Kind != "update" || once || op.Done || !strings.HasPrefix(op.Path, store.Rosters+"/") {
			return nil
		}
		return between()
	})
	w.tickAfter(t, 1)
	w.db.SetHook(nil)
	if got := w.tickAfter(t, 3); !once || len(got) != 3 {
		t.Errorf("asked for: %v, want all three (hook ran: %v)", got, once)
	}
}

// The spread: requests go out over the time, each user's at the same moment of each minute.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 200
		w := newWorld(t, users, 1000, func(c *fanout.Config) { c.Spread = 30 * time.Second })
		w.tickAfter(t, 0)
		start := time.Now()
		offset := tick.Of(noon).Time().Add(time.Minute).Sub(start)
		w.clock = func() time.Time { return time.Now().Add(offset) }
		var at []time.Duration
		w.fail = func(int) error { at = append(at, time.Since(start)); return nil }
		w.sent = nil
		if err := w.svc.Handle(t.Context(), tickAt(noon.Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		if len(w.sent) != users || len(at) < 15 || at[0] > 3*time.Second || at[len(at)-1] < 25*time.Second || at[len(at)-1] > 31*time.Second {
			t.Errorf("%d requests in %d pages at %v; want %d over 30s", len(w.sent), len(at), at, users)
		}
	})
}
