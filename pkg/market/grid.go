package market

import (
	"cmp"
	"slices"
	"time"
)

// Grid says where bars lie in time. Where its calendar knows nothing, every day that is no Holiday counts as a trading day
// from 09:30 to 16:00 New York time: a half day's bar then closes late, and its afternoon's bars seem to be missing.
type Grid struct {
	zone     *time.Location
	calendar Calendar
}

// NewGrid is the grid of a calendar; of the zero Calendar too.
func NewGrid(c Calendar) (Grid, error) {
	zone, err := Zone()
	return Grid{zone: zone, calendar: c}, err
}

// End is when the bar that begins at a time closes. A day closes with the exchanges' regular hours, a day of a currency
// pair after 24 hours.
func (g Grid) End(symbol string, t Timeframe, at time.Time) time.Time {
	if t != OneDay || IsCrypto(symbol) {
		return at.Add(t.Duration())
	}
	_, closes, _ := g.hours(midnight(at.In(g.zone), 0))
	return closes.UTC()
}

// Aligned says that a bar can begin at a time. Where a currency pair's day begins is the source's affair.
func (g Grid) Aligned(symbol string, t Timeframe, at time.Time) bool {
	switch {
	case t != OneDay:
		return at.Truncate(t.Duration()).Equal(at)
	case IsCrypto(symbol):
		return true
	}
	return at.Equal(midnight(at.In(g.zone), 0))
}

// maxDays bounds a walk back through the calendar.
const maxDays = 366 * 20

// Back is when the n-th newest bar begins of those that had closed by a time and should be there: of the regular hours,
// since outside of them many a share is not traded at all.
func (g Grid) Back(symbol string, t Timeframe, by time.Time, n int) time.Time {
	d := t.Duration()
	if IsCrypto(symbol) {
		if t == OneDay {
			return by.Add(-time.Duration(n+1) * d) // the newest closed one begins one to two days ago
		}
		return by.Truncate(d).Add(-time.Duration(n) * d)
	}
	day := midnight(by.In(g.zone), 0)
	for range maxDays {
		open, closes, trading := g.hours(day)
		switch {
		case !trading:
		case t == OneDay:
			if !closes.After(by) {
				n--
			}
			if n <= 0 {
				return day.UTC()
			}
		default:
			first, end := open.Truncate(d), closes.Add(d-1).Truncate(d)
			if by.Before(end) {
				end = by.Truncate(d)
			}
			bars := max(0, int(end.Sub(first)/d))
			if n <= bars {
				return end.Add(-time.Duration(n) * d).UTC()
			}
			n -= bars
		}
		day = midnight(day, -1)
	}
	return day.UTC()
}

// Due is when the bar begins that closed with a period that was the newest by a time, and should be there; ok is false where
// none did: at night, say.
func (g Grid) Due(symbol string, t Timeframe, by time.Time) (at time.Time, ok bool) {
	at = g.Back(symbol, t, by, 1)
	if t == OneDay {
		return at, !IsCrypto(symbol)
	}
	return at, g.End(symbol, t, at).Equal(by.Truncate(t.Duration()))
}

// Fresh leaves out the symbols whose newest bar is more than one bar behind. Nights, weekends and holidays make no bar
// old. One bar is forgiven: it may be late, or may lack a trade.
func (g Grid) Fresh(bars map[string][]Bar, t Timeframe, now time.Time) map[string][]Bar {
	fresh := make(map[string][]Bar, len(bars))
	for symbol, b := range bars {
		if len(b) > 0 && !b[len(b)-1].At.Before(g.Back(symbol, t, now, 2)) {
			fresh[symbol] = b
		}
	}
	return fresh
}

// hours are the regular hours of the day that begins at a midnight in New York. closes is set for every day, so that a
// bar of a day that should have none ends too.
func (g Grid) hours(day time.Time) (open, closes time.Time, trading bool) {
	y, m, d := day.Date()
	open, closes = time.Date(y, m, d, 9, 30, 0, 0, g.zone), time.Date(y, m, d, 16, 0, 0, 0, g.zone)
	if c := g.calendar; !day.Before(c.from) && day.Before(c.to) {
		i, found := slices.BinarySearchFunc(c.days, day.Format(time.DateOnly), func(d Day, date string) int { return cmp.Compare(d.Date, date) })
		if !found {
			return open, closes, false
		}
		return c.days[i].Open, c.days[i].Close, true
	}
	return open, closes, !Holiday(day)
}
