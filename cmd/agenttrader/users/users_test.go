package users

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// world is a project in memory.
type world struct {
	t        *testing.T
	db       *mem.DB
	store    *store.Store
	vault    *mem.Vault
	typed    string // by the person at the terminal
	terminal bool
	now      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, vault: mem.NewVault(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	w.db = mem.NewDB(func() time.Time { return w.now })
	w.store = store.New(w.db)
	return w
}

// run gives standard output, and error.
func (w *world) run(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	c := command(&cli{
		terminal: func(any) bool { return w.terminal },
		open: func(context.Context, string) (*desk, error) {
			return &desk{
				where: "test", users: w.store, documents: w.store, now: func() time.Time { return w.now }, close: func() error { return nil },
				remover: func(context.Context) (*onboard.Remover, error) {
					return &onboard.Remover{DB: w.db, Users: w.store, Roster: w.store, Custody: secret.Custody{Vault: w.vault, Keepers: []secret.Keeper{w.vault}}}, nil
				},
			}, nil
		},
	})
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SetIn(strings.NewReader(w.typed))
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(w.t.Context())
	return out.String(), errs.String(), err
}

// told runs a command that must succeed, for programs, and reads its one object.
func (w *world) told(args ...string) (v map[string]any) {
	w.t.Helper()
	out, _, err := w.run(append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil {
		w.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return v
}

func (w *world) want(got map[string]any, want string) {
	w.t.Helper()
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		w.t.Fatal(err)
	}
	if d := cmp.Diff(wanted, got); d != "" {
		w.t.Errorf("(-want +got):\n%s", d)
	}
}

func TestUsers(t *testing.T) {
	w := newWorld(t)
	add := []string{"add", "alice", "--email", "alice@example.com", "--display-name", "Alice Liddell", "--cadence", "2", "--hours", "regular", "--tenant", "acme"}
	const alice = `"user_id": "alice", "email": "alice@example.com", "display_name": "Alice Liddell", "broker_env": "paper", "cadence_minutes": 2, "sync_hours": "regular", "tenant_id": "acme", "created_at": "2026-11-24T12:00:00Z"`
	w.want(w.told(add...), `{`+alice+`, "status": "pending", "added": true}`)
	w.want(w.told(add...), `{`+alice+`, "status": "pending", "added": false}`)
	d, err := w.db.Get(t.Context(), "users/alice")
	if err != nil {
		t.Fatal(err)
	}
	delete(d.Fields, "created_at")
	want := document.Fields{"email": "alice@example.com", "displayName": "Alice Liddell", "status": "pending", "cadence_minutes": int64(2), "sync_hours": "regular", "tenant_id": "acme"}
	if diff := cmp.Diff(want, d.Fields); diff != "" {
		t.Errorf("the document (-want +got):\n%s", diff)
	}
	if _, _, err := w.run("add", "alice", "--email", "other@example.com"); err == nil || !strings.Contains(err.Error(), "another e-mail, display name, cadence, hours, tenant") {
		t.Errorf("added with other data: %v", err)
	}
	if out, _, err := w.run("add", "bob"); err != nil || !strings.Contains(out, "agenttrader keys set bob") {
		t.Errorf("add bob: %q, %v", out, err)
	}
	if _, _, err := w.run("resume", "alice"); err == nil || !strings.Contains(err.Error(), "keys set alice") {
		t.Errorf("resumed without keys: %v", err)
	}
	if _, err := w.store.UseKeys(t.Context(), "alice", "1", "live"); err != nil {
		t.Fatal(err)
	}
	w.want(w.told("pause", "alice"), `{"user_id": "alice", "status_before": "active", "status": "paused"}`)
	w.want(w.told("resume", "alice"), `{"user_id": "alice", "status_before": "paused", "status": "active"}`)
	w.want(w.told("disable", "alice"), `{"user_id": "alice", "status_before": "active", "status": "disabled"}`)
	if out, _, err := w.run("resume", "alice", "nobody", "bob"); err == nil || !strings.Contains(out, "user alice is active (disabled before)") || !strings.Contains(err.Error(), "no user nobody") || !strings.Contains(err.Error(), "user bob has no keys") {
		t.Errorf("resume of three: %q, %v", out, err)
	}
	out, _, err := w.run("list")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); err != nil || len(lines) != 3 || !strings.HasPrefix(lines[1], "alice") || !strings.Contains(lines[1], "active") || !strings.HasPrefix(lines[2], "bob") || !strings.Contains(lines[2], "pending") {
		t.Errorf("list: %v\n%s", err, out)
	}
	w.want(w.told("list", "--status", "pending"), `{"user_id": "bob", "status": "pending", "broker_env": "paper", "sync_hours": "always", "created_at": "2026-11-24T12:00:00Z"}`)
	if out, _, err := w.run("list", "--limit", "1", "--json"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("list of one: %v\n%s", err, out)
	}
	if _, errs, err := w.run("list", "--status", "paused"); err != nil || !strings.Contains(errs, "no users") {
		t.Errorf("list of none: %v, %q", err, errs)
	}
}

func TestShow(t *testing.T) {
	w := newWorld(t)
	if err := w.store.PutUser(t.Context(), user.User{ID: "alice", Status: user.Active, KeyVersion: "1"}); err != nil {
		t.Fatal(err)
	}
	if out, _, err := w.run("show", "alice"); err != nil || !strings.Contains(out, "pending") || strings.Contains(out, "equity") {
		t.Errorf("without a snapshot: %v\n%s", err, out)
	}
	if _, err := w.store.PutSnapshot(t.Context(), porttest.Snapshot("alice", 1, w.now.Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	got := w.told("show", "alice")
	sync, _ := got["sync"].(map[string]any)
	snapshot, _ := got["snapshot"].(map[string]any)
	if sync["ok"] != false || sync["stale"] != true || snapshot["observed_at"] != "2026-11-24T11:00:00Z" || snapshot["equity"] == nil {
		t.Errorf("%v", got)
	}
	if out, _, err := w.run("show", "alice"); err != nil || !strings.Contains(out, "stale") || !strings.Contains(out, "equity") || !strings.Contains(out, "doctor") {
		t.Errorf("for people: %v\n%s", err, out)
	}
	if err := w.db.Set(t.Context(), store.SnapshotPath("alice"), document.Fields{"tick": int64(7), "observed_at": w.now}); err != nil {
		t.Fatal(err)
	}
	if out, _, err := w.run("show", "alice"); err != nil || !strings.Contains(out, "can't be read") {
		t.Errorf("an odd snapshot: %v\n%s", err, out)
	}
}

// Bad input ends in one clear line, and nothing is half-done.
func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"add"}, "one user's id"},
		{[]string{"add", "a", "b"}, "one user's id"},
		{[]string{"add", "a/b"}, "user id"},
		{[]string{"add", ""}, "user id"},
		{[]string{"add", "../alice"}, "user id"},
		{[]string{"add", strings.Repeat("a", 129)}, "user id"},
		{[]string{"add", "bob", "--email", "bob"}, "e-mail"},
		{[]string{"add", "bob", "--email", "Bob <bob@example.com>"}, "e-mail"},
		{[]string{"add", "bob", "--display-name", strings.Repeat("x", 100)}, "100 characters"},
		{[]string{"add", "bob", "--display-name", "a\x1b[2Jb"}, "can be seen"},
		{[]string{"add", "bob", "--cadence", "-1"}, "cadence"},
		{[]string{"add", "bob", "--cadence", "1441"}, "cadence"},
		{[]string{"add", "bob", "--cadence", "often"}, "--cadence"},
		{[]string{"add", "bob", "--hours", "office"}, "--hours"},
		{[]string{"add", "bob", "--tenant", "a/b"}, "tenant"},
		{[]string{"add", "bob", "--email", "x", "--hours", "y"}, "e-mail"},
		{[]string{"add", "a/b", "--email", "x", "--display-name", "\n", "--tenant", "c/d", "--cadence", "-1", "--hours", "y"}, "user id, e-mail, display name, tenant_id, cadence, --hours"},
		{[]string{"list", "--status", "well"}, "--status"},
		{[]string{"list", "--limit", "-1"}, "--limit"},
		{[]string{"list", "x"}, "unknown command"},
		{[]string{"show"}, "one user's id"},
		{[]string{"show", "nobody"}, "no user nobody"},
		{[]string{"pause"}, "at least 1"},
		{[]string{"pause", "alice", "a/b"}, "user id"},
		{[]string{"pause", "nobody"}, "no user nobody"},
		{[]string{"remove"}, "one user's id"},
		{[]string{"remove", "nobody", "--yes"}, "nothing of theirs"},
		{[]string{"remove", "alice"}, "say --yes"},
		{[]string{"remove", "alice", "--yes", "--export", "/does/not/exist"}, "--export"},
	} {
		w := newWorld(t)
		if err := w.store.PutUser(t.Context(), user.User{ID: "alice", Status: user.Active}); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.run(c.args...)
		for _, want := range strings.Split(c.want, ", ") {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n\n") {
				t.Errorf("%q: %v, want %q", c.args, err, want)
			}
		}
		page, err := w.store.Profiles(t.Context(), "", 10)
		if err != nil || len(page.Users) != 1 || (page.Users[0].Status != user.Active && c.args[0] != "remove") {
			t.Errorf("%q left %+v, %v", c.args, page.Users, err)
		}
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "alice.jsonl")
	put := func() {
		t.Helper()
		for path, f := range map[string]document.Fields{
			"users/alice": {"email": "alice@example.com", "status": "active", "tenant_id": "acme"}, "users/alice/notes/1": {"text": "mine"},
			"tenants/acme/accounts/primary": {"user_id": "alice"}, "users/bob": {"status": "active"},
		} {
			if err := w.db.Set(t.Context(), path, f); err != nil {
				t.Fatal(err)
			}
		}
		w.vault.Add("alice", []byte(`{"key_id":"PKCANARY","secret_key":"canary-secret"}`))
	}
	put()
	w.terminal, w.typed = true, "alic\n"
	if _, errs, err := w.run("remove", "alice"); err == nil || !strings.Contains(err.Error(), "nothing was done") || !strings.Contains(errs, "alice@example.com") {
		t.Errorf("another word was typed: %v, %q", err, errs)
	}
	if p, err := w.store.Profile(t.Context(), "alice"); err != nil || p.Status != user.Active {
		t.Errorf("another word was typed: %+v, %v", p, err)
	}
	if err := os.WriteFile(file, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.run("remove", "alice", "--yes", "--export", file); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over another file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine\n" {
		t.Errorf("another file was changed: %q, %v", b, err)
	}
	if _, err := w.db.Get(t.Context(), "users/alice/notes/1"); err != nil {
		t.Errorf("deleted without the export: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}

	// Stopped in the middle of the deletions: the export is whole, and stays as it is.
	n := 0
	w.db.SetHook(func(_ context.Context, op mem.Op) error {
		if op.Kind == "delete" {
			if n++; n > 1 {
				return errors.New("stopped")
			}
		}
		return nil
	})
	if _, _, err := w.run("remove", "alice", "--yes", "--export", file); err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("stopped: %v", err)
	}
	w.db.SetHook(nil)
	whole, err := os.ReadFile(file)
	if err != nil || strings.Count(string(whole), "\n") != 4 || strings.Contains(string(whole), "canary") {
		t.Errorf("export: %v\n%s", err, whole)
	}
	w.typed = "alice\n"
	out, _, err := w.run("remove", "alice", "--export", file)
	for _, want := range []string{"user alice is removed", "3 documents, to " + file, "tenants/acme/accounts/primary", "1 in users/{uid}\n", "the next tick"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("removed: %v, no %q in\n%s", err, want, out)
		}
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, whole) {
		t.Errorf("the export was changed: %v\n%s", err, again)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the export can be read by others: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	put()
	for path, f := range map[string]document.Fields{"migrations/alice/backups/b": {"body": []byte("x")}, "tradingSignals/1": {"symbol": "SPY"}} {
		if err := w.db.Set(t.Context(), path, f); err != nil {
			t.Fatal(err)
		}
	}
	out, _, err = w.run("remove", "alice", "--yes", "--export", filepath.Join(dir, "again.jsonl"))
	for _, want := range []string{"4 documents, to ", "migrations/alice/backups/b: what it keeps can't be read", "tradingSignals/1, and others like it: they name nobody", "LEGACY_USER=alice", "taken out of 1 vault;"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("removed: %v, no %q in\n%s", err, want, out)
		}
	}
	if err := w.db.Delete(t.Context(), "tradingSignals/1", time.Time{}); err != nil {
		t.Fatal(err)
	}

	put()
	got := w.told("remove", "alice", "--yes")
	w.want(got, `{"user_id": "alice", "documents": {"users/{uid}": 1, "users/{uid}/notes": 1}, "vaults": 1, "legacy": ["tenants/acme/accounts/primary"], "legacy_shared": [], "exported": 0, "roster": "noted: the next tick takes the entry out"}`)
	if _, err := w.db.Get(t.Context(), "users/bob"); err != nil {
		t.Errorf("bob: %v", err)
	}
	if w.vault.Alive("alice") != 0 {
		t.Error("the keys are still there")
	}
}

func TestHelp(t *testing.T) {
	w := newWorld(t)
	for _, verb := range []string{"add", "list", "show", "pause", "resume", "disable", "remove"} {
		if out, _, err := w.run(verb, "--help"); err != nil || !strings.Contains(out, "agenttrader users "+verb) || !strings.Contains(out, "--json") || !strings.Contains(out, "Examples:") {
			t.Errorf("%s --help: %v\n%s", verb, err, out)
		}
	}
}
