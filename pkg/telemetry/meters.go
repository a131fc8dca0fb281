package telemetry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
)

// meters are the instruments that docs/telemetry.md lists. Names and units are in Prometheus' normal form, under which
// Google Cloud keeps them. Labels have few values, all of them words of ours: no user, key, symbol or strategy.
type meters struct {
	events, broker, syncs, ticks                           *histogram
	messages, store, storeFaults, vault, models, requested *counter
	health, signals, inTime                                *counter
	headroomOf, signalLag                                  *histogram
	breaker, users                                         metric.Int64Gauge
}

func newMeters(m metric.Meter) (*meters, error) {
	d := definer{meter: m}
	short := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	lag := []float64{.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300}
	s := &meters{
		events:      d.histogram("agenttrader_event_duration_seconds", "s", "Deliveries by type and class, and how long they took", short, "type", "class"),
		broker:      d.histogram("agenttrader_broker_call_duration_seconds", "s", "Calls to Alpaca by what was asked and how it answered", short, "call", "answer"),
		syncs:       d.histogram("agenttrader_sync_lag_seconds", "s", "Syncs by outcome, and their end after their tick's minute began", lag, "outcome", "cause"),
		ticks:       d.histogram("agenttrader_tick_lag_seconds", "s", "Ticks and shards published to the end, and how long after the minute began", lag, "part"),
		signalLag:   d.histogram("agenttrader_signal_lag_seconds", "s", "Runs that an account's change caused and that placed something, after its tick's minute began", lag),
		headroomOf:  d.histogram("agenttrader_broker_ratelimit_headroom_ratio", "1", "Share of the keys' rate limit that an answer said is left", []float64{0, .05, .1, .25, .5, .75, .9, 1}),
		messages:    d.counter("agenttrader_messages_published_total", "{message}", "Messages by topic and result", "topic", "result"),
		store:       d.counter("agenttrader_store_operations_total", "{document}", "Documents read, written and deleted, as Firestore bills them", "op", "collection"),
		storeFaults: d.counter("agenttrader_store_faults_total", "{operation}", "Operations that the database did not answer", "op"),
		vault:       d.counter("agenttrader_vault_reads_total", "{read}", "Keys that were read past the cache", "result"),
		models:      d.counter("agenttrader_model_calls_total", "{call}", "Questions to a model by result", "result"),
		requested:   d.counter("agenttrader_sync_requests_total", "{request}", "Sync requests published"),
		inTime:      d.counter("agenttrader_syncs_in_time_total", "{sync}", "Syncs that ended within the goal with a current snapshot, or for want of keys that their owner took back"),
		health:      d.counter("agenttrader_health_transitions_total", "{transition}", "Changes of users' sync health", "from", "to"),
		signals:     d.counter("agenttrader_signals_total", "{signal}", "Signals and denials by action and code", "action", "code"),
		breaker:     d.gauge("agenttrader_breaker_state", "", "The instance's circuit breaker: 0 closed, 1 half-open, 2 open"),
		users:       d.gauge("agenttrader_active_users", "{user}", "Users in the roster"),
	}
	return s, errors.Join(d.errs...)
}

func (m *meters) event(ctx context.Context, kind string, class event.Class, took time.Duration) {
	m.events.record(ctx, took.Seconds(), kind, string(class))
}

func (m *meters) called(ctx context.Context, call, answer string, took time.Duration) {
	m.broker.record(ctx, took.Seconds(), call, answer)
}

func (m *meters) headroom(ctx context.Context, share float64) { m.headroomOf.record(ctx, share) }

func (m *meters) synced(ctx context.Context, outcome, cause string, lag time.Duration) {
	m.syncs.record(ctx, lag.Seconds(), outcome, code(cause))
	if inTime(outcome, health.Cause(cause), lag) {
		m.inTime.add(ctx, 1)
	}
}

// freshness is the goal: from the tick's minute to the end of a sync.
const freshness = 2 * time.Minute

// inTime says whether a sync did within the goal what can be done: the stored snapshot is current, or its owner's keys work no
// more.
func inTime(outcome string, cause health.Cause, lag time.Duration) bool {
	if lag > freshness {
		return false
	}
	switch outcome {
	case "written", "unchanged", "superseded":
		return true
	case "failed":
		return cause.ByOwner()
	}
	return false
}

func (m *meters) advanced(ctx context.Context, part string, published int, done bool, lag time.Duration) {
	m.requested.add(ctx, published)
	if done {
		m.ticks.record(ctx, lag.Seconds(), part)
	}
}

func (m *meters) signalled(ctx context.Context, lag time.Duration) {
	m.signalLag.record(ctx, lag.Seconds())
}

func (m *meters) published(ctx context.Context, topic string, n int, err error) {
	result := "ok"
	if err != nil {
		result = "fault"
	}
	m.messages.add(ctx, n, topic, result)
}

func (m *meters) stored(ctx context.Context, op, collection string, n int) {
	m.store.add(ctx, n, op, collection)
}

func (m *meters) storeFault(ctx context.Context, op string)    { m.storeFaults.add(ctx, 1, op) }
func (m *meters) vaultRead(ctx context.Context, result string) { m.vault.add(ctx, 1, result) }
func (m *meters) asked(ctx context.Context, result string)     { m.models.add(ctx, 1, result) }

func (m *meters) healthChanged(ctx context.Context, from, to string) {
	m.health.add(ctx, 1, from, to)
}

func (m *meters) placed(ctx context.Context, action, denial string) {
	m.signals.add(ctx, 1, action, code(denial))
}

func (m *meters) breakerTurned(ctx context.Context, to string) {
	m.breaker.Record(ctx, map[string]int64{"closed": 0, "half-open": 1, "open": 2}[to])
}

func (m *meters) active(ctx context.Context, users int) { m.users.Record(ctx, int64(users)) }

// code is a code of ours as a label. Anything else would be a text, and texts are labels without end.
func code(s string) string {
	if len(s) > 40 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return "OTHER"
	}
	return s
}

// definer makes instruments, and keeps the errors.
type definer struct {
	meter metric.Meter
	errs  []error
}

func (d *definer) counter(name, unit, what string, labels ...string) *counter {
	c, err := d.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(what))
	d.errs = append(d.errs, err)
	return &counter{c, known[[]metric.AddOption]{names: labels, make: func(s attribute.Set) []metric.AddOption {
		return []metric.AddOption{metric.WithAttributeSet(s)}
	}}}
}

func (d *definer) histogram(name, unit, what string, bounds []float64, labels ...string) *histogram {
	h, err := d.meter.Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(what), metric.WithExplicitBucketBoundaries(bounds...))
	d.errs = append(d.errs, err)
	return &histogram{h, known[[]metric.RecordOption]{names: labels, make: func(s attribute.Set) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(s)}
	}}}
}

func (d *definer) gauge(name, unit, what string) metric.Int64Gauge {
	g, err := d.meter.Int64Gauge(name, metric.WithUnit(unit), metric.WithDescription(what))
	d.errs = append(d.errs, err)
	return g
}

type counter struct {
	metric.Int64Counter
	known known[[]metric.AddOption]
}

func (c *counter) add(ctx context.Context, n int, values ...string) {
	c.Add(ctx, int64(n), c.known.of(values)...)
}

type histogram struct {
	metric.Float64Histogram
	known known[[]metric.RecordOption]
}

func (h *histogram) record(ctx context.Context, v float64, values ...string) {
	h.Record(ctx, v, h.known.of(values)...)
}

// known keeps the options of the labels' values: to make them costs more than to count.
type known[T any] struct {
	names []string // at most two
	make  func(attribute.Set) T

	mu  sync.RWMutex
	all map[[2]string]T
}

func (k *known[T]) of(values []string) T {
	var key [2]string
	copy(key[:], values)
	k.mu.RLock()
	made, ok := k.all[key]
	k.mu.RUnlock()
	if ok {
		return made
	}
	attrs := make([]attribute.KeyValue, len(k.names))
	for i, name := range k.names {
		attrs[i] = attribute.String(name, key[i])
	}
	made = k.make(attribute.NewSet(attrs...))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[[2]string]T{}
	}
	k.all[key] = made
	return made
}
