package local

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// meter counts what happens where it happens, tick by tick. Latencies are on the monotonic clock.
type meter struct {
	oracle *oracle

	mu       sync.Mutex
	ticks    map[tick.Tick]*tickCount
	snapshot []float64 // tick to snapshot written, ms, of the whole run
	signal   []float64 // tick to signal written, ms, of the whole run
	buried   int64
	past     tickCount // ticks that are too old to be kept one by one
	pastBusy time.Duration
}

// tickCount is one tick of the run.
type tickCount struct {
	Tick                                 tick.Tick
	Published, Synced, Unchanged, Failed int
	Dropped                              int // overtaken by a later tick
	Signals                              int
	began, ended                         time.Time // the tick's publishing; its last request's end
	snapshot                             []float64
}

// samples bounds the latencies kept of a run: an endless one must stay small.
const samples = 2_000_000

func newMeter(o *oracle) *meter { return &meter{oracle: o, ticks: map[tick.Tick]*tickCount{}} }

func (m *meter) begin(t tick.Tick) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ticks[t] = &tickCount{Tick: t, began: time.Now()}
	if old := m.ticks[t-60]; old != nil {
		m.past.add(old)
		m.pastBusy += max(0, old.ended.Sub(old.began))
		delete(m.ticks, t-60)
	}
}

// with runs fn on a tick's count, if the tick is known.
func (m *meter) with(t tick.Tick, fn func(*tickCount)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.ticks[t]; c != nil {
		fn(c)
	}
}

// synced is syncer.Deps.Observe. A request that is delivered twice counts once.
func (m *meter) synced(_ context.Context, r syncer.Result) {
	current := r.Outcome == syncer.Written || r.Outcome == syncer.Unchanged || r.Outcome == syncer.Superseded
	if !m.oracle.settled(request{r.Tick, r.UserID}, current) {
		return
	}
	m.with(r.Tick, func(c *tickCount) {
		c.ended = time.Now()
		switch {
		case r.Outcome == syncer.Dropped:
			c.Dropped++
		case !current:
			c.Failed++
		case r.Outcome == syncer.Written:
			c.Synced++
		default:
			c.Synced++
			c.Unchanged++
		}
	})
}

func (m *meter) snapshotWritten(t tick.Tick, at time.Time) {
	m.with(t, func(c *tickCount) {
		ms := at.Sub(c.began).Seconds() * 1000
		c.snapshot = append(c.snapshot, ms)
		if len(m.snapshot) < samples {
			m.snapshot = append(m.snapshot, ms)
		}
	})
}

func (m *meter) signalWritten(t tick.Tick, at time.Time) {
	m.with(t, func(c *tickCount) {
		c.Signals++
		if len(m.signal) < samples {
			m.signal = append(m.signal, at.Sub(c.began).Seconds()*1000)
		}
	})
}

// requests counts what the fanout publishes.
func (m *meter) requests(p event.Publisher) event.Publisher {
	return publisherFunc(func(ctx context.Context, events ...event.Event) error {
		for _, e := range events { // before: an answer may come back before Publish does
			if r, t, err := event.ParseSyncRequest(e); err == nil {
				m.oracle.publishing(request{t, r.UserID})
			}
		}
		if err := p.Publish(ctx, events...); err != nil {
			return err
		}
		for _, e := range events {
			if _, t, err := event.ParseSyncRequest(e); err == nil {
				m.with(t, func(c *tickCount) { c.Published++ })
			}
		}
		return nil
	})
}

// deadLetters counts what the services publish there.
func (m *meter) deadLetters(p event.Publisher) event.Publisher {
	return publisherFunc(func(ctx context.Context, events ...event.Event) error {
		err := p.Publish(ctx, events...)
		if err == nil {
			m.bury(len(events))
		}
		return err
	})
}

func (m *meter) bury(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buried += int64(n)
}

// count is a copy of a tick's count, as it stands.
func (m *meter) count(t tick.Tick) (tickCount, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.ticks[t]
	if c == nil {
		return tickCount{}, false
	}
	count := *c
	count.snapshot = slices.Clone(c.snapshot)
	return count, true
}

type publisherFunc func(ctx context.Context, events ...event.Event) error

func (f publisherFunc) Publish(ctx context.Context, events ...event.Event) error {
	return f(ctx, events...)
}

// Quantiles are of latencies in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantiles(ms []float64) Quantiles {
	if len(ms) == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(ms))
	at := func(q float64) float64 { // nearest rank
		return math.Round(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]*100) / 100
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// totals adds the ticks up; busy is the time during which any of them was being worked on.
func (m *meter) totals() (total tickCount, busy time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	total = m.past
	var until time.Time
	for _, t := range slices.Sorted(maps.Keys(m.ticks)) {
		c := m.ticks[t]
		total.add(c)
		if from := latest(c.began, until); c.ended.After(from) {
			busy += c.ended.Sub(from)
			until = c.ended
		}
	}
	return total, busy + m.pastBusy
}

func (c *tickCount) add(d *tickCount) {
	c.Published += d.Published
	c.Synced += d.Synced
	c.Unchanged += d.Unchanged
	c.Failed += d.Failed
	c.Dropped += d.Dropped
	c.Signals += d.Signals
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
