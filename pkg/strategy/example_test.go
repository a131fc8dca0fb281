package strategy_test

import (
	"fmt"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// momentum holds a tenth of equity in a symbol while it is dearer than some days ago, and nothing otherwise (Moskowitz, Ooi,
// Pedersen, "Time Series Momentum", Journal of Financial Economics 104, 2012).
type momentum struct {
	symbol string
	days   int
}

func newMomentum(p *strategy.Params) strategy.Strategy {
	return &momentum{symbol: p.Symbol("symbol"), days: p.Whole("days", 250, 1, 500)}
}

func (m *momentum) Triggers() strategy.Triggers { return strategy.Triggers{Bar: market.OneDay} }

func (m *momentum) Needs() strategy.Needs {
	return strategy.Needs{Symbols: []string{m.symbol}, Bars: market.OneDay, Count: m.days + 1}
}

func (m *momentum) Decide(in strategy.Input) (strategy.Decision, error) {
	bars, ok, err := m.Needs().Series(in, m.symbol)
	if err != nil || !ok {
		return strategy.Decision{}, err // a denial, or no new bar
	}
	equity, err := strategy.Equity(in)
	if err != nil {
		return strategy.Decision{}, err
	}
	share, change := decimal.Decimal{}, bars.Last()/bars.Close[0]-1
	if change > 0 {
		share = decimal.RequireFromString("0.1")
	}
	return strategy.Size(in, strategy.Intent{Symbol: m.symbol, Target: decimal.NewNullDecimal(equity.Mul(share)), Reason: fmt.Sprintf("%+.2f%% in %d days", 100*change, m.days)})
}

func Example() {
	s := newMomentum(strategy.Read(strategy.Definition{Params: map[string]any{"symbol": "SPY", "days": int64(2)}}))
	in := strategy.Input{Account: account.Account{Equity: decimal.NewNullDecimal(decimal.NewFromInt(10_000))}, Bars: map[string][]market.Bar{}}
	for i, usd := range []int64{600, 590, 612} {
		at, p := time.Date(2026, 11, 23+i, 5, 0, 0, 0, time.UTC), decimal.NewFromInt(usd) // midnight in New York
		in.Bars["SPY"] = append(in.Bars["SPY"], market.Bar{At: at, Open: p, High: p, Low: p, Close: p})
		in.Now = market.OneDay.End(at)
	}
	d, err := s.Decide(in)
	fmt.Println(d.Intents[0].Action, d.Intents[0].Symbol, d.Intents[0].Notional, d.Intents[0].Reason, err)
	// Output: buy SPY 1000 +2.00% in 2 days <nil>
}
