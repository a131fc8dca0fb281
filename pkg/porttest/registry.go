package porttest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// storeProfiles is the contract of user.Registry, one writer at a time.
func storeProfiles(t *testing.T, s Stores, _ func(string) []map[string]any) {
	ctx := t.Context()
	alice := user.Profile{
		User:  user.User{ID: "alice", CadenceMinutes: 2, SyncHours: market.Regular, TenantID: "acme"},
		Email: "alice@example.com", DisplayName: "Alice",
	}
	must(t, s.Add(ctx, alice))
	if err := s.Add(ctx, user.Profile{User: user.User{ID: "alice"}}); !errors.Is(err, user.ErrExists) {
		t.Errorf("added twice: %v, want ErrExists", err)
	}
	if err := s.Add(ctx, user.Profile{User: user.User{ID: "a/b"}, Email: "x"}); err == nil {
		t.Error("a bad user was added")
	}
	is := func(what string, status user.Status, version, env string) user.Profile {
		t.Helper()
		p, err := s.Profile(ctx, "alice")
		must(t, err)
		want := alice
		want.Status, want.KeyVersion, want.BrokerEnv = status, version, env
		want.CreatedAt, want.LastActiveAt, want.RemovedAt = p.CreatedAt, p.LastActiveAt, p.RemovedAt
		if p != want {
			t.Errorf("%s: %+v, want %+v", what, p, want)
		}
		return p
	}
	if p := is("added", user.Pending, "", "paper"); p.CreatedAt.IsZero() || !p.LastActiveAt.IsZero() {
		t.Errorf("added: created %s, last active %s; want a time, and none", p.CreatedAt, p.LastActiveAt)
	}
	use := func(version, env string) {
		t.Helper()
		p, err := s.UseKeys(ctx, "alice", version, env)
		must(t, err)
		if now := is("told", p.Status, p.KeyVersion, p.BrokerEnv); now.LastActiveAt.IsZero() {
			t.Error("who came with keys was not noted as active")
		}
	}
	use("2", "live")
	is("keys", user.Active, "2", "live")
	use("1", "paper")
	is("an older version", user.Active, "2", "live")
	must(t, s.RaiseKeyVersion(ctx, "alice", "3"))
	use("3", "paper")
	is("a version that was told before", user.Active, "3", "paper")
	for _, bad := range []string{"", "latest", "0", "x"} {
		if _, err := s.UseKeys(ctx, "alice", bad, "live"); err == nil {
			t.Errorf("key version %q was taken", bad)
		}
	}
	to := func(status user.Status) func(user.Profile) (user.Status, error) {
		return func(user.Profile) (user.Status, error) { return status, nil }
	}
	before, after, err := s.SetStatus(ctx, "alice", to(user.Paused))
	if err != nil || before.Status != user.Active || after.Status != user.Paused {
		t.Errorf("paused: %s, %s, %v", before.Status, after.Status, err)
	}
	use("4", "paper")
	is("keys of one who paused", user.Paused, "4", "paper")
	mine := errors.New("mine")
	if _, _, err := s.SetStatus(ctx, "alice", func(user.Profile) (user.Status, error) { return user.Active, mine }); !errors.Is(err, mine) {
		t.Errorf("an error of change: %v", err)
	}
	is("after it", user.Paused, "4", "paper")

	if p, err := s.BeginRemoval(ctx, "alice"); err != nil || p.Email != alice.Email {
		t.Errorf("removal: %+v, %v", p, err)
	}
	began := is("being removed", user.Disabled, "4", "paper").RemovedAt
	if began.IsZero() {
		t.Error("nobody knows since when")
	}
	if p, err := s.BeginRemoval(ctx, "alice"); err != nil || !p.RemovedAt.Equal(began) {
		t.Errorf("removal again: %s, %v; want since %s", p.RemovedAt, err, began)
	}
	if _, _, err := s.SetStatus(ctx, "alice", to(user.Active)); !errors.Is(err, user.ErrRemoving) {
		t.Errorf("resumed while being removed: %v", err)
	}
	if _, err := s.UseKeys(ctx, "alice", "9", "live"); !errors.Is(err, user.ErrRemoving) {
		t.Errorf("keys while being removed: %v", err)
	}
	is("still", user.Disabled, "4", "paper")

	for _, id := range []string{"nobody", "a/b", ""} {
		_, err1 := s.Profile(ctx, id)
		_, _, err2 := s.SetStatus(ctx, id, to(user.Active))
		_, err3 := s.UseKeys(ctx, id, "1", "live")
		_, err4 := s.BeginRemoval(ctx, id)
		for _, err := range []error{err1, err2, err3, err4} {
			if !errors.Is(err, user.ErrNotFound) {
				t.Errorf("user %q: %v, want ErrNotFound", id, err)
			}
		}
	}
	must(t, s.Add(ctx, user.Profile{User: user.User{ID: "bob"}}))
	must(t, s.Add(ctx, user.Profile{User: user.User{ID: "carol"}}))
	var ids []string
	for after, more := "", true; more; more = after != "" {
		page, err := s.Profiles(ctx, after, 2)
		must(t, err)
		for _, p := range page.Users {
			ids = append(ids, p.ID)
		}
		after = page.Next
	}
	if !slices.Equal(ids, []string{"alice", "bob", "carol"}) {
		t.Errorf("listed %v", ids)
	}
}

// storeProfileWriters: of those who store keys at once, the highest version counts, with its own environment.
func storeProfileWriters(t *testing.T, s Stores, _ func(string) []map[string]any) {
	must(t, s.Add(t.Context(), user.Profile{User: user.User{ID: "u"}}))
	env := func(n int) string { return []string{"paper", "live"}[n%2] }
	const writers = 4
	var g errgroup.Group
	for n := 1; n <= writers; n++ {
		g.Go(func() error {
			for {
				_, err := s.UseKeys(t.Context(), "u", fmt.Sprint(n), env(n))
				if err == nil || !errors.Is(err, document.ErrConflict) {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	must(t, g.Wait())
	if p, err := s.Profile(t.Context(), "u"); err != nil || p.KeyVersion != fmt.Sprint(writers) || p.BrokerEnv != env(writers) || p.Status != user.Active {
		t.Errorf("%+v, %v; want version %d of %s", p, err, writers, env(writers))
	}
}
