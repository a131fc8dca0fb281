package strategy_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// tuesday is the close of Tuesday, 24 November 2026.
var tuesday = time.Date(2026, 11, 24, 21, 0, 0, 0, time.UTC)

func build(t testing.TB, kind string, params map[string]any) strategy.Strategy {
	t.Helper()
	s, err := strategy.New(strategy.Definition{ID: "s", Kind: kind, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// daily are bars on the weekdays up to 24 November 2026, that open, rise, fall and close at these prices.
func daily(closes ...string) []market.Bar {
	bars := make([]market.Bar, len(closes))
	at := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)
	for i := len(closes) - 1; i >= 0; i-- {
		c := decimal.RequireFromString(closes[i])
		bars[i] = market.Bar{At: at, Open: c, High: c, Low: c, Close: c}
		for at = at.AddDate(0, 0, -1); at.Weekday() == time.Saturday || at.Weekday() == time.Sunday; {
			at = at.AddDate(0, 0, -1)
		}
	}
	return bars
}

func repeat(s string, n int) []string { return strings.Fields(strings.Repeat(s+" ", n)) }

// closed is an account of $10,000 at the close of the newest bars.
func closed(bars map[string][]market.Bar, positions ...account.Position) strategy.Input {
	return strategy.Input{
		Now: tuesday.Add(time.Minute), StrategyID: "s", Bars: bars, Positions: positions,
		Cause:   strategy.Cause{Text: "bar:1Day:" + tick.Of(tuesday).String(), Tick: tick.Of(tuesday)},
		Account: account.Account{Equity: usd("10000"), Cash: usd("10000")},
	}
}

func holding(symbol, value string) account.Position {
	return account.Position{Symbol: symbol, Qty: decimal.NewFromInt(10), MarketValue: usd(value), AvgEntryPrice: usd("100")}
}

// said is a decision in words: "buy SPY 6000, sell TLT 10", the denial's code, or "".
func said(d strategy.Decision, err error) string {
	if err != nil {
		code, _, _ := strings.Cut(err.Error(), ":")
		return code
	}
	var words []string
	for _, i := range d.Intents {
		words = append(words, string(i.Action)+" "+i.Symbol+" "+i.Notional.String())
	}
	return strings.Join(words, ", ")
}

func table(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "reference", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// sample are the bars of testdata/reference by symbol.
func sample(t testing.TB) map[string][]market.Bar {
	t.Helper()
	zone, err := market.Zone()
	if err != nil {
		t.Fatal(err)
	}
	bars := map[string][]market.Bar{}
	for _, row := range table(t, "bars.csv") {
		at, err := time.ParseInLocation(time.DateOnly, row[1], zone)
		if err != nil {
			t.Fatal(err)
		}
		var v [5]decimal.Decimal
		for i := range v {
			v[i] = decimal.RequireFromString(row[2+i])
		}
		bars[row[0]] = append(bars[row[0]], market.Bar{At: at.UTC(), Open: v[0], High: v[1], Low: v[2], Close: v[3], Volume: v[4]})
	}
	return bars
}
