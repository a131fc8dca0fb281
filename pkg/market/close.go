package market

import (
	"sync"
	"time"
)

// newYork is read once: a zone is parsed anew at each time.LoadLocation. It is embedded, so it is always there.
var newYork = sync.OnceValues(func() (*time.Location, error) { return time.LoadLocation("America/New_York") })

// closingHour is that of the exchanges, New York time. Half days close earlier; their bars count as closed at this hour too.
const closingHour = 16

// LastClose is when the newest bar closed that had closed by t, by arithmetic alone: within a day at each multiple of the
// timeframe since midnight UTC, night and weekend included; OneDay at 16:00 New York time on weekdays. On a holiday there
// is a close and no bar. The zero time if the timeframe is unknown.
func (f Timeframe) LastClose(t time.Time) time.Time {
	if f != OneDay {
		if f.Duration() == 0 {
			return time.Time{}
		}
		return t.UTC().Truncate(f.Duration()) // which counts from a midnight too
	}
	zone, err := newYork()
	if err != nil {
		return time.Time{}
	}
	t = t.In(zone)
	for later := 0; ; later-- {
		c := time.Date(t.Year(), t.Month(), t.Day()+later, closingHour, 0, 0, 0, zone)
		if d := c.Weekday(); d != time.Saturday && d != time.Sunday && !c.After(t) {
			return c.UTC()
		}
	}
}

// End is when the bar that begins at a time closes: for OneDay on the day at whose midnight it begins, New York's or UTC's.
func (f Timeframe) End(begin time.Time) time.Time {
	if f != OneDay {
		return begin.UTC().Add(f.Duration())
	}
	zone, err := newYork()
	if err != nil {
		return begin.UTC().Add(f.Duration())
	}
	noon := begin.Add(12 * time.Hour).In(zone)
	return time.Date(noon.Year(), noon.Month(), noon.Day(), closingHour, 0, 0, 0, zone).UTC()
}

// Slot is a period, counted from midnight UTC, that meets each close of the timeframe: an hour for OneDay, whose closes
// lie at 20:00 or 21:00 UTC. 0 if it is unknown.
func (f Timeframe) Slot() time.Duration { return min(f.Duration(), time.Hour) }

// day is the date of a bar, days since 1 January 1970. Within a day it is New York's, as far as trading goes: the zone's
// winter time is near enough at hours without trading.
func (f Timeframe) day(begin time.Time) int64 {
	shift := int64(-5 * 3600)
	if f == OneDay {
		shift = 12 * 3600
	}
	return (begin.Unix() + shift) / 86400
}

// Skipped is how many weekdays lie between the dates of two bars: Friday to Monday is none.
func (f Timeframe) Skipped(earlier, later time.Time) int {
	return int(max(0, weekdays(f.day(later))-weekdays(f.day(earlier)+1)))
}

// Behind is how many weekdays have begun since a bar's date, today's included.
func (f Timeframe) Behind(begin, now time.Time) int {
	return int(max(0, weekdays(FiveMinutes.day(now)+1)-weekdays(f.day(begin)+1)))
}

// weekdays is how many there are before a day, counted from Monday 29 December 1969.
func weekdays(day int64) int64 {
	day += 3
	return day/7*5 + min(day%7, 5)
}
