package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// openKeys is the counter of a world whose fleet moves to envelopes.
func (w *world) openKeys(context.Context, string, string) (*counter, error) {
	b, err := alpaca.New(alpaca.Config{PaperURL: w.paper, LiveURL: w.live})
	if err != nil {
		return nil, err
	}
	return &counter{
		where: "test", close: func() error { return nil },
		keys: &onboard.Keys{Users: w.store, Broker: b, Snapshots: w.store, Custody: secret.Custody{
			Vault: secret.NewEither(w.envelopes, w.secrets), Keepers: []secret.Keeper{w.envelopes, w.secrets},
		}},
	}, nil
}

// exchange starts Alpaca's two environments, each of which takes the keys of that name.
func (w *world) exchange(t *testing.T) {
	t.Helper()
	for name, url := range map[string]*string{"paper": &w.paper, "live": &w.live} {
		s := sim.New(sim.Config{Now: time.Now})
		s.Register("PKCANARY"+name, "canary-secret-"+name)
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		*url = server.URL
	}
}

func payload(name string) string {
	return fmt.Sprintf(`{"key_id": "PKCANARY%s", "secret_key": "canary-secret-%s"}`, name, name)
}

// From the first keys to none, as a program sees it; no line shows a key.
func TestVerbs(t *testing.T) {
	w := newWorld(t)
	w.exchange(t)
	if err := w.store.Add(t.Context(), user.Profile{User: user.User{ID: "alice"}}); err != nil {
		t.Fatal(err)
	}
	do := func(want string, args ...string) {
		t.Helper()
		out, err := w.run(t.Context(), append(args, "--json")...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		var got, wanted map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if id, ok := got["account_id"]; ok && id != "" {
			got["account_id"] = "an account"
		}
		if d := cmp.Diff(wanted, got); d != "" {
			t.Errorf("%v (-want +got):\n%s", args, d)
		}
	}
	const result = `{"user_id": "alice", "broker_env": %q, "account_id": "an account", "account_status": "ACTIVE", "version": %q, "version_before": %q, "stored": %t, "path": "keyEnvelopes/alice", "destroyed": 0, "status": "active"}`
	w.typed = payload("paper")
	do(fmt.Sprintf(result, "paper", "1", "", true), "set", "alice")
	do(fmt.Sprintf(result, "paper", "1", "1", false), "set", "alice")
	do(`{"user_id": "alice", "ok": true, "broker_env": "paper", "version": "1", "path": "keyEnvelopes/alice", "account_id": "an account", "account_status": "ACTIVE"}`, "check", "alice")
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte("PKCANARYlive\r\ncanary-secret-live\n"), 0o644); err != nil { //nolint:gosec // that is what is noticed
		t.Fatal(err)
	}
	do(fmt.Sprintf(result, "live", "2", "1", true), "rotate", "alice", "--file", file, "--destroy-old")
	if !strings.Contains(w.printed.String(), "chmod 600") {
		t.Error("nobody said that the file can be read by others")
	}
	do(`{"user_id": "alice", "vaults": 0, "destroyed": 0, "version": "2", "newer_stay": false, "next": "version 2 stays in use"}`, "revoke", "alice", "--old")
	do(`{"user_id": "alice", "vaults": 1, "destroyed": 0, "version": "3", "newer_stay": false, "next": "needs_reauth at the second tick from now, until 'agenttrader keys set' stores others; delete the keys at Alpaca too"}`, "revoke", "alice", "--yes")
	do(`{"user_id": "alice", "vaults": 0, "destroyed": 0, "version": "3", "newer_stay": false, "next": "there were none"}`, "revoke", "alice", "--yes")
	out, err := w.run(t.Context(), "check", "alice", "--json")
	if !errors.Is(err, secret.ErrNotFound) || !strings.Contains(out, `"ok":false`) {
		t.Errorf("check without keys: %v, %s", err, out)
	}
	w.noLeak()
}

// For people: what happened, and what comes next.
func TestVerbsForPeople(t *testing.T) {
	w := newWorld(t)
	w.exchange(t)
	if err := w.store.PutUser(t.Context(), user.User{ID: "alice", Status: user.Paused}); err != nil {
		t.Fatal(err)
	}
	w.typed = payload("live")
	for _, c := range []struct{ args, want string }{
		{"set alice", "live environment takes the keys of user alice"}, {"set alice", "were there already as version 1"},
		{"check alice", "takes version 1"}, {"revoke alice --old", "version 1 stays in use"}, {"revoke alice --yes", "needs_reauth"},
	} {
		out, err := w.run(t.Context(), strings.Fields(c.args)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, %q; want %q", c.args, err, out, c.want)
		}
	}
	if !strings.Contains(w.printed.String(), "users resume alice") {
		t.Error("nobody said that the user is paused")
	}
	w.noLeak()
}

// Bad input ends in one clear line, before anything is stored, and no line says a key.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("canary-secret", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, typed, want string }{
		{"set", "", "Name the user's id"},
		{"set alice PKCANARYpaper canary-secret-paper", "", "never given as arguments"},
		{"set a/b", payload("paper"), "user id"},
		{"set nobody", payload("paper"), "no user nobody"},
		{"rotate nobody", payload("paper"), "users add nobody"},
		{"check nobody", "", "no user nobody"},
		{"revoke nobody --yes", "", "no user nobody"},
		{"set alice --env moon", payload("paper"), "--env"},
		{"set alice --env live", payload("paper"), "Alpaca refuses these keys: live"},
		{"set alice --topic new-keys", payload("paper"), "--topic"},
		{"set alice --file /does/not/exist", "", "--file"},
		{"set alice --file " + dir, "", "--file"},
		{"set alice --file " + big, "", "no pair of keys"},
		{"set alice", "", "got 0 lines"},
		{"set alice", "canary-secret-only-one", "got 1 line:"},
		{"set alice", "canary-secret\nPKCANARY\nthree", "got 3 lines"},
		{"set alice", `{"key_id": "PKCANARYpaper"`, "not JSON"},
		{"set alice", `{"key_id": "PKCANARYpaper"}`, "both be set"},
		{"set alice", "PKCANARYpaper\ncanary-secret with blanks", "visible ASCII"},
		{"set alice", payload("wrong"), "Alpaca refuses these keys"},
		{"rotate alice", payload("paper"), "keys set alice"},
		{"check alice", "", "not found"},
		{"revoke alice", "alice\n", "say --yes"},
		{"revoke alice --old", "", "no keys in use"},
	} {
		w := newWorld(t)
		w.exchange(t)
		if err := w.store.Add(t.Context(), user.Profile{User: user.User{ID: "alice"}}); err != nil {
			t.Fatal(err)
		}
		w.typed = c.typed
		_, err := w.run(t.Context(), strings.Fields(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
		p, err := w.store.Profile(t.Context(), "alice")
		if err != nil || p.KeyVersion != "" || p.Status != user.Pending || w.vault.Alive("alice") != 0 {
			t.Errorf("%s left something: %+v, %v", c.args, p, err)
		}
		if _, err := w.db.Get(t.Context(), "keyEnvelopes/alice"); err == nil {
			t.Errorf("%s stored keys", c.args)
		}
		w.noLeak()
	}
}

func TestVerbsHelp(t *testing.T) {
	w := newWorld(t)
	for _, verb := range []string{"set", "check", "rotate", "revoke"} {
		out, err := w.run(t.Context(), verb, "--help")
		if err != nil || !strings.Contains(out, "agenttrader keys "+verb+" alice") || !strings.Contains(out, "--json") {
			t.Errorf("%s --help: %v\n%s", verb, err, out)
		}
	}
}
