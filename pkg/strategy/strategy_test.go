package strategy_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

func usd(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}

func rebalance(params map[string]any) (strategy.Strategy, error) {
	return strategy.New(strategy.Definition{ID: "r", Kind: strategy.KindRebalance, Params: params})
}

// Equity of $10,000; targets SPY 60 %, TLT 30 %, band 5 %.
func TestRebalance(t *testing.T) {
	s, err := rebalance(map[string]any{"weights": map[string]any{"SPY": 0.6, "TLT": "0.3"}})
	if err != nil {
		t.Fatal(err)
	}
	pos := func(symbol, qty, value string) account.Position {
		return account.Position{Symbol: symbol, Qty: decimal.RequireFromString(qty), MarketValue: usd(value)}
	}
	for name, c := range map[string]struct {
		in   strategy.Input
		want []string
	}{
		"all cash":                    {strategy.Input{}, []string{"buy SPY 6000", "buy TLT 3000"}},
		"inside the band":             {strategy.Input{Positions: []account.Position{pos("SPY", "10", "6500"), pos("TLT", "30", "2500")}}, nil},
		"sells come first":            {strategy.Input{Positions: []account.Position{pos("SPY", "8", "5000"), pos("TLT", "40", "4000.019")}}, []string{"sell TLT 1000.01", "buy SPY 1000"}},
		"the quote beats the broker":  {strategy.Input{Positions: []account.Position{pos("SPY", "10", "6000"), pos("TLT", "30", "3000")}, Quotes: market.Prices{"SPY": decimal.NewFromInt(700)}}, []string{"sell SPY 1000"}},
		"an open order is waited for": {strategy.Input{Orders: []account.Order{{Symbol: "SPY"}}}, []string{"buy TLT 3000"}},
	} {
		c.in.Account.Equity = usd("10000")
		decision, err := s.Decide(c.in)
		intents := decision.Intents
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, i := range intents {
			got = append(got, string(i.Action)+" "+i.Symbol+" "+i.Notional.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, in := range map[string]strategy.Input{
		"EQUITY_UNAVAILABLE": {},
		"POSITION_SHORT":     {Account: account.Account{Equity: usd("1")}, Positions: []account.Position{pos("SPY", "-1", "-600")}},
		"PRICE_UNAVAILABLE":  {Account: account.Account{Equity: usd("1")}, Positions: []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(1)}}},
	} {
		if _, err := s.Decide(in); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%v, want denial %s", err, name)
		}
	}
}

func TestRebalanceParameters(t *testing.T) {
	ok, many := map[string]any{"SPY": 0.5}, map[string]any{}
	for i := range strategy.MaxWeights {
		many[fmt.Sprintf("A%d", i)] = 0.01
	}
	if _, err := rebalance(map[string]any{"weights": many}); err != nil {
		t.Errorf("%d weights: %v", len(many), err)
	}
	many = maps.Clone(many)
	many["B"] = 0.01
	for name, params := range map[string]map[string]any{
		"weights holds 51 symbols: want 1 to 50": {"weights": many},
		"weights is empty":                       {}, "weights is a string": {"weights": "SPY"}, "weights.SPY": {"weights": map[string]any{"SPY": "half"}},
		"want 0 to 1": {"weights": map[string]any{"SPY": -0.1}}, "add up to 1.1": {"weights": map[string]any{"SPY": 0.5, "TLT": 0.6}},
		`symbol "spy"`: {"weights": map[string]any{"spy": 0.1}}, "drift_band is 2": {"weights": ok, "drift_band": 2.0},
		"min_notional_usd is 0.5": {"weights": ok, "min_notional_usd": 0.5}, "every_minutes is 7": {"weights": ok, "every_minutes": int64(7)},
		"every_minutes is 3": {"weights": ok, "every_minutes": int64(3)}, `unknown parameter "bnad"`: {"weights": ok, "bnad": 1.0},
	} {
		if _, err := rebalance(params); !errors.Is(err, strategy.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v, want ErrInvalid that says %q", params, err, name)
		}
	}
	if _, err := strategy.New(strategy.Definition{Kind: "moon"}); !errors.Is(err, strategy.ErrInvalid) {
		t.Errorf("an unknown kind: %v, want ErrInvalid", err)
	}
}

func TestTriggers(t *testing.T) {
	noon := tick.Of(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	snap := func(minute tick.Tick, changed int64) *account.Snapshot {
		return &account.Snapshot{Tick: noon + minute, ChangedSeq: changed}
	}
	for name, c := range map[string]struct {
		old, now *account.Snapshot
		every    time.Duration
		any      bool
		cause    string
	}{
		"first snapshot":                       {nil, snap(1, 1), 0, true, "changed_seq:1"},
		"first snapshot knows no slot":         {nil, snap(0, 1), 5 * time.Minute, true, "changed_seq:1"},
		"heartbeat between slots":              {snap(1, 4), snap(4, 4), 5 * time.Minute, false, ""},
		"heartbeat over a slot":                {snap(4, 4), snap(7, 4), 5 * time.Minute, true, "schedule:20261124T1205Z"},
		"a slot of a coarser schedule not yet": {snap(4, 4), snap(7, 4), 15 * time.Minute, true, ""},
		"on the slot":                          {snap(-1, 4), snap(0, 4), 15 * time.Minute, true, "schedule:20261124T1200Z"},
		"the slot was the old tick":            {snap(0, 4), snap(3, 4), 15 * time.Minute, false, ""},
		"of missed slots the newest":           {snap(1, 4), snap(18, 4), 5 * time.Minute, true, "schedule:20261124T1215Z"},
		"change":                               {snap(1, 4), snap(2, 5), 5 * time.Minute, true, "changed_seq:5"},
		"change and slot":                      {snap(4, 4), snap(6, 5), 5 * time.Minute, true, "schedule:20261124T1205Z"},
	} {
		e := strategy.Between(c.old, *c.now)
		cause, _ := e.Cause(strategy.Triggers{Account: true, Every: c.every})
		if e.Any() != c.any || cause.Text != c.cause {
			t.Errorf("%s: any %t, cause %q; want %t, %q", name, e.Any(), cause.Text, c.any, c.cause)
		}
	}
}
