package sim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

func (w *world) data(t testing.TB) *alpaca.Data {
	t.Helper()
	creds, err := secret.NewCredentials("k1", "s1")
	if err != nil {
		t.Fatal(err)
	}
	d, err := alpaca.NewData(alpaca.DataConfig{BaseURL: w.url, Limit: 100_000, Now: func() time.Time { return w.now }}, alpaca.FixedKeys(creds))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) bars(t testing.TB, f market.Timeframe, n int, symbols ...string) map[string][]market.Bar {
	t.Helper()
	got, err := w.data(t).Closed(t.Context(), symbols, f, n, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func aggregate(bars []market.Bar) market.Bar {
	sum := bars[0]
	for _, b := range bars[1:] {
		sum.High, sum.Low, sum.Close, sum.Volume = decimal.Max(sum.High, b.High), decimal.Min(sum.Low, b.Low), b.Close, sum.Volume.Add(b.Volume)
	}
	return sum
}

// Longer bars are made of the shorter ones, before the start and after it, and the same seed gives the same bars.
func TestBarsAddUp(t *testing.T) {
	w, other := newWorld(t, sim.Config{Seed: 7}), newWorld(t, sim.Config{Seed: 7})
	for minute := range 200 {
		w.now, other.now = start.Add(time.Duration(minute)*time.Minute), start.Add(time.Duration(minute)*time.Minute)
		if minute%50 != 0 {
			_, _ = w.data(t).Latest(t.Context(), []string{"SPY"}) // one has been looked at in between, the other has not
			continue
		}
		five := w.bars(t, market.FiveMinutes, 48, "SPY", "TLT")
		if diff := cmp.Diff(five, other.bars(t, market.FiveMinutes, 48, "SPY", "TLT")); diff != "" {
			t.Fatalf("the same seed, other bars:\n%s", diff)
		}
		for f, parts := range map[market.Timeframe]int{market.FifteenMinutes: 3, market.ThirtyMinutes: 6, market.OneHour: 12} {
			for symbol, bars := range w.bars(t, f, 2, "SPY", "TLT") {
				for _, b := range bars {
					var made []market.Bar
					for _, x := range five[symbol] {
						if !x.At.Before(b.At) && x.At.Before(b.At.Add(f.Duration())) {
							made = append(made, x)
						}
					}
					if len(made) != parts {
						t.Fatalf("%s of %s: %d bars of 5Min, want %d", f, symbol, len(made), parts)
					}
					if diff := cmp.Diff(b, aggregate(made)); diff != "" {
						t.Errorf("%s of %s at %s is not what its parts are:\n%s", f, symbol, b.At, diff)
					}
				}
			}
		}
	}
}

// A bar is what the quotes showed meanwhile.
func TestBarsAreTheQuotes(t *testing.T) {
	w := newWorld(t, sim.Config{Seed: 3})
	w.now = start.Add(5 * time.Minute)
	var seen market.Bar
	for i := range 5 {
		q, err := w.data(t).Latest(t.Context(), []string{"NVDA"})
		if err != nil {
			t.Fatal(err)
		}
		mid, _ := q["NVDA"].Mid()
		if i == 0 {
			seen = market.Bar{Open: mid, High: mid, Low: mid}
		}
		seen.High, seen.Low, seen.Close = decimal.Max(seen.High, mid), decimal.Min(seen.Low, mid), mid
		w.now = w.now.Add(time.Minute)
	}
	b := w.bars(t, market.FiveMinutes, 1, "NVDA")["NVDA"][0]
	if !b.At.Equal(start.Add(5*time.Minute)) || !b.Open.Equal(seen.Open) || !b.High.Equal(seen.High) || !b.Low.Equal(seen.Low) || !b.Close.Equal(seen.Close) || !b.Volume.IsPositive() {
		t.Errorf("bar %v, the quotes were %v", b, seen)
	}
}

// Days are the exchanges' regular hours: no weekend, no holiday, a half day till 13:00.
func TestDays(t *testing.T) {
	w := newWorld(t, sim.Config{Seed: 7})
	w.now = time.Date(2026, 11, 27, 18, 0, 0, 0, time.UTC) // 13:00 of a half day
	got, err := w.data(t).Closed(t.Context(), []string{"SPY"}, market.OneDay, 3, w.now.Add(3*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	days := got["SPY"]
	if len(days) != 3 || days[0].At.Format(time.RFC3339) != "2026-11-24T05:00:00Z" || days[1].At.Format(time.DateOnly) != "2026-11-25" || days[2].At.Format(time.DateOnly) != "2026-11-27" {
		t.Fatalf("days %v", days)
	}
	for i, parts := range map[int]int{0: 13, 2: 7} {
		at := days[i].At.Add(9*time.Hour + 30*time.Minute)
		var made []market.Bar
		for _, b := range w.bars(t, market.ThirtyMinutes, 400, "SPY")["SPY"] {
			if !b.At.Before(at) && b.At.Before(at.Add(time.Duration(parts)*30*time.Minute)) {
				made = append(made, b)
			}
		}
		want := days[i]
		want.At = at
		if diff := cmp.Diff(want, aggregate(made)); len(made) != parts || diff != "" {
			t.Errorf("day %s of %d bars:\n%s", days[i].At, len(made), diff)
		}
	}
	if year := w.bars(t, market.OneDay, 250, "SPY")["SPY"]; len(year) != 250 {
		t.Errorf("%d days of a year", len(year))
	}
}

func (w *world) get(t testing.TB, path string, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
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
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %s", path, body)
	}
	return resp.StatusCode
}

type barsPage struct {
	Bars map[string][]struct {
		T          string
		O, H, L, C float64
		V, N       int64
		VW         float64
	}
	Next *string `json:"next_page_token"`
}

// Pages count the bars of all symbols, one symbol after the other, and together they are the whole.
func TestBarPages(t *testing.T) {
	w := newWorld(t, sim.Config{})
	w.now = start.Add(12 * time.Minute)
	for _, sort := range []string{"asc", "desc"} {
		path := "/v2/stocks/bars?symbols=TLT,NOSUCH,SPY&timeframe=5Min&start=2026-11-24T14:00:00Z&sort=" + sort
		var whole barsPage
		if status := w.get(t, path, &whole); status != 200 || whole.Next != nil || len(whole.Bars) != 2 || len(whole.Bars["SPY"]) != 9 { // the open one too
			t.Fatalf("%s: HTTP %d, %+v", path, status, whole)
		}
		first, last := whole.Bars["SPY"][0].T, whole.Bars["SPY"][8].T
		if sort == "desc" {
			first, last = last, first
		}
		if first != "2026-11-24T14:00:00Z" || last != "2026-11-24T14:40:00Z" {
			t.Errorf("%s: from %s to %s", sort, first, last)
		}
		joined := barsPage{Bars: map[string][]struct {
			T          string
			O, H, L, C float64
			V, N       int64
			VW         float64
		}{}}
		pages, token := 0, ""
		for more := true; more && pages < 20; pages++ {
			var page barsPage
			w.get(t, path+"&limit=5&page_token="+url.QueryEscape(token), &page)
			for s, bars := range page.Bars {
				joined.Bars[s] = append(joined.Bars[s], bars...)
			}
			if more = page.Next != nil; more {
				token = *page.Next
			}
		}
		if diff := cmp.Diff(whole, joined); pages != 4 || diff != "" {
			t.Errorf("%s: %d pages:\n%s", sort, pages, diff)
		}
	}
	for query, want := range map[string]int{
		"":                                 400,
		"symbols=SPY":                      400,
		"symbols=SPY&timeframe=7Min":       400,
		"symbols=BTC/USD&timeframe=5Min":   400,
		"symbols=spy&timeframe=5Min":       400,
		"symbols=SPY&timeframe=5Min&end=x": 400,
		"symbols=SPY&timeframe=5Min&start=2026-11-24T25:00:00Z": 400,
		"symbols=SPY&timeframe=5Min&limit=0":                    400,
		"symbols=SPY&timeframe=5Min&limit=10001":                400,
		"symbols=SPY&timeframe=5Min&sort=up":                    400,
		"symbols=SPY&timeframe=5Min&page_token=!":               400,
		"symbols=SPY&timeframe=5Min&start=0001-01-01":           422,
		"symbols=SPY&timeframe=1Day&start=2026-11-20":           200,
		"symbols=SPY&timeframe=5Min&start=2027-01-01":           200,
		"symbols=SPY&timeframe=1Hour&start=2020-01-01":          200,
	} {
		var answer map[string]any
		if status := w.get(t, "/v2/stocks/bars?"+query, &answer); status != want || (status != 200) != (answer["message"] != nil) {
			t.Errorf("%q: HTTP %d, %.200v; want %d", query, status, fmt.Sprint(answer), want)
		}
	}
}

// Requests for much do not compute it again.
func BenchmarkDays(b *testing.B) {
	now := start
	s := sim.New(sim.Config{Now: func() time.Time { return now }, AnyKey: true})
	defer s.Close()
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/v2/stocks/bars?symbols=AAPL,MSFT,NVDA,SPY,TLT&timeframe=1Day&start=2026-01-01", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("APCA-API-KEY-ID", fmt.Sprint(b.N, now))
		r.Header.Set("APCA-API-SECRET-KEY", "s")
		now = now.Add(time.Minute)
		s.ServeHTTP(discard{http.Header{}}, r)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// The adapter on the simulator, alone and behind the cache, keeps the port's promises.
func TestBarsContract(t *testing.T) {
	w := newWorld(t, sim.Config{Seed: 5})
	w.now = start.Add(2*time.Hour + 7*time.Minute)
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		t.Fatal(err)
	}
	porttest.Bars(t, w.data(t), w.now)
	porttest.Bars(t, market.NewBarCache(w.data(t), grid, func() time.Time { return w.now }), w.now)
}
