package market

import (
	"context"
	"time"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// MaxSymbols is how many symbols a cache remembers: those that were asked for last.
const MaxSymbols = 500

// quotesIdle: most strategies run every few minutes.
const quotesIdle = 30 * time.Minute

// QuoteCache asks for quotes once a minute, for all symbols that were wanted lately, however many users want them; a
// symbol that is new costs one more request. A failure is remembered for 10 s; until it is mended the last known quotes
// are given, with their times, and the error.
type QuoteCache struct {
	quotes Quotes
	pool   pool[Quote]
}

// NewQuoteCache caches the answers of quotes, by the minutes of now.
func NewQuoteCache(quotes Quotes, now func() time.Time) *QuoteCache {
	return &QuoteCache{quotes: quotes, pool: pool[Quote]{now: now, most: MaxSymbols, idle: quotesIdle, entries: map[string]*entry[Quote]{}}}
}

// Latest implements Quotes. It never waits longer than ctx.
func (c *QuoteCache) Latest(ctx context.Context, symbols []string) (map[string]Quote, error) {
	p := &c.pool
	minute := int64(tick.Of(p.now()))
	err := p.get(ctx, symbols,
		func(*entry[Quote]) {},
		func(_ string, e *entry[Quote]) bool { return e.mark < minute },
		func(ctx context.Context, all []string) error { return c.fetch(ctx, minute, all) })
	p.mu.Lock()
	defer p.mu.Unlock()
	got := make(map[string]Quote, len(symbols))
	for _, s := range symbols {
		if e := p.entries[s]; e != nil && e.known {
			got[s] = e.value
		}
	}
	return got, err
}

func (c *QuoteCache) fetch(ctx context.Context, minute int64, symbols []string) error {
	p := &c.pool
	asks := isolateLimit
	return p.isolate(symbols, &asks, func(some []string) error {
		got, err := c.quotes.Latest(ctx, some)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range some {
			q, ok := got[s]
			if e := p.entries[s]; e != nil && (ok || err == nil) {
				e.value, e.known, e.mark, e.fault = q, ok, minute, nil
			}
		}
		return err
	})
}
