package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Whatever people write into sync_hours: three words mean something, anything else is synced round the clock, alone and
// in a listing, and what was written stays as it was.
func TestSyncHours(t *testing.T) {
	words := []string{"regular", "extended", "always"}
	values := rapid.OneOf(
		rapid.SampledFrom([]any{"regular", "extended", "always", "Regular", " extended", "", "24/7", nil, int64(7), 1.5, true, []any{"regular"}, map[string]any{"regular": true}, time.Unix(0, 0).UTC()}),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Just[any](document.Fields(nil)), // no field at all
	)
	rapid.Check(t, func(t *rapid.T) {
		db := mem.NewDB(time.Now)
		s := store.New(db)
		fields := document.Fields{"status": "active", "cadence_minutes": int64(5), "email": "u@example.com", "key_version": "1"}
		value := values.Draw(t, "sync_hours")
		if f, absent := value.(document.Fields); !absent || f != nil {
			fields["sync_hours"] = value
		}
		if err := db.Set(t.Context(), store.UserPath("u"), fields); err != nil {
			t.Skip(err) // what the database does not take
		}
		want := market.Always
		for _, w := range words {
			if value == any(w) {
				want = market.Hours(w)
			}
		}
		got, err := s.User(t.Context(), "u")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(user.User{ID: "u", Status: user.Active, CadenceMinutes: 5, BrokerEnv: "paper", SyncHours: want, KeyVersion: "1"}, got); diff != "" {
			t.Fatalf("%#v (-want +got):\n%s", value, diff)
		}
		page, err := s.Users(t.Context(), "", 10)
		if err != nil || len(page.Users) != 1 || page.Users[0] != got {
			t.Fatalf("listed %+v, %v; found %+v", page, err, got)
		}
		if err := s.RaiseKeyVersion(t.Context(), "u", "2"); err != nil {
			t.Fatal(err)
		}
		d, err := db.Get(t.Context(), store.UserPath("u"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fields["sync_hours"], d.Fields["sync_hours"]); diff != "" {
			t.Fatalf("sync_hours changed (-want +got):\n%s", diff)
		}
	})
}

// What is written is read again; the zero Hours is not written, and read as always.
func TestPutUser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := store.New(mem.NewDB(time.Now))
		want := user.User{
			ID: "u", Status: rapid.SampledFrom([]user.Status{user.Pending, user.Active, user.Paused, user.Disabled}).Draw(t, "status"),
			CadenceMinutes: rapid.IntRange(1, 60).Draw(t, "cadence"), BrokerEnv: rapid.SampledFrom([]string{"paper", "live"}).Draw(t, "env"),
			SyncHours:  rapid.SampledFrom([]market.Hours{"", market.Regular, market.Extended, market.Always}).Draw(t, "hours"),
			KeyVersion: rapid.SampledFrom([]string{"", "3"}).Draw(t, "version"), TenantID: rapid.SampledFrom([]string{"", "t"}).Draw(t, "tenant"),
		}
		if err := s.PutUser(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if want.SyncHours == "" {
			want.SyncHours = market.Always
		}
		got, err := s.User(t.Context(), "u")
		if err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	})
}
