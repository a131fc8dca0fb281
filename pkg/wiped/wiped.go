// Package wiped remembers secrets in this process for a while, and wipes what it forgets.
package wiped

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"
)

// loadLimit bounds one load, which others may wait for: it does not end with the first of them.
const loadLimit = 10 * time.Second

// Secret is a pointer to what can be wiped; whoever was given it meets the wiped one.
type Secret interface {
	comparable
	Wipe()
}

// Cache is safe for concurrent use.
type Cache[V Secret] struct {
	entries *otter.Cache[string, V]
}

// New remembers so many at most, each for the lifetime it is given when it comes.
func New[V Secret](most int, lifetime func() time.Duration, now func() time.Time) (*Cache[V], error) {
	entries, err := otter.New(&otter.Options[string, V]{
		MaximumSize:      most,
		Clock:            clock(now),
		ExpiryCalculator: otter.ExpiryWritingFunc(func(otter.Entry[string, V]) time.Duration { return lifetime() }),
		OnAtomicDeletion: func(e otter.DeletionEvent[string, V]) { e.Value.Wipe() },
	})
	return &Cache[V]{entries}, err
}

// Get is what is remembered, or loaded. Of those who ask for the same at the same time, one loads.
func (c *Cache[V]) Get(ctx context.Context, id string, load func(ctx context.Context, id string) (V, error)) (V, error) {
	return c.entries.Get(ctx, id, otter.LoaderFunc[string, V](func(ctx context.Context, id string) (V, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
		defer cancel()
		return load(ctx, id)
	}))
}

// Peek loads nothing.
func (c *Cache[V]) Peek(id string) (V, bool) { return c.entries.GetIfPresent(id) }

// Drop forgets this one, and none that has taken its place.
func (c *Cache[V]) Drop(id string, v V) {
	c.entries.ComputeIfPresent(id, func(now V) (V, otter.ComputeOp) {
		if now == v {
			var none V
			return none, otter.InvalidateOp
		}
		return now, otter.CancelOp
	})
}

// Len is how many there are, after the work that is pending.
func (c *Cache[V]) Len() int {
	c.entries.CleanUp()
	return c.entries.EstimatedSize()
}

// clock makes the library see the platform's time. It needs no goroutine: a busy cache cleans up as it is used.
type clock func() time.Time

func (c clock) NowNano() int64                      { return c().UnixNano() }
func (c clock) Tick(time.Duration) <-chan time.Time { return nil }
