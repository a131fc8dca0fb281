package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Synced is told how each sync ended: of what outcome, and of what cause where it failed.
func (t *Telemetry) Synced(ctx context.Context, outcome, cause string, at tick.Tick) {
	if t == nil {
		return
	}
	t.meters.synced(ctx, outcome, cause, t.now().Sub(at.Time()))
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("agenttrader.sync", outcome))
	}
}

// HealthChanged is told of each change of a user's state.
func (t *Telemetry) HealthChanged(ctx context.Context, before, after health.Health) {
	if t != nil {
		t.meters.healthChanged(ctx, string(before.State), string(after.State))
	}
}

// BreakerTurned is told of each state of the circuit breaker: "closed", "half-open", "open".
func (t *Telemetry) BreakerTurned(ctx context.Context, to string) {
	if t != nil {
		t.meters.breakerTurned(ctx, to)
	}
}

// Ledger counts the ticks and shards that are published to their end, how late that was, and the requests.
func (t *Telemetry) Ledger(next tick.Ledger) tick.Ledger {
	if t == nil {
		return next
	}
	return &ledger{next, t}
}

type ledger struct {
	tick.Ledger
	t *Telemetry
}

// Advance implements tick.Ledger.
func (l *ledger) Advance(ctx context.Context, c tick.Claim, next string, published int, until time.Time) (tick.Claim, error) {
	shard := c.Shard
	c, err := l.Ledger.Advance(ctx, c, next, published, until)
	if err != nil || shard == tick.Scan {
		return c, err
	}
	what := "tick"
	if shard != "" {
		what = "shard"
	}
	l.t.meters.advanced(ctx, what, published, next == "", l.t.now().Sub(c.Tick.Time()))
	return c, nil
}

// Roster knows how many users are active.
func (t *Telemetry) Roster(next roster.Store) roster.Store {
	if t == nil {
		return next
	}
	return &rosterStore{next, t}
}

type rosterStore struct {
	roster.Store
	t *Telemetry
}

// Heads implements roster.Store.
func (r *rosterStore) Heads(ctx context.Context) ([]roster.Shard, error) {
	heads, err := r.Store.Heads(ctx)
	if err == nil {
		users := 0
		for _, h := range heads {
			users += h.Users
		}
		r.t.meters.active(ctx, users)
	}
	return heads, err
}

// Book counts signals and denials.
func (t *Telemetry) Book(next risk.Book) risk.Book {
	if t == nil {
		return next
	}
	return &book{next, t}
}

type book struct {
	risk.Book
	t *Telemetry
}

// Place implements risk.Book.
func (b *book) Place(ctx context.Context, batch signal.Batch, decide func(risk.View) risk.Plan) ([]signal.Signal, error) {
	var span trace.Span
	if traced(ctx) {
		ctx, span = b.t.tracer.Start(ctx, "place signals")
		defer span.End()
	}
	placed, err := b.Book.Place(ctx, batch, decide)
	for _, s := range placed {
		action := string(s.Action)
		if s.Shadow {
			action = "shadow"
		}
		b.t.meters.placed(ctx, action, s.DenialCode)
	}
	if len(placed) > 0 && batch.ChangedSeq != 0 {
		b.t.meters.signalled(ctx, b.t.now().Sub(batch.CauseTick.Time()))
	}
	if span != nil {
		span.SetAttributes(attribute.Int("agenttrader.placed", len(placed)))
	}
	return placed, err
}
