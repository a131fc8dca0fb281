package strategy_test

import (
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// A target of $1,000 or $0 in SPY at $100; strategy s decides.
func TestSized(t *testing.T) {
	order := func(o account.Order) []account.Order {
		o.Symbol = "SPY"
		return []account.Order{o}
	}
	open := func(r signal.Reservation) signal.Reservation {
		r.Symbol, r.SignalID, r.ExpiresAt = "SPY", "id", tuesday.Add(time.Minute)
		return r
	}
	reserve := func(strategyID string, side signal.Action, usd int64) []signal.Reservation {
		return []signal.Reservation{open(signal.Reservation{StrategyID: strategyID, Action: side, Notional: decimal.NewFromInt(usd)})}
	}
	settle := func(r []signal.Reservation, executed bool) []signal.Reservation {
		r[0].SettledAt, r[0].Executed = tuesday, executed
		return r
	}
	expire := func(r []signal.Reservation) []signal.Reservation {
		r[0].ExpiresAt = tuesday
		return r
	}
	quotes := market.Prices{"SPY": decimal.NewFromInt(100)}
	ten := []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(10), MarketValue: usd("990"), CurrentPrice: usd("99")}}
	for name, c := range map[string]struct {
		target string
		in     strategy.Input
		want   string
	}{
		"nothing held":                       {"1000", strategy.Input{}, "buy SPY 1000"},
		"cents are cut":                      {"1000.019", strategy.Input{}, "buy SPY 1000.01"},
		"less than a dollar":                 {"0.99", strategy.Input{}, ""},
		"a dollar":                           {"1", strategy.Input{}, "buy SPY 1"},
		"held at the quote":                  {"1500", strategy.Input{Positions: ten, Quotes: quotes}, "buy SPY 500"},
		"held at the broker's value":         {"1500", strategy.Input{Positions: ten}, "buy SPY 510"},
		"all of it goes":                     {"0", strategy.Input{Positions: ten, Quotes: quotes}, "sell SPY 1000"},
		"an order buys already":              {"1000", strategy.Input{Orders: order(account.Order{Side: "buy", Notional: usd("400")})}, "buy SPY 600"},
		"an order of shares":                 {"1000", strategy.Input{Quotes: quotes, Orders: order(account.Order{Side: "buy", Qty: usd("5"), FilledQty: usd("2")})}, "buy SPY 700"},
		"at its limit, without a quote":      {"1000", strategy.Input{Orders: order(account.Order{Side: "buy", Qty: usd("5"), LimitPrice: usd("90")})}, "buy SPY 550"},
		"at the held price":                  {"1500", strategy.Input{Positions: ten, Orders: order(account.Order{Side: "buy", Qty: usd("1")})}, "buy SPY 411"},
		"filled for a part":                  {"1000", strategy.Input{Quotes: quotes, Orders: order(account.Order{Side: "buy", Notional: usd("400"), FilledQty: usd("1")})}, "buy SPY 700"},
		"filled beyond its notional":         {"1000", strategy.Input{Quotes: quotes, Orders: order(account.Order{Side: "buy", Notional: usd("400"), FilledQty: usd("5")})}, "buy SPY 1000"},
		"an order without a price":           {"1000", strategy.Input{Orders: order(account.Order{Side: "buy", Qty: usd("5")})}, ""},
		"an order of nothing":                {"1000", strategy.Input{Quotes: quotes, Orders: order(account.Order{Side: "buy"})}, ""},
		"an order without a side":            {"1000", strategy.Input{Quotes: quotes, Orders: order(account.Order{Notional: usd("5")})}, ""},
		"an order of another symbol":         {"1000", strategy.Input{Orders: []account.Order{{Symbol: "TLT", Side: "buy", Notional: usd("5")}}}, "buy SPY 1000"},
		"an order sells already":             {"0", strategy.Input{Positions: ten, Quotes: quotes, Orders: order(account.Order{Side: "sell", Qty: usd("4")})}, "sell SPY 600"},
		"an order sells it all":              {"0", strategy.Input{Positions: ten, Quotes: quotes, Orders: order(account.Order{Side: "sell", Qty: usd("10")})}, ""},
		"two orders for the same shares":     {"0", strategy.Input{Positions: ten, Quotes: quotes, Orders: append(order(account.Order{Side: "sell", Qty: usd("4"), LimitPrice: usd("150"), Status: "new"}), order(account.Order{Side: "sell", Qty: usd("4"), Status: "held"})...)}, "sell SPY 600"},
		"a limit is no price of shares":      {"0", strategy.Input{Positions: ten, Orders: order(account.Order{Side: "sell", Qty: usd("4"), LimitPrice: usd("150")})}, "sell SPY 594"},
		"a purchase under way is not sold":   {"0", strategy.Input{Positions: ten, Quotes: quotes, Orders: order(account.Order{Side: "buy", Qty: usd("4")})}, "sell SPY 1000"},
		"another's signal":                   {"1000", strategy.Input{Reserved: reserve("r", signal.Buy, 300)}, "buy SPY 700"},
		"another's signal sells":             {"500", strategy.Input{Positions: ten, Quotes: quotes, Reserved: reserve("r", signal.Sell, 300)}, "sell SPY 200"},
		"its own signal does it":             {"1000", strategy.Input{Reserved: reserve("s", signal.Buy, 1000)}, ""},
		"its own signal does it, nearly":     {"1000.99", strategy.Input{Reserved: reserve("s", signal.Buy, 1000)}, ""},
		"its own signal is too little":       {"1000", strategy.Input{Reserved: reserve("s", signal.Buy, 300)}, "buy SPY 1000"}, // and is superseded
		"its own signal sells":               {"0", strategy.Input{Positions: ten, Quotes: quotes, Reserved: reserve("s", signal.Sell, 1000)}, ""},
		"its own signal, acted on":           {"1000", strategy.Input{Reserved: settle(reserve("s", signal.Buy, 300), true)}, "buy SPY 700"},
		"its own signal, refused":            {"1000", strategy.Input{Reserved: settle(reserve("s", signal.Buy, 300), false)}, "buy SPY 1000"},
		"an expired signal":                  {"1000", strategy.Input{Reserved: expire(reserve("r", signal.Buy, 300))}, "buy SPY 1000"},
		"expired, but acted on":              {"1000", strategy.Input{Reserved: expire(settle(reserve("r", signal.Buy, 300), true))}, "buy SPY 700"},
		"a signal and its order count once":  {"1000", strategy.Input{Reserved: reserve("r", signal.Buy, 300), Orders: order(account.Order{ClientOrderID: "id", Side: "buy", Notional: usd("300")})}, "buy SPY 700"},
		"its own signal, and its order":      {"1000", strategy.Input{Reserved: reserve("s", signal.Buy, 300), Orders: order(account.Order{ClientOrderID: "id", Side: "buy", Notional: usd("300")})}, "buy SPY 700"},
		"a signal of another symbol":         {"1000", strategy.Input{Reserved: []signal.Reservation{{Symbol: "TLT", StrategyID: "r", Action: signal.Buy, Notional: decimal.NewFromInt(5)}}}, "buy SPY 1000"},
		"short":                              {"1000", strategy.Input{Positions: []account.Position{holding("SPY", "-5")}}, "POSITION_SHORT"},
		"no price of what is held":           {"1000", strategy.Input{Positions: []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(1)}}}, "PRICE_UNAVAILABLE"},
		"a target that can't be":             {"-1", strategy.Input{}, "TARGET_INVALID"},
		"held, an order sells, the rest too": {"100", strategy.Input{Positions: ten, Quotes: quotes, Orders: order(account.Order{Side: "sell", Notional: usd("950")})}, "buy SPY 50"},
	} {
		c.in.Now, c.in.StrategyID = tuesday, "s"
		if got := said(strategy.Size(c.in, strategy.Intent{Symbol: "SPY", Target: usd(c.target)})); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What leaves nothing says its shares, if they can be told.
func TestSharesOfAnExit(t *testing.T) {
	held := []account.Position{{Symbol: "SPY", Qty: decimal.RequireFromString("9.123456789"), MarketValue: usd("990"), CurrentPrice: usd("99")}}
	sells := func(o account.Order) []account.Order {
		o.Symbol, o.Side = "SPY", "sell"
		return []account.Order{o, {Symbol: "TLT", Side: "sell", Qty: usd("1")}}
	}
	for name, c := range map[string]struct {
		target string
		in     strategy.Input
		want   string // "": none
	}{
		"all":                     {"0", strategy.Input{}, "9.123456789"},
		"not all":                 {"1", strategy.Input{}, ""},
		"some are sold already":   {"0", strategy.Input{Orders: sells(account.Order{Qty: usd("4.5"), FilledQty: usd("1")})}, "5.623456789"},
		"by their worth":          {"0", strategy.Input{Orders: sells(account.Order{Notional: usd("100")})}, ""},
		"by another's signal":     {"0", strategy.Input{Reserved: []signal.Reservation{{SignalID: "id", StrategyID: "r", Symbol: "SPY", Action: signal.Sell, Notional: decimal.NewFromInt(100), ExpiresAt: tuesday.Add(time.Minute)}}}, ""},
		"a purchase is under way": {"0", strategy.Input{Orders: []account.Order{{Symbol: "SPY", Side: "buy", Notional: usd("50")}}}, "9.123456789"},
	} {
		c.in.Now, c.in.StrategyID, c.in.Positions = tuesday, "s", held
		d, err := strategy.Size(c.in, strategy.Intent{Symbol: "SPY", Target: usd(c.target)})
		if err != nil || len(d.Intents) != 1 {
			t.Fatalf("%s: %v, %v", name, d, err)
		}
		if q := d.Intents[0].Qty; q.Valid != (c.want != "") || (q.Valid && q.Decimal.String() != c.want) {
			t.Errorf("%s: %v shares, want %q", name, q, c.want)
		}
	}
}

func TestSizeOrder(t *testing.T) {
	in := strategy.Input{Now: tuesday, Positions: []account.Position{holding("TLT", "50")}}
	got := said(strategy.Size(in, strategy.Intent{Symbol: "SPY", Target: usd("10")}, strategy.Intent{Symbol: "TLT", Target: usd("0")},
		strategy.Intent{Symbol: "QQQ", Action: signal.Buy, Notional: decimal.NewFromInt(3)}))
	if want := "sell TLT 50, buy SPY 10, buy QQQ 3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Once done, a sized intent leaves nothing to do: held comes to the target, up to cents, whatever is under way.
func TestSizedComesToTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := func(name string, low, high int64) decimal.Decimal {
			return decimal.New(rapid.Int64Range(low, high).Draw(t, name), -2)
		}
		in := strategy.Input{Now: tuesday, StrategyID: "s"}
		if held := cents("held", 0, 1_000_000); held.IsPositive() {
			in.Positions = []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(1), MarketValue: decimal.NewNullDecimal(held)}}
		}
		side := rapid.SampledFrom([]signal.Action{signal.Buy, signal.Sell})
		for range rapid.IntRange(0, 3).Draw(t, "orders") {
			in.Orders = append(in.Orders, account.Order{Symbol: "SPY", Side: string(side.Draw(t, "side")), Notional: decimal.NewNullDecimal(cents("order", 0, 100_000))})
		}
		for range rapid.IntRange(0, 3).Draw(t, "signals") {
			in.Reserved = append(in.Reserved, signal.Reservation{Symbol: "SPY", StrategyID: rapid.SampledFrom([]string{"r", "s"}).Draw(t, "of"), Action: side.Draw(t, "does"), Notional: cents("signal", 100, 100_000)})
		}
		target := decimal.NewNullDecimal(cents("target", 0, 1_000_000))
		before, err := strategy.Exposed(in, "SPY")
		if err != nil {
			t.Fatal(err)
		}
		i, ok, err := strategy.Intent{Symbol: "SPY", Target: target}.Sized(in)
		if err != nil {
			t.Fatal(err)
		}
		dollar := decimal.NewFromInt(strategy.MinNotional)
		coming := before.Coming()
		if ok || i.Action == signal.Flat {
			coming = coming.Sub(before.Own) // it is superseded, or withdrawn
		}
		if ok {
			switch i.Action {
			case signal.Buy:
				coming = coming.Add(i.Notional)
			case signal.Sell:
				coming = coming.Sub(i.Notional)
				if i.Notional.Add(before.Sells).GreaterThan(before.Held) {
					t.Fatalf("sells %s of %+v", i.Notional, before)
				}
			}
			if i.Notional.LessThan(dollar) {
				t.Fatalf("trades for %s", i.Notional)
			}
		}
		off := coming.Sub(target.Decimal)
		free := before.Held.Sub(before.Sells)
		switch {
		case off.Abs().LessThan(dollar): // there
		case off.IsPositive() && (!ok && free.LessThan(dollar) || ok && i.Action == signal.Sell && i.Notional.Equal(free)): // all that could be sold
		default:
			t.Fatalf("target %s, %+v, intent %+v %t: comes to %s", target.Decimal, before, i, ok, coming)
		}
	})
}
