package sim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
)

// What the adapter makes of each fault.
func TestFaultKinds(t *testing.T) {
	for _, c := range []struct {
		fault  string
		kind   broker.Kind
		status int
		code   int
	}{
		{"401", broker.Unauthorized, 401, 40110000},
		{"403", broker.Forbidden, 403, 40310000},
		{"429", broker.RateLimited, 429, 42910000},
		{"5xx", broker.Unavailable, 500, 50010000},
		{"html", broker.Unavailable, 502, 0},
		{"reset", broker.Unavailable, 0, 0},
		{"cut", broker.Unavailable, 200, 0},
		{"odd", broker.Malformed, 200, 0},
	} {
		f, err := sim.ParseFault(c.fault + "=k1")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, sim.Config{Faults: []sim.Fault{f}})
		_, err = w.session(t, "k1", "s1").Account(t.Context())
		var e *broker.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Status != c.status || e.Code != c.code || len(err.Error()) > 400 {
			t.Errorf("%s: %v (%+v), want %s, HTTP %d, code %d", c.fault, err, e, c.kind, c.status, c.code)
			continue
		}
		if want := start.Truncate(time.Minute).Add(time.Minute); c.fault == "429" && !e.ResetAt.Equal(want) {
			t.Errorf("429: resets at %v, want %v", e.ResetAt, want)
		}
	}
}

// What is null or missing never becomes 0 or false.
func TestSpoiledAccounts(t *testing.T) {
	for fault, missing := range map[string][]string{"null": {"equity", "buying_power", "cash"}, "missing": {"buying_power", "trading_blocked"}} {
		f, err := sim.ParseFault(fault + "=k1")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, sim.Config{Faults: []sim.Fault{f}})
		r, err := w.session(t, "k1", "s1").Account(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", fault, err)
		}
		has := map[string]bool{
			"equity": r.Account.Equity.Valid, "buying_power": r.Account.BuyingPower.Valid, "cash": r.Account.Cash.Valid,
			"trading_blocked": r.Account.TradingBlocked != nil,
		}
		for _, name := range missing {
			if has[name] {
				t.Errorf("%s: %s has a value: %+v", fault, name, r.Account)
			}
		}
	}
}
