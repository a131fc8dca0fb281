package signaler_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/services/signaler"
)

type fixedQuotes struct{ now func() time.Time }

func (q fixedQuotes) Latest(_ context.Context, symbols []string) (map[string]market.Quote, error) {
	quotes := map[string]market.Quote{}
	for _, s := range symbols {
		quotes[s] = market.Quote{Bid: decimal.NewFromInt(99), Ask: decimal.NewFromInt(101), At: q.now()}
	}
	return quotes, nil
}

// asking is a world whose only strategy asks a model that says what say holds.
type asking struct {
	*world
	say   *strategy.Answer
	fault error
	calls int
}

func newAsking(t *testing.T, limit int) *asking {
	a := &asking{world: newWorld(t), say: &strategy.Answer{Text: `{"symbol":"SPY","action":"buy","confidence":0.8,"reason":"because"}`, Finish: "STOP"}}
	must(t, a.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
	must(t, a.store.PutStrategy(t.Context(), strategy.Definition{UserID: "u", ID: "g", Kind: strategy.KindGemini, Enabled: true, Params: map[string]any{
		"symbols": []any{"SPY", "TLT"}, "weight": 0.5, "every_minutes": int64(5), "context": "I like bonds",
	}}))
	model := mem.NewAdvisor(1)
	model.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) {
		a.calls++
		return a.say, a.fault
	})
	now := func() time.Time { return a.now }
	a.serve(t, &advice.Budget{Config: advice.Config{CallsPerUserDay: limit}, Next: model, Tally: a.store, Now: now})
	return a
}

func (a *asking) serve(t *testing.T, advisor strategy.Advisor) {
	now := func() time.Time { return a.now }
	var err error
	a.svc, err = signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: a.store, Strategies: a.store, Signals: a.store, Controls: a.store, Records: a.store, Quotes: fixedQuotes{now}, Advisor: advisor, Now: now,
		Fault: func(context.Context, string, error) { a.faults++ },
	})
	must(t, err)
}

// slot writes two snapshots with the 5-minute slot n between them, and returns the slot's event.
func (a *asking) slot(t *testing.T, n int, change func(*account.Snapshot)) (event int) {
	t.Helper()
	a.write(t, 5*n-1, len(a.events) == 0, "2000", change)
	a.write(t, 5*n+1, false, "2000", change)
	return len(a.events) - 1
}

// A trade is signed with what was asked and said. Nothing in it, or in what is kept beside it, says whose it is or holds a key.
func TestModelSignal(t *testing.T) {
	a := newAsking(t, 24)
	t.Setenv("GEMINI_API_KEY", "key-canary")
	n := a.slot(t, 1, func(s *account.Snapshot) {
		s.Account.ID, s.Raw["id"], s.Raw["account_number"] = "account-canary", "account-canary", "number-canary"
		s.OpenOrders = []account.Order{{ID: "order-canary", ClientOrderID: "client-canary", Symbol: "TLT"}}
	})
	for range 3 { // delivered again, and again
		a.deliver(t, n)
	}
	f := a.signals(t)["schedule:20261124T1205Z"]
	if f["action"] != "buy" || f["symbol"] != "SPY" || f["notional_usd"] != 400.0 || f["status"] != "pending" || f["reason"] != "model: because" || a.calls != 1 {
		t.Errorf("signal = %v, after %d calls", f, a.calls)
	}
	raw, _ := f["raw_model_output"].(string)
	var kept map[string]string
	must(t, json.Unmarshal([]byte(raw), &kept))
	if kept["answer"] != a.say.Text || kept["model"] != "gemini-2.5-flash" || kept["finish_reason"] != "STOP" || !strings.Contains(kept["prompt"], "I like bonds") {
		t.Errorf("raw_model_output = %s", raw)
	}
	d, err := a.db.Get(t.Context(), store.ModelPath("u"))
	must(t, err)
	state, err := json.Marshal(d.Fields)
	must(t, err)
	if strings.Contains(raw+string(state), "canary") || d.Fields["calls"] != int64(1) {
		t.Errorf("raw_model_output %s\nstate %s", raw, state)
	}
}

func TestModelDenials(t *testing.T) {
	for name, c := range map[string]struct {
		say    strategy.Answer
		code   string
		faults int
	}{
		"another symbol": {strategy.Answer{Text: `{"symbol":"NVDA","action":"buy","confidence":1,"reason":"r"}`}, "MODEL_SYMBOL_MISMATCH", 0},
		"NaN":            {strategy.Answer{Text: `{"symbol":"SPY","action":"buy","confidence":NaN,"reason":"r"}`}, "MODEL_ANSWER_INVALID", 0},
		"refused":        {strategy.Answer{Failure: strategy.ModelRefused, Detail: "it refused: SAFETY", Finish: "SAFETY"}, "MODEL_REFUSED", 0},
		"too late":       {strategy.Answer{Failure: strategy.ModelTimeout, Detail: "late"}, "MODEL_TIMEOUT", 1},
		"down":           {strategy.Answer{Failure: strategy.ModelUnavailable, Detail: "HTTP 503"}, "MODEL_UNAVAILABLE", 1},
		"not sure":       {strategy.Answer{Text: `{"symbol":"SPY","action":"buy","confidence":0.1,"reason":"r"}`}, "MODEL_CONFIDENCE_LOW", 0},
	} {
		a := newAsking(t, 24)
		a.say = &c.say
		n := a.slot(t, 1, nil)
		a.deliver(t, n)
		a.say = &strategy.Answer{Text: `{"symbol":"SPY","action":"buy","confidence":1,"reason":"r"}`} // too late: the cause is settled
		a.deliver(t, n)
		f := a.signals(t)["schedule:20261124T1205Z"]
		if f["action"] != "flat" || f["status"] != "rejected" || f["symbol"] != "*" || f["denial_code"] != c.code || f["raw_model_output"] == nil || a.calls != 1 || a.faults < c.faults {
			t.Errorf("%s: %v after %d calls, %d faults", name, f, a.calls, a.faults)
		}
	}
}

// The budget is the day's: past it nobody is asked, and the denial says so.
func TestModelBudget(t *testing.T) {
	a := newAsking(t, 2)
	for i := range 4 {
		a.deliver(t, a.slot(t, i+1, nil))
	}
	got := a.signals(t)
	if a.calls != 2 || got["schedule:20261124T1205Z"]["action"] != "buy" || got["schedule:20261124T1210Z"] != nil || got["schedule:20261124T1215Z"]["denial_code"] != "MODEL_BUDGET_EXCEEDED" || got["schedule:20261124T1220Z"]["denial_code"] != "MODEL_BUDGET_EXCEEDED" {
		t.Errorf("%d calls, signals %v", a.calls, got)
	}
}

// Nothing is asked of a model that is not there, on a snapshot that may not be traded on, or of a user who is gone.
func TestModelIsNotAsked(t *testing.T) {
	a := newAsking(t, 24)
	n := a.slot(t, 1, nil)
	a.now = a.now.Add(time.Hour)
	a.deliver(t, n)
	if f := a.signals(t)["schedule:20261124T1205Z"]; f["denial_code"] != "SNAPSHOT_STALE" || f["raw_model_output"] != nil || a.calls != 0 {
		t.Errorf("stale: %v after %d calls", f, a.calls)
	}
	a = newAsking(t, 24)
	a.serve(t, nil)
	a.deliver(t, a.slot(t, 1, nil))
	if f := a.signals(t)["schedule:20261124T1205Z"]; f["denial_code"] != "MODEL_UNAVAILABLE" || f["raw_model_output"] != nil {
		t.Errorf("no model: %v", f)
	}
	a = newAsking(t, 24)
	n = a.slot(t, 1, nil)
	must(t, a.db.Delete(t.Context(), store.SnapshotPath("u"), time.Time{}))
	a.deliver(t, n)
	if _, err := a.db.Get(t.Context(), store.ModelPath("u")); err == nil || a.calls != 0 || len(a.signals(t)) != 0 {
		t.Errorf("a removed user: %v, %d calls, signals %v", err, a.calls, a.signals(t))
	}
}

// Nobody pays for an answer of which nothing may come; the code says why it was not asked for.
func TestModelIsNotAskedInVain(t *testing.T) {
	halted := func(state risk.TradingState) func(*testing.T, *asking) {
		return func(t *testing.T, a *asking) {
			must(t, a.store.SetTrading(t.Context(), "u", "", risk.Trading{State: state, Reason: "r", Author: "a", At: noon}))
		}
	}
	hold := func(s *account.Snapshot) { s.Positions = []account.Position{share("SPY", 100)} }
	for name, c := range map[string]struct {
		before func(*testing.T, *asking)
		snap   func(*account.Snapshot)
		code   string // "": it is asked
	}{
		"active":                 {halted(risk.Active), nil, ""},
		"halted":                 {halted(risk.Halted), hold, "TRADING_HALTED"},
		"reducing nothing":       {halted(risk.Reducing), nil, "TRADING_REDUCING"},
		"reducing what is held":  {halted(risk.Reducing), hold, ""},
		"of another symbol":      {halted(risk.Reducing), func(s *account.Snapshot) { s.Positions = []account.Position{share("GLD", 100)} }, "TRADING_REDUCING"},
		"the account is blocked": {nil, func(s *account.Snapshot) { s.Raw["trading_blocked"] = true }, "ACCOUNT_BLOCKED"},
		"nobody knows the hours": {func(t *testing.T, a *asking) {
			must(t, a.store.SetLimits(t.Context(), "u", risk.ParseLimits(map[string]any{"hours": "regular"})))
		}, nil, "MARKET_UNKNOWN"},
	} {
		a := newAsking(t, 24)
		if c.before != nil {
			c.before(t, a)
		}
		a.deliver(t, a.slot(t, 1, c.snap))
		got, calls := a.signals(t)["schedule:20261124T1205Z"], 0
		if c.code == "" {
			calls = 1
		}
		if a.calls != calls || (c.code != "" && got["denial_code"] != c.code) {
			t.Errorf("%s: %d calls, %v; want %d, %q", name, a.calls, got, calls, c.code)
		}
	}
}

// A fault of ours settles nothing: the event comes again, and the strategies beside it have run.
func TestModelErrorComesAgain(t *testing.T) {
	a := newAsking(t, 24)
	a.strategy(t, "r", map[string]any{"weights": map[string]any{"GLD": 0.5}, "every_minutes": int64(5)})
	n := a.slot(t, 1, nil)
	good := a.say
	a.say, a.fault = nil, errors.New("database unavailable")
	if err := a.svc.Handle(t.Context(), a.events[n]); err == nil || !strings.Contains(err.Error(), "strategy g of user u") {
		t.Errorf("Handle = %v", err)
	}
	if got := a.signals(t); len(got) != 1 || got["schedule:20261124T1205Z"]["strategy_id"] != "r" {
		t.Errorf("signals = %v, want the other strategy's", got)
	}
	a.say, a.fault = good, nil
	must(t, a.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
	must(t, a.db.Delete(t.Context(), store.SignalPath("u", signal.ID("u", "r", "GLD", "schedule:20261124T1205Z")), time.Time{}))
	a.deliver(t, n)
	if f := a.signals(t)["schedule:20261124T1205Z"]; f["strategy_id"] != "g" || f["action"] != "buy" {
		t.Errorf("delivered again: %v", f)
	}
}

// panicking is an advisor that panics, with a secret.
type panicking struct{}

func (panicking) Advise(context.Context, string, strategy.Question) (strategy.Answer, error) {
	panic("key-canary")
}

// A panic while the model is asked is a denial, and the event is done.
func TestModelPanics(t *testing.T) {
	a := newAsking(t, 24)
	a.serve(t, panicking{})
	n := a.slot(t, 1, nil)
	a.deliver(t, n)
	var denied []any
	for _, f := range a.signals(t) {
		denied = append(denied, f["denial_code"])
		if reason, _ := f["reason"].(string); strings.Contains(reason, "canary") {
			t.Errorf("told: %s", reason)
		}
	}
	if len(denied) != 1 || denied[0] != strategy.ModelUnavailable || a.faults != 2 {
		t.Errorf("denied %v, %d faults", denied, a.faults)
	}
}
