package market

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// MaxBars is how many bars of a symbol can be asked for: 500 and the one before them, from which the first change follows.
	MaxBars = 501
	// maxKept bounds the bars of one timeframe in memory, about 300 bytes each: the deeper they are wanted, the fewer
	// symbols are kept.
	maxKept = 100_000

	// Patience is how long after its close a bar is waited for. One that should be there and is not, is asked for again 10 s
	// later, 20 and then every 30 s, and at last when Patience ends.
	Patience  = 2 * time.Minute
	lateAfter = 10 * time.Second
	lateTries = 3 // the longest wait is so many times lateAfter

	dayRevised = 20 * time.Minute // the closing auction's price comes after the close: a day's bar is read once more; one that did not come, so often
	fewNew     = 8                // so many bars are added to those that are known; more are all read anew
)

// BarCache asks for bars once in each timeframe's period, when the first caller comes after it closed, for all symbols
// that were wanted lately; after that only for the new bars. It asks again for a bar that is late. A failure is remembered
// for 10 s; until it is mended the last known bars are given, and the error: Grid.Fresh says which still count. So are they,
// with ErrLate, while a bar is late, and with ErrMissing when it was waited for in vain. A bar within a day that others have, and
// a symbol has not, is neither: there was no trade.
type BarCache struct {
	bars   Bars
	grid   Grid
	now    func() time.Time
	pools  map[Timeframe]*pool[[]Bar]
	newest map[Timeframe]*newest // each under its pool's lock
}

// newest is when the newest bars begin that any symbol has.
type newest struct{ shares, crypto time.Time }

func (n *newest) of(symbol string) *time.Time {
	if IsCrypto(symbol) {
		return &n.crypto
	}
	return &n.shares
}

// NewBarCache caches the answers of bars, by the time of now.
func NewBarCache(bars Bars, grid Grid, now func() time.Time) *BarCache {
	c := &BarCache{bars: bars, grid: grid, now: now, pools: map[Timeframe]*pool[[]Bar]{}, newest: map[Timeframe]*newest{}}
	for _, t := range Timeframes() {
		c.newest[t] = &newest{}
		c.pools[t] = &pool[[]Bar]{now: now, most: MaxSymbols, room: maxKept, idle: 2*t.Duration() + time.Hour, entries: map[string]*entry[[]Bar]{}}
	}
	return c
}

// Closed implements Bars, for times that lie at most one period back. It never waits longer than ctx.
func (c *BarCache) Closed(ctx context.Context, symbols []string, t Timeframe, n int, by time.Time) (map[string][]Bar, error) {
	if err := CheckTimeframe(t); err != nil {
		return nil, err
	}
	if n < 1 || n > MaxBars {
		return nil, fmt.Errorf("%d bars: want 1 to %d", n, MaxBars)
	}
	if now := c.now(); by.After(now) {
		by = now
	}
	p := c.pools[t]
	err := p.get(ctx, symbols,
		func(e *entry[[]Bar]) { e.want = max(e.want, n) },
		func(s string, e *entry[[]Bar]) bool {
			return e.mark < c.mark(s, t, by) || e.depth < e.want || !e.again.IsZero() && !c.now().Before(e.again)
		},
		func(ctx context.Context, all []string) error { return c.fetch(ctx, t, c.now(), all) })
	p.mu.Lock()
	defer p.mu.Unlock()
	got := make(map[string][]Bar, len(symbols))
	var late, missing []string
	for _, s := range symbols {
		e := p.entries[s]
		if e == nil || len(e.value) == 0 {
			continue
		}
		if wanting, again := c.wanting(s, e, t, by); wanting && again {
			late = append(late, s)
		} else if wanting {
			missing = append(missing, s)
		}
		bars := e.value
		for len(bars) > 0 && c.grid.End(s, t, bars[len(bars)-1].At).After(by) {
			bars = bars[:len(bars)-1]
		}
		if len(bars) < n && len(e.value) > e.want {
			return nil, fmt.Errorf("bars of %s by %s: the cache keeps the newest only", s, by.UTC().Format(time.RFC3339))
		}
		if len(bars) > 0 {
			got[s] = bars[max(0, len(bars)-n):]
		}
	}
	switch {
	case err != nil:
	case late != nil:
		err = fmt.Errorf("%s of %v: %w", t, late, ErrLate)
	case missing != nil:
		err = fmt.Errorf("%s of %v: %w", t, missing, ErrMissing)
	}
	return got, err
}

// wanting says whether the newest bar by a time is missing, and whether it is waited for. Once others have theirs, and the source
// had time to make all of them, there was no trade; a day without one is rare enough to be waited for.
func (c *BarCache) wanting(symbol string, e *entry[[]Bar], t Timeframe, by time.Time) (wanting, again bool) {
	if e.missing.IsZero() {
		return false, false
	}
	end := c.grid.End(symbol, t, e.missing)
	wanting = !end.After(by) && (t == OneDay || e.asked.Before(end.Add(lateAfter)) || c.newest[t].of(symbol).Before(e.missing))
	return wanting, e.asked.Before(end.Add(Patience))
}

// mark is the period whose bar is the newest that had closed by a time.
func (c *BarCache) mark(symbol string, t Timeframe, by time.Time) int64 {
	switch {
	case t != OneDay:
		return by.Truncate(t.Duration()).Unix()
	case IsCrypto(symbol):
		return by.Truncate(time.Hour).Unix() // their days begin wherever the source says
	}
	return c.grid.Back(symbol, t, by, 1).Unix()
}

// fetch adds the new bars where few are missing, and reads all of the others.
func (c *BarCache) fetch(ctx context.Context, t Timeframe, by time.Time, symbols []string) error {
	p := c.pools[t]
	var few, all []string
	add, depth := 0, 0
	p.mu.Lock()
	for _, s := range symbols {
		e := p.entries[s]
		if e == nil {
			continue // it made room
		}
		if n := missing(e, t, by); n <= fewNew && n < e.want && e.depth >= e.want {
			few, add = append(few, s), max(add, n)
			continue
		}
		all, depth = append(all, s), max(depth, e.want)
	}
	p.mu.Unlock()
	asks := isolateLimit
	// two more than are missing: the newest known one may have been revised, the one before it shows that nothing else was
	came := len(few) == 0
	err := p.isolate(few, &asks, func(some []string) error {
		got, err := c.bars.Closed(ctx, some, t, add+2, by)
		p.mu.Lock()
		defer p.mu.Unlock()
		came = came || len(got) > 0 || err == nil
		for _, s := range some {
			e := p.entries[s]
			if e == nil || got[s] == nil && err != nil {
				continue
			}
			bars, ok := join(e.value, got[s])
			if !ok {
				all, depth = append(all, s), max(depth, e.want)
				continue
			}
			c.keep(s, e, t, by, bars)
		}
		return err
	})
	if err != nil && !came {
		return err // the source is in trouble: it is not asked for more
	}
	return errors.Join(err, p.isolate(all, &asks, func(some []string) error {
		got, err := c.bars.Closed(ctx, some, t, depth+1, by)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range some {
			if e := p.entries[s]; e != nil && (got[s] != nil || err == nil) {
				e.depth = depth
				c.keep(s, e, t, by, got[s])
			}
		}
		return err
	}))
}

// missing is how many bars may have closed since the last fetch, and one that was late.
func missing(e *entry[[]Bar], t Timeframe, by time.Time) int {
	if len(e.value) == 0 {
		return MaxBars
	}
	return int(by.Sub(time.Unix(e.mark, 0))/t.Duration()) + 1
}

// join is the known bars and the new ones. It is false unless they overlap in a bar that has not changed: else bars may
// be missing in between, or a split has changed all prices.
func join(known, got []Bar) ([]Bar, bool) {
	if len(got) == 0 || len(known) < 2 {
		return nil, false
	}
	for i := len(known) - 2; i >= 0; i-- {
		if known[i].At.Equal(got[0].At) {
			return append(slices.Clone(known[:i]), got...), known[i].Equal(got[0])
		}
	}
	return nil, false
}

// keep stores a symbol's bars: one more than is wanted, for callers whose time is just before the newest close.
func (c *BarCache) keep(symbol string, e *entry[[]Bar], t Timeframe, by time.Time, bars []Bar) {
	mark := c.mark(symbol, t, by)
	if mark > e.mark {
		e.tries = 0
	}
	e.value, e.known, e.mark, e.fault = bars[max(0, len(bars)-e.depth-1):], len(bars) > 0, max(e.mark, mark), nil
	now := c.now()
	e.again, e.missing, e.asked = time.Time{}, time.Time{}, now
	if len(bars) == 0 {
		return
	}
	at := bars[len(bars)-1].At
	if n := c.newest[t].of(symbol); at.After(*n) {
		*n = at
	}
	revised := c.grid.End(symbol, t, at).Add(dayRevised)
	due, ok := c.grid.Due(symbol, t, by)
	late := ok && at.Before(due)
	if late {
		e.missing = due
	}
	given := c.grid.End(symbol, t, due).Add(Patience)
	switch {
	case late && now.Before(given):
		e.tries = min(e.tries+1, lateTries)
		if e.again = now.Add(time.Duration(e.tries) * lateAfter); e.again.After(given) {
			e.again = given
		}
	case late && t == OneDay: // the strategies that run in the next session want it
		e.again = now.Add(dayRevised)
	case !late && t == OneDay && !IsCrypto(symbol) && now.Before(revised):
		e.again = revised
	}
}
