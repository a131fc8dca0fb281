package risks

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)

// world is the documents of a user with one strategy.
type world struct {
	t     *testing.T
	db    *mem.DB
	store *store.Store
	login string
	pause func(context.Context) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: mem.NewDB(func() time.Time { return noon }), login: "jane", pause: func(context.Context) error { return nil }}
	w.store = store.New(w.db)
	must(t, w.store.PutUser(t.Context(), user.User{ID: "alice", Status: user.Active}))
	must(t, w.store.PutStrategy(t.Context(), strategy.Definition{UserID: "alice", ID: "half", Kind: strategy.KindDCA, Enabled: true}))
	return w
}

// run is one run of the program.
func (w *world) run(args ...string) (out, errs string, err error) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	c := command(func(context.Context, string) (*desk, error) {
		return &desk{where: "the test", store: w.store, now: func() time.Time { return noon }, pause: w.pause, close: func() error { return nil }}, nil
	}, func() string { return w.login }, func(any) bool { return false })
	c.SetArgs(args)
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(w.t.Context())
	return stdout.String(), stderr.String(), err
}

func (w *world) do(args ...string) string {
	w.t.Helper()
	out, _, err := w.run(args...)
	must(w.t, err)
	return out
}

func TestStates(t *testing.T) {
	w := newWorld(t)
	w.do("halt", "--platform", "--reason", "odd fills", "--author", "joe")
	w.do("reduce", "--user", "alice", "--reason", " moves ")
	w.do("halt", "--user", "alice", "--strategy", "half", "--reason", "retrained")
	out := w.do("show", "--user", "alice")
	want := `LEVEL          WHAT           IS        WHY
platform       trading_state  HALTED    odd fills, joe at 2026-11-24T17:00:00Z
user alice     trading_state  REDUCING  moves, jane at 2026-11-24T17:00:00Z
strategy half  trading_state  HALTED    retrained, jane at 2026-11-24T17:00:00Z
`
	if d := cmp.Diff(want, out); d != "" {
		t.Errorf("show (-want +got):\n%s", d)
	}
	c, err := w.store.UserControl(t.Context(), "alice")
	must(t, err)
	if c.Trading.State != risk.Reducing || c.Strategies["half"].State != risk.Halted || c.Strategies["half"].Author != "jane" || len(c.Limits.Invalid) > 0 {
		t.Errorf("controls %+v", c)
	}
	var v view
	must(t, json.Unmarshal([]byte(w.do("resume", "--user", "alice", "--strategy", "half", "--reason", "done", "--json")), &v))
	if v.Strategies["half"].State != risk.Active || v.User.State != risk.Reducing || v.Platform.State != risk.Halted || v.Day == nil {
		t.Errorf("--json: %+v", v)
	}
	w.do("resume", "--platform", "--reason", "mended")
	if out := w.do("show", "--platform"); !strings.Contains(out, "platform  trading_state  ACTIVE  mended, jane") {
		t.Errorf("platform: %s", out)
	}
	if _, errs, err := w.run("halt", "--user", "alice", "--strategy", "hlaf", "--reason", "r"); err != nil || !strings.Contains(errs, "has no strategy hlaf that runs") {
		t.Errorf("a slip of the pen: %q, %v", errs, err)
	}
}

func TestBreach(t *testing.T) {
	w := newWorld(t)
	state := &risk.State{Breaches: []risk.Breach{{Code: risk.DrawdownExceeded, At: noon.Add(-time.Hour), Value: decimal.NewFromInt(70), Bound: decimal.NewFromInt(50)}}}
	must(t, w.db.Set(t.Context(), "users/alice/riskState/current", state.Fields()))
	if out := w.do("show", "--user", "alice"); !strings.Contains(out, "breach         REDUCING  DRAWDOWN_EXCEEDED at 2026-11-24T16:00:00Z: lost 70.00, allowed 50.00") {
		t.Errorf("show:\n%s", out)
	}
}

// What is over counts no longer, though no run has ended it yet: not what expired, not what was executed and shown since, nor
// yesterday's.
func TestWhatIsOver(t *testing.T) {
	w := newWorld(t)
	snap := porttest.Snapshot("alice", 1, noon.Add(-time.Minute))
	snap.OpenOrders = nil
	_, err := w.store.PutSnapshot(t.Context(), snap)
	must(t, err)
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	usd := decimal.NewFromInt
	state := &risk.State{Day: risk.Day{Start: ago(12 * time.Hour), End: noon.Add(12 * time.Hour), Orders: 4, Notional: usd(1000)}, Reservations: []signal.Reservation{
		{SignalID: "open", Symbol: "SPY", Action: signal.Buy, Notional: usd(100), Reserved: usd(100), CreatedAt: ago(time.Minute), ExpiresAt: noon.Add(time.Minute)},
		{SignalID: "expired", Symbol: "GLD", Action: signal.Buy, Notional: usd(200), Reserved: usd(200), CreatedAt: ago(time.Hour), ExpiresAt: ago(45 * time.Minute)},
		{SignalID: "rejected", Symbol: "TLT", Action: signal.Buy, Notional: usd(400), Reserved: usd(400), CreatedAt: ago(10 * time.Minute), ExpiresAt: noon.Add(5 * time.Minute), SettledAt: ago(5 * time.Minute)},
		{SignalID: "executed", Symbol: "IWM", Action: signal.Buy, Notional: usd(300), Reserved: usd(300), CreatedAt: ago(time.Hour), ExpiresAt: ago(45 * time.Minute), SettledAt: ago(50 * time.Minute), Executed: true},
	}}
	store := func() { must(t, w.db.Set(t.Context(), "users/alice/riskState/current", state.Fields())) }
	store()
	if out := squeeze(w.do("show", "--user", "alice")); !strings.Contains(out, "today 3 signals 800.00 USD since 2026-11-24T05:00:00Z; 1 open signals reserve 100.00 USD") {
		t.Errorf("show:\n%s", out)
	}
	state.Reservations = state.Reservations[:1]
	state.Day = risk.Day{Start: ago(36 * time.Hour), End: ago(12 * time.Hour), Orders: 40, Notional: usd(10000)}
	store()
	if out := squeeze(w.do("show", "--user", "alice")); !strings.Contains(out, "today 0 signals 0.00 USD since 2026-11-24T05:00:00Z; 1 open signals reserve 100.00 USD") {
		t.Errorf("show, of yesterday's state:\n%s", out)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.do("halt", "--user", "alice", "--reason", "stays")
	w.do("limit", "--user", "alice", "max_trade_usd=500", "hours=regular", "deny_symbols=GME, amc", "allow_symbols=")
	out := w.do("limit", "--user", "alice", "max_trade_usd=none", "max_daily_loss_share=0.03")
	want := `user alice  trading_state         HALTED      stays, jane at 2026-11-24T17:00:00Z
user alice  allow_symbols         none at all  
user alice  deny_symbols          AMC,GME     
user alice  hours                 regular     
user alice  max_daily_loss_share  0.03        
`
	if !strings.HasSuffix(squeeze(out), squeeze(want)) {
		t.Errorf("limits:\n%s", out)
	}
	before, err := w.store.UserControl(t.Context(), "alice")
	must(t, err)
	for want, args := range map[string][]string{
		"\"max_trades=1\": want NAME=VALUE, NAME being one of allow_symbols": {"--user", "alice", "max_trade_usd=1", "max_trades=1"},
		"\"max_trade_usd\" can't be understood":                              {"--user", "alice", "max_trade_usd=much"},
		"in its own document":                                                {"--user", "alice", "--strategy", "half", "max_trade_usd=1"},
		"requires at least 1":                                                {"--user", "alice"},
	} {
		if _, _, err := w.run(append([]string{"limit"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	after, err := w.store.UserControl(t.Context(), "alice")
	must(t, err)
	if d := cmp.Diff(before, after, cmp.Comparer(func(a, b decimal.Decimal) bool { return a.Equal(b) })); d != "" {
		t.Errorf("what was refused was set all the same:\n%s", d)
	}
	must(t, w.db.Set(t.Context(), "platform/riskControls", document.Fields{"limits": map[string]any{"max_trade": 5.0}}))
	if _, _, err := w.run("limit", "--platform", "max_trade_usd=1"); err == nil || !strings.Contains(err.Error(), `"max_trade". Mend it in the document first`) {
		t.Errorf("what denies was taken away: %v", err)
	}
}

// between is a store in which somebody else sets a limit once, right after the controls were read.
type between struct {
	*store.Store
	t    *testing.T
	once sync.Once
}

func (b *between) UserControl(ctx context.Context, userID string) (risk.Control, error) {
	c, err := b.Store.UserControl(ctx, userID)
	b.other(ctx, userID)
	return c, err
}

func (b *between) ChangeLimits(ctx context.Context, userID string, change func(risk.Limits) (risk.Limits, error)) error {
	return b.Store.ChangeLimits(ctx, userID, func(l risk.Limits) (risk.Limits, error) {
		b.other(ctx, userID)
		return change(l)
	})
}

func (b *between) other(ctx context.Context, userID string) {
	b.once.Do(func() {
		must(b.t, b.Store.ChangeLimits(ctx, userID, func(l risk.Limits) (risk.Limits, error) { return change(l, []string{"max_orders_per_day=3"}) }))
	})
}

// Two who set limits at the same time set both.
func TestLimitsTogether(t *testing.T) {
	w := newWorld(t)
	b := &between{Store: w.store, t: t}
	c := command(func(context.Context, string) (*desk, error) {
		return &desk{where: "the test", store: b, now: func() time.Time { return noon }, close: func() error { return nil }}, nil
	}, func() string { return "jane" }, func(any) bool { return false })
	c.SetArgs([]string{"limit", "--user", "alice", "max_trade_usd=500"})
	c.SetOut(&bytes.Buffer{})
	c.SetErr(&bytes.Buffer{})
	must(t, c.ExecuteContext(t.Context()))
	now, err := w.store.UserControl(t.Context(), "alice")
	must(t, err)
	if f := now.Limits.Fields(); len(f) != 2 || len(now.Limits.Invalid) > 0 {
		t.Errorf("limits: %v, invalid %v; want both", f, now.Limits.Invalid)
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	for want, args := range map[string][]string{
		"whose? Say --platform":           {"show"},
		"leave --user and --strategy out": {"show", "--platform", "--user", "alice"},
		"Name the --user too":             {"show", "--strategy", "half"},
		"--user: user id":                 {"show", "--user", "a/b"},
		"there is no user bob":            {"halt", "--user", "bob", "--reason", "r"},
		"--reason is missing":             {"halt", "--user", "alice", "--reason", " "},
		"want 1 to 500 bytes":             {"halt", "--user", "alice", "--reason", strings.Repeat("x", 501)},
	} {
		if out, _, err := w.run(args...); err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%v: %q, %v; want %q", args, out, err, want)
		}
	}
	w.login = ""
	if _, _, err := w.run("halt", "--user", "alice", "--reason", "r"); err == nil || !strings.Contains(err.Error(), "--author is missing") {
		t.Errorf("nobody: %v", err)
	}
	if _, err := w.db.Get(t.Context(), "users/bob/riskControls/current"); err == nil {
		t.Error("a user who is not there was halted")
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
