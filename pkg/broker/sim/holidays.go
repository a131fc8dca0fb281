package sim

import (
	"time"
	_ "time/tzdata" // the machine may hold no zones

	"github.com/agenttrader/agenttrader/pkg/market"
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

// tradingDays are those from one date to another, both included. They follow the exchanges' rules for holidays and early
// closes (market.Holiday).
func tradingDays(from, to time.Time) []tradingDay {
	days := []tradingDay{}
	for date := from; !date.After(to); date = date.AddDate(0, 0, 1) {
		if market.Holiday(date) {
			continue
		}
		d := tradingDay{Date: date.Format(time.DateOnly), Open: "09:30", Close: "16:00", SessionOpen: "0400", SessionClose: "2000"}
		if isHalf(date) {
			d.Close, d.SessionClose = "13:00", "1700"
		}
		settled := date.AddDate(0, 0, 1)
		for market.Holiday(settled) {
			settled = settled.AddDate(0, 0, 1)
		}
		d.SettlementDate = settled.Format(time.DateOnly)
		days = append(days, d)
	}
	return days
}

// TradingDay says whether the exchanges open on a date, half days included.
func TradingDay(date time.Time) bool { return !market.Holiday(date) }

// isHalf: the day before Independence Day and before Christmas, and the one after Thanksgiving.
func isHalf(date time.Time) bool {
	_, month, day := date.Date()
	return month == time.July && day == 3 || month == time.December && day == 24 ||
		month == time.November && date.Weekday() == time.Friday && market.Holiday(date.AddDate(0, 0, -1))
}
