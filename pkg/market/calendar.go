package market

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
	_ "time/tzdata" // an image may hold no zones
)

// Hours are the times in which a user's account is synced. The zero Hours is Always.
type Hours string

// The hours, as they stand in users/{uid}.sync_hours.
const (
	Regular  Hours = "regular"  // the exchanges' own: 09:30 to 16:00 New York time on trading days, 13:00 on half days
	Extended Hours = "extended" // with pre-market and after-hours: 04:00 to 20:00, 17:00 on half days; no overnight session
	Always   Hours = "always"   // round the clock: crypto and the overnight session too
)

// ParseHours reads one of the three words.
func ParseHours(s string) (Hours, error) {
	switch h := Hours(s); h {
	case Regular, Extended, Always:
		return h, nil
	}
	return "", fmt.Errorf("hours %.40q: want %s, %s or %s", s, Regular, Extended, Always)
}

// gated: any other word is no reason not to sync.
func (h Hours) gated() bool { return h == Regular || h == Extended }

// closing is how long the market counts as open after its close, so that the tick at the close itself takes the closing
// snapshot.
const closing = time.Minute

// maxGap is the longest time without a trading day that is believed: a calendar with a longer one is a broken one, and
// would stop all syncing. The longest in living memory was six and a half days, from 10 to 17 September 2001.
const maxGap = 10 * 24 * time.Hour

// Zone is the exchanges' local time, America/New_York.
func Zone() (*time.Location, error) { return newYork() }

// Day is a trading day. Its times are UTC instants; SessionOpen <= Open < Close <= SessionClose, all on the same day in
// New York.
type Day struct {
	Date                      string // in New York, 2026-11-27
	Open, Close               time.Time
	SessionOpen, SessionClose time.Time
}

// The extended session where the broker does not say it: Alpaca's calendar does, but it is no documented promise
// (https://github.com/alpacahq/alpaca-trade-api-go/issues/266).
const (
	usualSessionOpen  = "0400"
	usualSessionClose = "2000"
)

// NewDay makes a trading day of a date and of local times of the zone, "09:30" or "0930", as Alpaca's /v2/calendar has
// them (https://docs.alpaca.markets/reference/getcalendar-1). An empty sessionOpen or sessionClose is the usual one,
// 04:00 or 20:00. An error says which text does not fit; nothing is guessed.
func NewDay(zone *time.Location, date, open, closes, sessionOpen, sessionClose string) (Day, error) {
	d := Day{Date: date}
	for _, f := range []struct {
		at         *time.Time
		name, text string
	}{
		{&d.Open, "open", open}, {&d.Close, "close", closes},
		{&d.SessionOpen, "session open", cmp.Or(sessionOpen, usualSessionOpen)},
		{&d.SessionClose, "session close", cmp.Or(sessionClose, usualSessionClose)},
	} {
		layout := time.DateOnly + " 15:04"
		if len(f.text) == len("0930") {
			layout = time.DateOnly + " 1504"
		}
		at, err := time.ParseInLocation(layout, date+" "+f.text, zone)
		if err != nil {
			return Day{}, fmt.Errorf("trading day %.20q: %s is %.20q, want 09:30 or 0930", date, f.name, f.text)
		}
		*f.at = at.UTC()
	}
	if d.Open.Before(d.SessionOpen) || !d.Open.Before(d.Close) || d.SessionClose.Before(d.Close) {
		return Day{}, fmt.Errorf("trading day %s: open %s, close %s, session %s to %s are out of order", date, open, closes, sessionOpen, sessionClose)
	}
	return d, nil
}

// Calendar is the trading days of a range. The zero Calendar knows nothing.
type Calendar struct {
	from, to time.Time // midnights in New York: what lies in [from, to) is known
	days     []Day     // by date
}

// NewCalendar is a calendar of all trading days from the day of from to that of to, in New York; days of other dates
// are left out. Two days of one date are an error.
func NewCalendar(from, to time.Time, days []Day) (Calendar, error) {
	zone, err := Zone()
	if err != nil {
		return Calendar{}, err
	}
	c := Calendar{from: midnight(from.In(zone), 0), to: midnight(to.In(zone), 1)}
	for _, d := range days {
		if !d.SessionOpen.Before(c.from) && d.SessionClose.Before(c.to) {
			c.days = append(c.days, d)
		}
	}
	slices.SortFunc(c.days, func(a, b Day) int { return cmp.Compare(a.Date, b.Date) })
	for i := 1; i < len(c.days); i++ {
		if c.days[i].Date == c.days[i-1].Date {
			return Calendar{}, fmt.Errorf("calendar: two trading days %s", c.days[i].Date)
		}
	}
	return c, nil
}

// midnight is the beginning of t's day, or so many days later, in t's zone.
func midnight(t time.Time, later int) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+later, 0, 0, 0, 0, t.Location())
}

// Open says whether an account with these hours is synced at a time, of any zone. Intervals are half-open, [open, close),
// and one minute longer: the tick at the close takes the closing snapshot. known is false outside of the calendar's
// range and in a gap of more than ten days without trading, which is not believed; open is true then, since syncing
// too often does no harm and not syncing does. Always is open and known.
//
// A user who is due every n minutes only, may not be due in that one minute: who is open at t or at t-(n-1) minutes has
// exactly one due tick after the close.
func (c Calendar) Open(t time.Time, hours Hours) (open, known bool) {
	if !hours.gated() {
		return true, true
	}
	if t.Before(c.from) || !t.Before(c.to) {
		return true, false
	}
	i := c.after(t)
	if i == len(c.days) || t.Before(c.days[i].SessionOpen) {
		believed := c.gap(i) <= maxGap
		return !believed, believed
	}
	d := c.days[i]
	if hours == Regular {
		return within(t, d.Open, d.Close.Add(closing)), true
	}
	return true, true
}

// gap is the time without trading before the i-th day.
func (c Calendar) gap(i int) time.Duration {
	from, to := c.from, c.to
	if i > 0 {
		from = c.days[i-1].SessionClose
	}
	if i < len(c.days) {
		to = c.days[i].SessionOpen
	}
	return to.Sub(from)
}

// after is the first day that is not over at t.
func (c Calendar) after(t time.Time) int {
	return sort.Search(len(c.days), func(i int) bool { return t.Before(c.days[i].SessionClose.Add(closing)) })
}

// regular is the day in whose regular hours t lies, without the minute after them.
func (c Calendar) regular(t time.Time) (Day, bool) {
	i := c.after(t)
	if i == len(c.days) || !within(t, c.days[i].Open, c.days[i].Close) {
		return Day{}, false
	}
	return c.days[i], true
}

func within(t, from, to time.Time) bool { return !t.Before(from) && t.Before(to) }
