package syncer_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// legacyWorld is a syncer of several users, and what it wrote.
type legacyWorld struct {
	*world
	written map[string]int // by path
	told    []string
}

func newLegacyWorld(t *testing.T, phase account.Phase, legacyUser string) *legacyWorld {
	w := &legacyWorld{world: newWorld(t), written: map[string]int{}}
	w.db.Watch(func(wr mem.Written) { w.written[wr.Path]++ })
	w.set(t, phase, legacyUser)
	return w
}

// set starts a new instance in a phase.
func (w *legacyWorld) set(t *testing.T, phase account.Phase, legacyUser string) {
	t.Helper()
	cfg := syncer.DefaultConfig("p")
	cfg.Legacy = account.Legacy{Phase: phase, User: legacyUser}
	var err error
	w.svc, err = syncer.New(cfg, syncer.Deps{
		Vault: w.vault, Broker: w, Snapshots: w.store, Health: w.store, Keys: w.store, Now: func() time.Time { return w.now },
		Observe: func(_ context.Context, r syncer.Result) { w.outcome = r.Outcome },
		Fault:   func(_ context.Context, _ string, err error) { w.told = append(w.told, err.Error()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.written = map[string]int{}
}

func (w *legacyWorld) user(t *testing.T, uid, tenant string) {
	t.Helper()
	if err := w.store.PutUser(t.Context(), user.User{ID: uid, Status: user.Active, TenantID: tenant}); err != nil {
		t.Fatal(err)
	}
	w.vault.Add(uid, []byte(`{"key_id":"k","secret_key":"s"}`))
	delete(w.written, store.UserPath(uid))
}

// of syncs a user at a minute, as the user's document says.
func (w *legacyWorld) of(t *testing.T, uid string, minute int) {
	t.Helper()
	u, err := w.store.User(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	u.CadenceMinutes = 1
	e, err := event.NewSyncRequest(tick.Of(noon)+tick.Tick(minute), u, health.Health{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.svc.Handle(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func (w *legacyWorld) paths() []string { return slices.Sorted(maps.Keys(w.written)) }

// Defect 1: the tenant's id defaulted to "local", so that everybody overwrote one document. It is never made up, and the
// one legacy document is the one configured user's.
func TestDefect1TenantIsNeverMadeUp(t *testing.T) {
	w := newLegacyWorld(t, account.Both, "legacy")
	for uid, tenant := range map[string]string{"none": "", "explicit": "t1", "legacy": "", "both": "local", "slash": "a/accounts/b"} {
		w.user(t, uid, tenant)
	}
	for uid, want := range map[string][]string{
		"none":     {"users/none/alpacaAccounts/snapshot"},
		"explicit": {"tenants/t1/accounts/primary", "users/explicit/alpacaAccounts/snapshot"},
		"legacy":   {"alpacaAccounts/snapshot", "users/legacy/alpacaAccounts/snapshot"},
		"both":     {"tenants/local/accounts/primary", "users/both/alpacaAccounts/snapshot"},
		"slash":    {"users/slash/alpacaAccounts/snapshot"},
	} {
		w.written, w.told = map[string]int{}, nil
		w.of(t, uid, 0)
		if d := cmp.Diff(want, w.paths()); d != "" {
			t.Errorf("%s: written (-want +got):\n%s", uid, d)
		}
		if uid == "slash" != (len(w.told) == 1) {
			t.Errorf("%s: told %q", uid, w.told)
		}
	}
	d, err := w.db.Get(t.Context(), "alpacaAccounts/snapshot")
	if _, made := d.Fields["tenant_id"]; err != nil || made || d.Fields["user_id"] != "legacy" {
		t.Errorf("%v, %v: want it the legacy user's, of no tenant", d.Fields, err)
	}
}

// Two users of one tenant: one has the document, the other is told, and both are synced.
func TestTwoUsersOfOneTenant(t *testing.T) {
	w := newLegacyWorld(t, account.UserFirst, "")
	w.user(t, "a", "t")
	w.user(t, "b", "t")
	for minute := range 10 {
		w.now = noon.Add(time.Duration(minute) * time.Minute)
		w.of(t, "a", minute)
		w.of(t, "b", minute)
		if d, err := w.db.Get(t.Context(), account.TenantPath("t")); err != nil || d.Fields["user_id"] != "a" {
			t.Fatalf("minute %d: the tenant's document is %v's, %v", minute, d.Fields["user_id"], err)
		}
		s, err := w.store.Snapshot(t.Context(), "b")
		if err != nil || w.now.Sub(s.ObservedAt) > 3*time.Minute {
			t.Errorf("minute %d: b's own is of %s, %v", minute, s.ObservedAt, err)
		}
	}
	if len(w.told) != w.written["users/b/alpacaAccounts/snapshot"] || !strings.Contains(strings.Join(w.told, " "), "tenants/t/accounts/primary is written for somebody else, user a") {
		t.Errorf("told %q", w.told)
	}
}

// An account at rest for an hour: the old readers' documents never come near 300 s, at two writes more for a heartbeat and
// no read.
func TestHeartbeatsOfCopies(t *testing.T) {
	w := newLegacyWorld(t, account.Both, "a")
	w.user(t, "a", "t")
	r := account.Reader{Source: w.store, Config: account.DefaultReaderConfig(), Now: func() time.Time { return w.now }}
	r.Config.Legacy = account.Legacy{Phase: account.Both, User: "a"}
	w.of(t, "a", 0)
	reads, writes := w.db.Counts()
	for minute := 1; minute <= 60; minute++ {
		w.now = noon.Add(time.Duration(minute)*time.Minute + 2*time.Second)
		w.of(t, "a", minute)
		w.now = w.now.Add(57 * time.Second) // just before the next one
		for path, o := range map[string]account.Owner{account.TenantPath("t"): {TenantID: "t"}, account.GlobalPath: {}} {
			s, from, err := r.Snapshot(t.Context(), o)
			if err != nil || from != path {
				t.Fatal(from, err)
			}
			if age := w.now.Sub(s.ObservedAt); age > 4*time.Minute {
				t.Fatalf("minute %d: %s is %s old", minute, path, age)
			}
			if p, err := r.BuyingPower(t.Context(), o); err != nil || p.String() != "100" {
				t.Fatalf("minute %d: buying power at %s is %s, %v", minute, path, p, err)
			}
		}
	}
	r2, w2 := w.db.Counts()
	// The first snapshot's version is not known, so it is read once; the test reads the user, and four times the copies.
	if reads, writes := r2-reads-60*5, w2-writes; reads != 1 || writes != 20*3 {
		t.Errorf("%d reads and %d writes in an hour, want 1 and 60", reads, writes)
	}
}

// The setting goes forward and back: the copies are written again within three ticks, over whatever shape is there.
func TestPhasesForwardAndBack(t *testing.T) {
	w := newLegacyWorld(t, account.Off, "a")
	w.user(t, "a", "t")
	if err := w.db.Set(t.Context(), account.GlobalPath, porttest.Legacy("account", noon.Add(-time.Hour), "7")); err != nil {
		t.Fatal(err)
	}
	minute := 0
	for i, phase := range []account.Phase{account.Off, account.Both, account.UserFirst, account.Off, account.UserFirst, account.Both, account.Off} {
		w.set(t, phase, "a")
		for range 3 {
			w.now = noon.Add(time.Duration(minute) * time.Minute)
			w.of(t, "a", minute)
			minute++
		}
		want := []string{"alpacaAccounts/snapshot", "tenants/t/accounts/primary", "users/a/alpacaAccounts/snapshot"}
		if phase == account.Off {
			want = want[2:]
		}
		if d := cmp.Diff(want, w.paths()); d != "" {
			t.Errorf("step %d, %s: written (-want +got):\n%s", i, phase, d)
		}
		if phase == account.Off {
			continue
		}
		own, err := w.store.Snapshot(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range want[:2] {
			s, err := w.store.SnapshotAt(t.Context(), path)
			if err != nil || !s.ObservedAt.Equal(own.ObservedAt) || s.Account.BuyingPower.Decimal.String() != "100" {
				t.Errorf("step %d, %s: %s is %+v, %v", i, phase, path, s, err)
			}
		}
	}
	if len(w.told) > 0 {
		t.Errorf("told %q", w.told)
	}
}

// A commit whose answer is lost, or that fails, is neither half done nor lost: the event comes again.
func TestCopiesAndFaults(t *testing.T) {
	for name, lost := range map[string]bool{"failed": false, "only the answer is lost": true} {
		w := newLegacyWorld(t, account.Both, "a")
		w.user(t, "a", "t")
		w.of(t, "a", 0)
		minute := 1
		w.now, w.cash = noon.Add(time.Duration(minute)*time.Minute), "11"
		w.db.SetHook(func(_ context.Context, op mem.Op) error {
			if (op.Kind == "commit" || op.Kind == "update") && op.Done == lost {
				return document.ErrUnavailable
			}
			return nil
		})
		e, err := event.NewSyncRequest(tick.Of(noon)+tick.Tick(minute), user.User{ID: "a", BrokerEnv: "paper", CadenceMinutes: 1, TenantID: "t"}, health.Health{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.svc.Handle(t.Context(), e); !errors.Is(err, document.ErrUnavailable) || event.ClassOf(err) != event.Retry {
			t.Errorf("%s: %v, want a retry", name, err)
		}
		w.db.SetHook(nil)
		w.now = w.now.Add(10 * time.Second)
		if err := w.svc.Handle(t.Context(), e); err != nil {
			t.Errorf("%s: delivered again: %v", name, err)
		}
		own, err := w.store.Snapshot(t.Context(), "a")
		if err != nil || own.Account.Cash.Decimal.String() != "11" {
			t.Errorf("%s: %+v, %v", name, own, err)
		}
		for _, path := range []string{account.TenantPath("t"), account.GlobalPath} {
			if s, err := w.store.SnapshotAt(t.Context(), path); err != nil || !s.ObservedAt.Equal(own.ObservedAt) || s.Account.Cash.Decimal.String() != "11" {
				t.Errorf("%s: %s is of %s, the snapshot of %s; %v", name, path, s.ObservedAt, own.ObservedAt, err)
			}
		}
	}
}
