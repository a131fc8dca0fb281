package telemetry

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// Publisher counts what is published to a topic. Within a traced delivery it has a span, and its events say so: all of
// them, but of the sync requests only those that are sampled, since a tick has one for every user.
func (t *Telemetry) Publisher(topic string, next event.Publisher) event.Publisher {
	if t == nil {
		return next
	}
	return &publisher{t: t, topic: topic, next: next}
}

type publisher struct {
	t     *Telemetry
	topic string
	next  event.Publisher
}

// Publish implements event.Publisher.
func (p *publisher) Publish(ctx context.Context, events ...event.Event) error {
	if !traced(ctx) {
		err := p.next.Publish(ctx, events...)
		p.t.meters.published(ctx, p.topic, len(events), err)
		return err
	}
	ctx, span := p.t.tracer.Start(ctx, "publish "+p.topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.destination.name", p.topic), attribute.Int("messaging.batch.message_count", len(events))))
	defer span.End()
	err := p.next.Publish(ctx, p.marked(events, format(ctx))...)
	if err != nil {
		span.SetStatus(codes.Error, "not all were taken")
	}
	p.t.meters.published(ctx, p.topic, len(events), err)
	return err
}

// marked are the events, those that are traced as copies with a traceparent. One that has a traceparent keeps it.
func (p *publisher) marked(events []event.Event, from string) []event.Event {
	cloned := false
	for i, e := range events {
		if _, has := e.Extensions()[parent]; has || (e.Type() == event.TypeSyncRequest && !p.t.sampled(e.ID())) {
			continue
		}
		if !cloned {
			events, cloned = slices.Clone(events), true
		}
		events[i] = e.Clone()
		events[i].SetExtension(parent, from)
	}
	return events
}
