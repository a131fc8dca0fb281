package porttest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// Bars is the contract of market.Bars, for a source that has 60 bars of each timeframe of SPY and TLT before now.
func Bars(t *testing.T, b market.Bars, now time.Time) {
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range market.Timeframes() {
		got, err := b.Closed(t.Context(), []string{"TLT", "SPY", "NOSUCH"}, f, 20, now)
		if err != nil || len(got) != 2 {
			t.Fatalf("%s: bars of %d symbols, %v; want two: one that is unknown is left out", f, len(got), err)
		}
		for symbol, bars := range got {
			if len(bars) != 20 {
				t.Errorf("%s of %s: %d bars, want 20", f, symbol, len(bars))
			}
			for _, bar := range bars {
				if err := bar.Check(); err != nil || !grid.Aligned(symbol, f, bar.At) || grid.End(symbol, f, bar.At).After(now) || bar.At.Location() != time.UTC {
					t.Errorf("%s of %s, bar %v: %v; want one that has closed, and begins where bars begin", f, symbol, bar, err)
				}
			}
			if !slices.IsSortedFunc(bars, func(a, b market.Bar) int { return a.At.Compare(b.At) }) {
				t.Errorf("%s of %s: out of order", f, symbol)
			}
		}
		if len(grid.Fresh(got, f, now)) != 2 {
			t.Errorf("%s: the newest bars are not there", f)
		}
		few, err := b.Closed(t.Context(), []string{"SPY"}, f, 3, now)
		if diff := cmp.Diff(got["SPY"][17:], few["SPY"]); err != nil || diff != "" {
			t.Errorf("%s: fewer bars are not the newest (%v):\n%s", f, err, diff)
		}
	}
	if got, err := b.Closed(t.Context(), []string{"SPY"}, "7Min", 3, now); err == nil {
		t.Errorf("a timeframe that is none: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Closed(ctx, []string{"AAPL"}, market.OneHour, 3, now); err == nil {
		t.Error("a cancelled context was ignored")
	}
}
