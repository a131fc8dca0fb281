package market_test

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/market"
)

func TestPreviousClose(t *testing.T) {
	for now, want := range map[string]string{
		"2026-11-24T17:00:00Z": "2026-11-23T21:00:00Z", // Tuesday
		"2026-11-25T04:59:00Z": "2026-11-23T21:00:00Z", // late on Tuesday
		"2026-11-25T05:00:00Z": "2026-11-24T21:00:00Z", // Wednesday in New York
		"2026-11-27T15:00:00Z": "2026-11-25T21:00:00Z", // after Thanksgiving
		"2026-11-30T15:00:00Z": "2026-11-27T21:00:00Z", // Monday, after a half day
		"2026-11-28T15:00:00Z": "2026-11-27T21:00:00Z", // Saturday
		"2026-03-09T15:00:00Z": "2026-03-06T21:00:00Z", // the clocks changed in between
		"2026-03-10T15:00:00Z": "2026-03-09T20:00:00Z",
		"2027-01-04T15:00:00Z": "2026-12-31T21:00:00Z", // New Year's Day is a Friday
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := market.PreviousClose(at); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v; want %s", now, got, err, want)
		}
	}
}
