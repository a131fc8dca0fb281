package strategy_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Bar by bar, the same signals as testdata/reference/reference.py works out with other means.
func TestAgainstReference(t *testing.T) {
	expected, bars := table(t, "expected.csv"), sample(t)
	for column, kind := range map[int]string{4: strategy.KindSMACross, 6: strategy.KindRSIReversion} {
		params := map[string]any{"weight": 0.5}
		if kind == strategy.KindSMACross {
			params["fast"], params["slow"] = int64(10), int64(30)
		}
		trades, at := 0, map[string]int{}
		held := map[string]bool{}
		for _, row := range expected {
			symbol := row[0]
			at[symbol]++
			params["symbols"] = []any{symbol}
			in := atClose(bars[symbol][:at[symbol]], symbol, held[symbol])
			d, err := build(t, kind, params).Decide(in)
			got := said(d, err)
			if len(d.Intents) > 0 {
				i := d.Intents[0]
				if got = string(i.Action); !i.Notional.Equal(decimal.NewFromInt(5000)) {
					t.Errorf("%s: %s of %s on %s for %s, want 5000", kind, i.Action, symbol, row[1], i.Notional)
				}
				held[symbol], trades = i.Action == signal.Buy, trades+1
			}
			if got != row[column] {
				t.Errorf("%s of %s on %s: %q, want %q", kind, symbol, row[1], got, row[column])
			}
		}
		if trades < 10 {
			t.Errorf("%s: %d trades are no test", kind, trades)
		}
	}
}

// atClose is an account at the close of the newest of the bars.
func atClose(bars []market.Bar, symbol string, held bool) strategy.Input {
	end := market.OneDay.End(bars[len(bars)-1].At)
	in := strategy.Input{
		Now: end.Add(time.Minute), Cause: strategy.Cause{Text: fmt.Sprintf("bar:1Day:%s", tick.Of(end)), Tick: tick.Of(end)},
		Account: account.Account{Equity: usd("10000")}, Bars: map[string][]market.Bar{symbol: bars},
	}
	if held {
		in.Positions = []account.Position{{Symbol: symbol, Qty: decimal.NewFromInt(1), MarketValue: usd("5000")}}
	}
	return in
}

func TestIndicatorsAgainstReference(t *testing.T) {
	closes := map[string][]float64{}
	bars := sample(t)
	for _, row := range table(t, "expected.csv") {
		symbol := row[0]
		closes[symbol] = append(closes[symbol], bars[symbol][len(closes[symbol])].Close.InexactFloat64())
		c := closes[symbol]
		for column, got := range map[int]float64{2: indicator.SMA(c, 10), 3: indicator.SMA(c, 30), 5: indicator.RSI(c[max(0, len(c)-141):], 14)} {
			if row[column] == "" {
				continue
			}
			if want, err := strconv.ParseFloat(row[column], 64); err != nil || !(got-want < 1e-6 && want-got < 1e-6) {
				t.Errorf("%s on %s, column %d: %f, want %s", symbol, row[1], column, got, row[column])
			}
		}
	}
}
