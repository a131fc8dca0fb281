package sim

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// bar is a bar in Alpaca's wire format.
type bar struct {
	At     time.Time `json:"t"`
	Open   float64   `json:"o"`
	High   float64   `json:"h"`
	Low    float64   `json:"l"`
	Close  float64   `json:"c"`
	Volume int64     `json:"v"`
	Trades int64     `json:"n"`
	VWAP   float64   `json:"vw"`
}

const (
	usualLimit = 1000 // bars in a page
	mostLimit  = 10_000
	mostBars   = 1_000_000 // that one request may look at
)

// span is where a bar lies: [from, to).
type span struct {
	at       time.Time // its beginning by name
	from, to time.Time
}

// getBars answers with bars of the walk, or of the file that is replayed. Like Alpaca it includes the bar that is still
// open, sorts by symbol first, and lets limit count all symbols' bars. Within a day bars go round the clock, as prices
// do; a day's bar is the exchanges' regular hours, on their trading days.
func (s *Server) getBars(w http.ResponseWriter, r *http.Request, _ *account, p prices) {
	q, err := barQuery(r, p.at)
	if err != nil {
		fail(w, http.StatusBadRequest, 40010001, err.Error())
		return
	}
	spans, err := q.spans()
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, 42210000, err.Error())
		return
	}
	page, next := map[string][]bar{}, any(nil)
	left := q.limit
	for _, symbol := range q.symbols {
		if symbol < q.after.symbol {
			continue
		}
		bars := s.market.bars(symbol, q.timeframe, spans, p)
		if q.desc {
			slices.Reverse(bars)
		}
		for _, b := range bars {
			if symbol == q.after.symbol && (q.desc && !b.At.Before(q.after.at) || !q.desc && !b.At.After(q.after.at)) {
				continue
			}
			if left == 0 {
				next = q.token()
				break
			}
			page[symbol] = append(page[symbol], b)
			q.after.symbol, q.after.at = symbol, b.At
			left--
		}
		if next != nil {
			break
		}
	}
	answer(w, map[string]any{"bars": page, "next_page_token": next})
}

// query is a request for bars.
type query struct {
	symbols   []string // sorted, each once
	timeframe market.Timeframe
	from, to  time.Time // both included
	limit     int
	desc      bool
	after     struct { // the last bar of the page before
		symbol string
		at     time.Time
	}
}

func barQuery(r *http.Request, now time.Time) (q query, err error) {
	v := r.URL.Query()
	if v.Get("symbols") == "" {
		return q, fmt.Errorf("symbols is required")
	}
	q.symbols = slices.Compact(slices.Sorted(strings.SplitSeq(v.Get("symbols"), ",")))
	for _, s := range q.symbols {
		if market.CheckSymbol(s) != nil || market.IsCrypto(s) {
			return q, fmt.Errorf("invalid symbol: %.20s", s)
		}
	}
	q.timeframe = market.Timeframe(v.Get("timeframe"))
	if err := market.CheckTimeframe(q.timeframe); err != nil {
		return q, fmt.Errorf("invalid timeframe: %w", err)
	}
	y, m, d := now.UTC().Date()
	if q.from, err = instant(v.Get("start"), time.Date(y, m, d, 0, 0, 0, 0, time.UTC)); err != nil {
		return q, fmt.Errorf("invalid start: %w", err)
	}
	if q.to, err = instant(v.Get("end"), now); err != nil {
		return q, fmt.Errorf("invalid end: %w", err)
	}
	if q.to.After(now) {
		q.to = now
	}
	q.limit = usualLimit
	if text := v.Get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 || q.limit > mostLimit {
			return q, fmt.Errorf("invalid limit: want 1 to %d", mostLimit)
		}
	}
	switch v.Get("sort") {
	case "", "asc":
	case "desc":
		q.desc = true
	default:
		return q, fmt.Errorf("invalid sort: want asc or desc")
	}
	return q, q.page(v.Get("page_token"))
}

func instant(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, text)
}

func (q *query) token() string {
	return base64.URLEncoding.EncodeToString([]byte(q.after.symbol + "|" + q.after.at.UTC().Format(time.RFC3339)))
}

func (q *query) page(token string) error {
	if token == "" {
		return nil
	}
	text, err := base64.URLEncoding.DecodeString(token)
	symbol, at, _ := strings.Cut(string(text), "|")
	if err == nil {
		q.after.at, err = time.Parse(time.RFC3339, at)
	}
	if err != nil {
		return fmt.Errorf("invalid page_token")
	}
	q.after.symbol = symbol
	return nil
}

// spans are where the bars of a query lie, the oldest first.
func (q *query) spans() ([]span, error) {
	var spans []span
	if q.timeframe == market.OneDay {
		zone, err := market.Zone()
		if err != nil {
			return nil, err
		}
		for _, t := range tradingDays(dateOf(q.from.In(zone)).AddDate(0, 0, -1), dateOf(q.to.In(zone))) {
			midnight, errDate := time.ParseInLocation(time.DateOnly, t.Date, zone)
			open, errOpen := time.ParseInLocation("2006-01-02 15:04", t.Date+" "+t.Open, zone)
			closes, errClose := time.ParseInLocation("2006-01-02 15:04", t.Date+" "+t.Close, zone)
			if errDate != nil || errOpen != nil || errClose != nil {
				return nil, fmt.Errorf("trading day %s", t.Date)
			}
			if !midnight.Before(q.from) && !midnight.After(q.to) {
				spans = append(spans, span{midnight.UTC(), open.UTC(), closes.UTC()})
			}
		}
		return spans, nil
	}
	d := q.timeframe.Duration()
	if q.to.Sub(q.from) > mostBars*d {
		return nil, fmt.Errorf("start %s is too far back", q.from.Format(time.RFC3339))
	}
	at := q.from.Truncate(d)
	if at.Before(q.from) {
		at = at.Add(d)
	}
	for ; !at.After(q.to); at = at.Add(d) {
		spans = append(spans, span{at.UTC(), at.UTC(), at.UTC().Add(d)})
	}
	return spans, nil
}

func dateOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// bars are a symbol's bars in the spans, up to the market's minute.
func (x *exchange) bars(symbol string, t market.Timeframe, spans []span, p prices) []bar {
	if x.replay.has(symbol) {
		return x.replay.bars(symbol, t, spans, p.at)
	}
	i, ok := symbolIndex(symbol)
	if !ok {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	bars := make([]bar, 0, len(spans))
	for _, s := range spans {
		if b, ok := x.walk.bar(i, s.from.Unix()/60, s.to.Unix()/60); ok {
			b.At = s.at
			bars = append(bars, b)
		}
	}
	return bars
}
