package syncer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// newSingle is a deployment of one account, on a database without users.
func newSingle(t *testing.T, tenant string) (*legacyWorld, *syncer.Single) {
	t.Helper()
	w := newLegacyWorld(t, account.Off, "")
	if err := w.db.Delete(t.Context(), "users/u", time.Time{}); err != nil {
		t.Fatal(err)
	}
	w.written = map[string]int{}
	s, err := syncer.NewSingle(syncer.DefaultConfig("p"), syncer.SingleConfig{Tenant: tenant}, syncer.SingleDeps{
		Session: w, Copies: w.store, Now: func() time.Time { return w.now },
		Fault: func(_ context.Context, err error) { w.told = append(w.told, err.Error()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, s
}

func tickAt(at time.Time) event.Event {
	e := event.New("m", event.TypeTick, "scheduler", "")
	e.SetExtension("publishtime", at)
	return e
}

// Ticks that come twice and in the wrong order refresh and never regress, whatever shape was there, and write nothing but
// the predecessor's documents.
func TestSingle(t *testing.T) {
	for tenant, want := range map[string][]string{"": {"alpacaAccounts/snapshot"}, "t": {"alpacaAccounts/snapshot", "tenants/t/accounts/primary"}} {
		w, s := newSingle(t, tenant)
		if err := w.db.Set(t.Context(), account.GlobalPath, porttest.Legacy("account", noon.Add(-time.Hour), "7")); err != nil {
			t.Fatal(err)
		}
		w.written = map[string]int{}
		var last time.Time
		for i, minute := range []int{0, 0, 2, 1, 2, 3} {
			w.now = noon.Add(time.Minute + time.Duration(i)*10*time.Second)
			if minute == 3 {
				w.now = noon.Add(3 * time.Minute)
			}
			if err := s.Handle(t.Context(), tickAt(noon.Add(time.Duration(minute)*time.Minute))); err != nil {
				t.Fatal(err)
			}
			for _, path := range want {
				got, err := w.store.SnapshotAt(t.Context(), path)
				if err != nil || !got.ObservedAt.Equal(w.now) || got.ObservedAt.Before(last) || got.UserID != "" || got.Account.BuyingPower.Decimal.String() != "100" {
					t.Errorf("%s after tick %d: %+v, %v", path, minute, got, err)
				}
			}
			last = w.now
		}
		if d := cmp.Diff(want, w.paths()); d != "" {
			t.Errorf("written (-want +got):\n%s", d)
		}
		if d, err := w.db.Get(t.Context(), account.GlobalPath); err != nil || d.Fields["syncedAt"] != nil || (d.Fields["tenant_id"] != nil) != (tenant != "") {
			t.Errorf("%v, %v", d.Fields, err)
		}
		if len(w.told) > 0 {
			t.Errorf("told %q", w.told)
		}
	}
}

// A slow call that began before a fast one, of two instances, does not overwrite what the fast one saw.
func TestSingleOlderNeverReplacesNewer(t *testing.T) {
	w, s := newSingle(t, "t")
	w.now, w.cash = noon, "1"
	w.during = func() {
		w.now, w.cash = noon.Add(20*time.Second), "2"
		if err := s.Handle(t.Context(), tickAt(noon)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Handle(t.Context(), tickAt(noon)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{account.GlobalPath, account.TenantPath("t")} {
		if got, err := w.store.SnapshotAt(t.Context(), path); err != nil || got.Account.Cash.Decimal.String() != "2" {
			t.Errorf("%s: %+v, %v; want the newer cash", path, got.Account, err)
		}
	}
}

func TestSingleTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*legacyWorld)
		e     event.Event
		class event.Class
		told  string
	}{
		"bad key":     {func(w *legacyWorld) { w.err = &broker.Error{Kind: broker.Unauthorized} }, tickAt(noon), event.Settled, "unauthorized"},
		"broker down": {func(w *legacyWorld) { w.err = &broker.Error{Kind: broker.Unavailable} }, tickAt(noon), event.Settled, "unavailable"},
		"store unavailable": {func(w *legacyWorld) {
			w.db.SetHook(func(context.Context, mem.Op) error { return document.ErrUnavailable })
		}, tickAt(noon), event.Retry, ""},
		"of the past":          {func(*legacyWorld) {}, tickAt(noon.Add(-5 * time.Minute)), event.Dropped, ""},
		"of the future":        {func(*legacyWorld) {}, tickAt(noon.Add(5 * time.Minute)), event.Poison, ""},
		"no publish time":      {func(*legacyWorld) {}, event.New("m", event.TypeTick, "scheduler", ""), event.Poison, ""},
		"a sync request":       {func(*legacyWorld) {}, event.New("m", event.TypeSyncRequest, "fanout", ""), event.Poison, ""},
		"cut off by ourselves": {func(w *legacyWorld) { w.err = context.Canceled }, tickAt(noon), event.Retry, ""},
	} {
		w, s := newSingle(t, "t")
		c.do(w)
		if err := s.Handle(t.Context(), c.e); event.ClassOf(err) != c.class || (c.told == "") != (len(w.told) == 0) || !strings.Contains(strings.Join(w.told, " "), c.told) {
			t.Errorf("%s: %v, told %q; want class %s, told %q", name, err, w.told, c.class, c.told)
		}
		w.db.SetHook(nil)
		if _, err := w.store.SnapshotAt(t.Context(), account.GlobalPath); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%s: something was written: %v", name, err)
		}
	}
}

// Beside a platform that writes the same documents it steps back, and says so.
func TestSingleBesideThePlatform(t *testing.T) {
	w, s := newSingle(t, "")
	w.set(t, account.Both, "a")
	w.user(t, "a", "")
	w.of(t, "a", 0)
	w.now = noon.Add(time.Minute)
	if err := s.Handle(t.Context(), tickAt(w.now)); err != nil {
		t.Fatal(err)
	}
	if got, err := w.store.SnapshotAt(t.Context(), account.GlobalPath); err != nil || got.UserID != "a" || len(w.told) != 1 || !strings.Contains(w.told[0], "end MODE=legacy") {
		t.Errorf("user %q, %v, told %q", got.UserID, err, w.told)
	}
}

func TestSingleConfig(t *testing.T) {
	_, err := syncer.NewSingle(syncer.DefaultConfig("p"), syncer.SingleConfig{Tenant: "a/b", User: "u"}, syncer.SingleDeps{Now: time.Now})
	for _, want := range []string{`LEGACY_TENANT: tenant_id "a/b"`, `LEGACY_USER is "u"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}
