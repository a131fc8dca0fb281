package signaler_test

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/store"
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
				if f["status"] != "expired" || f["ended_code"] != c.why || f["superseded_by"] != nil || len(open) != 0 {
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
