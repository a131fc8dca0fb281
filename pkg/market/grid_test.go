package market_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/market"
)

func grid(t testing.TB, c market.Calendar) market.Grid {
	t.Helper()
	g, err := market.NewGrid(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestBack(t *testing.T) {
	known, unknown := grid(t, year(t)), grid(t, market.Calendar{})
	for _, tt := range []struct {
		t            market.Timeframe
		by           string // New York
		n            int
		want, wantNo string // with the calendar, and without
	}{
		{"5Min", "2026-11-24 12:00:00", 1, "2026-11-24 11:55:00", "2026-11-24 11:55:00"},
		{"5Min", "2026-11-24 12:04:59", 1, "2026-11-24 11:55:00", "2026-11-24 11:55:00"},
		{"5Min", "2026-11-24 12:04:59", 10, "2026-11-24 11:10:00", "2026-11-24 11:10:00"},
		{"5Min", "2026-11-24 09:34:59", 1, "2026-11-23 15:55:00", "2026-11-23 15:55:00"},
		{"5Min", "2026-11-24 09:35:00", 1, "2026-11-24 09:30:00", "2026-11-24 09:30:00"},
		{"5Min", "2026-11-24 09:35:00", 2, "2026-11-23 15:55:00", "2026-11-23 15:55:00"},
		{"5Min", "2026-11-24 23:00:00", 1, "2026-11-24 15:55:00", "2026-11-24 15:55:00"},
		{"1Hour", "2026-11-24 10:00:00", 1, "2026-11-24 09:00:00", "2026-11-24 09:00:00"},
		{"1Hour", "2026-11-24 16:00:00", 7, "2026-11-24 09:00:00", "2026-11-24 09:00:00"},
		{"1Hour", "2026-11-24 16:00:00", 8, "2026-11-23 15:00:00", "2026-11-23 15:00:00"},
		{"30Min", "2026-11-30 09:45:00", 1, "2026-11-27 12:30:00", "2026-11-27 15:30:00"}, // after a half day and a weekend
		{"30Min", "2026-11-26 12:00:00", 1, "2026-11-25 15:30:00", "2026-11-25 15:30:00"}, // Thanksgiving
		{"1Day", "2026-11-24 15:59:59", 1, "2026-11-23", "2026-11-23"},
		{"1Day", "2026-11-24 16:00:00", 1, "2026-11-24", "2026-11-24"},
		{"1Day", "2026-11-27 12:59:59", 1, "2026-11-25", "2026-11-25"},
		{"1Day", "2026-11-27 13:00:00", 1, "2026-11-27", "2026-11-25"},
		{"1Day", "2026-11-29 12:00:00", 2, "2026-11-25", "2026-11-25"},
		{"1Day", "2026-03-09 17:00:00", 2, "2026-03-06", "2026-03-06"}, // clocks went forward
	} {
		by := ny(t, tt.by)
		if got, want := known.Back("SPY", tt.t, by, tt.n), ny(t, tt.want); !got.Equal(want) {
			t.Errorf("%s, %d back from %s: %s, want %s", tt.t, tt.n, tt.by, got.In(want.Location()), want)
		}
		if got, want := unknown.Back("SPY", tt.t, by, tt.n), ny(t, tt.wantNo); !got.Equal(want) {
			t.Errorf("%s, %d back from %s without a calendar: %s, want %s", tt.t, tt.n, tt.by, got.In(want.Location()), want)
		}
	}
	sunday := time.Date(2026, 11, 29, 3, 7, 0, 0, time.UTC)
	if got := known.Back("BTC/USD", market.FiveMinutes, sunday, 1); !got.Equal(sunday.Add(-7 * time.Minute)) {
		t.Errorf("a pair of currencies rests on Sunday: %s", got)
	}
}

// Whenever it is: the bar that should be there has closed, n+1 back is before n back, and bars begin where bars begin.
func TestBackHolds(t *testing.T) {
	grids := []market.Grid{grid(t, year(t)), grid(t, market.Calendar{})}
	rapid.Check(t, func(rt *rapid.T) {
		g := rapid.SampledFrom(grids).Draw(rt, "grid")
		f := rapid.SampledFrom(market.Timeframes()).Draw(rt, "timeframe")
		symbol := rapid.SampledFrom([]string{"SPY", "BTC/USD"}).Draw(rt, "symbol")
		by := time.Unix(rapid.Int64Range(1772300000, 1798600000).Draw(rt, "by"), 0)
		n := rapid.IntRange(1, 300).Draw(rt, "n")
		at, before := g.Back(symbol, f, by, n), g.Back(symbol, f, by, n+1)
		if !before.Before(at) || g.End(symbol, f, at).After(by) || !g.Aligned(symbol, f, at) {
			rt.Fatalf("%s of %s, %d back from %s: %s, one more: %s", f, symbol, n, by, at, before)
		}
	})
}

func TestFreshBars(t *testing.T) {
	g := grid(t, year(t))
	at := func(text string) []market.Bar { return []market.Bar{{At: ny(t, text).UTC()}} }
	for _, tt := range []struct {
		t           market.Timeframe
		newest, now string
		want        bool
	}{
		{"5Min", "2026-11-24 11:55:00", "2026-11-24 12:00:00", true},
		{"5Min", "2026-11-24 11:50:00", "2026-11-24 12:04:59", true},
		{"5Min", "2026-11-24 11:45:00", "2026-11-24 12:00:00", false},
		{"5Min", "2026-11-24 12:30:00", "2026-11-24 12:00:00", true},
		{"5Min", "2026-11-24 15:55:00", "2026-11-25 09:34:00", true},  // over night
		{"5Min", "2026-11-24 15:55:00", "2026-11-25 09:40:00", false}, // two are missing
		{"5Min", "2026-11-25 15:55:00", "2026-11-27 09:31:00", true},  // over a holiday
		{"1Hour", "2026-11-27 12:00:00", "2026-11-30 09:50:00", true}, // over a weekend, after a half day
		{"1Day", "2026-11-23", "2026-11-24 16:30:00", true},
		{"1Day", "2026-11-20", "2026-11-24 16:30:00", false},
		{"1Day", "2026-11-25", "2026-11-27 13:30:00", true},
	} {
		got := g.Fresh(map[string][]market.Bar{"SPY": at(tt.newest), "TLT": nil}, tt.t, ny(t, tt.now))
		if _, ok := got["SPY"]; ok != tt.want || len(got) > 1 {
			t.Errorf("%s of %s at %s: fresh %t, want %t", tt.t, tt.newest, tt.now, ok, tt.want)
		}
	}
}
