package risk_test

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// An order by shares closes as many, whatever its limit is; of what it opens the limit counts. 10 SPY are held long at 500, 10
// TLT short at 90.
func TestOrdersByShares(t *testing.T) {
	limited := func(symbol, side, qty, limit string) order {
		return order{Symbol: symbol, Side: side, Qty: usd(qty), LimitPrice: usd(limit), Status: "new"}
	}
	held := func(o order) order {
		o.Status = "held"
		return o
	}
	for name, c := range map[string]struct {
		orders                   []order
		action                   signal.Action
		symbol, notional, opened string
	}{
		"5 at a high limit leave 5":              {[]order{limited("SPY", "sell", "5", "750")}, signal.Sell, "SPY", "2500", "0"},
		"and no more":                            {[]order{limited("SPY", "sell", "5", "750")}, signal.Sell, "SPY", "2501", "1"},
		"10 at a low limit leave none":           {[]order{limited("SPY", "sell", "10", "100")}, signal.Sell, "SPY", "4000", "4000"},
		"what is filled is not to be closed":     {[]order{{Symbol: "SPY", Side: "sell", Qty: usd("8"), FilledQty: usd("4"), LimitPrice: usd("1")}}, signal.Sell, "SPY", "3001", "1"},
		"by shares and by notional":              {[]order{limited("SPY", "sell", "2", "600"), {Symbol: "SPY", Side: "sell", Notional: usd("1000")}}, signal.Sell, "SPY", "3000.01", "0.01"},
		"a pair of which one closes counts once": {[]order{limited("SPY", "sell", "5", "750"), held(order{Symbol: "SPY", Side: "sell", Qty: usd("5")})}, signal.Sell, "SPY", "2500.5", "0.5"},
		"a bracket's exits wait for its entry":   {[]order{limited("SPY", "buy", "10", "490"), held(limited("SPY", "sell", "10", "550")), held(order{Symbol: "SPY", Side: "sell", Qty: usd("10")})}, signal.Sell, "SPY", "5000", "0"},
		"a short, at a low limit":                {[]order{limited("TLT", "buy", "4", "50")}, signal.Buy, "TLT", "541", "1"},
		"a short, at a high limit":               {[]order{limited("TLT", "buy", "4", "150")}, signal.Buy, "TLT", "540", "0"},
	} {
		in := input(nil)
		in.Snapshot.OpenOrders = c.orders
		if v := risk.New(in).Check(intent(c.action, c.symbol, c.notional)); !v.Opens.Equal(dec(c.opened)) {
			t.Errorf("%s: opens %s, want %s", name, v.Opens, c.opened)
		}
		in.Levels[1].Trading.State, in.Snapshot.Account.BuyingPower = risk.Reducing, usd("0")
		want := map[bool]string{true: "", false: risk.TradingReducing}[c.opened == "0"]
		if v := risk.New(in).Check(intent(c.action, c.symbol, c.notional)); code(v) != want {
			t.Errorf("%s, reducing, without buying power: %v, want %q", name, v.Denial, want)
		}
	}

	third := input(nil) // a price that is no decimal
	third.Snapshot.Positions = []account.Position{{Symbol: "SPY", Qty: dec("3"), MarketValue: usd("1000")}}
	third.Snapshot.OpenOrders = []order{limited("SPY", "sell", "3", "500")}
	if v := risk.New(third).Check(intent(signal.Sell, "SPY", "0.01")); !v.Opens.Equal(dec("0.01")) {
		t.Errorf("all is on sale: opens %s", v.Opens)
	}
	quoted := input(nil) // the quote says what a share is worth, not the broker
	quoted.Quotes = map[string]market.Quote{"SPY": {Bid: dec("400"), Ask: dec("400"), At: noon}}
	quoted.Snapshot.OpenOrders = []order{limited("SPY", "sell", "5", "750")}
	if v := risk.New(quoted).Check(intent(signal.Sell, "SPY", "2001")); !v.Opens.Equal(dec("1")) {
		t.Errorf("at the quote: opens %s", v.Opens)
	}

	for name, c := range map[string]struct {
		orders []order
		gross  string
	}{
		"nothing":                             {nil, "5900"},
		"a take-profit of all":                {[]order{limited("SPY", "sell", "10", "750")}, "5900"},
		"a take-profit and a stop":            {[]order{limited("SPY", "sell", "10", "750"), held(order{Symbol: "SPY", Side: "sell", Qty: usd("10")})}, "5900"},
		"a sale of one more":                  {[]order{limited("SPY", "sell", "11", "750")}, "6650"},
		"a sale of one more, under the price": {[]order{limited("SPY", "sell", "11", "100")}, "6400"},
		"a purchase under the price":          {[]order{limited("SPY", "buy", "1", "400")}, "6300"},
		"buying back more than the short":     {[]order{limited("TLT", "buy", "15", "60")}, "6200"},
		"what is not held":                    {[]order{limited("GLD", "buy", "2", "25")}, "5950"},
	} {
		in := input(map[string]any{"max_gross_share": "9"})
		in.Snapshot.OpenOrders = c.orders
		for _, check := range risk.New(in).Check(intent(signal.Buy, "AAPL", "1")).Checks {
			if check.Limit == "max_gross_share" && !check.Value.Decimal.Sub(dec("1")).Equal(dec(c.gross)) {
				t.Errorf("%s: gross exposure with $1 more %s, want %s with it", name, check.Value.Decimal, c.gross)
			}
		}
	}
}

// A signal carries shares only where they come to the notional that was judged, and are on sale by nobody else: they are sent
// in its place. 10 SPY are held at 500, 3 GLD at 333.33….
func TestSharesOfASignal(t *testing.T) {
	for name, c := range map[string]struct {
		change                change
		symbol, notional, qty string
		want                  bool
	}{
		"all":                         {nil, "SPY", "5000", "10", true},
		"half":                        {nil, "SPY", "2500", "5", true},
		"a part of a cent":            {nil, "GLD", "999.99", "3", true},
		"shares are rounded":          {nil, "GLD", "100", "0.300000000", true},
		"more than the notional":      {nil, "SPY", "2500", "10", false},
		"less than the notional":      {nil, "SPY", "2500", "4.99", false},
		"two cents off":               {nil, "SPY", "2500", "5.00004", false},
		"more than is held, by a bit": {nil, "SPY", "5000", "10.00001", false},
		"none":                        {nil, "SPY", "2500", "-5", false},
		"all that others leave":       {sale("SPY", "7", ""), "SPY", "1500", "3", true},
		"more than others leave":      {sale("SPY", "7.1", ""), "SPY", "1500", "3", false},
		"others leave a third":        {sale("GLD", "2", ""), "GLD", "333.33", "1", true},
		"others sell by their worth":  {sale("SPY", "", "3500"), "SPY", "1500", "3", true},
		"and leave less":              {sale("SPY", "", "3500.01"), "SPY", "1500", "3", false},
		"another strategy's signal":   {signaled("SPY", "2500"), "SPY", "2500", "5", true},
		"which leaves less":           {signaled("SPY", "2500"), "SPY", "5000", "10", false},
		"what has no price":           {func(in *risk.Input) { in.Snapshot.Positions[0] = account.Position{Symbol: "SPY", Qty: dec("10")} }, "SPY", "1", "10", false},
		"what is short":               {nil, "TLT", "900", "10", false},
		"what is not held":            {nil, "AAPL", "100", "1", false},
	} {
		in := input(nil)
		in.Snapshot.Positions = append(in.Snapshot.Positions, account.Position{Symbol: "GLD", Qty: dec("3"), MarketValue: usd("1000")})
		if c.change != nil {
			c.change(&in)
		}
		i := intent(signal.Sell, c.symbol, c.notional)
		i.Qty = usd(c.qty)
		r := risk.Run{Batch: signal.Batch{UserID: "u", StrategyID: "st", Cause: "c", Now: noon}, Input: in, Life: time.Minute, Intents: []strategy.Intent{i}}
		p := r.Plan(risk.View{Snapshot: in.Snapshot, State: in.State})
		if len(p.Signals) != 1 || p.Signals[0].Qty.Valid != c.want || (c.want && !p.Signals[0].Qty.Decimal.Equal(dec(c.qty))) {
			t.Errorf("%s: %+v, want its shares %t", name, p.Signals, c.want)
		}
	}
}

// sale is an open order for shares, or for USD.
func sale(symbol, qty, notional string) change {
	return func(in *risk.Input) {
		o := order{Symbol: symbol, Side: "sell"}
		if qty != "" {
			o.Qty, o.LimitPrice = usd(qty), usd("1000")
		} else {
			o.Notional = usd(notional)
		}
		in.Snapshot.OpenOrders = []order{o}
	}
}

// signaled is another strategy's signal.
func signaled(symbol, notional string) change {
	return func(in *risk.Input) {
		in.State.Reserve(signal.Signal{ID: "other", StrategyID: "other", Symbol: symbol, Action: signal.Sell, Notional: dec(notional), CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}, dec("0"), account.Snapshot{})
	}
}
