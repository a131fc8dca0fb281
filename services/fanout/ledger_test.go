package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/fanout"
)

// delivery is one delivery of the tick's message to an instance of its own.
type delivery struct {
	after  time.Duration // the message's publish time
	skew   time.Duration // of the instance's clock
	slow   time.Duration // each publish call takes
	killed int           // dies in the n-th publish call, half-way; 0: lives
}

var errDied = errors.New("the process is gone")

// In whatever order and however often a tick is delivered, to machines whose clocks differ by up to a minute, some of
// which die half-way: every user gets a request, and a page is repeated only where a delivery died or lost its claim.
// The claim of a machine that died with its clock ahead may outlive the tick: then it is dropped, never half-forgotten.
func TestLedgerInAnyInterleaving(t *testing.T) {
	const users, page = 25, 10
	rapid.Check(t, func(rt *rapid.T) {
		var list []delivery
		most := rapid.SampledFrom([]int{0, 0, 10, 60}).Draw(rt, "most skew")
		for range rapid.IntRange(1, 4).Draw(rt, "deliveries") {
			list = append(list, delivery{
				after:  time.Duration(rapid.IntRange(0, 30).Draw(rt, "after")) * time.Second,
				skew:   time.Duration(rapid.IntRange(-most, most).Draw(rt, "skew")) * time.Second,
				slow:   time.Duration(rapid.IntRange(0, 8).Draw(rt, "slow")) * time.Second,
				killed: rapid.IntRange(0, 3).Draw(rt, "killed"),
			})
		}
		list = append(list, delivery{after: 40 * time.Second}) // Pub/Sub goes on until one is acknowledged
		var fault string
		synctest.Test(t, func(t *testing.T) { fault = deliver(t, list, users, page, most == 0) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

func deliver(t *testing.T, list []delivery, users, page int, inStep bool) string {
	s := store.New(mem.NewDB(time.Now))
	for i := range users {
		if err := s.PutUser(t.Context(), user.User{ID: fmt.Sprintf("u%03d", i), Status: user.Active}); err != nil {
			return err.Error()
		}
	}
	published := time.Now()
	var mu sync.Mutex
	sent, lost, died, dropped, faults := map[string]int{}, 0, 0, 0, ""
	var wg sync.WaitGroup
	for i, d := range list {
		cfg := fanout.DefaultConfig()
		cfg.PageSize, cfg.IdleCadence, cfg.ScanEvery = page, 1, 0
		p := &dyingPublisher{d: d, sent: func(id string) {
			mu.Lock()
			defer mu.Unlock()
			sent[id]++
		}}
		svc, err := fanout.New(cfg, fanout.Deps{
			Users: s, Health: s, Trading: s, Roster: s, Notes: s, Scan: s, Ledger: &dyingLedger{s, p}, Requests: p, Shards: p, Now: func() time.Time { return time.Now().Add(d.skew) },
			NewOwner: func() string { return fmt.Sprint(i) },
		})
		if err != nil {
			return err.Error()
		}
		wg.Go(func() {
			time.Sleep(d.after)
			for range 300 { // a nack comes again
				err := svc.Handle(t.Context(), tickAt(published))
				mu.Lock()
				switch {
				case p.dead:
					died++
				case errors.Is(err, tick.ErrLost):
					lost++
				case event.ClassOf(err) == event.Dropped:
					dropped++
				}
				mu.Unlock()
				if c := event.ClassOf(err); p.dead || (c != event.Busy && c != event.Retry) {
					return
				}
				time.Sleep(time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			faults = fmt.Sprintf("delivery %+v was never taken", d)
		})
	}
	wg.Wait()
	total := 0
	for _, n := range sent {
		total += n
	}
	switch {
	case faults != "":
		return faults
	case len(sent) != users && (died == 0 || dropped == 0):
		return fmt.Sprintf("%d of %d users got a request", len(sent), users)
	case inStep && lost > 0:
		return fmt.Sprintf("%d deliveries lost their claim, though all clocks agree", lost)
	case total > users+(died+lost)*page:
		return fmt.Sprintf("%d requests of %d users, though only %d deliveries died and %d lost their claim", total, users, died, lost)
	}
	return ""
}

// dyingPublisher takes its time, and dies half-way through a call.
type dyingPublisher struct {
	d     delivery
	sent  func(id string)
	calls int
	dead  bool
}

func (p *dyingPublisher) Publish(ctx context.Context, events ...event.Event) error {
	p.calls++
	select {
	case <-time.After(p.d.slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	for i, e := range events {
		if p.calls == p.d.killed && i == len(events)/2 {
			p.dead = true
			return errDied
		}
		p.sent(e.ID())
	}
	return nil
}

// dyingLedger gives nothing back for a process that is gone.
type dyingLedger struct {
	tick.Ledger
	p *dyingPublisher
}

func (l *dyingLedger) Release(ctx context.Context, c tick.Claim) error {
	if l.p.dead {
		return errDied
	}
	return l.Ledger.Release(ctx, c)
}
