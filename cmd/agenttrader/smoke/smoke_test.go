package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// world is a project in memory, with a paper and a live Alpaca of which each takes the keys of that name.
type world struct {
	t           *testing.T
	db          *mem.DB
	vault       *mem.Vault
	store       *store.Store
	paper, live string
	// after is the platform: it is told of the user whose strategy was written.
	after func(uid string)
	// fails makes an operation fail.
	fails func(op mem.Op) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: mem.NewDB(time.Now), vault: mem.NewVault(), after: func(string) {}, fails: func(mem.Op) error { return nil }}
	w.store = store.New(w.db)
	w.db.SetHook(func(_ context.Context, op mem.Op) error { return w.fails(op) })
	w.db.Watch(func(c mem.Written) {
		if p := strings.Split(c.Path, "/"); len(p) == 4 && p[2] == store.Strategies && c.New != nil {
			go w.after(p[1])
		}
	})
	for name, url := range map[string]*string{"paper": &w.paper, "live": &w.live} {
		s := sim.New(sim.Config{Now: time.Now})
		s.Register("PKCANARY"+name, "canary-secret-"+name)
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		*url = server.URL
	}
	return w
}

// run gives the report too, which is printed in any case.
func (w *world) run(ctx context.Context, keysOf string, args ...string) (r report, out string, err error) {
	w.t.Helper()
	open := func(context.Context, string) (*desk, error) {
		b, err := alpaca.New(alpaca.Config{PaperURL: w.paper, LiveURL: w.live})
		custody := secret.Custody{Vault: w.vault, Keepers: []secret.Keeper{w.vault}}
		return &desk{
			where: "test", db: w.db, store: w.store, now: time.Now, pause: time.Millisecond, cleanUp: time.Second, close: func() error { return nil },
			keys:    &onboard.Keys{Users: w.store, Custody: custody, Broker: b, Snapshots: w.store},
			remover: &onboard.Remover{DB: w.db, Users: w.store, Roster: w.store, Custody: custody},
		}, err
	}
	var stdout, stderr bytes.Buffer
	c := command(open, func(any) bool { return false })
	c.SetIn(strings.NewReader("PKCANARY" + keysOf + "\ncanary-secret-" + keysOf + "\n"))
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SetArgs(append(args, "--json"))
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(ctx)
	if e := json.Unmarshal(stdout.Bytes(), &r); e != nil {
		w.t.Fatalf("%v: %s, %v", e, stdout.Bytes(), err)
	}
	if all := stdout.String() + stderr.String(); strings.Contains(all, "CANARY") || strings.Contains(all, "canary") {
		w.t.Error("a key was shown")
	}
	return r, stderr.String(), err
}

// left are the user's documents and keys that are still there.
func (w *world) left(uid string) (paths []string) {
	w.t.Helper()
	if err := w.db.All(func(path string, _ []byte) {
		if strings.Contains(path, uid) && !strings.HasPrefix(path, "rosterChanges/") { // the next tick's to take
			paths = append(paths, path)
		}
	}); err != nil {
		w.t.Fatal(err)
	}
	if w.vault.Alive(uid) > 0 {
		paths = append(paths, "keys")
	}
	return paths
}

func (r report) steps() (names []string) {
	for _, s := range r.Steps {
		if !s.OK {
			s.Name += " failed"
		}
		names = append(names, s.Name)
	}
	return names
}

func (w *world) synced(uid string) {
	_, err := w.store.PutSnapshot(context.Background(), account.Snapshot{
		UserID: uid, Seq: 1, ObservedAt: time.Now(), KeyVersion: "1", Raw: map[string]any{"equity": "100000"},
		Account: account.Account{Status: "ACTIVE", Equity: decimal.NewNullDecimal(decimal.NewFromInt(100_000))},
	})
	if err != nil {
		w.t.Error(err)
	}
}

// signals places a signal, or the denial of a code.
func (w *world) signals(code string) func(uid string) {
	return func(uid string) {
		w.synced(uid)
		f := document.Fields{"symbol": "SPY", "action": "buy", "status": "pending", "notional": "1000.00", "reason": "drift", "expires_at": time.Now()}
		if code != "" {
			f = document.Fields{"symbol": "SPY", "action": "flat", "status": "rejected", "denial_code": code, "reason": "why"}
		}
		if err := w.db.Set(context.Background(), store.SignalPath(uid, "s1"), f); err != nil {
			w.t.Error(err)
		}
	}
}

// Each way that it may go ends with the right step, says what to do, and leaves nothing.
func TestEnds(t *testing.T) {
	way := func(n int, failed string) []string {
		names := slices.Clone([]string{"user", "keys", "strategy", "snapshot", "signal"}[:n])
		if failed != "" {
			names = append(names, failed+" failed")
		}
		return append(names, "clean-up")
	}
	down := errors.New("database is down")
	for name, c := range map[string]struct {
		keys   string
		set    func(w *world)
		steps  []string
		want   string
		denied string
	}{
		"a signal":  {"paper", func(w *world) { w.after = w.signals("") }, way(5, ""), "", ""},
		"a denial":  {"paper", func(w *world) { w.after = w.signals("MARKET_CLOSED") }, way(5, ""), "", "MARKET_CLOSED"},
		"our fault": {"paper", func(w *world) { w.after = w.signals("ENGINE_FAULT") }, way(4, "signal"), "a fault of the platform", ""},
		"no keys":   {"nobody", func(*world) {}, way(1, "keys"), "in force", ""},
		"live keys": {"live", func(*world) {}, way(1, "keys"), "live one are not taken", ""},
		"no Alpaca": {"paper", func(w *world) { w.paper = "http://127.0.0.1:1" }, way(1, "keys"), "ALPACA_PAPER_URL", ""},
		"no ticks":  {"paper", func(*world) {}, way(3, "snapshot"), "missed-ticks.md", ""},
		"no signal": {"paper", func(w *world) { w.after = w.synced }, way(4, "signal"), "dlq list", ""},
		"a syncer without the right": {"paper", func(w *world) {
			w.after = func(uid string) {
				if _, _, err := w.store.Update(context.Background(), uid, func(health.Health) health.Health {
					return health.Health{State: health.NeedsReauth, Cause: health.KeysDenied, Failures: 2}
				}); err != nil {
					w.t.Error(err)
				}
			}
		}, way(3, "snapshot"), "says KEYS_DENIED", ""},
		"a strategy that may be written": {"paper", func(w *world) {
			w.fails = func(op mem.Op) error {
				if op.Done && op.Kind == "set" && strings.HasSuffix(op.Path, "/strategies/smoke") {
					return down // only the answer was lost
				}
				return nil
			}
		}, way(2, "strategy"), "agenttrader doctor", ""},
		"a user who may be added": {"paper", func(w *world) {
			w.fails = func(op mem.Op) error {
				if op.Done && op.Kind == "create" && strings.HasPrefix(op.Path, "users/") {
					return down
				}
				return nil
			}
		}, way(0, "user"), "agenttrader doctor", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.set(w)
			r, _, err := w.run(t.Context(), c.keys, "--wait", "1s")
			if got := r.steps(); !slices.Equal(got, c.steps) {
				t.Errorf("steps %v, want %v (%v)", got, c.steps, err)
			}
			if r.OK != (c.want == "") || (err == nil) != r.OK || r.Denial != c.denied || r.Left != "" {
				t.Errorf("%+v, %v", r, err)
			}
			if err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want advice with %q", err, c.want)
			}
			if left := w.left(r.UserID); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// Interrupted while it waits, it removes the user all the same.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx, interrupt := context.WithCancel(t.Context())
	w.after = func(string) { interrupt() }
	r, _, err := w.run(ctx, "paper")
	if err == nil || !strings.Contains(err.Error(), "interrupted") || !slices.Equal(r.steps(), []string{"user", "keys", "strategy", "snapshot failed", "clean-up"}) && !slices.Equal(r.steps(), []string{"user", "keys", "strategy failed", "clean-up"}) {
		t.Errorf("%v, %+v", err, r)
	}
	if left := w.left(r.UserID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What could not be removed is named, with the command that does it; a fault that passes is waited for.
func TestLeft(t *testing.T) {
	for _, passes := range []bool{true, false} {
		w, tries := newWorld(t), 0
		w.after = w.signals("")
		w.fails = func(op mem.Op) error {
			if op.Kind == "delete" && !op.Done && strings.Contains(op.Path, store.SnapshotPath("")[len("users/"):]) {
				if tries++; !passes || tries < 3 {
					return errors.New("database is down")
				}
			}
			return nil
		}
		r, _, err := w.run(t.Context(), "paper")
		left := w.left(r.UserID)
		if passes && (err != nil || len(left) > 0 || r.Left != "") {
			t.Errorf("after a fault that passes: %v, %+v, left %v", err, r, left)
		}
		if !passes && (err == nil || !strings.Contains(err.Error(), "agenttrader users remove "+r.UserID+" --yes") || r.Left == "" || r.OK || len(left) == 0) {
			t.Errorf("after a fault that stays: %v, %+v, left %v", err, r, left)
		}
	}
}

// A user who is there already is nobody's to remove.
func TestOfAnother(t *testing.T) {
	w := newWorld(t)
	w.fails = func(op mem.Op) error {
		if op.Kind == "create" && !op.Done && strings.HasPrefix(op.Path, "users/") {
			if err := w.db.Set(context.Background(), op.Path, document.Fields{"status": "active"}); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	r, _, err := w.run(t.Context(), "paper")
	if err == nil || !slices.Equal(r.steps(), []string{"user failed"}) || !slices.Equal(w.left(r.UserID), []string{"users/" + r.UserID}) {
		t.Errorf("%v, %+v, left %v", err, r, w.left(r.UserID))
	}
}
