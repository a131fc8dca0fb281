package checkup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

type world struct {
	t     *testing.T
	db    *mem.DB
	store *store.Store
	now   time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	w.db = mem.NewDB(func() time.Time { return w.now })
	w.store = store.New(w.db)
	return w
}

func (w *world) run(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	c := command(func(context.Context, string) (*desk, error) {
		return &desk{where: "test", store: w.store, now: func() time.Time { return w.now }, close: func() error { return nil }}, nil
	}, func(any) bool { return false })
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(w.t.Context())
	return out.String(), errs.String(), err
}

// synced is a user who was synced so long ago.
func (w *world) synced(id string, ago time.Duration) {
	w.t.Helper()
	if err := w.store.PutUser(w.t.Context(), user.User{ID: id, Status: user.Active, CadenceMinutes: 1}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.PutSnapshot(w.t.Context(), porttest.Snapshot(id, 1, w.now.Add(-ago))); err != nil {
		w.t.Fatal(err)
	}
}

// fails is a user whose keys were refused at so many ticks.
func (w *world) fails(id string, ticks int) {
	w.t.Helper()
	for n := range ticks {
		_, _, err := w.store.Update(w.t.Context(), id, func(h health.Health) health.Health {
			return h.After(health.Attempt{Tick: tick.Of(w.now) + tick.Tick(n), At: w.now.Add(time.Duration(n) * time.Minute), Cause: health.Unauthorized})
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	for i := range 620 { // more than a page
		w.synced(fmt.Sprintf("well-%03d", i), time.Minute)
	}
	out, errs, err := w.run()
	if err != nil || out != "" || !strings.Contains(errs, "620 users, 0 not ok (test)") {
		t.Errorf("all are well: %v, %q, %q", err, out, errs)
	}
	w.synced("alice", time.Minute)
	w.fails("alice", 2)
	w.synced("old", time.Hour)
	if err := w.store.Add(t.Context(), user.Profile{User: user.User{ID: "new"}}); err != nil {
		t.Fatal(err)
	}
	w.synced("off", time.Hour)
	if _, _, err := w.store.SetStatus(t.Context(), "off", func(user.Profile) (user.Status, error) { return user.Paused, nil }); err != nil {
		t.Fatal(err)
	}
	w.synced("odd", time.Minute)
	if err := w.db.Set(t.Context(), store.SnapshotPath("odd"), document.Fields{"tick": int64(7)}); err != nil {
		t.Fatal(err)
	}
	out, _, err = w.run()
	if err == nil || err.Error() != "not ok: 4 of 625 users" {
		t.Errorf("four are ill: %v", err)
	}
	for id, want := range map[string]string{"alice": "needs_reauth BROKER_UNAUTHORIZED  2 ticks", "old": "stale", "new": "keys set new", "odd": "can't be read"} {
		if line := lineOf(out, id); !strings.Contains(line, want) {
			t.Errorf("%s: %q, want %q", id, line, want)
		}
	}
	if strings.Contains(out, "well-") || strings.Contains(out, "off") {
		t.Errorf("who is ok is shown:\n%s", out)
	}
	out, _, err = w.run("--json")
	var r report
	if e := json.Unmarshal([]byte(out), &r); e != nil || err == nil {
		t.Fatalf("%v, %v: %s", e, err, out)
	}
	if d := cmp.Diff(map[string]int{"ok": 620, "needs_reauth": 1, "stale": 1, "pending": 1, "disabled": 1, "degraded": 1}, r.States); d != "" || r.Users != 625 || r.NotOK != 4 || len(r.Findings) != 4 {
		t.Errorf("%+v (-want +got):\n%s", r, d)
	}
	if out, _, err := w.run("--user", "well-001"); err != nil || !strings.Contains(out, "ok") {
		t.Errorf("one who is well: %v, %q", err, out)
	}
	if out, _, err := w.run("--user", "alice", "--json"); err == nil || !strings.Contains(out, `"advice":"Alpaca refuses the API keys (401)`) {
		t.Errorf("one who is ill: %v, %q", err, out)
	}
	if out, _, _ := w.run("--all"); lineOf(out, "off") == "" || strings.Count(out, "\n") != 626 {
		t.Errorf("all: %d lines", strings.Count(out, "\n"))
	}
}

func TestHealthFails(t *testing.T) {
	w := newWorld(t)
	w.synced("alice", time.Minute)
	for _, c := range []struct{ args, want string }{{"--user a/b", "user id"}, {"--user nobody", "no user nobody"}, {"--user alice x", "unknown command"}} {
		if _, _, err := w.run(strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
	// A database that does not answer is no finding about a user.
	w.db.SetHook(func(_ context.Context, op mem.Op) error {
		if op.Path == store.SnapshotPath("alice") {
			return fmt.Errorf("down: %w", document.ErrUnavailable)
		}
		return nil
	})
	for _, args := range [][]string{nil, {"--user", "alice"}} {
		if out, _, err := w.run(args...); !errors.Is(err, document.ErrUnavailable) || out != "" {
			t.Errorf("%v while the database is down: %v, %q", args, err, out)
		}
	}
	if out, _, err := w.run("--help"); err != nil || !strings.Contains(out, "agenttrader health --user alice") || !strings.Contains(out, "--json") {
		t.Errorf("help: %v\n%s", err, out)
	}
}

func lineOf(out, user string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, user+" ") {
			return line
		}
	}
	return ""
}
