package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/signaler"
)

var update = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)

// world is a user with two strategies, and the signaler that decides for them.
type world struct {
	t     *testing.T
	now   time.Time
	db    *mem.DB
	store *store.Store
	svc   *signaler.Service
	ttl   time.Duration // SIGNALER_DECISION_TTL
}

type quotes struct{ *world }

func (q quotes) Latest(context.Context, []string) (map[string]market.Quote, error) {
	return map[string]market.Quote{"SPY": {Bid: decimal.NewFromInt(599), Ask: decimal.NewFromInt(601), At: q.now}}, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: noon, ttl: signaler.DefaultConfig().DecisionTTL}
	w.db = mem.NewDB(func() time.Time { return w.now })
	w.store = store.New(w.db)
	must(t, w.store.PutUser(t.Context(), user.User{ID: "alice", Status: user.Active}))
	for id, limits := range map[string]map[string]any{"half": nil, "small": {"max_trade_usd": int64(100)}} {
		must(t, w.store.PutStrategy(t.Context(), strategy.Definition{
			UserID: "alice", ID: id, Kind: strategy.KindRebalance, Params: map[string]any{"weights": map[string]any{"SPY": 0.5}}, Enabled: true, Limits: limits,
		}))
	}
	raw := map[string]any{"id": "a", "status": "ACTIVE", "currency": "USD", "equity": "1000.50", "cash": "940", "buying_power": "940", "trading_blocked": false, "account_blocked": false}
	a, err := account.FromRaw(raw)
	must(t, err)
	_, err = w.store.PutSnapshot(t.Context(), account.Snapshot{
		UserID: "alice", Account: a, Raw: raw, ObservedAt: noon.Add(-30 * time.Second), Tick: tick.Of(noon), Seq: 1, ChangedSeq: 1, KeyPath: "key-canary", KeyVersion: "5",
		Positions: []account.Position{{Symbol: "SPY", Qty: decimal.New(1, -1), MarketValue: decimal.NewNullDecimal(decimal.NewFromInt(60))}},
	})
	must(t, err)
	w.svc, err = signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Records: w.store, Quotes: quotes{w}, Now: func() time.Time { return w.now },
	})
	must(t, err)
	return w
}

func (w *world) decide(strategyID, id string) []signaler.Made {
	w.t.Helper()
	made, err := w.svc.Generate(w.t.Context(), signaler.Demand{UserID: "alice", Symbol: "SPY", StrategyID: strategyID, ID: id})
	must(w.t, err)
	return made
}

// run is one run of the program.
func (w *world) run(args ...string) (out, errs string, err error) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	c := command(func(context.Context, string) (*desk, error) {
		return &desk{where: "the test", records: w.store, back: lookBack(w.ttl), now: func() time.Time { return w.now }, close: func() error { return nil }}, nil
	}, func(any) bool { return false })
	c.SetArgs(append([]string{"--user", "alice"}, args...))
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(w.t.Context())
	for _, text := range []string{stdout.String(), stderr.String()} {
		if strings.Contains(text, "canary") {
			w.t.Errorf("it shows where keys are:\n%s", text)
		}
	}
	return stdout.String(), stderr.String(), err
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	if out, errs, err := w.run(); err != nil || out != "" || !strings.Contains(errs, "no decision of the last 31 days") {
		t.Errorf("nothing yet: %q, %q, %v", out, errs, err)
	}
	w.decide("small", "one")
	w.now = noon.Add(time.Minute)
	bought := w.decide("half", "two")[0].Signals[0]
	w.now = noon.Add(26 * time.Hour)
	list, _, err := w.run()
	must(t, err)
	golden(t, "list.txt", list)

	denied, _, err := w.run("--signal", signal.ID("alice", "small", "SPY", "demand:one"), "--replay")
	must(t, err)
	golden(t, "denied.txt", denied)
	passed, _, err := w.run("--signal", bought.ID)
	must(t, err)
	golden(t, "passed.txt", passed)
	for name, args := range map[string][]string{
		"a time":               {"--at", "2026-11-24T17:01:00Z"},
		"a tick":               {"--at", "20261124T1701Z"},
		"days later":           {"--at", "2026-11-30T00:00:00Z"},
		"the decision's id":    {"--signal", signal.RunID("alice", "half", "demand:two")},
		"a time, one strategy": {"--at", "2026-11-30T00:00:00Z", "--strategy", "half"},
	} {
		if out, _, err := w.run(args...); err != nil || out != passed {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(passed, out))
		}
	}
	if out, _, err := w.run("--at", "20261124T1700Z"); err != nil || !strings.Contains(out, "demand:one") {
		t.Errorf("the minute before: %v\n%s", err, out)
	}
	var record struct {
		ID       string
		Cause    struct{ Text string }
		Strategy struct{ Params map[string]any }
		Verdicts []struct {
			Checks []struct{ Limit, Value, Bound, Distance, Code string }
		}
		Same *bool `json:"replayed_same"`
	}
	out, _, err := w.run("--at", "20261124T1700Z", "--json", "--replay")
	must(t, err)
	must(t, json.Unmarshal([]byte(out), &record))
	if record.Cause.Text != "demand:one" || strings.Count(out, "\n") != 1 || record.Same == nil || !*record.Same || len(record.Verdicts) != 1 {
		t.Errorf("--json: %s", out)
	}
	if out, _, err := w.run("--json", "--limit", "1"); err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, `"outcome":["buy SPY 440.25"]`) {
		t.Errorf("list --json: %v\n%s", err, out)
	}
}

// A user who is not there is said to be none, whatever is asked; one of the predecessor's, who has a snapshot and no document, is one.
func TestExplainNobody(t *testing.T) {
	w := newWorld(t)
	must(t, w.db.Delete(t.Context(), store.UserPath("alice"), time.Time{}))
	for _, args := range [][]string{nil, {"--at", "20261124T1700Z"}, {"--signal", "x"}} {
		if out, errs, err := w.run(args...); (err != nil) != (args != nil) || out != "" || strings.Contains(errs, "no user") || (err != nil && strings.Contains(err.Error(), "no user")) {
			t.Errorf("%v: %q, %q, %v", args, out, errs, err)
		}
		if out, _, err := w.run(append([]string{"--user", "alcie"}, args...)...); err == nil || out != "" || !strings.Contains(err.Error(), "there is no user alcie (the test)") {
			t.Errorf("%v: %q, %v", args, out, err)
		}
	}
}

// It is looked for as long as records are kept.
func TestExplainLooksFarBack(t *testing.T) {
	w := newWorld(t)
	w.decide("half", "one")
	w.now = noon.AddDate(0, 0, 100)
	if out, errs, err := w.run(); err != nil || out != "" || !strings.Contains(errs, "of the last 31 days") {
		t.Errorf("kept for 30 days: %q, %q, %v", out, errs, err)
	}
	w.ttl = 366 * 24 * time.Hour
	if out, _, err := w.run(); err != nil || !strings.Contains(out, "demand:one") {
		t.Errorf("%q, %v", out, err)
	}
	if _, _, err := w.run("--at", "20261124T1600Z"); err == nil || !strings.Contains(err.Error(), "no decision in the 367 days") {
		t.Errorf("before: %v", err)
	}
}

func TestExplainErrors(t *testing.T) {
	w := newWorld(t)
	w.decide("half", "one")
	must(t, w.db.Delete(t.Context(), store.DecisionPath("alice", signal.RunID("alice", "half", "demand:one")), time.Time{}))
	must(t, w.db.Set(t.Context(), store.DecisionPath("alice", "odd"), document.Fields{"body": []byte("noise"), "outcome": []any{"buy \x1b[31m"}}))
	for want, args := range map[string][]string{
		"leave one of them out":              {"--signal", "x", "--at", "20261124T1700Z"},
		"--at is \"noon\": want a time like": {"--at", "noon"},
		"--limit is 0":                       {"--limit", "0"},
		"--replay: which decision?":          {"--replay"},
		"--user: user id":                    {"--user", "a/b"},
		"--signal is \"a/b\"":                {"--signal", "a/b"},
		"has no signal and no decision x: 'agenttrader explain --user alice'": {"--signal", "x"},
		"no record is kept any longer":                                        {"--signal", signal.ID("alice", "half", "SPY", "demand:one")},
		"has no decision in the 31 days":                                      {"--at", "20261124T1700Z"},
		`can't be read, and came to buy \x1b[31m`:                             {"--signal", "odd"},
	} {
		out, _, err := w.run(args...)
		if err == nil || out != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %q, %v; want %q", args, out, err, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
