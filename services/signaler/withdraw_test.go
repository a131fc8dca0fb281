package signaler_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// An open signal that its strategy wants no more is taken back, at once and once, and what it reserved is free.
func TestOpenSignalIsTakenBack(t *testing.T) {
	set := func(f document.Fields) func(*testing.T, *everything) {
		return func(t *testing.T, e *everything) {
			_, err := e.db.Update(t.Context(), store.StrategyPath("u", "r"), f, time.Time{})
			must(t, err)
		}
	}
	for name, c := range map[string]struct {
		happens func(*testing.T, *everything)
		why     string // "": it stays
	}{
		"bought by hand": {func(t *testing.T, e *everything) {
			e.write(t, 2, true, "500", func(s *account.Snapshot) { s.Positions = []account.Position{share("SPY", 500)} })
		}, risk.Withdrawn},
		"the weight is 0": {set(document.Fields{"params": map[string]any{"weights": map[string]any{"SPY": 0.0}}}), risk.Withdrawn},
		"off":             {set(document.Fields{"enabled": false}), risk.Stopped},
		"in shadow":       {set(document.Fields{"mode": "shadow"}), risk.Stopped},
		"gone": {func(t *testing.T, e *everything) {
			must(t, e.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
		}, risk.Stopped},
		"a heartbeat": {func(t *testing.T, e *everything) { e.write(t, 2, false, "1000", nil) }, ""},
		"another's edit": {func(t *testing.T, e *everything) {
			e.strategy(t, "other", map[string]any{"weights": map[string]any{"TLT": 0.0}})
		}, ""},
		"a change of power": {func(t *testing.T, e *everything) { e.write(t, 2, true, "900", nil) }, "superseded"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEverything(t)
			e.write(t, 1, true, "1000", nil)
			done := e.settle(t, 0)
			e.now = e.now.Add(10 * time.Second)
			c.happens(t, e)
			e.settle(t, done)
			for i := range e.all { // all of it again
				must(t, e.svc.Handle(t.Context(), e.all[i]))
			}
			f := e.signals(t)["changed_seq:1"]
			open, err := e.store.Open(t.Context(), "u")
			must(t, err)
			switch c.why {
			case "":
				if f["status"] != "pending" || f["ended_code"] != nil || len(open) != 1 {
					t.Errorf("signal = %v, %d reservations; want it open", f, len(open))
				}
			case "superseded": // the strategy says the same again
				if f["ended_code"] != nil || len(open) != 1 {
					t.Errorf("signal = %v, %d reservations; want one open", f, len(open))
				}
			default:
				if f["status"] != "expired" || f["ended_code"] != c.why || f["superseded_by"] != nil || slices.ContainsFunc(open, func(r signal.Reservation) bool { return r.Symbol == "SPY" }) {
					t.Errorf("signal = %v, %d reservations; want it taken back: %s", f, len(open), c.why)
				}
			}
		})
	}
}

// What its owner claimed by then is not taken back.
func TestClaimedSignalStands(t *testing.T) {
	e := newEverything(t)
	e.write(t, 1, true, "1000", nil)
	done := e.settle(t, 0)
	for path := range e.documents(t) {
		if _, err := e.db.Get(t.Context(), path); err == nil && path != "users/u/riskState/current" {
			_, err := e.db.Update(t.Context(), path, document.Fields{"status": " Executed "}, time.Time{})
			must(t, err)
		}
	}
	must(t, e.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
	for i := len(e.all) - 1; i >= done; i-- { // the deletion is heard of before the word
		must(t, e.svc.Handle(t.Context(), e.all[i]))
	}
	f := e.signals(t)["changed_seq:1"]
	open, err := e.store.Open(t.Context(), "u")
	must(t, err)
	if f["status"] != " Executed " || f["ended_code"] != nil || len(open) != 1 || !open[0].Executed {
		t.Errorf("signal = %v, %+v; want it claimed", f, open)
	}
}

// A model takes its time: what is said of trading, or written of the strategy meanwhile, holds for what comes of its answer.
func TestMeanwhile(t *testing.T) {
	const yes = `{"symbol":"SPY","action":"buy","confidence":0.8,"reason":"r"}`
	for name, c := range map[string]struct {
		happens func(*testing.T, *asking)
		again   bool   // the event comes again
		want    string // of the signal, if there is one
	}{
		"nothing": {func(*testing.T, *asking) {}, false, "buy"},
		"the platform is halted": {func(t *testing.T, a *asking) {
			a.now = a.now.Add(signaler.ControlLife)
			must(t, a.store.SetTrading(t.Context(), "", "", risk.Trading{State: risk.Halted, Reason: "r", Author: "a", At: a.now}))
		}, false, risk.TradingHalted},
		"the strategy is deleted": {func(t *testing.T, a *asking) {
			must(t, a.db.Delete(t.Context(), store.StrategyPath("u", "g"), time.Time{}))
		}, true, ""},
		"the strategy is edited": {func(t *testing.T, a *asking) {
			_, err := a.db.Update(t.Context(), store.StrategyPath("u", "g"), document.Fields{"limits": map[string]any{"deny_symbols": []any{"SPY"}}}, time.Time{})
			must(t, err)
		}, true, risk.SymbolDenied},
	} {
		a := newAsking(t, 24)
		asked := mem.NewAdvisor(1)
		asked.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) {
			if a.calls++; a.calls == 1 {
				a.now = a.now.Add(time.Second)
				c.happens(t, a)
			}
			return &strategy.Answer{Text: yes, Finish: "STOP"}, nil
		})
		a.serve(t, asked)
		n := a.slot(t, 1, nil)
		err := a.svc.Handle(t.Context(), a.events[n])
		if busy := event.ClassOf(err) == event.Busy; busy != c.again || !c.again && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		must(t, a.svc.Handle(t.Context(), a.events[n]))
		got := ""
		for _, f := range a.signals(t) {
			if got = f["action"].(string); got == "flat" {
				got = f["denial_code"].(string)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A breach takes back what was to open exposure, whatever its strategy runs for.
func TestBreachTakesBack(t *testing.T) {
	w := newWorld(t)
	must(t, w.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
	must(t, w.store.PutStrategy(t.Context(), strategy.Definition{UserID: "u", ID: "d", Kind: strategy.KindDCA, Enabled: true, Params: map[string]any{
		"symbol": "SPY", "notional_usd": "100", "every_minutes": int64(5),
	}, Limits: map[string]any{"max_daily_loss_share": 0.1}}))
	now := func(usd string) func(*account.Snapshot) {
		return func(s *account.Snapshot) {
			s.Raw["equity"], s.Raw["last_equity"], s.Flows, s.LastEquityAt = usd, "1000", account.Flows{At: noon, Since: noon.AddDate(0, 0, -9)}, noon
			var err error
			s.Account, err = account.FromRaw(s.Raw)
			must(t, err)
		}
	}
	w.write(t, 4, true, "1000", now("1000"))
	w.deliver(t, 0)
	w.write(t, 6, false, "1000", now("1000"))
	w.deliver(t, 1)
	w.write(t, 7, true, "1000", now("850"))
	w.deliver(t, 2)
	for cause, f := range w.signals(t) {
		if f["status"] != "expired" || f["ended_code"] != risk.TradingReducing {
			t.Errorf("%s: %v, want it taken back", cause, f)
		}
	}
	state, err := w.store.RiskState(t.Context(), "u")
	must(t, err)
	if len(state.Breaches) != 1 || len(state.Reservations) != 0 || len(w.signals(t)) != 1 {
		t.Errorf("%+v, %d signals", state, len(w.signals(t)))
	}
}
