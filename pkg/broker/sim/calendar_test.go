package sim_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

type calendarRow struct {
	Date         string `json:"date"`
	Open         string `json:"open"`
	Close        string `json:"close"`
	SessionOpen  string `json:"session_open"`
	SessionClose string `json:"session_close"`
	Settlement   string `json:"settlement_date"`
}

func (w *world) calendar(t *testing.T, query string) (status int, rows []calendarRow) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v2/calendar"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("APCA-API-KEY-ID", "k1")
	r.Header.Set("APCA-API-SECRET-KEY", "s1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&rows); err != nil || rows == nil {
			t.Fatalf("%s: %v, %v", query, rows, err)
		}
	}
	return resp.StatusCode, rows
}

// The NYSE's own lists: "2022, 2023 and 2024" of 2021-12-27, "2025, 2026 and 2027" of 2024-11-08, "2026, 2027 and 2028" of
// 2025-12-23 (https://www.nyse.com/trade/hours-calendars).
func TestPublishedHolidays(t *testing.T) {
	holidays := map[string][]string{
		"2022": {"01-17", "02-21", "04-15", "05-30", "06-20", "07-04", "09-05", "11-24", "12-26"},
		"2023": {"01-02", "01-16", "02-20", "04-07", "05-29", "06-19", "07-04", "09-04", "11-23", "12-25"},
		"2024": {"01-01", "01-15", "02-19", "03-29", "05-27", "06-19", "07-04", "09-02", "11-28", "12-25"},
		"2025": {"01-01", "01-20", "02-17", "04-18", "05-26", "06-19", "07-04", "09-01", "11-27", "12-25"},
		"2026": {"01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"},
		"2027": {"01-01", "01-18", "02-15", "03-26", "05-31", "06-18", "07-05", "09-06", "11-25", "12-24"},
		"2028": {"01-17", "02-21", "04-14", "05-29", "06-19", "07-04", "09-04", "11-23", "12-25"},
	}
	halves := map[string][]string{
		"2022": {"11-25"}, "2023": {"07-03", "11-24"}, "2024": {"07-03", "11-29", "12-24"}, "2025": {"07-03", "11-28", "12-24"},
		"2026": {"11-27", "12-24"}, "2027": {"11-26"}, "2028": {"07-03", "11-24"},
	}
	w := newWorld(t, sim.Config{})
	for year, days := range holidays {
		_, got := w.calendar(t, "?start="+year+"-01-01&end="+year+"-12-31")
		var want []calendarRow
		for at, _ := time.Parse(time.DateOnly, year+"-01-01"); at.Format("2006") == year; at = at.AddDate(0, 0, 1) {
			day := at.Format("01-02")
			if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || slices.Contains(days, day) {
				continue
			}
			row := calendarRow{Date: year + "-" + day, Open: "09:30", Close: "16:00", SessionOpen: "0400", SessionClose: "2000"}
			if slices.Contains(halves[year], day) {
				row.Close, row.SessionClose = "13:00", "1700"
			}
			if n := len(want); n > 0 {
				want[n-1].Settlement = row.Date
			}
			want = append(want, row)
		}
		want[len(want)-1].Settlement = got[len(got)-1].Settlement // in another year
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", year, diff)
		}
	}
}

func TestCalendarRequests(t *testing.T) {
	w := newWorld(t, sim.Config{})
	for query, want := range map[string]struct {
		status, days int
	}{
		"":                                 {200, -1},
		"?start=2026-11-23&end=2026-11-29": {200, 4},
		"?start=2026-11-28&end=2026-11-29": {200, 0},
		"?start=2026-11-27&end=2026-11-27": {200, 1},
		"?start=2026-11-27&end=2026-11-20": {200, 0},
		"?start=2029-12-31&end=9999-12-31": {200, 1},
		"?start=0001-01-01&end=1970-01-02": {200, 1},
		"?start=today":                     {422, 0},
		"?start=2026-11-27&end=2026-11-31": {422, 0},
		"?start=2026-11-27T00:00:00Z&end=": {422, 0},
	} {
		status, rows := w.calendar(t, query)
		if status != want.status || len(rows) != want.days && want.days >= 0 || want.days < 0 && (len(rows) < 15_000 || rows[0].Date != "1970-01-02") {
			t.Errorf("%s: HTTP %d, %d days; want %+v", query, status, len(rows), want)
		}
	}
}

func (w *world) sessions(t *testing.T, key, secretKey string) *alpaca.Sessions {
	t.Helper()
	b, err := alpaca.New(alpaca.Config{PaperURL: w.url, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials(key, secretKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Sessions(broker.Paper, creds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the adapter reads from the simulator: the calendar and the clock agree at every quarter of an hour of the week, in a year.
func TestCalendarAndClock(t *testing.T) {
	w := newWorld(t, sim.Config{})
	s := w.sessions(t, "k1", "s1")
	w.now = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	c, err := s.Calendar(t.Context(), w.now.AddDate(0, 0, -1), w.now.AddDate(1, 0, 7))
	if err != nil {
		t.Fatal(err)
	}
	open, steps := 0, 0
	for ; w.now.Year() == 2026; w.now = w.now.Add(105 * time.Minute) {
		clock, err := s.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps++
		want, known := c.Open(w.now, market.Regular)
		if justClosed, _ := c.Open(w.now.Add(time.Minute), market.Regular); want && !justClosed {
			want = false // the minute after the close is the calendar's alone
		}
		if !known || clock.Open != want || !clock.At.Equal(w.now) {
			t.Fatalf("%s: the clock says open %t, the calendar %t (known %t)", w.now, clock.Open, want, known)
		}
		for _, next := range []time.Time{clock.NextOpen, clock.NextClose} {
			if d := next.Sub(w.now); d <= 0 || d > 5*24*time.Hour {
				t.Fatalf("%s: clock %+v", w.now, clock)
			}
		}
		if at, _ := c.Open(clock.NextOpen, market.Regular); !at || clock.Open != clock.NextClose.Before(clock.NextOpen) {
			t.Fatalf("%s: clock %+v", w.now, clock)
		}
		if before, _ := c.Open(clock.NextOpen.Add(-time.Second), market.Regular); before {
			t.Fatalf("%s: clock %+v", w.now, clock)
		}
		if clock.Open {
			open++
		}
	}
	if share := float64(open) / float64(steps); share < 0.17 || share > 0.2 {
		t.Errorf("open for %.3f of the year", share)
	}
}

func TestSessionKeys(t *testing.T) {
	fault, err := sim.ParseFault("hang=hung")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, sim.Config{Faults: []sim.Fault{fault}})
	w.sim.Register("hung", "s")
	if _, err := w.sessions(t, "k1", "wrong").Calendar(t.Context(), start, start); broker.KindOf(err) != broker.Unauthorized {
		t.Errorf("calendar with a bad key: %v", err)
	}
	if _, err := w.sessions(t, "nobody", "s").Clock(t.Context()); broker.KindOf(err) != broker.Unauthorized {
		t.Errorf("clock with a bad key: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.sessions(t, "hung", "s").Calendar(ctx, start, start); broker.KindOf(err) != broker.Timeout {
		t.Errorf("hung: %v, want a timeout", err)
	}
}

// All the way: simulator, adapter, timetable.
func TestTimetable(t *testing.T) {
	w := newWorld(t, sim.Config{})
	w.now = time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC) // Thanksgiving, 10:00 in New York
	s := w.sessions(t, "k1", "s1")
	now := w.now
	table := market.NewTimetable(market.TimetableConfig{Sessions: s, Now: func() time.Time { return now }, Fault: func(err error) { t.Error(err) }})
	for _, tt := range []struct {
		at    time.Time
		hours market.Hours
		want  bool
	}{
		{now, market.Regular, false}, {now, market.Extended, false}, {now, market.Always, true},
		{now.Add(24 * time.Hour), market.Regular, true}, {now.Add(24*time.Hour + 3*time.Hour + time.Minute), market.Regular, false},
		{now.Add(31 * time.Hour), market.Extended, true}, {now.Add(31*time.Hour + time.Minute), market.Extended, false},
	} {
		if got := table.Open(t.Context(), tt.at, tt.hours); got != tt.want {
			t.Errorf("%s, %s: open %t", tt.at, tt.hours, got)
		}
	}
}
