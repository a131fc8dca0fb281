package market_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// source is market data that counts what it is asked for.
type source struct {
	mu     sync.Mutex
	takes  time.Duration
	fault  error
	bad    map[string]bool // refused
	odd    map[string]bool // without a bar that can be true
	late   map[string]time.Duration
	closes map[string]int64 // of all bars; 0: 100
	grid   market.Grid
	asked  []string // "5Min 3 [SPY TLT]"
}

func (s *source) enter(ctx context.Context, what string, symbols []string) error {
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s%v", what, symbols))
	takes, fault := s.takes, s.fault
	refused := slices.ContainsFunc(symbols, func(x string) bool { return s.bad[x] })
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if refused {
		return fmt.Errorf("%w: invalid symbol", market.ErrRejected)
	}
	return fault
}

func (s *source) Latest(ctx context.Context, symbols []string) (map[string]market.Quote, error) {
	if err := s.enter(ctx, "", symbols); err != nil {
		return nil, err
	}
	quotes := map[string]market.Quote{}
	for _, x := range symbols {
		if x != "NONE" {
			quotes[x] = market.Quote{Bid: decimal.New(1, 0), Ask: decimal.New(1, 0), At: time.Now()}
		}
	}
	return quotes, nil
}

func (s *source) Closed(ctx context.Context, symbols []string, t market.Timeframe, n int, by time.Time) (map[string][]market.Bar, error) {
	if err := s.enter(ctx, fmt.Sprintf("%s %d ", t, n), symbols); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bars, shares := map[string][]market.Bar{}, map[time.Duration][]time.Time{} // shares have the same hours, by how late they are
	begins := func(x string) []time.Time {
		late := s.late[x]
		if at := shares[late]; at != nil && !market.IsCrypto(x) {
			return at
		}
		var all []time.Time
		for i := n; i > 0; i-- {
			all = append(all, s.grid.Back(x, t, by.Add(-late), i))
		}
		if !market.IsCrypto(x) {
			shares[late] = all
		}
		return all
	}
	var err error
	for _, x := range symbols {
		if s.odd[x] {
			err = fmt.Errorf("%s: nonsense", x)
			continue
		}
		if x == "NONE" {
			continue
		}
		price := decimal.New(100, 0)
		if c := s.closes[x]; c != 0 {
			price = decimal.New(c, 0)
		}
		for _, at := range begins(x) {
			bars[x] = append(bars[x], market.Bar{At: at, Open: price, High: price, Low: price, Close: price})
		}
	}
	return bars, err
}

func (s *source) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *source) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

func users() [][]string {
	return [][]string{{"SPY", "TLT"}, {"AAPL", "SPY"}, {"MSFT", "NVDA", "QQQ"}}
}

// forAll is 1,000 users of three sets of symbols at once, each with 3 s of patience.
func forAll(t *testing.T, ask func(ctx context.Context, symbols []string) (int, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			symbols := users()[i%3]
			if n, err := ask(ctx, symbols); err != nil || n != len(symbols) {
				t.Errorf("user %d: %d of %v, %v", i, n, symbols, err)
			}
		})
	}
	wg.Wait()
}

func TestQuotesAreAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: 200 * time.Millisecond}
		c := market.NewQuoteCache(s, time.Now)
		ask := func(ctx context.Context, symbols []string) (int, error) {
			q, err := c.Latest(ctx, symbols)
			return len(q), err
		}
		forAll(t, ask)
		if asked := s.take(); len(asked) > 2 { // the first set, then the others together
			t.Errorf("in the first minute: %q", asked)
		}
		for range 5 {
			time.Sleep(time.Minute)
			forAll(t, ask)
			forAll(t, ask)
			if asked := s.take(); !slices.Equal(asked, []string{"[AAPL MSFT NVDA QQQ SPY TLT]"}) {
				t.Errorf("in a later minute: %q", asked)
			}
		}
		// a newcomer costs one request, of itself alone
		for range 3 {
			if _, err := ask(t.Context(), []string{"SPY", "IWM"}); err != nil {
				t.Error(err)
			}
		}
		if asked := s.take(); !slices.Equal(asked, []string{"[IWM]"}) {
			t.Errorf("newcomer: %q", asked)
		}
		// who is not wanted is forgotten
		for range 40 {
			time.Sleep(time.Minute)
			_, _ = ask(t.Context(), []string{"SPY"})
		}
		asked := s.take()
		if last := asked[len(asked)-1]; len(asked) != 40 || last != "[SPY]" {
			t.Errorf("after 40 minutes: %d requests, the last %q", len(asked), last)
		}
	})
}

func TestQuotesInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: 100 * time.Millisecond}
		c := market.NewQuoteCache(s, time.Now)
		first, err := c.Latest(t.Context(), []string{"SPY", "NONE"})
		if err != nil || len(first) != 1 {
			t.Fatal(first, err)
		}
		// an outage is asked about every 10 s at most, and the last known quote stays, as old as it is
		time.Sleep(time.Minute)
		s.take()
		s.set(func() { s.fault = errors.New("503") })
		for range 60 {
			time.Sleep(500 * time.Millisecond)
			got, err := c.Latest(t.Context(), []string{"SPY", "NONE"})
			if err == nil || !got["SPY"].At.Equal(first["SPY"].At) {
				t.Fatalf("in the outage: %v, %v", got, err)
			}
		}
		if n := len(s.take()); n > 4 {
			t.Errorf("%d requests in half a minute of outage", n)
		}
		s.set(func() { s.fault = nil })
		time.Sleep(failed)
		if got, err := c.Latest(t.Context(), []string{"SPY"}); err != nil || time.Since(got["SPY"].At) > time.Second {
			t.Errorf("after the outage: %v, %v", got, err)
		}
		// nobody waits longer than they want to
		time.Sleep(time.Minute)
		s.set(func() { s.takes = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		got, err := c.Latest(ctx, []string{"SPY"})
		if !errors.Is(err, context.DeadlineExceeded) || len(got) != 1 || time.Since(began) != 2*time.Second {
			t.Errorf("hung: %v, %v after %s", got, err, time.Since(began))
		}
		s.set(func() { s.takes = 0 })
		time.Sleep(time.Minute) // for the hung fetch to end
	})
}

const failed = 11 * time.Second

// A symbol that the source refuses takes nobody else's quotes away, and is not tried again for an hour.
func TestRefusedSymbol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{bad: map[string]bool{"BAD": true, "WORSE": true}}
		c := market.NewQuoteCache(s, time.Now)
		all := []string{"BAD", "WORSE"}
		for i := range 100 {
			all = append(all, fmt.Sprintf("A%d", i))
		}
		for i := range 30 {
			got, err := c.Latest(t.Context(), all)
			if len(got) != 100 || !errors.Is(err, market.ErrRejected) {
				t.Fatalf("minute %d: %d quotes, %v", i, len(got), err)
			}
			asked := len(s.take())
			if i == 0 && asked > 25 || i > 0 && asked != 1 {
				t.Errorf("minute %d: %d requests", i, asked)
			}
			if got, err := c.Latest(t.Context(), all[2:5]); len(got) != 3 || err != nil {
				t.Errorf("others: %v, %v", got, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestTooManySymbols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		c := market.NewQuoteCache(s, time.Now)
		var all []string
		for i := range market.MaxSymbols {
			all = append(all, fmt.Sprintf("A%d", i))
		}
		if got, err := c.Latest(t.Context(), all); len(got) != market.MaxSymbols || err != nil {
			t.Fatal(len(got), err)
		}
		if got, err := c.Latest(t.Context(), append(all, "B")); len(got) != market.MaxSymbols || !errors.Is(err, market.ErrRejected) {
			t.Errorf("one too many at once: %d, %v", len(got), err)
		}
		time.Sleep(time.Second)
		s.take()
		if got, err := c.Latest(t.Context(), all[1:]); len(got) != market.MaxSymbols-1 || err != nil || len(s.take()) != 0 {
			t.Errorf("what is known: %d, %v", len(got), err)
		}
		if got, err := c.Latest(t.Context(), []string{"A1", "B"}); len(got) != 2 || err != nil || len(s.take()) != 1 {
			t.Errorf("one too many: %v, %v", got, err)
		}
		if got, err := c.Latest(t.Context(), all[1:]); len(got) != market.MaxSymbols-1 || err != nil || len(s.take()) != 0 {
			t.Errorf("room was made by what had been asked for more lately: %d, %v", len(got), err)
		}
		if got, err := c.Latest(t.Context(), all[:1]); len(got) != 1 || err != nil || len(s.take()) != 1 {
			t.Errorf("what made room: %v, %v", got, err)
		}
	})
}

// A user who looks back far, at many symbols, takes nobody else's bars away; those that are asked for stay.
func TestDeepBars(t *testing.T) {
	at(t, "2026-11-24 16:00:02", func(t *testing.T, s *source, c *market.BarCache) {
		ask := func(n int, symbols ...string) {
			t.Helper()
			got, err := c.Closed(t.Context(), symbols, market.OneDay, n, time.Now())
			if err != nil || len(got) != len(symbols) {
				t.Fatalf("%d symbols, %v; want %d", len(got), err, len(symbols))
			}
			for symbol, bars := range got {
				if len(bars) != n {
					t.Fatalf("%s: %d bars, want %d", symbol, len(bars), n)
				}
			}
		}
		ask(50, "SPY")
		for i := range 15 {
			var many []string
			for j := range 20 {
				many = append(many, fmt.Sprintf("X%dY%d", i, j))
			}
			ask(market.MaxBars, many...)
			ask(50, "SPY")
			time.Sleep(time.Second)
		}
		ask(200, "TLT")
		spy := 0
		for _, asked := range s.take() {
			if strings.Contains(asked, "SPY") {
				spy++
			}
		}
		if spy > 2 {
			t.Errorf("SPY, which is asked for all the time, was fetched %d times", spy)
		}
	})
}

// at runs fn in a bubble whose clock stands at a time of New York.
func at(t *testing.T, when string, fn func(t *testing.T, s *source, c *market.BarCache)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(ny(t, when)))
		g := grid(t, year(t))
		s := &source{grid: g, takes: 100 * time.Millisecond, late: map[string]time.Duration{}, closes: map[string]int64{}}
		fn(t, s, market.NewBarCache(s, g, time.Now))
	})
}

func TestBarsAreAskedForOncePerClose(t *testing.T) {
	at(t, "2026-11-24 12:01:00", func(t *testing.T, s *source, c *market.BarCache) {
		ask := func(ctx context.Context, symbols []string) (int, error) {
			now := time.Now()
			bars, err := c.Closed(ctx, symbols, market.FiveMinutes, 50, now)
			for _, b := range bars {
				if len(b) != 50 || !b[49].At.Add(5*time.Minute).Equal(now.Truncate(5*time.Minute)) {
					t.Errorf("at %s: %d bars, the newest of %s", now, len(b), b[len(b)-1].At)
				}
			}
			return len(bars), err
		}
		forAll(t, ask)
		if asked := s.take(); len(asked) > 2 {
			t.Errorf("at first: %q", asked)
		}
		for range 4 { // minutes of the same bar
			time.Sleep(59 * time.Second)
			forAll(t, ask)
		}
		if asked := s.take(); len(asked) != 0 {
			t.Errorf("of the same bar: %q", asked)
		}
		for range 6 {
			time.Sleep(5 * time.Minute)
			forAll(t, ask)
			if asked := s.take(); !slices.Equal(asked, []string{"5Min 4 [AAPL MSFT NVDA QQQ SPY TLT]"}) {
				t.Errorf("of a new bar: %q", asked)
			}
		}
		// more bars of one symbol are read anew, fewer are there
		for n, want := range map[int]int{20: 0, 120: 1} {
			if got, err := c.Closed(t.Context(), []string{"SPY"}, market.FiveMinutes, n, time.Now()); err != nil || len(got["SPY"]) != n {
				t.Errorf("%d bars: %d, %v", n, len(got["SPY"]), err)
			}
			if asked := s.take(); len(asked) > want {
				t.Errorf("%d bars: %q", n, asked)
			}
		}
		// an event of just before the close still finds its bars
		time.Sleep(time.Until(time.Now().Truncate(5 * time.Minute).Add(5*time.Minute + time.Second)))
		_, _ = ask(t.Context(), []string{"TLT"})
		by := time.Now().Add(-2 * time.Second)
		if got, err := c.Closed(t.Context(), []string{"TLT"}, market.FiveMinutes, 50, by); err != nil || len(got["TLT"]) != 50 || got["TLT"][49].At.Add(5*time.Minute).After(by) {
			t.Errorf("before the close: %d bars, %v", len(got["TLT"]), err)
		}
		if got, err := c.Closed(t.Context(), []string{"TLT"}, market.FiveMinutes, 50, by.Add(-time.Hour)); err == nil {
			t.Errorf("of an hour ago: %d bars", len(got["TLT"]))
		}
	})
}

// A bar that is late is asked for again, soon and not for ever; a split reads all bars anew.
func TestLateBarsAndSplits(t *testing.T) {
	at(t, "2026-11-24 12:00:01", func(t *testing.T, s *source, c *market.BarCache) {
		newest := func() time.Time {
			t.Helper()
			got, err := c.Closed(t.Context(), []string{"SPY", "TLT"}, market.FiveMinutes, 10, time.Now())
			if (err != nil && !errors.Is(err, market.ErrLate)) || len(got["SPY"]) != 10 || len(got["TLT"]) != 10 {
				t.Fatal(got, err)
			}
			return got["SPY"][9].At
		}
		s.set(func() { s.late["SPY"] = 15 * time.Second })
		if at := newest(); !at.Equal(ny(t, "2026-11-24 11:50:00")) {
			t.Errorf("late: %s", at)
		}
		s.take()
		for range 20 {
			time.Sleep(time.Second)
			newest()
		}
		if at, asked := newest(), s.take(); !at.Equal(ny(t, "2026-11-24 11:50:00")) || len(asked) != 1 || !strings.HasSuffix(asked[0], "[SPY]") {
			t.Errorf("late: %s after %q, want one more request, for SPY alone", at, asked)
		}
		time.Sleep(11 * time.Second)
		if at, asked := newest(), s.take(); !at.Equal(ny(t, "2026-11-24 11:55:00")) || len(asked) != 1 {
			t.Errorf("late, and never found: %s after %q", at, asked)
		}
		time.Sleep(30 * time.Second)
		newest()
		if asked := s.take(); len(asked) != 0 {
			t.Errorf("found, and asked for again: %q", asked)
		}
		s.take()
		s.set(func() { s.late["SPY"] = 24 * time.Hour })
		for range 299 {
			time.Sleep(time.Second)
			newest()
		}
		if asked := s.take(); len(asked) > 6 {
			t.Errorf("a bar that never comes: %d requests in five minutes: %q", len(asked), asked)
		}
		s.set(func() { s.late["SPY"], s.closes["SPY"] = 0, 50 })
		time.Sleep(5 * time.Minute)
		got, err := c.Closed(t.Context(), []string{"SPY", "TLT"}, market.FiveMinutes, 10, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range got["SPY"] {
			if b.Close.IntPart() != 50 {
				t.Fatalf("after a split two price levels are mixed: %v", got["SPY"])
			}
		}
	})
}

// Late is what may yet come: for as long as it is asked for again, and of a bar within a day that others have, for 10 s. What
// nobody has by then is missing.
func TestLate(t *testing.T) {
	for name, tt := range map[string]struct {
		when      string
		timeframe market.Timeframe
		late      map[string]time.Duration
		want      map[string]time.Duration // until when after the close, and 5 s more at most; missing: never
	}{
		"all in time":               {"2026-11-24 12:00:00", "5Min", nil, nil},
		"all by 5 s":                {"2026-11-24 12:00:00", "5Min", map[string]time.Duration{"SPY": 5 * time.Second, "TLT": 5 * time.Second}, map[string]time.Duration{"SPY": 10 * time.Second, "TLT": 10 * time.Second}},
		"all for ever":              {"2026-11-24 12:00:00", "5Min", map[string]time.Duration{"SPY": time.Hour, "TLT": time.Hour}, map[string]time.Duration{"SPY": market.Patience, "TLT": market.Patience}},
		"all by 119 s":              {"2026-11-24 12:00:00", "5Min", map[string]time.Duration{"SPY": 119 * time.Second, "TLT": 119 * time.Second}, map[string]time.Duration{"SPY": market.Patience, "TLT": market.Patience}},
		"one was not traded":        {"2026-11-24 12:00:00", "5Min", map[string]time.Duration{"TLT": time.Hour}, map[string]time.Duration{"TLT": 10 * time.Second}},
		"a day's":                   {"2026-11-24 16:00:00", "1Day", map[string]time.Duration{"TLT": time.Hour}, map[string]time.Duration{"TLT": market.Patience}},
		"in the evening":            {"2026-11-24 18:00:00", "5Min", map[string]time.Duration{"SPY": 3 * time.Hour, "TLT": 3 * time.Hour}, nil},
		"before anything is traded": {"2026-11-24 09:30:00", "30Min", map[string]time.Duration{"SPY": time.Hour}, nil},
	} {
		at(t, tt.when, func(t *testing.T, s *source, c *market.BarCache) {
			maps.Copy(s.late, tt.late)
			begin, last, missing := time.Now(), map[string]time.Duration{}, map[string]bool{}
			for range 130 {
				for _, symbol := range []string{"SPY", "TLT"} {
					if _, err := c.Closed(t.Context(), []string{"SPY", "TLT"}, tt.timeframe, 10, time.Now()); err != nil && !errors.Is(err, market.ErrLate) && !errors.Is(err, market.ErrMissing) {
						t.Fatal(err)
					}
					_, err := c.Closed(t.Context(), []string{symbol}, tt.timeframe, 10, time.Now())
					if errors.Is(err, market.ErrLate) {
						last[symbol] = time.Since(begin).Truncate(time.Second) + time.Second
					}
					missing[symbol] = errors.Is(err, market.ErrMissing)
				}
				time.Sleep(time.Second)
			}
			for _, symbol := range []string{"SPY", "TLT"} {
				if got, want := last[symbol], tt.want[symbol]; got < want || got > want+5*time.Second {
					t.Errorf("%s: %s is late until %s after the close, want %s", name, symbol, got, want)
				}
				if want := tt.want[symbol] == market.Patience && tt.late[symbol] > market.Patience; missing[symbol] != want {
					t.Errorf("%s: %s is missing at last: %t, want %t", name, symbol, missing[symbol], want)
				}
			}
		})
	}
}

// A day's bar comes with the close, and once more when the closing auction's price is in.
func TestDailyBars(t *testing.T) {
	at(t, "2026-11-27 12:58:00", func(t *testing.T, s *source, c *market.BarCache) { // a half day
		seen := map[string]bool{}
		for range 120 {
			got, err := c.Closed(t.Context(), []string{"SPY"}, market.OneDay, 20, time.Now())
			if err != nil || len(got["SPY"]) != 20 {
				t.Fatal(got, err)
			}
			seen[got["SPY"][19].At.Format(time.DateOnly)] = true
			time.Sleep(time.Minute)
		}
		if asked := s.take(); !seen["2026-11-25"] || !seen["2026-11-27"] || seen["2026-11-26"] || len(asked) != 3 {
			t.Errorf("days %v, asked %q; want one request before the close, one at it, one 20 minutes later", seen, asked)
		}
	})
}

// A day's bar that comes long after the close is there for the next session, whoever asked for it too early; one that never
// comes is asked for three times an hour, and nobody waits for it.
func TestDailyBarsThatComeLate(t *testing.T) {
	at(t, "2026-11-23 16:00:00", func(t *testing.T, s *source, c *market.BarCache) {
		s.set(func() { s.late["SPY"], s.late["TLT"] = 90*time.Minute, 24*time.Hour })
		ask := func() (map[string][]market.Bar, error) {
			return c.Closed(t.Context(), []string{"SPY", "TLT"}, market.OneDay, 20, time.Now())
		}
		for range 180 {
			_, _ = ask()
			time.Sleep(time.Second)
		}
		s.take()
		for range 6 * 60 {
			if _, err := ask(); errors.Is(err, market.ErrLate) {
				t.Fatalf("at %s: %v", time.Now(), err)
			}
			time.Sleep(time.Minute)
		}
		if asked := s.take(); len(asked) > 20 {
			t.Errorf("%d requests in six hours: %q", len(asked), asked)
		}
		time.Sleep(time.Until(ny(t, "2026-11-24 10:00:00")))
		got, _ := ask()
		if at := got["SPY"][19].At; !at.Equal(ny(t, "2026-11-23 00:00:00")) {
			t.Errorf("in the next session SPY's newest bar is of %s", at)
		}
	})
}

func TestBarsInTrouble(t *testing.T) {
	at(t, "2026-11-24 12:00:01", func(t *testing.T, s *source, c *market.BarCache) {
		ask := func() (map[string][]market.Bar, error) {
			return c.Closed(t.Context(), []string{"SPY", "NONE"}, market.FiveMinutes, 10, time.Now())
		}
		if got, err := ask(); err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		s.set(func() { s.fault = errors.New("503") })
		s.take()
		time.Sleep(5 * time.Minute)
		got, err := ask()
		if err == nil || len(got["SPY"]) != 10 {
			t.Errorf("in an outage: %v, %v", got, err)
		}
		g := s.grid
		if fresh := g.Fresh(got, market.FiveMinutes, time.Now()); len(fresh) != 1 {
			t.Error("one bar behind is forgiven")
		}
		if fresh := g.Fresh(got, market.FiveMinutes, time.Now().Add(5*time.Minute)); len(fresh) != 0 {
			t.Error("two bars behind are not")
		}
		for range 50 {
			time.Sleep(time.Second)
			_, _ = ask()
		}
		if n := len(s.take()); n > 7 {
			t.Errorf("%d requests in a minute of outage", n)
		}
		for _, bad := range []func() error{
			func() error { _, err := c.Closed(t.Context(), []string{"SPY"}, "7Min", 1, time.Now()); return err },
			func() error {
				_, err := c.Closed(t.Context(), []string{"SPY"}, market.OneDay, 0, time.Now())
				return err
			},
			func() error {
				_, err := c.Closed(t.Context(), []string{"SPY"}, market.OneDay, market.MaxBars+1, time.Now())
				return err
			},
		} {
			if bad() == nil {
				t.Error("a request that makes no sense was taken")
			}
		}
	})
}

// A symbol whose bars are nonsense holds up nobody else, and a night without bars is not read all over again.
func TestOneSymbolsTroubleAndNights(t *testing.T) {
	at(t, "2026-11-24 15:50:01", func(t *testing.T, s *source, c *market.BarCache) {
		s.set(func() { s.odd = map[string]bool{"ODD": true} })
		for i := range 200 {
			symbols := []string{"SPY", "TLT"}
			if i > 20 {
				symbols = append(symbols, "AAPL") // a newcomer
			}
			got, err := c.Closed(t.Context(), append(symbols, "ODD"), market.FiveMinutes, 100, time.Now())
			if err == nil || len(got) != len(symbols) {
				t.Fatalf("%d: %d symbols, %v", i, len(got), err)
			}
			if _, err := c.Closed(t.Context(), symbols, market.FiveMinutes, 100, time.Now()); err != nil {
				t.Fatalf("%d: others: %v", i, err)
			}
			time.Sleep(time.Minute)
		}
		whole := 0
		for _, asked := range s.take() {
			if strings.Contains(asked, "SPY") && strings.HasPrefix(asked, "5Min 101 ") {
				whole++
			}
		}
		if whole != 1 {
			t.Errorf("SPY's bars were all read %d times in one evening", whole)
		}
	})
}
