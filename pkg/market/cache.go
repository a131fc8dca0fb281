package market

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Cache asks for the same symbols once a minute, however many users want them, and once at a time. A failure is
// remembered for the minute too, so that an outage of the data does not hold up every event.
type Cache struct {
	quotes Quotes
	now    func() time.Time
	flight singleflight.Group

	mu     sync.Mutex
	minute tick.Tick
	got    map[string]answer
}

type answer struct {
	quotes map[string]Quote
	err    error
}

// NewCache caches the answers of quotes.
func NewCache(quotes Quotes, now func() time.Time) *Cache {
	return &Cache{quotes: quotes, now: now, got: map[string]answer{}}
}

// Latest implements Quotes. The caller must not change the map.
func (c *Cache) Latest(ctx context.Context, symbols []string) (map[string]Quote, error) {
	key := strings.Join(slices.Sorted(slices.Values(symbols)), ",")
	if a, ok := c.recall(key); ok {
		return a.quotes, a.err
	}
	v, _, _ := c.flight.Do(key, func() (any, error) {
		if a, ok := c.recall(key); ok {
			return a, nil
		}
		// the others wait for this call too: it must not end with the first caller
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		var a answer
		a.quotes, a.err = c.quotes.Latest(ctx, symbols)
		c.keep(key, a)
		return a, nil
	})
	a := v.(answer)
	return a.quotes, a.err
}

func (c *Cache) recall(key string) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := tick.Of(c.now()); t != c.minute {
		c.minute = t
		clear(c.got)
	}
	a, ok := c.got[key]
	return a, ok
}

func (c *Cache) keep(key string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got[key] = a
}
