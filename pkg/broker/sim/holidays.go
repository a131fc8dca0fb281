package sim

import (
	"time"
	_ "time/tzdata" // the machine may hold no zones
)

// tradingDay is a day of the exchanges, as Alpaca writes it: local times of New York, with and without a colon.
type tradingDay struct {
	Date           string `json:"date"`
	Open           string `json:"open"`
	Close          string `json:"close"`
	SessionOpen    string `json:"session_open"`
	SessionClose   string `json:"session_close"`
	SettlementDate string `json:"settlement_date"` // one trading day later
}

// tradingDays are those from one date to another, both included. They follow the exchanges' rule for holidays and early
// closes, with today's holidays in all years, and know no closure that was called at short notice
// (https://www.nyse.com/trade/hours-calendars).
func tradingDays(from, to time.Time) []tradingDay {
	days := []tradingDay{}
	for date := from; !date.After(to); date = date.AddDate(0, 0, 1) {
		if isHoliday(date) {
			continue
		}
		d := tradingDay{Date: date.Format(time.DateOnly), Open: "09:30", Close: "16:00", SessionOpen: "0400", SessionClose: "2000"}
		if isHalf(date) {
			d.Close, d.SessionClose = "13:00", "1700"
		}
		settled := date.AddDate(0, 0, 1)
		for isHoliday(settled) {
			settled = settled.AddDate(0, 0, 1)
		}
		d.SettlementDate = settled.Format(time.DateOnly)
		days = append(days, d)
	}
	return days
}

// TradingDay says whether the exchanges open on a date, half days included.
func TradingDay(date time.Time) bool { return !isHoliday(date) }

// isHoliday: a weekend, a holiday, or the weekday that it is kept on: Friday for Saturday, Monday for Sunday. New Year's
// Day on a Saturday is not kept, since the Friday before ends the year (NYSE Rule 7.2).
func isHoliday(date time.Time) bool {
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

// isHalf: the day before Independence Day and before Christmas, and the one after Thanksgiving.
func isHalf(date time.Time) bool {
	_, month, day := date.Date()
	return month == time.July && day == 3 || month == time.December && day == 24 ||
		month == time.November && date.Weekday() == time.Friday && movingHoliday(date.AddDate(0, 0, -1))
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
