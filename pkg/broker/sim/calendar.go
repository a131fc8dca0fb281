package sim

import (
	"net/http"
	"time"
)

// getCalendar answers a range of dates, by default and at most Alpaca's whole calendar.
func (s *Server) getCalendar(w http.ResponseWriter, r *http.Request, _ *account, _ prices) {
	first, last := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2029, 12, 31, 0, 0, 0, 0, time.UTC)
	from, err := date(r, "start", first)
	to, err2 := date(r, "end", last)
	if err != nil || err2 != nil {
		fail(w, http.StatusUnprocessableEntity, 42210000, "start and end are dates like 2026-11-27")
		return
	}
	if from.Before(first) {
		from = first
	}
	if to.After(last) {
		to = last
	}
	answer(w, tradingDays(from, to))
}

func date(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	return time.Parse(time.DateOnly, text)
}

// getClock is the exchanges' clock. Prices move all the same, whatever it says: a demo at night would be a dull one.
func (s *Server) getClock(w http.ResponseWriter, _ *http.Request, _ *account, _ prices) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		fail(w, http.StatusInternalServerError, 50010000, err.Error())
		return
	}
	now := s.cfg.Now().In(zone)
	y, m, d := now.Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	var isOpen bool
	var nextOpen, nextClose time.Time
	for _, t := range tradingDays(today, today.AddDate(0, 0, 14)) {
		open, errOpen := time.ParseInLocation("2006-01-02 15:04", t.Date+" "+t.Open, zone)
		closes, errClose := time.ParseInLocation("2006-01-02 15:04", t.Date+" "+t.Close, zone)
		if errOpen != nil || errClose != nil {
			fail(w, http.StatusInternalServerError, 50010000, "trading day "+t.Date)
			return
		}
		isOpen = isOpen || !now.Before(open) && now.Before(closes)
		if nextOpen.IsZero() && now.Before(open) {
			nextOpen = open
		}
		if nextClose.IsZero() && now.Before(closes) {
			nextClose = closes
		}
	}
	answer(w, map[string]any{
		"timestamp": now.Format(time.RFC3339Nano), "is_open": isOpen,
		"next_open": nextOpen.Format(time.RFC3339), "next_close": nextClose.Format(time.RFC3339),
	})
}
