package market

import "time"

// PreviousClose is when the exchanges closed on the last trading day before t's, New York's: the close that Alpaca's
// last_equity is of. It follows from the rules for holidays alone, and is 16:00 on half days too.
func PreviousClose(t time.Time) (time.Time, error) {
	zone, err := newYork()
	if err != nil {
		return time.Time{}, err
	}
	y, m, d := t.In(zone).Date()
	date := time.Date(y, m, d-1, 0, 0, 0, 0, time.UTC)
	for Holiday(date) {
		date = date.AddDate(0, 0, -1)
	}
	y, m, d = date.Date()
	return time.Date(y, m, d, closingHour, 0, 0, 0, zone).UTC(), nil
}

// LastClose is when the exchanges closed last, at t or before, as PreviousClose knows it.
func LastClose(t time.Time) (time.Time, error) {
	zone, err := newYork()
	if err != nil {
		return time.Time{}, err
	}
	y, m, d := t.In(zone).Date()
	today := time.Date(y, m, d, closingHour, 0, 0, 0, zone)
	if t.Before(today) || Holiday(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)) {
		return PreviousClose(t)
	}
	return today.UTC(), nil
}

// Opened says whether the exchanges have opened between a close and t, at 9:30 on a trading day.
func Opened(closed, t time.Time) (bool, error) {
	zone, err := newYork()
	if err != nil {
		return false, err
	}
	y, m, d := closed.In(zone).Date()
	for day := time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC); ; day = day.AddDate(0, 0, 1) {
		if y, m, d := day.Date(); !Holiday(day) {
			return !t.Before(time.Date(y, m, d, 9, 30, 0, 0, zone)), nil
		}
	}
}

// Holiday says whether the exchanges are closed on a date, by their rules, with today's holidays in all years; no closure
// that was called at short notice is known (https://www.nyse.com/trade/hours-calendars).
//
// That is: a weekend, a holiday, or the weekday that it is kept on: Friday for Saturday, Monday for Sunday. New Year's
// Day on a Saturday is not kept, since the Friday before ends the year (NYSE Rule 7.2).
func Holiday(date time.Time) bool {
	switch date.Weekday() {
	case time.Saturday, time.Sunday:
		return true
	case time.Friday:
		if next := date.AddDate(0, 0, 1); fixedHoliday(next) && next.YearDay() != 1 {
			return true
		}
	case time.Monday:
		if fixedHoliday(date.AddDate(0, 0, -1)) {
			return true
		}
	}
	return fixedHoliday(date) || movingHoliday(date)
}

func fixedHoliday(date time.Time) bool {
	switch _, month, day := date.Date(); month {
	case time.January:
		return day == 1
	case time.June:
		return day == 19
	case time.July:
		return day == 4
	case time.December:
		return day == 25
	}
	return false
}

func movingHoliday(date time.Time) bool {
	week, last := (date.Day()+6)/7, date.AddDate(0, 0, 7).Month() != date.Month()
	switch month, weekday := date.Month(), date.Weekday(); {
	case weekday == time.Monday && (month == time.January || month == time.February):
		return week == 3 // Martin Luther King, Washington
	case weekday == time.Monday && month == time.May:
		return last // Memorial Day
	case weekday == time.Monday && month == time.September:
		return week == 1 // Labor Day
	case weekday == time.Thursday && month == time.November:
		return week == 4 // Thanksgiving
	case weekday == time.Friday && (month == time.March || month == time.April):
		return date.AddDate(0, 0, 2).Equal(easter(date)) // Good Friday
	}
	return false
}

// easter is Easter Sunday of date's year, at date's time of day, by the Gregorian computus (Meeus, Jones, Butcher).
func easter(date time.Time) time.Time {
	y := date.Year()
	a, b, c := y%19, y/100, y%100
	h := (19*a + b - b/4 - (b-(b+8)/25+1)/3 + 15) % 30
	l := (32 + 2*(b%4) + 2*(c/4) - h - c%4) % 7
	n := h + l - 7*((a+11*h+22*l)/451) + 114
	return time.Date(y, time.Month(n/31), n%31+1, date.Hour(), date.Minute(), date.Second(), 0, date.Location())
}
