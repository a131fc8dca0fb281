package onboard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// grown is a user with something everywhere, in collections of ours and of others', beside a neighbour of a like name.
func (w *world) grown(id string) (documents map[string]int) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, uid := range []string{id, id + "2"} {
		must(w.t, w.store.Add(ctx, user.Profile{User: user.User{ID: uid, TenantID: "t-" + uid}, Email: uid + "@example.com"}))
		if _, err := w.keys.Set(ctx, uid, w.good(w.paper, uid), onboard.Change{}); err != nil {
			w.t.Fatal(err)
		}
		for _, k := range w.custody.Keepers {
			if n, err := k.Newest(ctx, uid); err != nil || n == 0 { // moved half-way
				must(w.t, errors.Join(err, k.Put(ctx, uid, creds(w.t, uid+"old"), "1")))
			}
		}
		if _, err := w.store.PutSnapshot(ctx, porttest.Snapshot(uid, 1, time.Now().UTC())); err != nil {
			w.t.Fatal(err)
		}
		for _, path := range []string{
			"strategies/half", "tradingSignals/s1", "tradingSignals/s2", "decisions/d1", "riskState/current", "riskState/model", "riskControls/current", "syncHealth/alpaca",
			"notes/1", "notes/1/pages/a", "notes/gone/pages/b", "notes/gone/pages/b/lines/c",
		} {
			must(w.t, w.db.Set(ctx, store.UserPath(uid)+"/"+path, document.Fields{"text": uid, "nan": math.NaN(), "list": []any{map[string]any{"at": time.Unix(0, 0).UTC()}, []byte{1}}}))
		}
		must(w.t, w.db.Set(ctx, "tenants/t-"+uid+"/accounts/primary", document.Fields{"user_id": uid, "equity": 1.0}))
		must(w.t, w.store.Refresh(ctx, uid, roster.OfUser))
		w.migrated(uid)
	}
	must(w.t, w.db.Set(ctx, "alpacaAccounts/snapshot", document.Fields{"user_id": id, "equity": 1.0}))
	documents = map[string]int{
		"": 1, "alpacaAccounts": 1, "strategies": 1, "tradingSignals": 3, onboard.Copies: 1, "decisions": 1, "riskState": 2, "riskControls": 1, "syncHealth": 1,
		"notes": 1, "notes/{id}/pages": 2, "notes/{id}/pages/{id}/lines": 1,
	}
	return documents
}

// migrated gives a user a legacy signal, copied, and taken away from where it was.
func (w *world) migrated(id string) {
	w.t.Helper()
	ctx, m := w.t.Context(), &migration.Mover{DB: w.db}
	must(w.t, w.db.Set(ctx, "tradingSignals/of-"+id, document.Fields{"user_id": id, "symbol": "SPY"}))
	source, err := w.db.Get(ctx, "tradingSignals/of-"+id)
	must(w.t, err)
	_, err = m.User(ctx, migration.Row{UserID: id, DisplayName: "Somebody"})
	must(w.t, err)
	_, _, err = m.Signals(ctx, id, []document.Document{source})
	must(w.t, err)
	if n, err := m.PruneSignals(ctx, id, []document.Document{source}); err != nil || n != 1 {
		w.t.Fatalf("pruned %d signals of %s: %v", n, id, err)
	}
}

// dump is all there is in the database, and in Secret Manager.
func (w *world) dump() map[string]string {
	all := map[string]string{}
	must(w.t, w.db.All(func(path string, body []byte) { all[path] = string(body) }))
	return all
}

// gone checks that nothing is left of one user, and that everything is left of the other.
func (w *world) gone(id string, before map[string]string) {
	w.t.Helper()
	now := w.dump()
	for path, body := range before {
		mine := false
		for _, segment := range strings.Split(path, "/") {
			mine = mine || segment == id || segment == "t-"+id
		}
		switch mine = mine || path == "alpacaAccounts/snapshot"; {
		case !mine && now[path] != body:
			w.t.Errorf("%s was changed or deleted", path)
		case path == "migrations/"+id:
			d, err := w.db.Get(w.t.Context(), path)
			if fields, _ := d.Fields["fields"].(map[string]any); err != nil || d.Fields["user"] != "removed" || len(fields) > 0 || d.Fields["tenant_id"] != "" || d.Fields["snapshot"] != "" {
				w.t.Errorf("%s says %v (%v), want only that the user was removed", path, d.Fields, err)
			}
		case mine && now[path] != "" && path != "rosterChanges/"+id:
			w.t.Errorf("%s is still there", path)
		}
	}
	for path := range now {
		if before[path] == "" && !strings.HasPrefix(path, "rosterChanges/") {
			w.t.Errorf("%s is new", path)
		}
	}
	if n := w.number(id); n != 0 {
		w.t.Errorf("the keys of %s are there, version %d", id, n)
	}
	changes, err := w.store.Changes(w.t.Context(), roster.OfUser, "", 100)
	if err != nil || len(changes) != 2 || changes[0].UserID != id || changes[0].Entry != nil || changes[1].Entry == nil {
		w.t.Errorf("notes for the roster: %+v, %v; want that %s is not in it, and %s2 is", changes, err, id, id)
	}
	if n := w.number(id + "2"); n == 0 {
		w.t.Error("the neighbour's keys are gone")
	}
}

func TestRemove(t *testing.T) {
	for _, custody := range custodies() {
		t.Run(custody, func(t *testing.T) {
			w, ctx := newWorld(t, custody), t.Context()
			want := w.grown("alice")
			before := w.dump()
			done, err := w.remover.Remove(ctx, "alice")
			if err != nil || done.Vaults != len(w.custody.Keepers) || len(done.Shared) > 0 {
				t.Errorf("%+v, %v", done, err)
			}
			if d := cmp.Diff(want, done.Documents); d != "" {
				t.Errorf("documents (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"tenants/t-alice/accounts/primary", "alpacaAccounts/snapshot"}, done.Legacy); d != "" {
				t.Errorf("legacy documents (-want +got):\n%s", d)
			}
			w.gone("alice", before)
			if _, err := w.remover.Remove(ctx, "alice"); !errors.Is(err, user.ErrNotFound) {
				t.Errorf("removed again: %v, want ErrNotFound", err)
			}
			// The syncer and the others who were at work come too late.
			if _, err := w.store.PutSnapshot(ctx, porttest.Snapshot("alice", 1, time.Now().UTC())); !errors.Is(err, user.ErrGone) {
				t.Errorf("a snapshot after the removal: %v, want ErrGone", err)
			}
			if _, _, err := w.store.Update(ctx, "alice", func(h health.Health) health.Health { h.Failures++; return h }); !errors.Is(err, user.ErrGone) {
				t.Errorf("a health record after the removal: %v, want ErrGone", err)
			}
			if err := w.store.RaiseKeyVersion(ctx, "alice", "9"); !errors.Is(err, user.ErrGone) {
				t.Errorf("a key version after the removal: %v, want ErrGone", err)
			}
			w.gone("alice", before)
		})
	}
}

// Killed anywhere, the user is not synced any more; the same call ends it. Meanwhile nobody brings the user back.
func TestKilledRemoval(t *testing.T) {
	for _, custody := range []string{envelopes, toward} {
		t.Run(custody, func(t *testing.T) {
			for n := 3; ; n += 5 { // there are hundreds of places
				w := newWorld(t, custody)
				w.grown("alice")
				before := w.dump()
				ctx, hit := w.killed(t.Context(), n)
				_, err := w.remover.Remove(ctx, "alice")
				if !hit() {
					must(t, err)
					if n < 100 {
						t.Errorf("only %d places to be killed at", n)
					}
					return
				}
				p, err := w.store.Profile(t.Context(), "alice")
				if began := err == nil && p.Status == user.Disabled; began {
					if _, err := w.keys.Set(t.Context(), "alice", w.good(w.paper, "again"), onboard.Change{}); !errors.Is(err, user.ErrRemoving) {
						t.Errorf("killed at %d: keys for one who is being removed: %v", n, err)
					}
					if _, _, err := onboard.Resume(t.Context(), w.store, "alice"); !errors.Is(err, user.ErrRemoving) {
						t.Errorf("killed at %d: resumed: %v", n, err)
					}
				}
				if _, err := w.remover.Remove(t.Context(), "alice"); err != nil && !errors.Is(err, user.ErrNotFound) {
					t.Errorf("killed at %d, called again: %v", n, err)
				}
				w.gone("alice", before)
			}
		})
	}
}

// Keys that are stored while their user is removed do not stay.
func TestRemovalMeetsKeys(t *testing.T) {
	for _, custody := range custodies() {
		for n := 1; n < 40; n++ {
			w := newWorld(t, custody)
			w.add("u")
			next := w.good(w.paper, "next")
			count := 0
			w.steps(func(ctx context.Context) error { // between any two steps of the one the other one happens
				w.mu.Lock()
				count++
				now := count == n
				w.mu.Unlock()
				if now {
					w.steps(func(context.Context) error { return nil })
					if _, err := w.remover.Remove(ctx, "u"); err != nil {
						t.Errorf("removal at %d: %v", n, err)
					}
				}
				return nil
			})
			_, err := w.keys.Set(t.Context(), "u", next, onboard.Change{})
			w.steps(func(context.Context) error { return nil })
			if _, gone := w.store.Profile(t.Context(), "u"); !errors.Is(gone, user.ErrNotFound) {
				break // it ended before
			}
			if w.number("u") != 0 {
				t.Errorf("%s: removed at step %d of setting keys (%v): version %d is there", custody, n, err, w.number("u"))
			}
		}
	}
}

// A document of the predecessor's goes only if it is this user's and nobody else's.
func TestRemoveLegacy(t *testing.T) {
	for name, c := range map[string]struct {
		tenant     string // of alice
		other      string // tenant of bob
		legacyUser string
		documents  map[string]document.Fields
		goes       []string
		shared     bool
	}{
		"alone in the tenant": {
			"acme", "", "", map[string]document.Fields{"tenants/acme/accounts/primary": {"user_id": "a former one"}, "tradingSignals/1": {"tenant_id": "acme"}, "tradingSignals/2": {"tenant_id": "acme", "user_id": "bob"}},
			[]string{"tenants/acme/accounts/primary", "tradingSignals/1"}, false,
		},
		"not alone in the tenant": {
			"acme", "acme", "", map[string]document.Fields{"tenants/acme/accounts/primary": {"user_id": "alice"}, "tradingSignals/1": {"tenant_id": "acme"}, "tradingSignals/2": {"user_id": "alice"}},
			[]string{"tradingSignals/2"}, true,
		},
		"no tenant":                {"", "", "", map[string]document.Fields{"tenants/acme/accounts/primary": {"user_id": "alice"}, "alpacaAccounts/snapshot": {"tenant_id": "acme"}, "tradingSignals/1": {"symbol": "SPY"}}, nil, false},
		"a tenant that is no path": {"a/b", "", "", map[string]document.Fields{"tenants/acme/accounts/primary": {"user_id": "alice"}, "tradingSignals/1": {"tenant_id": "a/b"}}, nil, false},
		"the first one":            {"", "", "", map[string]document.Fields{"alpacaAccounts/snapshot": {"user_id": "alice"}}, []string{"alpacaAccounts/snapshot"}, false},
		"the first one, by name":   {"", "", "alice", map[string]document.Fields{"alpacaAccounts/snapshot": {"tenant_id": "acme"}}, []string{"alpacaAccounts/snapshot"}, false},
		"another first one":        {"", "", "alice", map[string]document.Fields{"alpacaAccounts/snapshot": {"user_id": "bob"}}, nil, false},
		"signals that name nobody": {
			"", "", "alice", map[string]document.Fields{
				"tradingSignals/1": {"symbol": "SPY"}, "tradingSignals/2": {"tenant_id": "local"}, "tradingSignals/3": {"user_id": "bob"}, "tradingSignals/4": {"tenant_id": "acme"},
				"tradingSignals/5": {"user_id": "", "tenant_id": ""}, "tradingSignals/6": {"user_id": int64(7)},
			},
			[]string{"tradingSignals/1", "tradingSignals/2", "tradingSignals/5"}, false,
		},
		"local is another's tenant":  {"", "local", "alice", map[string]document.Fields{"tradingSignals/1": {"symbol": "SPY"}, "tradingSignals/2": {"tenant_id": "local"}}, []string{"tradingSignals/1"}, false},
		"local is the user's tenant": {"local", "", "alice", map[string]document.Fields{"tradingSignals/1": {"symbol": "SPY"}, "tradingSignals/2": {"tenant_id": "local"}}, []string{"tradingSignals/2", "tradingSignals/1"}, false},
		"whom a migration took for it": {
			"", "", "", map[string]document.Fields{"migrations/alice": {"user": "found", "legacy": true}, "tradingSignals/1": {"symbol": "SPY"}, "alpacaAccounts/snapshot": {"equity": 1.0}},
			[]string{"alpacaAccounts/snapshot", "tradingSignals/1"}, false,
		},
		"a migration took another": {"", "", "", map[string]document.Fields{"migrations/bob": {"user": "found", "legacy": true}, "tradingSignals/1": {"symbol": "SPY"}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(t, secrets), t.Context()
			w.remover.LegacyUser = c.legacyUser
			must(t, w.db.Set(ctx, store.UserPath("alice"), document.Fields{"tenant_id": c.tenant}))
			must(t, w.db.Set(ctx, store.UserPath("bob"), document.Fields{"tenant_id": c.other}))
			for path, f := range c.documents {
				must(t, w.db.Set(ctx, path, f))
			}
			done, err := w.remover.Remove(ctx, "alice")
			must(t, err)
			if d := cmp.Diff(c.goes, done.Legacy); d != "" || (len(done.Shared) == 1) != c.shared {
				t.Errorf("%+v (-want +got):\n%s", done, d)
			}
			for path := range c.documents {
				if _, err := w.db.Get(ctx, path); (err == nil) == slices.Contains(c.goes, path) {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
}

// Nobody knows whose a signal is that names nobody, while nobody has said whose they are: it stays, and the removal says so. Said
// afterwards, the same call goes on.
func TestRemoveUnnamed(t *testing.T) {
	w, ctx := newWorld(t, secrets), t.Context()
	w.add("alice")
	for i := range 400 { // more than are read at once
		must(t, w.db.Set(ctx, fmt.Sprintf("tradingSignals/%03d", i), document.Fields{"symbol": "SPY"}))
	}
	done, err := w.remover.Remove(ctx, "alice")
	if must(t, err); done.Unnamed != "tradingSignals/000" || len(done.Legacy) != 0 {
		t.Errorf("%+v", done)
	}
	w.remover.LegacyUser = "bob"
	if _, err := w.remover.Remove(ctx, "alice"); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("they are bob's: %v", err)
	}
	w.remover.LegacyUser = "alice"
	done, err = w.remover.Remove(ctx, "alice")
	if must(t, err); done.Unnamed != "" || len(done.Legacy) != 400 {
		t.Errorf("%d went, %q stays", len(done.Legacy), done.Unnamed)
	}
}

// What a migration keeps and can't be read stops no export: it is in there as it is.
func TestExportDamaged(t *testing.T) {
	w, ctx := newWorld(t, secrets), t.Context()
	w.grown("alice")
	q := document.Query{Collection: "migrations/alice/backups"}
	docs, err := w.db.Query(ctx, q)
	if must(t, err); len(docs) != 1 {
		t.Fatalf("%d backups", len(docs))
	}
	_, err = w.db.Update(ctx, docs[0].Path, document.Fields{"body": []byte("x")}, time.Time{})
	must(t, err)
	must(t, w.db.Set(ctx, "migrations/alice/backups/zz", document.Fields{})) // and one after it
	var out bytes.Buffer
	n, err := w.remover.Export(ctx, "alice", &out)
	must(t, err)
	if lines := strings.Count(out.String(), "\n"); lines != n+1 || n != 19 {
		t.Errorf("%d documents, %d lines", n, lines)
	}
	for _, want := range []string{`{"path":"` + docs[0].Path + `"`, `"body":"eA=="`, `"damaged":"` + docs[0].Path + " is damaged", `{"path":"migrations/alice/backups/zz"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// A migration that runs again, or is taken back, brings nobody back who was removed.
func TestRemovedStaysSo(t *testing.T) {
	w, ctx := newWorld(t, secrets), t.Context()
	w.grown("alice")
	if _, err := w.remover.Remove(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	m := &migration.Mover{DB: w.db}
	after := w.dump()
	if done, err := m.User(ctx, migration.Row{UserID: "alice", Email: "alice@example.com"}); err != nil || done.User != migration.Removed {
		t.Errorf("migrated again: %+v, %v", done, err)
	}
	if d := cmp.Diff(after, w.dump()); d != "" {
		t.Errorf("migrated again (-before +after):\n%s", d)
	}
	if r, err := m.TakeBack(ctx, migration.Made{UserID: "alice"}, true); err != nil || !r.Removed || r.Documents != 0 {
		t.Errorf("taken back: %+v, %v", r, err)
	}
	for _, path := range []string{store.UserPath("alice"), "tradingSignals/of-alice"} {
		if _, err := w.db.Get(ctx, path); !errors.Is(err, document.ErrNotFound) {
			t.Errorf("%s came back: %v", path, err)
		}
	}
	w.add("bob") // who was never migrated
	if _, err := w.remover.Remove(ctx, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Get(ctx, "migrations/bob"); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("a record of one who was never migrated: %v", err)
	}
}

// The export has all that the removal deletes, but for the keys.
func TestExport(t *testing.T) {
	w, ctx := newWorld(t, envelopes), t.Context()
	w.grown("alice")
	if _, err := w.remover.Begin(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := w.remover.Export(ctx, "alice", &out)
	must(t, err)
	lines := bufio.NewScanner(bytes.NewReader(out.Bytes()))
	lines.Scan()
	var h onboard.Header
	must(t, json.Unmarshal(lines.Bytes(), &h))
	if h.ExportOf != "alice" || !h.RemovedAt.Equal(w.profile("alice").RemovedAt) {
		t.Errorf("first line %+v", h)
	}
	exported := map[string]bool{}
	for lines.Scan() {
		var e onboard.Exported
		must(t, json.Unmarshal(lines.Bytes(), &e))
		exported[e.Path] = true
	}
	deleted := map[string]bool{}
	w.db.Watch(func(x mem.Written) { deleted[x.Path] = x.New == nil })
	if _, err := w.remover.Remove(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	delete(deleted, envelope.Path("alice"))
	delete(deleted, "rosterChanges/alice")
	delete(deleted, "migrations/alice") // it stays, and says nothing
	if d := cmp.Diff(deleted, exported); d != "" || n != len(exported) {
		t.Errorf("%d documents, deleted and exported differ:\n%s", n, d)
	}
	for _, hidden := range []string{"canary", "CANARY", "ciphertext", "keyEnvelopes"} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("the export says %q", hidden)
		}
	}
	if !strings.Contains(out.String(), `"copy_of":"tradingSignals/of-alice"`) {
		t.Error("the export lacks what a migration took away")
	}
	if !strings.Contains(out.String(), `"nan":"NaN"`) || !strings.Contains(out.String(), "1970-01-01T00:00:00Z") {
		t.Error("the export lacks figures or times")
	}
}

func TestStatus(t *testing.T) {
	w, ctx := newWorld(t, secrets), t.Context()
	verbs := map[string]func(context.Context, user.Registry, string) (user.Profile, user.Profile, error){"pause": onboard.Pause, "resume": onboard.Resume, "disable": onboard.Disable}
	for _, c := range []struct {
		was  any
		verb string
		want any // nil: refused
	}{
		{"active", "pause", "paused"}, {"paused", "pause", "paused"}, {"pending", "pause", nil}, {"disabled", "pause", nil}, {nil, "pause", "paused"},
		{"paused", "resume", "active"}, {"disabled", "resume", "active"}, {"active", "resume", "active"}, {"pending", "resume", nil}, {"odd", "resume", "active"}, {int64(7), "resume", "active"},
		{"active", "disable", "disabled"}, {"pending", "disable", "disabled"}, {"odd", "disable", "disabled"},
	} {
		f := document.Fields{"email": "x@example.com", "extra": int64(1)}
		if c.was != nil {
			f["status"] = c.was
		}
		must(t, w.db.Set(ctx, store.UserPath("u"), f))
		_, after, err := verbs[c.verb](ctx, w.store, "u")
		d, getErr := w.db.Get(ctx, store.UserPath("u"))
		must(t, getErr)
		want := c.want
		if want == nil {
			want = c.was
		}
		if (err == nil) != (c.want != nil) || d.Fields["status"] != want || d.Fields["extra"] != int64(1) {
			t.Errorf("%s of %v: %v, %v", c.verb, c.was, d.Fields, err)
		}
		if err == nil && string(after.Status) != fmt.Sprint(c.want) {
			t.Errorf("%s of %v: told %s", c.verb, c.was, after.Status)
		}
		if err != nil && !strings.Contains(err.Error(), "user u") {
			t.Errorf("%s of %v: %v does not say of whom", c.verb, c.was, err)
		}
	}
}
