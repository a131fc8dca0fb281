package fanout

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/roster"
)

// Partitions publishes each user's requests to the same one of several topics. With syncers of its own behind each topic,
// a user always comes to the instance that remembers the user: behind one topic Pub/Sub chooses among all. Correctness
// does not depend on it, so the number of topics may change at any time.
type Partitions []event.Publisher

// Publish implements event.Publisher.
func (p Partitions) Publish(ctx context.Context, events ...event.Event) error {
	if len(p) == 1 {
		return p[0].Publish(ctx, events...)
	}
	parts := make([][]event.Event, len(p))
	for _, e := range events {
		i := Partition(strings.TrimPrefix(e.Subject(), "users/"), len(p))
		parts[i] = append(parts[i], e)
	}
	errs := make([]error, len(p))
	var g errgroup.Group
	for i, part := range parts {
		if len(part) > 0 {
			g.Go(func() error { errs[i] = p[i].Publish(ctx, part...); return nil })
		}
	}
	_ = g.Wait() // what failed in each is told
	return errors.Join(errs...)
}

// Partition is the user's place among n: another n moves as few users as can be. Jump consistent hash: Lamping, Veach, "A
// Fast, Minimal Memory, Consistent Hash Algorithm", 2014. https://arxiv.org/abs/1406.2294
func Partition(userID string, n int) int {
	key := roster.Hash(userID)
	b, j := int64(-1), int64(0)
	for j < int64(n) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64(key>>33+1)))
	}
	return int(b)
}
