package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/services/fanout"
)

// part takes requests, or fails.
type part struct {
	mu    sync.Mutex
	users []string
	err   error
}

func (p *part) Publish(_ context.Context, events ...event.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		p.users = append(p.users, strings.TrimPrefix(e.Subject(), "users/"))
	}
	return p.err
}

func TestPartitions(t *testing.T) {
	const users, n = 10_000, 4
	parts := make([]*part, n)
	var all fanout.Partitions
	for i := range parts {
		parts[i] = &part{}
		all = append(all, parts[i])
	}
	events := make([]event.Event, users)
	for i := range events {
		events[i] = event.New(fmt.Sprint(i), event.TypeSyncRequest, "fanout", fmt.Sprintf("users/user-%d", i))
	}
	for range 2 {
		if err := all.Publish(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for i, p := range parts {
		if len(p.users) < 2*users/n*9/10 || len(p.users) > 2*users/n*11/10 {
			t.Errorf("topic %d has %d of %d requests", i, len(p.users), 2*users)
		}
		for _, uid := range p.users {
			if seen[uid]++; fanout.Partition(uid, n) != i {
				t.Fatalf("%s came to topic %d", uid, i)
			}
		}
	}
	for uid, times := range seen {
		if times != 2 {
			t.Fatalf("%s was published %d times to all topics, want 2", uid, times)
		}
	}
	if len(seen) != users {
		t.Errorf("%d users, want %d", len(seen), users)
	}
	parts[1].err, parts[3].err = errors.New("first"), errors.New("third")
	if err := all.Publish(t.Context(), events...); !errors.Is(err, parts[1].err) || !errors.Is(err, parts[3].err) {
		t.Errorf("%v: want both topics' errors", err)
	}
}

// One topic more takes its share from all others, and moves nobody else.
func TestPartitionMovesFew(t *testing.T) {
	const users = 10_000
	for n := 1; n < 20; n++ {
		moved := 0
		for i := range users {
			uid := fmt.Sprintf("user-%d", i)
			was, is := fanout.Partition(uid, n), fanout.Partition(uid, n+1)
			if was < 0 || was >= n {
				t.Fatalf("Partition(%q, %d) = %d", uid, n, was)
			}
			if was != is {
				if moved++; is != n {
					t.Fatalf("%s moved from %d to %d, which is not the new one of %d", uid, was, is, n+1)
				}
			}
		}
		if share := users / (n + 1); moved < share*8/10 || moved > share*12/10 {
			t.Errorf("from %d to %d topics %d users moved, want about %d", n, n+1, moved, share)
		}
	}
}
