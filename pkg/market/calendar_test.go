package market_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/market"
)

func zone(t testing.TB) *time.Location {
	t.Helper()
	z, err := market.Zone()
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// ny is an instant by New York's clocks, like "2026-11-27 13:00:59".
func ny(t testing.TB, text string) time.Time {
	t.Helper()
	layout := time.DateTime[:len(text)]
	at, err := time.ParseInLocation(layout, text, zone(t))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// calendar has the weekdays from one date to another, without the holidays; half days end at 13:00 and 17:00.
func calendar(t testing.TB, from, to string, holidays, half []string) market.Calendar {
	t.Helper()
	var days []market.Day
	first, last := ny(t, from), ny(t, to)
	for at := first; !at.After(last); at = at.AddDate(0, 0, 1) {
		date := at.Format(time.DateOnly)
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || slices.Contains(holidays, date) {
			continue
		}
		closes, sessionClose := "16:00", "2000"
		if slices.Contains(half, date) {
			closes, sessionClose = "13:00", "1700"
		}
		d, err := market.NewDay(zone(t), date, "09:30", closes, "0400", sessionClose)
		if err != nil {
			t.Fatal(err)
		}
		days = append(days, d)
	}
	slices.Reverse(days)
	c, err := market.NewCalendar(first, last, days)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func year(t testing.TB) market.Calendar {
	return calendar(t, "2026-03-01", "2026-12-31", []string{"2026-04-03", "2026-11-26", "2026-12-25"}, []string{"2026-11-27", "2026-12-24"})
}

func TestOpen(t *testing.T) {
	c := year(t)
	for _, tt := range []struct {
		at                string // New York
		utc               string // the same, as the hour and minute of UTC; "" is not checked
		regular, extended bool
	}{
		{"2026-11-24 03:59:59", "08:59", false, false},
		{"2026-11-24 04:00:00", "09:00", false, true},
		{"2026-11-24 09:29:59", "14:29", false, true},
		{"2026-11-24 09:30:00", "14:30", true, true},
		{"2026-11-24 15:59:59", "20:59", true, true},
		{"2026-11-24 16:00:00", "21:00", true, true}, // the tick at the close
		{"2026-11-24 16:00:59", "21:00", true, true},
		{"2026-11-24 16:01:00", "21:01", false, true},
		{"2026-11-24 20:00:59", "01:00", false, true},
		{"2026-11-24 20:01:00", "01:01", false, false},
		{"2026-11-24 23:59:59", "", false, false},
		{"2026-11-25 00:00:00", "", false, false},
		// Thanksgiving, and the half day after it
		{"2026-11-26 12:00:00", "", false, false},
		{"2026-11-27 09:30:00", "14:30", true, true},
		{"2026-11-27 12:59:59", "17:59", true, true},
		{"2026-11-27 13:00:59", "18:00", true, true},
		{"2026-11-27 13:01:00", "18:01", false, true},
		{"2026-11-27 16:00:00", "21:00", false, true},
		{"2026-11-27 17:00:59", "22:00", false, true},
		{"2026-11-27 17:01:00", "22:01", false, false},
		// a weekend
		{"2026-11-28 12:00:00", "", false, false},
		{"2026-11-29 23:59:00", "", false, false},
		{"2026-11-30 09:30:00", "", true, true},
		// clocks go forward on 8 March, back on 1 November
		{"2026-03-06 09:29:59", "14:29", false, true},
		{"2026-03-06 09:30:00", "14:30", true, true},
		{"2026-03-06 16:01:00", "21:01", false, true},
		{"2026-03-09 09:29:59", "13:29", false, true},
		{"2026-03-09 09:30:00", "13:30", true, true},
		{"2026-03-09 16:00:00", "20:00", true, true},
		{"2026-03-09 16:01:00", "20:01", false, true},
		{"2026-03-09 03:59:59", "07:59", false, false},
		{"2026-10-30 09:30:00", "13:30", true, true},
		{"2026-10-30 20:01:00", "00:01", false, false},
		{"2026-11-02 09:29:59", "14:29", false, true},
		{"2026-11-02 09:30:00", "14:30", true, true},
		{"2026-11-02 04:00:00", "09:00", false, true},
		// the edges of what is known: Sunday, 1 March, and New Year's Eve
		{"2026-03-01 00:00:00", "", false, false},
		{"2026-12-31 20:00:59", "", false, true},
		{"2026-12-31 23:59:59", "", false, false},
	} {
		at := ny(t, tt.at).UTC()
		if tt.utc != "" && at.Format("15:04") != tt.utc {
			t.Errorf("%s in New York is %s UTC, want %s", tt.at, at.Format("15:04"), tt.utc)
		}
		for hours, want := range map[market.Hours]bool{market.Regular: tt.regular, market.Extended: tt.extended, market.Always: true, "": true, "sometimes": true} {
			if open, known := c.Open(at, hours); open != want || !known {
				t.Errorf("%s, %q: open %t, known %t; want %t, known", tt.at, hours, open, known, want)
			}
		}
	}
}

// What is not known is open.
func TestNotKnown(t *testing.T) {
	gap := calendar(t, "2026-01-01", "2026-01-31", []string{"2026-01-12", "2026-01-13", "2026-01-14", "2026-01-15", "2026-01-16"}, nil)
	empty := calendar(t, "2026-01-03", "2026-01-04", nil, nil)
	none, err := market.NewCalendar(ny(t, "2026-01-01"), ny(t, "2026-01-31"), nil)
	if err != nil {
		t.Fatal(err)
	}
	short := calendar(t, "2026-11-01", "2026-11-30", nil, nil)
	for _, tt := range []struct {
		name        string
		c           market.Calendar
		at          string
		open, known bool
	}{
		{"nothing", market.Calendar{}, "2026-11-28 12:00", true, false},
		{"before the range", short, "2026-10-31 23:59", true, false},
		{"its first day", short, "2026-11-01 00:00", false, true},
		{"its last day", short, "2026-11-30 23:59", false, true},
		{"after the range", short, "2026-12-01 00:00", true, false},
		{"a closed weekend", empty, "2026-01-03 12:00", false, true},
		{"a month without a day", none, "2026-01-14 12:00", true, false},
		{"nine days and eight hours without", gap, "2026-01-14 12:00", false, true},
	} {
		if open, known := tt.c.Open(ny(t, tt.at), market.Regular); open != tt.open || known != tt.known {
			t.Errorf("%s: open %t, known %t; want %t, %t", tt.name, open, known, tt.open, tt.known)
		}
	}
	long := calendar(t, "2026-01-01", "2026-01-31", []string{"2026-01-12", "2026-01-13", "2026-01-14", "2026-01-15", "2026-01-16", "2026-01-19"}, nil)
	for at, want := range map[string]bool{"2026-01-09 20:01": false, "2026-01-14 12:00": false, "2026-01-20 03:59": false, "2026-01-09 12:00": true, "2026-01-20 05:00": true, "2026-01-21 02:00": true} {
		if _, known := long.Open(ny(t, at), market.Regular); known != want {
			t.Errorf("ten days and more without trading, %s: known %t, want %t", at, known, want)
		}
	}
}

func TestNewDay(t *testing.T) {
	z := zone(t)
	got, err := market.NewDay(z, "2026-11-27", "09:30", "13:00", "0400", "1700")
	if err != nil {
		t.Fatal(err)
	}
	utc := func(hour, minute int) time.Time { return time.Date(2026, 11, 27, hour, minute, 0, 0, time.UTC) }
	if diff := cmp.Diff(market.Day{Date: "2026-11-27", Open: utc(14, 30), Close: utc(18, 0), SessionOpen: utc(9, 0), SessionClose: utc(22, 0)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	usual, err := market.NewDay(z, "2026-11-27", "0930", "1300", "", "")
	if err != nil || !usual.SessionOpen.Equal(utc(9, 0)) || !usual.SessionClose.Equal(utc(25, 0)) || !usual.Open.Equal(got.Open) {
		t.Errorf("without a session: %+v, %v", usual, err)
	}
	for _, bad := range [][5]string{
		{"", "09:30", "16:00", "", ""}, {"2026-02-30", "09:30", "16:00", "", ""}, {"27/11/2026", "09:30", "16:00", "", ""},
		{"2026-11-27", "", "16:00", "", ""}, {"2026-11-27", "09:30", "", "", ""}, {"2026-11-27", "9:30 AM", "16:00", "", ""}, {"2026-11-27", "09:30", "24:00", "", ""},
		{"2026-11-27", "16:00", "09:30", "", ""}, {"2026-11-27", "09:30", "09:30", "", ""}, {"2026-11-27", "09:30", "16:00", "1000", ""},
		{"2026-11-27", "09:30", "16:00", "", "1559"}, {"2026-11-27", "09:30", "16:00", "04h", ""}, {strings.Repeat("x", 1000), "09:30", "16:00", "", ""},
	} {
		if d, err := market.NewDay(z, bad[0], bad[1], bad[2], bad[3], bad[4]); err == nil || len(err.Error()) > 300 {
			t.Errorf("NewDay(%.40q) = %+v, %v; want a short error", bad, d, err)
		}
	}
	if _, err := market.NewCalendar(got.Open, got.Open, []market.Day{got, got}); err == nil {
		t.Error("two days of one date were taken")
	}
}

func TestParseHours(t *testing.T) {
	for _, h := range []market.Hours{market.Regular, market.Extended, market.Always} {
		if got, err := market.ParseHours(string(h)); got != h || err != nil {
			t.Errorf("ParseHours(%q) = %q, %v", h, got, err)
		}
	}
	for _, bad := range []string{"", "Regular", " regular", "24/7", strings.Repeat("x", 1000)} {
		if got, err := market.ParseHours(bad); got != "" || err == nil || len(err.Error()) > 300 {
			t.Errorf("ParseHours(%.40q) = %q, %v; want a short error", bad, got, err)
		}
	}
}

// Wider hours are never closed while narrower ones are open; what is not known is open; every zone says the same.
func TestWiderHours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var days []market.Day
		first := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
		z, err := market.Zone()
		if err != nil {
			t.Fatal(err)
		}
		minute := func(m int) string { return time.Unix(int64(m)*60, 0).UTC().Format("1504") }
		for i := range 400 {
			if !rapid.Bool().Draw(t, "trading") {
				continue
			}
			m := rapid.SliceOfNDistinct(rapid.IntRange(0, 24*60-1), 4, 4, rapid.ID).Draw(t, "minutes")
			slices.Sort(m)
			d, err := market.NewDay(z, first.AddDate(0, 0, i).Format(time.DateOnly), minute(m[1]), minute(m[2]), minute(m[0]), minute(m[3]))
			if err != nil {
				continue // 02:30 does not exist on one day, and an hour comes twice on another
			}
			days = append(days, d)
		}
		c, err := market.NewCalendar(first, first.AddDate(0, 0, 399), days)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			at := time.Unix(first.Unix()+rapid.Int64Range(-20*86400, 420*86400).Draw(t, "at"), 0)
			regular, known := c.Open(at, market.Regular)
			extended, knownToo := c.Open(at, market.Extended)
			always, _ := c.Open(at, market.Always)
			if regular && !extended || extended && !always || known != knownToo || !known && !regular {
				t.Fatalf("%s: regular %t (known %t), extended %t (known %t), always %t", at, regular, known, extended, knownToo, always)
			}
			if there, _ := c.Open(at.In(time.FixedZone("far", 14*3600)), market.Regular); there != regular {
				t.Fatalf("%s: %t, in another zone %t", at, regular, there)
			}
		}
	})
}
