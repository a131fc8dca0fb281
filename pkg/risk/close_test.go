package risk_test

import (
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// What closes is told by what is known, and is refused for no buying power; what opens is refused where something is not known.
func TestWhatIsKnown(t *testing.T) {
	unpriced := func(in *risk.Input) { in.Snapshot.Positions = []account.Position{{Symbol: "SPY", Qty: dec("10")}} }
	short := func(in *risk.Input) {
		in.Snapshot.Positions = []account.Position{{Symbol: "SPY", Qty: dec("-1")}}
		in.Levels[1].Trading.State = risk.Reducing
	}
	ordered := func(o order) change {
		return func(in *risk.Input) {
			in.Snapshot.Positions[0] = account.Position{Symbol: "SPY", Qty: dec("6"), MarketValue: usd("3000"), CurrentPrice: usd("500")}
			in.Snapshot.OpenOrders = []order{o}
		}
	}
	sale := order{Symbol: "SPY", Side: "sell", Notional: usd("2500"), FilledQty: usd("4")} // 10 were held: 500 are left of it
	for name, c := range map[string]struct {
		change   change
		limits   map[string]any
		action   signal.Action
		notional string
		code     string
	}{
		"a sale of what has no price":                        {unpriced, nil, signal.Sell, "100", ""},
		"a purchase of it":                                   {unpriced, nil, signal.Buy, "100", risk.BuyingPowerUnavailable},
		"buying back a short that has no price, at any size": {short, nil, signal.Buy, "1000000", risk.TradingReducing},
		"and by a dollar":                                    {short, nil, signal.Buy, "1", risk.TradingReducing},
		"a second sale of it": {func(in *risk.Input) {
			unpriced(in)
			in.Snapshot.OpenOrders = []order{{Symbol: "SPY", Side: "sell", Notional: usd("1")}}
		}, nil, signal.Sell, "100", risk.BuyingPowerUnavailable},
		"what a sale that is filled in part leaves": {ordered(sale), nil, signal.Sell, "2500", ""},
		"more than that": {ordered(sale), nil, signal.Sell, "2500.01", risk.BuyingPowerUnavailable},
		"an order of the symbol that has no price":   {ordered(order{Symbol: "AAPL", Side: "buy", Qty: usd("100")}), map[string]any{"max_position_share": "0.05"}, signal.Buy, "400", risk.PriceUnavailable},
		"an order of another symbol without a price": {ordered(order{Symbol: "GLD", Side: "buy", Qty: usd("100")}), map[string]any{"max_position_share": "0.05"}, signal.Buy, "400", risk.BuyingPowerUnavailable},
	} {
		in := input(c.limits)
		in.Snapshot.Account.BuyingPower = usd("0")
		c.change(&in)
		symbol := "SPY"
		if c.limits != nil {
			symbol = "AAPL"
		}
		if v := risk.New(in).Check(intent(c.action, symbol, c.notional)); code(v) != c.code {
			t.Errorf("%s: %v, want %q", name, v.Denial, c.code)
		}
	}
}

// A word that is taken back on another day is not counted on that day.
func TestWordOfTheNextDay(t *testing.T) {
	s := &risk.State{}
	turn := func(now time.Time) {
		if _, err := s.Turn(now); err != nil {
			t.Fatal(err)
		}
	}
	turn(noon)
	s.Reserve(signal.Signal{ID: "a", StrategyID: "st", Symbol: "SPY", Notional: dec("100"), CreatedAt: noon, ExpiresAt: noon.Add(30 * time.Hour)}, decimal.Decimal{}, account.Snapshot{})
	s.Settle("a", risk.Word{Status: signal.Rejected, At: noon})
	tomorrow := noon.Add(24 * time.Hour)
	turn(tomorrow)
	if s.Settle("a", risk.Word{Status: signal.Executed, At: tomorrow}); !s.Day.Notional.IsZero() || !s.Reservations[0].Executed {
		t.Errorf("the next day's notional is %s, the reservation %+v", s.Day.Notional, s.Reservations[0])
	}
}
