package market_test

import (
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
)

func TestFresh(t *testing.T) {
	now := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		bid, ask string
		age      time.Duration
		want     string // "": none
	}{
		"a quote":            {"99", "101", 0, "100"},
		"old enough":         {"99", "101", 2 * time.Minute, "100"},
		"too old":            {"99", "101", 2*time.Minute + 1, ""},
		"of another clock":   {"99", "101", -time.Minute, "100"},
		"of the future":      {"99", "101", -time.Minute - 1, ""},
		"one price":          {"100", "100", 0, "100"},
		"crossed":            {"101", "99", 0, ""},
		"no bid":             {"0", "101", 0, ""},
		"no ask":             {"99", "0", 0, ""},
		"5 % apart":          {"97.5", "102.5", 0, "100"},
		"a little more":      {"97.49", "102.5", 0, ""},
		"a stub":             {"0.01", "199999.99", 0, ""},
		"cents of a penny's": {"0.0099", "0.0101", 0, "0.01"},
	} {
		q := market.Quote{Bid: decimal.RequireFromString(tt.bid), Ask: decimal.RequireFromString(tt.ask), At: now.Add(-tt.age)}
		got, ok := market.Fresh(map[string]market.Quote{"SPY": q}, now)["SPY"]
		if ok != (tt.want != "") || (ok && got.String() != tt.want) {
			t.Errorf("%s: %s, %v; want %q", name, got, ok, tt.want)
		}
	}
}
