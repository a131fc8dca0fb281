package migration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

type world struct {
	t  *testing.T
	db *mem.DB
	m  *migration.Mover

	removing map[string]document.Fields // as they were when the removal began
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := mem.NewDB(mem.NewClock(noon, 0).Now)
	return &world{t: t, db: db, m: &migration.Mover{DB: db}, removing: map[string]document.Fields{}}
}

func (w *world) set(path string, f document.Fields) {
	w.t.Helper()
	if err := w.db.Set(w.t.Context(), path, f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(path string) document.Fields {
	w.t.Helper()
	d, err := w.db.Get(w.t.Context(), path)
	if errors.Is(err, document.ErrNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Fields
}

// dump is every document that the predecessor, a user or the platform may see.
func (w *world) dump() map[string]document.Fields {
	w.t.Helper()
	all := map[string]document.Fields{}
	for _, name := range []string{"users", "alpacaAccounts", "accounts", "tradingSignals", "tenants", "syncHealth"} {
		docs, err := w.db.Query(w.t.Context(), document.Query{Collection: name, Group: true})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range docs {
			all[d.Path] = d.Fields
		}
	}
	return all
}

func (w *world) count(collection string) int {
	docs, err := w.db.Query(w.t.Context(), document.Query{Collection: collection, Group: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(docs)
}

// first and second are the predecessor's two shapes.
func first(tenant string, at time.Time, power float64) document.Fields {
	return document.Fields{
		"broker": "alpaca", "external_account_id": "acc-" + tenant, "status": "ACTIVE", "equity": power * 2, "buying_power": power, "cash": power,
		"updated_at": at.Add(30 * time.Millisecond), "updated_at_iso": at.Format(time.RFC3339Nano), "tenant_id": tenant,
		"raw": map[string]any{"id": "acc-" + tenant, "buying_power": fmt.Sprint(power), "odd": []any{nil, int64(1), 1.0, math.NaN(), map[string]any{}}},
	}
}

func second(tenant string, at time.Time, power float64) document.Fields {
	return document.Fields{
		"syncedAt": at, "account": map[string]any{"id": "acc-" + tenant}, "equity": fmt.Sprint(power * 2), "buying_power": fmt.Sprint(power), "cash": fmt.Sprint(power),
	}
}

func sig(status string, of document.Fields) document.Fields {
	f := document.Fields{
		"created_at": noon.Add(-time.Hour), "symbol": "SPY", "action": "buy", "notional_usd": 100.0, "reason": "r", "status": status, "strategy_id": nil,
		"raw_model_output": map[string]any{"confidence": 0.8},
	}
	maps.Copy(f, of)
	return f
}

// seed is a deployment with something of everything.
func (w *world) seed() []migration.Row {
	w.set("tenants/acme/accounts/primary", first("acme", noon, 10))
	w.set("tenants/bolt", document.Fields{"name": "Bolt"})
	w.set("tenants/bolt/accounts/primary", second("bolt", noon, 20))
	w.set("tenants/old/accounts/primary", first("old", noon, 30)) // of carol, whose own is older
	w.set("users/carol", document.Fields{"email": "c@example.com", "displayName": "Carol", "tenant_id": "old", "created_at": noon.Add(-time.Hour), "favourite": "tea"})
	carol := first("old", noon.Add(-time.Hour), 31)
	delete(carol, "tenant_id")
	carol["user_id"], carol["encrypted_key_path"] = "carol", "projects/p/secrets/x"
	w.set(store.SnapshotPath("carol"), carol)
	w.set("tenants/new/accounts/primary", first("new", noon.Add(-time.Hour), 40)) // of dave, whose own is newer
	w.set("users/dave", document.Fields{"email": "d@example.com", "status": "paused"})
	w.set(store.SnapshotPath("dave"), second("new", noon, 41))
	w.set("tenants/local/accounts/primary", first("local", noon, 50))
	w.set("alpacaAccounts/snapshot", first("local", noon, 60))
	w.set("users/erin", document.Fields{"displayName": "Erin"}) // with nothing of the predecessor's
	w.set("users/ghost/alpacaAccounts/snapshot", second("ghost", noon, 70))
	w.set("tenants/ghost/accounts/primary", second("ghost", noon.Add(-time.Hour), 71)) // no document of the user's, and a newer snapshot
	for i, status := range []string{"pending", "executed", "rejected", " Pending "} {
		w.set(fmt.Sprintf("tradingSignals/a%d", i), sig(status, document.Fields{"user_id": "alice"}))
		w.set(fmt.Sprintf("tradingSignals/b%d", i), sig(status, document.Fields{"tenant_id": "bolt"}))
		w.set(fmt.Sprintf("tradingSignals/l%d", i), sig(status, nil))
	}
	w.set("tradingSignals/odd", document.Fields{"user_id": "nobody"})
	w.set("tradingSignals/noStatus", document.Fields{"user_id": "carol", "action": "HOLD"})
	w.set(store.SignalPath("carol", "noStatus"), document.Fields{"user_id": "carol", "action": "HOLD"}) // it was there before
	return []migration.Row{
		{UserID: "alice", TenantID: "acme", Email: "a@example.com", DisplayName: "Alice", Status: user.Active},
		{UserID: "bob", TenantID: "bolt", BrokerEnv: "live"},
		{UserID: "carol", TenantID: "old", Email: "other@example.com", Known: true},
		{UserID: "dave", TenantID: "new", DisplayName: "Dave", Status: user.Active, Known: true},
		{UserID: "erin", Email: "e@example.com", Known: true},
		{UserID: "ghost", TenantID: "ghost"},
		{UserID: "owner", Legacy: true},
	}
}

// run does what the command does.
func (w *world) run(ctx context.Context, rows []migration.Row, prune bool) error {
	for _, r := range rows {
		if _, err := w.m.User(ctx, r); err != nil {
			return err
		}
	}
	signals := func(do func(uid string, docs []document.Document) error) error {
		docs, _, err := w.m.LegacySignals(ctx, "", 0)
		if err != nil {
			return err
		}
		owners, of := migration.NewOwners(rows), map[string][]document.Document{}
		for _, d := range docs {
			if uid, _ := owners.Of(d); uid != "" {
				of[uid] = append(of[uid], d)
			}
		}
		for _, uid := range slices.Sorted(maps.Keys(of)) {
			if err := do(uid, of[uid]); err != nil {
				return err
			}
		}
		return nil
	}
	err := signals(func(uid string, docs []document.Document) error { _, _, err := w.m.Signals(ctx, uid, docs); return err })
	if err != nil || !prune {
		return err
	}
	for _, r := range rows {
		if _, err := w.m.PruneUser(ctx, r); err != nil {
			return err
		}
	}
	return signals(func(uid string, docs []document.Document) error {
		_, err := w.m.PruneSignals(ctx, uid, docs)
		return err
	})
}

func (w *world) verify(rows []migration.Row) (list []string) {
	w.t.Helper()
	add := func(ds []migration.Difference, _ bool, err error) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range ds {
			list = append(list, d.Path+" "+d.What)
		}
	}
	for _, r := range rows {
		add(w.m.VerifyUser(w.t.Context(), r))
	}
	docs, _, err := w.m.LegacySignals(w.t.Context(), "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	owners := migration.NewOwners(rows)
	for _, d := range docs {
		if uid, _ := owners.Of(d); uid != "" {
			add(w.m.VerifySignals(w.t.Context(), uid, []document.Document{d}))
		}
	}
	for after := ""; ; {
		pruned, next, err := w.m.Prunes(w.t.Context(), after, 3)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range pruned {
			add(w.m.VerifyPruned(w.t.Context(), p))
		}
		if after = next; after == "" {
			return list
		}
	}
}

func (w *world) back(ctx context.Context, force bool) error {
	list, _, err := w.m.Recorded(ctx, "", 0)
	if err != nil {
		return err
	}
	find := w.m.Finder()
	for _, r := range list {
		made, err := find.Find(ctx, r)
		if err == nil && !r.Removed {
			_, err = w.m.TakeBack(ctx, made, force)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBack is a rollback of one user alone.
func (w *world) takeBack(uid string, force bool) (migration.Restored, error) {
	list, _, err := w.m.Recorded(w.t.Context(), "", 0)
	w.must(err)
	for _, r := range list {
		if r.UserID == uid {
			made, err := w.m.Finder().Find(w.t.Context(), r)
			w.must(err)
			return w.m.TakeBack(w.t.Context(), made, force)
		}
	}
	w.t.Fatalf("%s has no record", uid)
	return migration.Restored{}, nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) same(what string, want map[string]document.Fields) {
	w.t.Helper()
	if d := cmp.Diff(want, w.dump(), cmpopts.EquateNaNs()); d != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestMove(t *testing.T) {
	w := newWorld(t)
	rows := w.seed()
	before := w.dump()
	if n := len(w.verify(rows)); n < 8 {
		t.Errorf("before: %d differences, want many", n)
	}
	w.m.DryRun = true
	w.must(w.run(t.Context(), rows, true))
	w.m.DryRun = false
	w.same("a dry run", before)
	w.must(w.run(t.Context(), rows, false))
	after := w.dump()
	for path, f := range before { // nothing is lost
		if _, there := after[path]; !there {
			t.Errorf("%s is gone", path)
		}
		if !strings.HasPrefix(path, "users/") && cmp.Diff(f, after[path], cmpopts.EquateNaNs()) != "" {
			t.Errorf("%s was changed", path)
		}
	}
	for path, want := range map[string]document.Fields{
		"users/alice": {"email": "a@example.com", "displayName": "Alice", "tenant_id": "acme", "status": "active", "created_at": nil},
		"users/bob":   {"tenant_id": "bolt", "status": "pending", "broker_env": "live", "created_at": nil},
		"users/carol": before["users/carol"],
		"users/dave":  {"email": "d@example.com", "status": "paused", "displayName": "Dave", "tenant_id": "new"},
		"users/owner": {"status": "pending", "created_at": nil},
	} {
		got := after[path]
		if _, ok := got["migrated_at"].(time.Time); !ok {
			t.Errorf("%s does not say when it was migrated", path)
		}
		delete(got, "migrated_at")
		if want["created_at"] == nil && got["created_at"] != nil {
			delete(want, "created_at")
			delete(got, "created_at")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	}
	snapshots := map[string]struct {
		of   string
		more document.Fields
	}{
		"alice": {of: "tenants/acme/accounts/primary"}, "bob": {of: "tenants/bolt/accounts/primary"}, "owner": {of: "alpacaAccounts/snapshot"},
		"carol": {"tenants/old/accounts/primary", document.Fields{"encrypted_key_path": "projects/p/secrets/x"}},
	}
	for uid, from := range snapshots {
		want := maps.Clone(before[from.of])
		delete(want, "tenant_id")
		maps.Copy(want, from.more)
		want["user_id"] = uid
		if d := cmp.Diff(want, after[store.SnapshotPath(uid)], cmpopts.EquateNaNs()); d != "" {
			t.Errorf("snapshot of %s (-want +got):\n%s", uid, d)
		}
		if s, err := account.FromFields(uid, after[store.SnapshotPath(uid)], noon); err != nil || !s.ObservedAt.Equal(noon) || !s.Incomplete {
			t.Errorf("%s: read as %s, incomplete %t, %v; want what the source says", uid, s.ObservedAt, s.Incomplete, err)
		}
	}
	for _, uid := range []string{"dave", "ghost"} {
		if d := cmp.Diff(before[store.SnapshotPath(uid)], after[store.SnapshotPath(uid)]); d != "" {
			t.Errorf("the newer snapshot of %s was overwritten:\n%s", uid, d)
		}
	}
	for path, status := range map[string]string{
		store.SignalPath("alice", "a0"): "expired", store.SignalPath("alice", "a1"): "executed", store.SignalPath("bob", "b2"): "rejected",
		store.SignalPath("bob", "b3"): "expired", store.SignalPath("owner", "l1"): "executed",
	} {
		if got := after[path]["status"]; got != status {
			t.Errorf("%s: %v, want %s", path, got, status)
		}
	}
	if list := w.verify(rows); len(list) > 0 {
		t.Errorf("verify: %v", list)
	}
	_, wrote := w.db.Counts()
	w.must(w.run(t.Context(), rows, false))
	if _, again := w.db.Counts(); again != wrote {
		t.Errorf("a second run wrote %d documents", again-wrote)
	}
	w.must(w.back(t.Context(), false))
	w.same("rolled back", before)
	if n := w.count("migrations"); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	rows := w.seed()
	before := w.dump()
	w.must(w.run(t.Context(), rows, true))
	var left []string
	for path := range w.dump() {
		if !strings.HasPrefix(path, "users/") {
			left = append(left, path)
		}
	}
	slices.Sort(left)
	if d := cmp.Diff([]string{"tenants/bolt", "tenants/local/accounts/primary", "tradingSignals/odd"}, left); d != "" {
		t.Errorf("what is nobody's stays, and all else goes (-want +got):\n%s", d)
	}
	if list := w.verify(rows); len(list) > 0 {
		t.Errorf("verify: %v", list)
	}
	w.must(w.db.Delete(t.Context(), store.SignalPath("bob", "b1"), time.Time{}))
	w.must(w.db.Delete(t.Context(), store.SnapshotPath("alice"), time.Time{}))
	if list := w.verify(rows); len(list) != 2 {
		t.Errorf("verify after two copies were lost: %v", list)
	}
	w.must(w.back(t.Context(), false))
	w.same("rolled back", before)
	if n := w.count("backups"); n != 0 {
		t.Errorf("%d backups are left", n)
	}
}

// A run, and a rollback, are stopped at each operation, its answer lost or not, and begun anew by another process.
func TestStopped(t *testing.T) {
	stop := errors.New("killed")
	for _, done := range []bool{false, true} {
		for n := 1; ; n += 1 + n/20 {
			w := newWorld(t)
			rows := w.seed()
			before := w.dump()
			stopped := func(do func(ctx context.Context) error) bool {
				left := n
				w.db.SetHook(func(_ context.Context, op mem.Op) error {
					if op.Done == done {
						left--
					}
					if left <= 0 {
						return stop
					}
					return nil
				})
				err := do(t.Context())
				if w.db.SetHook(nil); err != nil && !errors.Is(err, stop) {
					t.Fatal(err)
				}
				w.must(do(t.Context()))
				return err != nil
			}
			a := stopped(func(ctx context.Context) error { return w.run(ctx, rows, true) })
			if list := w.verify(rows); len(list) > 0 {
				t.Fatalf("stopped at operation %d (done: %t): %v", n, done, list)
			}
			b := stopped(func(ctx context.Context) error { return w.back(ctx, false) })
			w.same(fmt.Sprintf("stopped at operation %d (done: %t)", n, done), before)
			if !a && !b {
				if n < 50 {
					t.Errorf("only %d operations", n)
				}
				break
			}
			if t.Failed() {
				return
			}
		}
	}
}

// Two runs at once, and their rollback, end as one.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	rows := w.seed()
	before := w.dump()
	atOnce := func(do func() error) {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					err := do()
					if err == nil {
						return
					}
					if !errors.Is(err, document.ErrConflict) && !errors.Is(err, document.ErrExists) && !errors.Is(err, document.ErrNotFound) {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	atOnce(func() error { return w.run(t.Context(), rows, true) })
	if list := w.verify(rows); len(list) > 0 {
		t.Errorf("verify: %v", list)
	}
	atOnce(func() error { return w.back(t.Context(), false) })
	w.same("rolled back", before)
}

// The platform and people are at work between any two operations of a run: what they have done stands.
func TestBesideThePlatform(t *testing.T) {
	acts := map[string]struct {
		do    func(w *world) error
		check func(t *testing.T, w *world)
	}{
		"the syncer writes": {
			func(w *world) error {
				s := store.New(w.db)
				snap := account.Snapshot{UserID: "carol", Account: account.Account{ID: "acc-old", Status: "ACTIVE"}, ObservedAt: noon.Add(-time.Minute), Tick: tick.Of(noon), Seq: 1, ChangedSeq: 1}
				stored, err := s.Snapshot(w.t.Context(), "carol")
				if err != nil {
					return err
				}
				snap.Version = stored.Version
				_, err = s.PutSnapshot(w.t.Context(), snap)
				return err
			},
			func(t *testing.T, w *world) {
				if f := w.get(store.SnapshotPath("carol")); f["seq"] != int64(1) || f["tick"] != tick.Of(noon).String() {
					t.Errorf("the syncer's snapshot was overwritten: %v", f)
				}
			},
		},
		"a user is removed": {
			func(w *world) error {
				for _, path := range []string{"users/dave", store.SnapshotPath("dave"), "users/carol", store.SnapshotPath("carol")} {
					if err := w.db.Delete(w.t.Context(), path, time.Time{}); err != nil {
						return err
					}
				}
				docs, err := w.db.Query(w.t.Context(), document.Query{Collection: "users/carol/tradingSignals"})
				for _, d := range docs {
					err = errors.Join(err, w.db.Delete(w.t.Context(), d.Path, time.Time{}))
				}
				return err
			},
			func(t *testing.T, w *world) {
				for path := range w.dump() {
					if strings.HasPrefix(path, "users/dave") || strings.HasPrefix(path, "users/carol") {
						t.Errorf("%s came back", path)
					}
				}
			},
		},
		"a user is being removed": {
			func(w *world) error {
				if _, err := w.db.Update(w.t.Context(), "users/erin", document.Fields{"status": "disabled", "removed_at": noon}, time.Time{}); err != nil {
					return err
				}
				_, err := w.db.Update(w.t.Context(), "users/carol", document.Fields{"status": "disabled", "removed_at": noon}, time.Time{})
				for path, f := range w.dump() {
					if strings.HasPrefix(path, "users/carol") || strings.HasPrefix(path, "users/erin") {
						w.removing[path] = f
					}
				}
				return err
			},
			func(t *testing.T, w *world) {
				for path, f := range w.dump() {
					if strings.HasPrefix(path, "users/carol") || strings.HasPrefix(path, "users/erin") {
						if d := cmp.Diff(w.removing[path], f, cmpopts.EquateNaNs()); d != "" {
							t.Errorf("%s was written (-then +now):\n%s", path, d)
						}
					}
				}
			},
		},
		"a person sets a status": {
			func(w *world) error {
				_, err := w.db.Update(w.t.Context(), "users/erin", document.Fields{"status": "disabled", "email": "own@example.com"}, time.Time{})
				return err
			},
			func(t *testing.T, w *world) {
				if f := w.get("users/erin"); f["status"] != "disabled" || f["email"] != "own@example.com" {
					t.Errorf("what a person set was changed: %v", f)
				}
			},
		},
	}
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				w := newWorld(t)
				rows := w.seed()
				left, acting := n, false
				w.db.SetHook(func(_ context.Context, op mem.Op) error {
					if acting || op.Done {
						return nil
					}
					if left--; left == 0 {
						acting = true
						defer func() { acting = false }()
						return act.do(w)
					}
					return nil
				})
				w.must(w.run(t.Context(), rows, false))
				w.must(w.run(t.Context(), rows, false))
				if w.db.SetHook(nil); left > 0 {
					if n < 30 {
						t.Errorf("only %d operations", n)
					}
					return
				}
				if act.check(t, w); t.Failed() {
					t.Fatalf("at operation %d", n)
				}
			}
		})
	}
}

func TestRollbackKeepsWhatChanged(t *testing.T) {
	path := store.SnapshotPath
	syncers := document.Fields{"seq": int64(3), "observed_at": noon.Add(time.Minute), "buying_power": 1.0}
	for name, c := range map[string]struct {
		change func(w *world)
		uid    string
		kept   bool            // without force
		after  document.Fields // of the user's snapshot
	}{
		"nothing":                  {func(*world) {}, "alice", false, nil},
		"the status of a new user": {func(w *world) { w.update("users/alice", document.Fields{"status": "disabled"}) }, "alice", true, nil},
		"a field more":             {func(w *world) { w.update("users/alice", document.Fields{"cadence_minutes": int64(5)}) }, "alice", true, nil},
		"keys were stored": {func(w *world) {
			w.update("users/bob", document.Fields{"key_version": "1", "broker_env": "paper", "status": "active", "last_active_at": noon})
		}, "bob", false, nil},
		"the platform's bookkeeping":        {func(w *world) { w.update("users/alice", document.Fields{"key_version": "2"}) }, "alice", false, nil},
		"a copied signal":                   {func(w *world) { w.update(store.SignalPath("alice", "a0"), document.Fields{"status": "executed"}) }, "alice", true, nil},
		"a snapshot of a new user":          {func(w *world) { w.set(path("alice"), syncers) }, "alice", false, nil},
		"a snapshot of a user before":       {func(w *world) { w.set(path("carol"), syncers) }, "carol", false, syncers},
		"the source was written since":      {func(w *world) { w.set("tenants/acme/accounts/primary", first("acme", noon.Add(time.Hour), 11)) }, "alice", false, nil},
		"the legacy signal's word is given": {func(w *world) { w.update("tradingSignals/a0", document.Fields{"status": "executed"}) }, "alice", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rows := w.seed()
			before := w.dump()
			w.must(w.run(t.Context(), rows, false))
			c.change(w)
			changed := w.dump()
			_, err := w.takeBack(c.uid, false)
			if errors.Is(err, migration.ErrChanged) != c.kept || (!c.kept && err != nil) {
				t.Fatalf("%v, want kept %t", err, c.kept)
			}
			if c.kept {
				w.same("kept", changed)
			} else if d := cmp.Diff(c.after, w.get(path(c.uid)), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("snapshot (-want +got):\n%s", d)
			}
			w.must(w.back(t.Context(), true))
			if c.after != nil {
				return // with force it would have been the one from before, too
			}
			for p := range before {
				if strings.HasPrefix(p, "users/"+c.uid) && cmp.Diff(before[p], w.get(p), cmpopts.EquateNaNs()) != "" {
					t.Errorf("with force %s is not as before", p)
				}
			}
			if w.get("users/alice") != nil || w.get(path("alice")) != nil || w.get(store.SignalPath("alice", "a0")) != nil {
				t.Error("with force something of alice is left")
			}
		})
	}
	w := newWorld(t)
	rows := w.seed()
	before := w.dump()
	w.must(w.run(t.Context(), rows, false))
	w.set(path("carol"), syncers)
	w.must(w.back(t.Context(), true))
	w.same("with force the snapshot from before is back", before)
}

func (w *world) update(path string, f document.Fields) {
	w.t.Helper()
	_, err := w.db.Update(w.t.Context(), path, f, time.Time{})
	w.must(err)
}

// Who was removed stays removed, in a later run and after a rollback, and their backups go.
func TestRemovedStaysRemoved(t *testing.T) {
	w := newWorld(t)
	rows := w.seed()
	w.must(w.run(t.Context(), rows, true))
	if n, err := w.m.Forget(t.Context(), "alice"); err != nil || n == 0 {
		t.Errorf("%d backups were deleted: %v", n, err)
	}
	w.deleteUser("alice")
	gone := func(when string) {
		t.Helper()
		for path := range w.dump() {
			if strings.HasPrefix(path, "users/alice") || strings.HasPrefix(path, "tenants/acme") || strings.HasPrefix(path, "tradingSignals/a") {
				t.Errorf("%s: %s is there", when, path)
			}
		}
	}
	w.must(w.run(t.Context(), rows, true))
	gone("run again")
	w.must(w.back(t.Context(), false))
	gone("rolled back")
	w.must(w.run(t.Context(), rows, false))
	gone("run after the rollback")
	w.set("users/alice", document.Fields{"status": "active"}) // onboarded anew
	w.set("tenants/acme/accounts/primary", first("acme", noon, 10))
	w.must(w.run(t.Context(), rows, false))
	if w.get(store.SnapshotPath("alice")) == nil {
		t.Error("who was onboarded anew is not migrated")
	}
	w.must(w.back(t.Context(), false))
	if f := w.get("users/alice"); f["status"] != "active" {
		t.Errorf("a rollback took away who was onboarded anew: %v", f)
	}
}

func (w *world) deleteUser(uid string) {
	w.t.Helper()
	for path := range w.dump() {
		if path == "users/"+uid || strings.HasPrefix(path, "users/"+uid+"/") {
			w.must(w.db.Delete(w.t.Context(), path, time.Time{}))
		}
	}
}

// A user's document that is merely gone is no removal: what was pruned is in the backups alone, and a rollback leaves them there, says so,
// and puts all back if it is told to. Of one who is being removed it touches nothing either: the removal may want to export it.
func TestDeletedByHand(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		err    error
	}{
		"the user's document": {func(w *world) { w.must(w.db.Delete(w.t.Context(), "users/alice", time.Time{})) }, migration.ErrVanished},
		"all of the user's":   {func(w *world) { w.deleteUser("alice") }, migration.ErrVanished},
		"being removed":       {func(w *world) { w.update("users/alice", document.Fields{"removed_at": noon}) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rows := w.seed()
			before := w.dump()
			w.must(w.run(t.Context(), rows, true))
			c.change(w)
			then, kept := w.dump(), w.count("backups")
			for _, dry := range []bool{true, false} {
				w.m.DryRun = dry
				r, err := w.takeBack("alice", false)
				if !errors.Is(err, c.err) || r.Documents != 0 || r.Removed != (c.err == nil) {
					t.Errorf("taken back (dry run %t): %+v, %v", dry, r, err)
				}
				if err != nil && (!strings.Contains(err.Error(), "users/alice is gone") || !strings.Contains(err.Error(), "with 5 backups") || !strings.Contains(err.Error(), "users remove alice")) {
					t.Errorf("what was found, and what to do: %v", err)
				}
			}
			if w.same("left alone", then); w.count("backups") != kept {
				t.Errorf("%d backups, there were %d", w.count("backups"), kept)
			}
			w.must(w.run(t.Context(), rows, true))
			if w.same("a run leaves them alone too", then); c.err == nil {
				return
			}
			w.must(w.back(t.Context(), true))
			w.same("with force", before)
		})
	}
}

// A backup that can't be read stops neither the others nor a comparison, and leaves the copies.
func TestDamagedBackup(t *testing.T) {
	w := newWorld(t)
	rows := w.seed()
	w.must(w.run(t.Context(), rows, true))
	var path string
	w.must(w.m.Kept(t.Context(), "alice", func(kept, of document.Document, damaged error) error {
		if of.Path == "tradingSignals/a0" {
			path = kept.Path
		}
		return damaged
	}))
	w.update(path, document.Fields{"body": []byte("x")})
	if list := w.verify(rows); len(list) != 1 || !strings.HasPrefix(list[0], path+" ") || !strings.Contains(list[0], "is damaged") {
		t.Errorf("verify: %v, want the one", list)
	}
	r, err := w.takeBack("alice", true)
	if err == nil || !strings.Contains(err.Error(), path) || r.Documents != 4 {
		t.Errorf("taken back: %+v, %v", r, err)
	}
	for _, p := range []string{"users/alice", store.SignalPath("alice", "a0"), "tenants/acme/accounts/primary", "tradingSignals/a1"} {
		if w.get(p) == nil {
			t.Errorf("%s is gone", p)
		}
	}
}

// Whatever somebody does between what a prune has read and what it commits, nothing is lost: an old document stays, or is in a backup.
// What was written in that moment is never pruned, and of who is being removed nothing more is kept.
func TestPruneRace(t *testing.T) {
	const snapshot, signal = "tenants/acme/accounts/primary", "tradingSignals/a0"
	anew := first("acme", noon.Add(time.Hour), 12)
	for name, c := range map[string]struct {
		act  func(w *world) error
		path string
		want document.Fields // at the old path; nil: it is pruned
	}{
		"the old snapshot is written": {func(w *world) error { return w.db.Set(w.t.Context(), snapshot, anew) }, snapshot, anew},
		"the old signal is executed": {func(w *world) error {
			_, err := w.db.Update(w.t.Context(), signal, document.Fields{"status": "executed"}, time.Time{})
			return err
		}, signal, sig("executed", document.Fields{"user_id": "alice"})},
		"the user's document goes": {func(w *world) error { return w.db.Delete(w.t.Context(), "users/alice", time.Time{}) }, snapshot, first("acme", noon, 10)},
		"the user is being removed": {func(w *world) error {
			_, err := w.db.Update(w.t.Context(), "users/alice", document.Fields{"removed_at": noon}, time.Time{})
			return err
		}, snapshot, first("acme", noon, 10)},
		"the copy goes": {func(w *world) error { return w.db.Delete(w.t.Context(), store.SnapshotPath("alice"), time.Time{}) }, snapshot, nil},
		"the user is paused": {func(w *world) error {
			_, err := w.db.Update(w.t.Context(), "users/alice", document.Fields{"status": "paused"}, time.Time{})
			return err
		}, snapshot, nil},
		"another run is faster": {func(w *world) error {
			_, err := w.m.PruneUser(w.t.Context(), migration.Row{UserID: "alice", TenantID: "acme"})
			return err
		}, snapshot, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rows := w.seed()
			w.must(w.run(t.Context(), rows, false))
			source, err := w.db.Get(t.Context(), signal)
			w.must(err)
			acted := false
			w.db.SetHook(func(_ context.Context, op mem.Op) error {
				if acted || op.Done || op.Kind != "commit" {
					return nil
				}
				acted = true
				return c.act(w)
			})
			if c.path == snapshot { // either may leave it to the next run
				_, _ = w.m.PruneUser(t.Context(), migration.Row{UserID: "alice", TenantID: "acme"})
			} else {
				_, _ = w.m.PruneSignals(t.Context(), "alice", []document.Document{source})
			}
			if w.db.SetHook(nil); !acted {
				t.Fatal("nothing was committed")
			}
			if d := cmp.Diff(c.want, w.get(c.path), cmpopts.EquateNaNs()); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.path, d)
			}
			kept := 0
			w.must(w.m.Kept(t.Context(), "alice", func(_, of document.Document, damaged error) error {
				if of.Path == c.path {
					kept++
				}
				return damaged
			}))
			if (c.want == nil) != (kept == 1) {
				t.Errorf("%d backups of %s", kept, c.path)
			}
		})
	}
}

// What is somebody else's, or says two things, is left alone.
func TestContradictions(t *testing.T) {
	row := migration.Row{UserID: "alice", TenantID: "acme"}
	for name, c := range map[string]struct {
		docs map[string]document.Fields
		row  migration.Row
		want string
	}{
		"another's snapshot":         {map[string]document.Fields{"tenants/acme/accounts/primary": {"user_id": "bob"}}, row, `is of user "bob"`},
		"another tenant's":           {map[string]document.Fields{"tenants/acme/accounts/primary": {"tenant_id": "bolt"}}, row, `is of tenant "bolt"`},
		"the global one, of another": {map[string]document.Fields{"alpacaAccounts/snapshot": {"tenant_id": "bolt"}}, migration.Row{UserID: "alice", Legacy: true}, `is of tenant "bolt"`},
		"an owner that is a number":  {map[string]document.Fields{"tenants/acme/accounts/primary": {"user_id": int64(7)}}, row, "nobody knows whose it is"},
		"another account": {map[string]document.Fields{
			"tenants/acme/accounts/primary": first("acme", noon, 1), "users/alice": {}, store.SnapshotPath("alice"): {"external_account_id": "other"},
		}, row, "of another account"},
		"another tenant in the user's document": {map[string]document.Fields{"users/alice": {"tenant_id": "bolt"}, "tenants/acme/accounts/primary": first("acme", noon, 1)}, row, `is of tenant "bolt", not of "acme"`},
		"of the same time, and different": {map[string]document.Fields{
			"tenants/acme/accounts/primary": first("acme", noon, 1), "users/alice": {}, store.SnapshotPath("alice"): first("acme", noon, 2),
		}, row, "differ in buying_power"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for path, f := range c.docs {
				w.set(path, f)
			}
			before := w.dump()
			_, err := w.m.User(t.Context(), c.row)
			if !errors.Is(err, migration.ErrByHand) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "alice") {
				t.Errorf("%v, want %q", err, c.want)
			}
			w.same("nothing is half done", before)
			if list := w.verify([]migration.Row{c.row}); len(list) == 0 {
				t.Error("verify finds nothing")
			}
		})
	}
}

func TestOwners(t *testing.T) {
	rows := []migration.Row{{UserID: "alice", TenantID: "acme"}, {UserID: "bob", TenantID: "bolt"}, {UserID: "owner", Legacy: true}}
	for _, c := range []struct {
		f        document.Fields
		uid, why string
		legacy   bool
	}{
		{document.Fields{"user_id": "alice"}, "alice", "", false},
		{document.Fields{"user_id": "alice", "tenant_id": "acme"}, "alice", "", false},
		{document.Fields{"user_id": "alice", "tenant_id": "local"}, "alice", "", false},
		{document.Fields{"tenant_id": "bolt"}, "bob", "", false},
		{document.Fields{"user_id": "alice", "tenant_id": "bolt"}, "", "which is user bob", false},
		{document.Fields{"user_id": "zoe"}, "", `user "zoe"`, true},
		{document.Fields{"tenant_id": "zoo"}, "", `tenant "zoo"`, true},
		{document.Fields{"user_id": true}, "", "nobody knows", true},
		{document.Fields{"tenant_id": "local"}, "owner", "", true},
		{document.Fields{}, "owner", "", true},
		{document.Fields{}, "", "--legacy-user", false},
	} {
		list := rows
		if !c.legacy {
			list = rows[:2]
		}
		uid, why := migration.NewOwners(list).Of(document.Document{Path: "tradingSignals/x", Fields: c.f})
		if uid != c.uid || (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%v: %q, %q; want %q, %q", c.f, uid, why, c.uid, c.why)
		}
	}
}

// Rows from what is there: users, and tenants, of whom each is one user for certain.
func TestFound(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.set("tenants/named/accounts/primary", document.Fields{"user_id": "frank"})
	w.set("tenants/bad id/accounts/primary", document.Fields{})
	w.set("tenants/two/accounts/primary", document.Fields{})
	w.set("users/g", document.Fields{"tenant_id": "two"})
	w.set("users/h", document.Fields{"tenant_id": "two"})
	w.set("tenants/quarrel/accounts/primary", document.Fields{"user_id": "h"})
	w.set("users/i", document.Fields{"tenant_id": "local"})
	w.set("users/j", document.Fields{"tenant_id": "theirs"})
	w.set("tenants/theirs/accounts/primary", document.Fields{"user_id": "k"})
	w.set("tenants/acme/accounts/other", document.Fields{})
	people, err := w.m.People(t.Context())
	w.must(err)
	rows, left, err := w.m.Found(t.Context(), people)
	w.must(err)
	want := []migration.Row{
		{UserID: "acme", TenantID: "acme"}, {UserID: "bolt", TenantID: "bolt"}, {UserID: "carol", TenantID: "old", Known: true}, {UserID: "dave", Known: true},
		{UserID: "erin", Known: true}, {UserID: "frank", TenantID: "named"}, {UserID: "g", Known: true}, {UserID: "ghost", TenantID: "ghost"},
		{UserID: "h", Known: true}, {UserID: "i", Known: true}, {UserID: "j", Known: true}, {UserID: "new", TenantID: "new"},
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	reasons := map[string]string{}
	for _, l := range left {
		reasons[strings.Split(l.Path, "/")[1]] = l.Why
	}
	for tid, why := range map[string]string{"local": "every sync without a tenant", "bad id": "want 1 to 128", "two": "2 users name", "quarrel": `is of tenant "two"`, "theirs": "user j says to be"} {
		if !strings.Contains(reasons[tid], why) {
			t.Errorf("%s: %q, want %q", tid, reasons[tid], why)
		}
	}
	if len(reasons) != 5 {
		t.Errorf("left: %v", reasons)
	}
	listed := migration.WithLegacy([]migration.Row{{UserID: "carol", TenantID: "acme"}, {UserID: "ivy", TenantID: "old"}, {UserID: "g"}, {UserID: "i"}}, "carla")
	err = people.Match(listed, func(i int) string { return fmt.Sprint("row ", i+2) })
	for _, want := range []string{"row 2: user carol is of tenant", "row 3: tenant \"old\" of user ivy is user carol's", "row 4: tenant \"two\" of user g is user h's"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("contradicting rows: %v, want %s", err, want)
		}
	}
	if d := cmp.Diff([]migration.Row{{UserID: "i", Known: true}, {UserID: "carla", Legacy: true}}, listed[3:]); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
}
