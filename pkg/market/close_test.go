package market_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/market"
)

func utc(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// By hand, with a calendar: New York is at UTC-5 in winter and at UTC-4 from 8 March to 1 November 2026.
func TestLastClose(t *testing.T) {
	for _, c := range []struct {
		frame    market.Timeframe
		at, want string
	}{
		{market.FiveMinutes, "2026-11-24 12:04", "2026-11-24 12:00"},
		{market.FiveMinutes, "2026-11-24 12:05", "2026-11-24 12:05"},
		{market.FifteenMinutes, "2026-11-24 12:14", "2026-11-24 12:00"},
		{market.ThirtyMinutes, "2026-11-24 12:59", "2026-11-24 12:30"},
		{market.OneHour, "2026-11-28 00:59", "2026-11-28 00:00"},
		{market.OneDay, "2026-11-24 20:59", "2026-11-23 21:00"}, // a Tuesday in winter
		{market.OneDay, "2026-11-24 21:00", "2026-11-24 21:00"},
		{market.OneDay, "2026-07-14 19:59", "2026-07-13 20:00"}, // in summer
		{market.OneDay, "2026-07-14 20:00", "2026-07-14 20:00"},
		{market.OneDay, "2026-07-15 03:59", "2026-07-14 20:00"}, // still Tuesday in New York
		{market.OneDay, "2026-11-29 12:00", "2026-11-27 21:00"}, // a Sunday
		{market.OneDay, "2026-11-30 20:59", "2026-11-27 21:00"}, // Monday before the close
		{market.OneDay, "2026-03-06 21:00", "2026-03-06 21:00"}, // the Friday before summer time begins
		{market.OneDay, "2026-03-09 20:00", "2026-03-09 20:00"}, // the Monday after
		{market.OneDay, "2026-10-30 20:00", "2026-10-30 20:00"}, // and back
		{market.OneDay, "2026-11-02 20:59", "2026-10-30 20:00"},
		{market.OneDay, "2026-11-02 21:00", "2026-11-02 21:00"},
		{market.OneDay, "2026-11-26 21:00", "2026-11-26 21:00"}, // Thanksgiving: a close without a bar
	} {
		if got := c.frame.LastClose(utc(t, c.at)); !got.Equal(utc(t, c.want)) {
			t.Errorf("%s by %s: %s, want %s", c.frame, c.at, got, c.want)
		}
	}
	if got := market.Timeframe("2Min").LastClose(utc(t, "2026-11-24 12:00")); !got.IsZero() {
		t.Errorf("an unknown timeframe closes at %s", got)
	}
}

func TestBarsEnd(t *testing.T) {
	for _, c := range []struct {
		frame       market.Timeframe
		begin, want string
	}{
		{market.FiveMinutes, "2026-11-24 15:00", "2026-11-24 15:05"},
		{market.OneDay, "2026-11-24 05:00", "2026-11-24 21:00"}, // midnight in New York, winter
		{market.OneDay, "2026-07-14 04:00", "2026-07-14 20:00"}, // and summer
		{market.OneDay, "2026-07-14 00:00", "2026-07-14 20:00"}, // midnight UTC
	} {
		if got := c.frame.End(utc(t, c.begin)); !got.Equal(utc(t, c.want)) {
			t.Errorf("%s from %s ends %s, want %s", c.frame, c.begin, got, c.want)
		}
	}
}

func TestWeekdays(t *testing.T) {
	day := market.OneDay
	for _, c := range []struct {
		earlier, later  string
		skipped, behind int
	}{
		{"2026-11-23 05:00", "2026-11-24 05:00", 0, 1}, // Monday, Tuesday
		{"2026-11-20 05:00", "2026-11-23 05:00", 0, 1}, // Friday, Monday
		{"2026-11-25 05:00", "2026-11-27 05:00", 1, 2}, // over Thanksgiving
		{"2026-07-02 04:00", "2026-07-06 04:00", 1, 2}, // over the 3rd of July, in summer
		{"2012-10-26 04:00", "2012-10-31 04:00", 2, 3}, // over hurricane Sandy
		{"2026-11-23 05:00", "2026-11-30 05:00", 4, 5},
		{"2026-11-24 05:00", "2026-11-24 05:00", 0, 0},
		{"2026-11-24 05:00", "2026-11-20 05:00", 0, 0},
		{"2026-11-20 05:00", "2026-11-22 05:00", 0, 0}, // Friday's on Sunday
	} {
		earlier, later := utc(t, c.earlier), utc(t, c.later)
		if got := day.Skipped(earlier, later); got != c.skipped {
			t.Errorf("%s to %s: %d skipped, want %d", c.earlier, c.later, got, c.skipped)
		}
		if got := day.Behind(earlier, later.Add(10*time.Hour)); got != c.behind {
			t.Errorf("%s at %s: %d behind, want %d", c.earlier, c.later, got, c.behind)
		}
	}
	if got := market.OneHour.Skipped(utc(t, "2026-11-20 20:00"), utc(t, "2026-11-23 14:00")); got != 0 {
		t.Errorf("Friday's last hour to Monday's first: %d skipped", got)
	}
}

// A close is a multiple of the timeframe's slot, it is its own last close, and nothing closes between it and t.
func TestCloses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := rapid.SampledFrom(market.Timeframes()).Draw(t, "timeframe")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		c := frame.LastClose(at)
		if c.After(at) || c.Unix()%int64(frame.Slot()/time.Second) != 0 || !frame.LastClose(c).Equal(c) || !frame.LastClose(at.Add(-1)).Before(at) {
			t.Fatalf("%s by %s: %s", frame, at.UTC(), c)
		}
		if frame != market.OneDay && at.Sub(c) >= frame.Duration() {
			t.Fatalf("%s by %s: %s", frame, at.UTC(), c)
		}
		if frame == market.OneDay && at.Sub(c) > 74*time.Hour {
			t.Fatalf("%s by %s: %s", frame, at.UTC(), c)
		}
	})
}
