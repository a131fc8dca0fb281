package telemetry

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Watch is for event.Receiver: each delivery is counted, and has a span if its request is traced. The event's traceparent
// becomes that span's, so that what the handler writes or publishes for it says where it came from.
func (t *Telemetry) Watch() event.Watch {
	if t == nil {
		return nil
	}
	return t.watch
}

func (t *Telemetry) watch(ctx context.Context, h http.Header, e *event.Event) (context.Context, func(error)) {
	began, kind := time.Now(), kindOf(*e)
	ctx, span := t.begin(ctx, h, e, kind)
	return ctx, func(err error) {
		class := event.ClassOf(err)
		t.meters.event(ctx, kind, class, time.Since(began))
		if span != nil {
			finish(ctx, span, class, err)
		}
	}
}

// begin begins the delivery's span; nil if it is not traced. Then the logs have the trace of the transport, so that they
// stand beside Cloud Run's own line of the request.
func (t *Telemetry) begin(ctx context.Context, h http.Header, e *event.Event, kind string) (context.Context, trace.Span) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	from, written := t.parentOf(*e)
	switch at, isTick := tickOf(*e); {
	case from.IsSampled():
		ctx = trace.ContextWithRemoteSpanContext(ctx, from)
		if written { // the write did not wait for us, as a caller would
			options = append(options, trace.WithLinks(trace.Link{SpanContext: from, Attributes: []attribute.KeyValue{attribute.String("agenttrader.link", "snapshot")}}))
		}
	case isTick && t.sample > 0:
		ctx = context.WithValue(ctx, traceKey{}, ofTick(t.source.Platform, at))
		options = append(options, trace.WithAttributes(attribute.String("agenttrader.tick", at.String())))
	case e.Context != nil && t.sampled(e.ID()):
	default:
		if c := parse(h.Get(parent)); c.IsValid() {
			ctx = trace.ContextWithRemoteSpanContext(ctx, c.WithTraceFlags(0))
		}
		return ctx, nil
	}
	ctx, span := t.tracer.Start(context.WithValue(ctx, callsKey{}, &atomic.Int64{}), t.source.Service+" "+kind, options...)
	if e.Context != nil {
		span.SetAttributes(attribute.String("cloudevents.event_id", bounded(e.ID())), attribute.String("cloudevents.event_type", bounded(e.Type())))
		e.SetExtension(parent, format(ctx))
	}
	return ctx, span
}

// parentOf is where an event came from. Eventarc brings no trace along: the snapshot's document says who wrote it, which
// only the syncer can write.
func (t *Telemetry) parentOf(e event.Event) (from trace.SpanContext, written bool) {
	if e.Context == nil {
		return from, false
	}
	if e.Type() != event.TypeDocument {
		s, _ := e.Extensions()[parent].(string)
		return parse(s), false
	}
	if !bytes.Contains(e.Data(), []byte(parent)) { // of nearly all
		return from, false
	}
	c, err := document.PeekChange(e.Data(), parent)
	if err != nil || c.New == nil || !isSnapshot(c.Path) {
		return from, false
	}
	s, _ := c.New.Fields[parent].(string)
	return parse(s), true
}

func tickOf(e event.Event) (tick.Tick, bool) {
	if e.Context == nil || e.Type() != event.TypeTick {
		return 0, false
	}
	at, err := event.PublishTime(e)
	return tick.Of(at), err == nil
}

// finish ends a delivery's span. What the error says is in the logs alone, which have the span's id.
func finish(ctx context.Context, span trace.Span, class event.Class, err error) {
	span.SetAttributes(attribute.String("agenttrader.class", string(class)))
	if cause := health.CauseOf(err); cause != "" {
		span.SetAttributes(attribute.String("agenttrader.cause", string(cause)))
	}
	if n, ok := ctx.Value(callsKey{}).(*atomic.Int64); ok && n.Load() > mostCalls {
		span.SetAttributes(attribute.Int64("agenttrader.calls_left_out", n.Load()-mostCalls))
	}
	if class == event.Retry || class == event.Poison {
		span.SetStatus(codes.Error, string(class))
	}
	span.End()
}

// kindOf is an event's type in a word of ours: strangers' words would be labels without end.
func kindOf(e event.Event) string {
	if e.Context == nil {
		return "unreadable"
	}
	switch e.Type() {
	case event.TypeTick:
		return "tick"
	case event.TypeTickShard:
		return "tick_shard"
	case event.TypeSyncRequest:
		return "sync_request"
	case event.TypeDocument:
		return "document"
	case event.TypeMessage:
		return "new_keys"
	}
	return "other"
}

func bounded(s string) string { return s[:min(len(s), 200)] }

func isSnapshot(path string) bool {
	p := strings.Split(path, "/")
	return len(p) == 4 && path == store.SnapshotPath(p[1])
}
