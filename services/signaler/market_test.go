package signaler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// quotes are the same at all times.
type quotes map[string]market.Quote

func (q quotes) Latest(context.Context, []string) (map[string]market.Quote, error) { return q, nil }

// deps are the service's own, on the world's store.
func (w *world) deps(t *testing.T, change func(*signaler.Deps)) {
	t.Helper()
	d := signaler.Deps{
		Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Quotes: market.None{}, Now: func() time.Time { return w.now },
		Fault: func(context.Context, string, error) { w.faults++ },
	}
	change(&d)
	var err error
	w.svc, err = signaler.New(signaler.DefaultConfig(), d)
	must(t, err)
}

// kind makes the user's strategy one of another kind.
func (w *world) kind(t *testing.T, kind string, params map[string]any) {
	t.Helper()
	must(t, w.store.PutStrategy(t.Context(), strategy.Definition{UserID: "u", ID: "r", Kind: kind, Params: params, Enabled: true}))
}

// at stores the next snapshot at a time, the first one a material change, and handles its event.
func (w *world) at(t *testing.T, at time.Time, change func(*account.Snapshot)) error {
	t.Helper()
	w.stored(t, at, change)
	return w.deliverAgain(t)
}

// stored is at without the handling.
func (w *world) stored(t *testing.T, at time.Time, change func(*account.Snapshot)) {
	t.Helper()
	_, err := w.store.Snapshot(t.Context(), "u")
	w.write(t, int(at.Sub(noon)/time.Minute), errors.Is(err, account.ErrNotFound), "1000", func(s *account.Snapshot) {
		w.now = at
		s.ObservedAt, s.Tick, s.SlotMinutes = at, tick.Of(at), 5
		if change != nil {
			change(s)
		}
	})
}

// share is a position of one share at a price.
func share(symbol string, usd int64) account.Position {
	price := decimal.NewNullDecimal(decimal.NewFromInt(usd))
	return account.Position{Symbol: symbol, Qty: decimal.NewFromInt(1), MarketValue: price, CurrentPrice: price}
}

// exchange has bars of regular hours, $1 more with each, published some time after their close.
type exchange struct {
	now     func() time.Time
	grid    market.Grid
	late    time.Duration
	quiet   map[string]time.Time // symbols without a trade since
	fault   error
	falling bool
	calls   int
	cache   *market.BarCache
}

func (x *exchange) Closed(_ context.Context, symbols []string, f market.Timeframe, n int, by time.Time) (map[string][]market.Bar, error) {
	if x.calls++; x.fault != nil {
		return nil, x.fault
	}
	out := map[string][]market.Bar{}
	for _, symbol := range symbols {
		until := by
		if at := x.now().Add(-x.late); at.Before(until) {
			until = at
		}
		if at := x.quiet[symbol]; !at.IsZero() {
			until = at
		}
		for i := n; i > 0; i-- {
			at := x.grid.Back(symbol, f, until, i)
			price := decimal.NewFromInt(at.Unix() / 300 % 1_000_000)
			if x.falling {
				price = decimal.NewFromInt(1_000_000).Sub(price)
			}
			out[symbol] = append(out[symbol], market.Bar{At: at, Open: price, High: price, Low: price, Close: price})
		}
	}
	return out, nil
}

// exchange gives the service bars, through the cache.
func (w *world) exchange(t *testing.T) *exchange {
	t.Helper()
	grid, err := market.NewGrid(market.Calendar{})
	must(t, err)
	x := &exchange{now: func() time.Time { return w.now }, grid: grid, quiet: map[string]time.Time{}}
	x.cache = market.NewBarCache(x, grid, x.now)
	w.deps(t, func(d *signaler.Deps) { d.Bars = x.cache })
	return x
}

// A stub quote has a middle that is a price of nothing: the broker's valuation counts.
func TestStubQuote(t *testing.T) {
	w := newWorld(t)
	w.deps(t, func(d *signaler.Deps) {
		d.Quotes = quotes{"SPY": {Bid: decimal.RequireFromString("0.01"), Ask: decimal.RequireFromString("199999.99"), At: noon.Add(time.Minute)}}
	})
	w.write(t, 1, true, "500", func(s *account.Snapshot) { s.Positions = []account.Position{share("SPY", 500)} })
	w.deliver(t, 0)
	if got := w.signals(t); len(got) != 0 {
		t.Errorf("half of equity is held, as it should be, and there is %v", got)
	}
}

// On a holiday no bar closes, and nobody is told so every five minutes.
func TestHoliday(t *testing.T) {
	w := newWorld(t)
	w.kind(t, "sma_cross", map[string]any{"symbols": []any{"SPY"}, "timeframe": "5Min", "fast": int64(1), "slow": int64(3)})
	w.exchange(t)
	thanksgiving := time.Date(2026, 11, 26, 9, 0, 2, 0, time.UTC)
	w.stored(t, thanksgiving.Add(-time.Minute), nil)
	for m := range 24 * 60 {
		must(t, w.at(t, thanksgiving.Add(time.Duration(m)*time.Minute), func(s *account.Snapshot) { s.Positions = []account.Position{share("SPY", 200)} }))
	}
	if got := w.signals(t); len(got) != 0 {
		t.Errorf("%d signals: %v", len(got), got)
	}
}

// A close whose bar is late, or can't be had, comes again until it can: nothing else would ever run it. It does not for ever, and
// not for what was not traded.
func TestCloseComesAgain(t *testing.T) {
	closes := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	day := time.Date(2026, 11, 24, 21, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		timeframe market.Timeframe
		closes    time.Time
		change    func(*exchange)
		mended    time.Duration // after the close; 0: never
		busy      time.Duration // it comes again until then, give or take 5 s
		want      string        // the signal, or the code; "": none
		faults    int
	}{
		"in time":                {"5Min", closes, func(*exchange) {}, 0, 0, "buy", 0},
		"late by 5 s":            {"5Min", closes, func(x *exchange) { x.late = 5 * time.Second }, 0, 7 * time.Second, "buy", 0},
		"a day's by 5 s":         {"1Day", day, func(x *exchange) { x.late = 5 * time.Second }, 0, 7 * time.Second, "buy", 0},
		"one connection reset":   {"1Day", day, func(x *exchange) { x.fault = errors.New("reset") }, 3 * time.Second, 7 * time.Second, "buy", 0},
		"an outage":              {"5Min", closes, func(x *exchange) { x.fault = errors.New("503") }, 0, 2 * time.Minute, "BARS_UNAVAILABLE", 1},
		"a day's never comes":    {"1Day", day, func(x *exchange) { x.late = time.Hour }, 0, 2 * time.Minute, "BARS_LATE", 1},
		"nothing was traded":     {"5Min", closes, func(x *exchange) { x.late = time.Hour }, 0, 2 * time.Minute, "", 1},
		"late by 110 s":          {"5Min", closes, func(x *exchange) { x.late = 110 * time.Second }, 0, 2 * time.Minute, "buy", 0},
		"a day's by 110 s":       {"1Day", day, func(x *exchange) { x.late = 110 * time.Second }, 0, 2 * time.Minute, "buy", 0},
		"it alone was not":       {"5Min", closes, func(x *exchange) { x.quiet["SPY"] = closes.Add(-20 * time.Minute) }, 0, 7 * time.Second, "", 0},
		"Alpaca knows no such":   {"5Min", closes, func(x *exchange) { x.fault = market.ErrRejected }, 0, 0, "BARS_UNAVAILABLE", 1},
		"in the evening, no one": {"5Min", closes.Add(6 * time.Hour), func(x *exchange) { x.late = 10 * time.Hour }, 0, 0, "", 0},
	} {
		w := newWorld(t)
		w.kind(t, strategy.KindSMACross, map[string]any{"symbols": []any{"SPY"}, "timeframe": string(tt.timeframe), "fast": int64(1), "slow": int64(3)})
		x := w.exchange(t)
		w.stored(t, tt.closes.Add(-time.Minute), nil)
		_, err := x.cache.Closed(t.Context(), []string{"TLT"}, tt.timeframe, 3, w.now) // another user's
		must(t, err)
		tt.change(x)
		var busy time.Duration
		for err = w.at(t, tt.closes.Add(2*time.Second), nil); err != nil; err = w.deliverAgain(t) {
			if event.ClassOf(err) != event.Busy || w.now.Sub(tt.closes) > 5*time.Minute {
				t.Fatalf("%s: %v", name, err)
			}
			w.now = w.now.Add(5 * time.Second)
			busy = w.now.Sub(tt.closes)
			if tt.mended > 0 && busy > tt.mended {
				x.fault = nil
			}
		}
		if (busy - tt.busy).Abs() > 5*time.Second {
			t.Errorf("%s: it came until %s after the close, want %s", name, busy, tt.busy)
		}
		got := ""
		for _, f := range w.signals(t) {
			if got += f["action"].(string); got == "flat" {
				got = f["denial_code"].(string)
			}
		}
		if got != tt.want || w.faults != tt.faults {
			t.Errorf("%s: %q and %d faults, want %q and %d", name, got, w.faults, tt.want, tt.faults)
		}
	}
}

// A day's bar that came late is what the next session is decided on; without it there is none.
func TestSessionWantsTheDaysBar(t *testing.T) {
	monday := fmt.Sprintf("1Day close %d.00", time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC).Unix()/300%1_000_000)
	for late, want := range map[time.Duration]string{90 * time.Second: "buy on " + monday, 20 * time.Hour: "BARS_LATE"} {
		w := newWorld(t)
		x := w.exchange(t)
		closes := time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)
		w.kind(t, strategy.KindSMACross, map[string]any{"symbols": []any{"SPY"}, "fast": int64(1), "slow": int64(3), "at": "session"})
		x.late = late
		for m := -1; m < 36; m++ { // another user's, who runs at the close
			w.now = closes.Add(time.Duration(m) * 5 * time.Second)
			_, _ = x.cache.Closed(t.Context(), []string{"SPY"}, market.OneDay, 3, w.now)
		}
		session := time.Date(2026, 11, 24, 15, 0, 2, 0, time.UTC)
		must(t, w.at(t, session.Add(-time.Minute), nil))
		must(t, w.at(t, session, nil))
		got := ""
		for _, f := range w.signals(t) { // of the session, and of the edit that waited for a snapshot
			said := f["action"].(string)
			if _, close, ok := strings.Cut(f["reason"].(string), ", "); said == "flat" {
				said = f["denial_code"].(string)
			} else if ok {
				said += " on " + close
			}
			if got != said {
				got += said
			}
		}
		if got != want {
			t.Errorf("the bar came %s late: %q, want %q", late, got, want)
		}
	}
}

// What takes the most bars that its parameters allow gets them.
func TestGreatestPeriod(t *testing.T) {
	w := newWorld(t)
	w.kind(t, strategy.KindRSIReversion, map[string]any{"symbols": []any{"SPY"}, "period": int64(50)})
	w.exchange(t)
	closes := time.Date(2026, 11, 24, 21, 0, 2, 0, time.UTC)
	must(t, w.at(t, closes.Add(-time.Minute), nil))
	must(t, w.at(t, closes, nil))
	if got := w.signals(t); len(got) != 0 || w.faults != 0 {
		t.Errorf("prices that only rise are none to buy at: %v, %d faults", got, w.faults)
	}
}

// deliverAgain handles the last event once more.
func (w *world) deliverAgain(t *testing.T) error {
	t.Helper()
	return w.svc.Handle(t.Context(), w.events[len(w.events)-1])
}
