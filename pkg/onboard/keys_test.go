package onboard_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// From the first keys to the last, in each custody.
func TestKeys(t *testing.T) {
	for _, custody := range custodies() {
		t.Run(custody, func(t *testing.T) {
			w, ctx := newWorld(t, custody), t.Context()
			w.add("alice")
			one, two := w.good(w.paper, "one"), w.good(w.live, "two")
			if _, err := w.keys.Rotate(ctx, "alice", one, onboard.Change{}); err == nil || !strings.Contains(err.Error(), "keys set alice") {
				t.Errorf("rotated before there were any: %v", err)
			}
			s, err := w.keys.Set(ctx, "alice", one, onboard.Change{})
			if err != nil || s.Version != "1" || !s.New || s.Env != broker.Paper || s.Status != "ACTIVE" || s.AccountID == "" {
				t.Fatalf("set: %+v, %v", s, err)
			}
			if got, p := w.inUse("alice"); !got.Same(one) || p.Status != user.Active || p.BrokerEnv != "paper" || p.LastActiveAt.IsZero() {
				t.Errorf("in use: %+v", p)
			}
			if s, err = w.keys.Set(ctx, "alice", one, onboard.Change{}); err != nil || s.New || s.Version != "1" {
				t.Errorf("the same again: %+v, %v; want nothing new", s, err)
			}
			if c, err := w.keys.Check(ctx, "alice"); err != nil || c.Env != broker.Paper || c.Version != "1" {
				t.Errorf("check: %+v, %v", c, err)
			}
			if s, err = w.keys.Rotate(ctx, "alice", two, onboard.Change{PruneOld: true}); err != nil || s.Version != "2" || s.Env != broker.Live {
				t.Fatalf("rotate: %+v, %v", s, err)
			}
			if got, p := w.inUse("alice"); !got.Same(two) || p.BrokerEnv != "live" {
				t.Errorf("in use: %+v", p)
			}
			if c, got, err := w.custody.Vault.Credentials(ctx, "alice", "1"); err == nil && !c.Same(two) {
				t.Errorf("the old keys can be read after they were pruned: as version %s", got)
			}
			r, err := w.keys.Revoke(ctx, "alice")
			if err != nil || r.Vaults != 1 || r.Version != "3" || r.Newer {
				t.Fatalf("revoke: %+v, %v", r, err)
			}
			for _, asked := range []string{"", "1", "2", "3"} {
				if _, got, err := w.custody.Vault.Credentials(ctx, "alice", asked); !errors.Is(err, secret.ErrNotFound) {
					t.Errorf("revoked keys can be read: %q as %s, %v", asked, got, err)
				}
			}
			if p := w.profile("alice"); p.KeyVersion != "3" {
				t.Errorf("the next request asks for version %s: instances remember that one", p.KeyVersion)
			}
			if r, err = w.keys.Revoke(ctx, "alice"); err != nil || r.Vaults != 0 || r.Version != "3" {
				t.Errorf("revoked again: %+v, %v", r, err)
			}
			if _, err := w.keys.Check(ctx, "alice"); !errors.Is(err, secret.ErrNotFound) {
				t.Errorf("check without keys: %v", err)
			}
			if s, err = w.keys.Set(ctx, "alice", one, onboard.Change{}); err != nil || secret.Number(s.Version) <= 3 {
				t.Errorf("after a revocation: %+v, %v; want a version above 3", s, err)
			}
			if got, _ := w.inUse("alice"); !got.Same(one) {
				t.Error("after a revocation: other keys")
			}
		})
	}
}

// Keys go where the fleet moves, and where it leaves, a user's next ones stay beside the last until both are moved.
func TestWhere(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, toward)
	w.add("u")
	must(t, w.secrets.Put(ctx, "u", creds(t, "old"), "4"))
	s, err := w.keys.Set(ctx, "u", w.good(w.paper, "new"), onboard.Change{PruneOld: true})
	if n, _ := w.sealed.Newest(ctx, "u"); err != nil || n != 5 || s.Version != "5" || s.Pruned != 1 {
		t.Errorf("%+v, %v; want version 5 in an envelope, and the secret gone", s, err)
	}
	if n, _ := w.secrets.Newest(ctx, "u"); n != 0 {
		t.Errorf("Secret Manager still has version %d", n)
	}

	w = newWorld(t, away)
	w.add("u")
	w.add("new")
	must(t, w.sealed.Put(ctx, "u", creds(t, "old"), "4"))
	if s, err = w.keys.Set(ctx, "u", w.good(w.paper, "next"), onboard.Change{}); err != nil || s.Version != "5" || s.Path != "keyEnvelopes/u" {
		t.Errorf("%+v, %v; want version 5 in the envelope that is there", s, err)
	}
	if s, err = w.keys.Set(ctx, "new", w.good(w.paper, "first"), onboard.Change{}); err != nil || s.Version != "1" || s.Path != secret.Name(project, "new") {
		t.Errorf("%+v, %v; want version 1 in Secret Manager", s, err)
	}
	if n, _ := w.secrets.Newest(ctx, "new"); n != 1 {
		t.Errorf("Secret Manager has version %d of a new user's keys, want 1", n)
	}
}

// What Alpaca does not take is never stored, and who is not there gets no keys.
func TestRefused(t *testing.T) {
	w, ctx := newWorld(t, toward), t.Context()
	w.add("alice")
	good := w.good(w.paper, "good")
	down := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(down.Close)
	for name, c := range map[string]struct {
		user  string
		keys  secret.Credentials
		urls  [2]string
		env   broker.Env
		want  error
		words string
	}{
		"wrong keys":            {"alice", creds(t, "wrong"), w.urls, "", onboard.ErrRefused, "unauthorized"},
		"wrong environment":     {"alice", good, w.urls, broker.Live, onboard.ErrRefused, "live"},
		"paper is down":         {"alice", creds(t, "wrong"), [2]string{down.URL, w.urls[1]}, "", onboard.ErrUnanswered, "502"},
		"live is down":          {"alice", creds(t, "wrong"), [2]string{w.urls[0], down.URL}, "", onboard.ErrUnanswered, "502"},
		"nobody":                {"nobody", good, w.urls, "", user.ErrNotFound, "nobody"},
		"an id that is a path":  {"a/b", good, w.urls, "", user.ErrNotFound, "user id"},
		"no such environment":   {"alice", good, w.urls, "moon", onboard.ErrUnanswered, "moon"},
		"nobody who is removed": {"gone", good, w.urls, "", user.ErrRemoving, "gone"},
	} {
		if c.user == "gone" {
			w.add("gone")
			if _, err := w.remover.Begin(ctx, "gone"); err != nil {
				t.Fatal(err)
			}
		}
		keys, was := *w.keys, w.urls
		w.urls = c.urls
		keys.Broker = w.alpaca()
		w.urls = was
		_, err := keys.Set(ctx, c.user, c.keys, onboard.Change{Env: c.env})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.words)
		}
		if n := w.number(strings.ReplaceAll(c.user, "/", "")); n != 0 {
			t.Errorf("%s: stored as version %d", name, n)
		}
	}
	if p := w.profile("alice"); p.Status != user.Pending || p.KeyVersion != "" || !p.LastActiveAt.IsZero() {
		t.Errorf("refused keys left a trace: %+v", p)
	}
	// An environment that is down does not matter if the other one takes the keys.
	keys, was := *w.keys, w.urls
	w.urls[1] = down.URL
	keys.Broker = w.alpaca()
	w.urls = was
	if s, err := keys.Set(ctx, "alice", good, onboard.Change{}); err != nil || s.Env != broker.Paper {
		t.Errorf("live is down: %+v, %v", s, err)
	}
	// Live keys with a document that says paper: the check says what is wrong.
	must(t, w.db.Set(ctx, store.UserPath("carol"), document.Fields{"status": "active", "broker_env": "paper"}))
	must(t, w.secrets.Put(ctx, "carol", w.good(w.live, "carol"), "1"))
	if _, err := w.keys.Check(ctx, "carol"); !errors.Is(err, onboard.ErrRefused) || !strings.Contains(err.Error(), "live environment") {
		t.Errorf("live keys under paper: %v", err)
	}
}

// New keys of another account are no rotation.
func TestRotateAccount(t *testing.T) {
	w, ctx := newWorld(t, secrets), t.Context()
	w.add("alice")
	one, other := w.good(w.paper, "one"), w.good(w.paper, "other")
	s, err := w.keys.Set(ctx, "alice", one, onboard.Change{})
	must(t, err)
	snap := account.Snapshot{UserID: "alice", Account: account.Account{ID: s.AccountID, Status: "ACTIVE"}, Raw: map[string]any{"id": s.AccountID}, ObservedAt: time.Now()}
	if _, err := w.store.PutSnapshot(ctx, snap); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Rotate(ctx, "alice", other, onboard.Change{}); err == nil || !strings.Contains(err.Error(), "another account") || w.number("alice") != 1 {
		t.Errorf("another account's keys: %v", err)
	}
	if _, err := w.keys.Rotate(ctx, "alice", other, onboard.Change{OtherAccount: true}); err != nil {
		t.Errorf("asked for: %v", err)
	}
	if got, _ := w.inUse("alice"); !got.Same(other) {
		t.Error("the other account's keys are not in use")
	}
}

// Killed between any two steps, the keys in use are the old ones or the new ones; the same call, made again, ends it.
func TestKilledKeys(t *testing.T) {
	for _, custody := range custodies() {
		for name, first := range map[string]bool{"set": true, "rotate": false} {
			t.Run(name+" "+custody, func(t *testing.T) {
				n := 1
				for ; killAt(t, custody, first, n); n++ {
				}
				if n < 8 {
					t.Errorf("only %d places to be killed at", n)
				}
			})
		}
	}
}

func killAt(t *testing.T, custody string, first bool, n int) bool {
	w := newWorld(t, custody)
	w.add("u")
	one, two := w.good(w.paper, "one"), w.good(w.live, "two")
	call := func(ctx context.Context) error {
		_, err := w.keys.Rotate(ctx, "u", two, onboard.Change{PruneOld: true})
		return err
	}
	if first {
		call = func(ctx context.Context) error {
			_, err := w.keys.Set(ctx, "u", two, onboard.Change{})
			return err
		}
	} else if _, err := w.keys.Set(t.Context(), "u", one, onboard.Change{}); err != nil {
		t.Fatal(err)
	}
	ctx, hit := w.killed(t.Context(), n)
	err := call(ctx)
	if !hit() {
		must(t, err)
		return false
	}
	if p := w.profile("u"); p.KeyVersion != "" {
		c, _, err := w.custody.Vault.Credentials(t.Context(), "u", p.KeyVersion)
		// An envelope has one version alone: between its write and the document's, the old request gets the new keys.
		if err != nil || !c.Same(one) && !c.Same(two) {
			t.Errorf("killed at %d: version %s: %v", n, p.KeyVersion, err)
		}
	}
	if err := call(t.Context()); err != nil {
		t.Errorf("killed at %d, called again: %v", n, err)
		return true
	}
	c, p := w.inUse("u")
	if !c.Same(two) || p.Status != user.Active || w.number("u") > 3 {
		t.Errorf("killed at %d, called again: %+v, %d versions", n, p, w.number("u"))
	}
	return true
}

// A revocation that was killed has taken effect or has not; called again it is complete.
func TestKilledRevocation(t *testing.T) {
	for _, custody := range custodies() {
		for n := 1; ; n++ {
			w := newWorld(t, custody)
			w.add("u")
			if _, err := w.keys.Set(t.Context(), "u", w.good(w.paper, "one"), onboard.Change{}); err != nil {
				t.Fatal(err)
			}
			ctx, hit := w.killed(t.Context(), n)
			_, err := w.keys.Revoke(ctx, "u")
			if !hit() {
				must(t, err)
				if n < 6 {
					t.Errorf("%s: only %d places to be killed at", custody, n)
				}
				break
			}
			if _, err := w.keys.Revoke(t.Context(), "u"); err != nil {
				t.Errorf("%s, killed at %d: %v", custody, n, err)
			}
			if p := w.profile("u"); w.number("u") != 0 || p.KeyVersion != "2" {
				t.Errorf("%s, killed at %d: version %d is there, %s is asked for", custody, n, w.number("u"), p.KeyVersion)
			}
		}
	}
}

// Whoever meets: the version that the document names is there, and works in the environment that it names.
func TestRotationsMeet(t *testing.T) {
	for _, custody := range custodies() {
		t.Run(custody, func(t *testing.T) {
			for round := range 15 {
				w := newWorld(t, custody)
				w.add("u")
				if _, err := w.keys.Set(t.Context(), "u", w.good(w.paper, "zero"), onboard.Change{}); err != nil {
					t.Fatal(err)
				}
				w.steps(func(context.Context) error {
					time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
					return nil
				})
				var g errgroup.Group
				for i, server := range []interface{ Register(string, string) }{w.paper, w.live, w.paper} {
					c := creds(t, "new"+version(int64(i)))
					server.Register(c.Reveal())
					g.Go(func() error {
						_, err := w.keys.Rotate(t.Context(), "u", c, onboard.Change{PruneOld: i == round%3, OtherAccount: true})
						return err
					})
				}
				if err := g.Wait(); err != nil && !strings.Contains(err.Error(), "try again") {
					t.Errorf("round %d: %v", round, err)
				}
				w.steps(func(context.Context) error { return nil })
				if _, p := w.inUse("u"); secret.Number(p.KeyVersion) != w.number("u") {
					t.Errorf("round %d: version %s is in use, %d is there", round, p.KeyVersion, w.number("u"))
				}
			}
		})
	}
}

// A rotation, a revocation and a fleet that moves meet: the rotation's keys are in use, or it says that they are not.
func TestRotationMeetsRevocationAndMove(t *testing.T) {
	for round := range 15 {
		w := newWorld(t, toward)
		w.add("u")
		must(t, w.secrets.Put(t.Context(), "u", w.good(w.paper, "zero"), "1"))
		if _, err := w.store.UseKeys(t.Context(), "u", "1", "paper"); err != nil {
			t.Fatal(err)
		}
		w.steps(func(context.Context) error {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			return nil
		})
		next := w.good(w.live, "next")
		var rotated, revoked, moved error
		var g errgroup.Group
		g.Go(func() error {
			_, rotated = w.keys.Rotate(t.Context(), "u", next, onboard.Change{})
			return nil
		})
		g.Go(func() error { _, revoked = w.keys.Revoke(t.Context(), "u"); return nil })
		g.Go(func() error {
			m := secret.Mover{From: w.secrets, To: w.sealed, Raise: w.store.RaiseKeyVersion, Prune: true}
			_, moved = m.Move(t.Context(), "u", "1")
			return nil
		})
		_ = g.Wait()
		w.steps(func(context.Context) error { return nil })
		if revoked != nil {
			t.Errorf("round %d: revoke: %v", round, revoked)
		}
		c, _, err := w.custody.Vault.Credentials(t.Context(), "u", w.profile("u").KeyVersion)
		switch {
		case err == nil && !c.Same(next):
			t.Errorf("round %d: the revoked keys are in use (rotation: %v, move: %v)", round, rotated, moved)
		case err == nil:
			w.inUse("u")
		case rotated == nil && !errors.Is(err, secret.ErrNotFound):
			t.Errorf("round %d: %v", round, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
