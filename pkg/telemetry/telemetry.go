package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation.
const scope = "github.com/agenttrader/agenttrader"

// Source says who tells.
type Source struct {
	Service  string // "syncer"
	Platform string // the Google Cloud project, or another name that no other platform has which tells the same receiver
}

// Telemetry stands around a service's ports. It is safe for concurrent use; nil is turned off.
type Telemetry struct {
	source Source
	sample float64
	now    func() time.Time // the platform's clock, for what is counted from a tick on
	tracer trace.Tracer
	meters *meters

	spans   *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
}

// Open is for a valid cfg; it returns nil where telemetry is turned off. What can't be sent is logged, and never anybody's
// trouble.
func Open(ctx context.Context, cfg Config, source Source, now func() time.Time, log *slog.Logger) (*Telemetry, error) {
	if cfg.To == "" || cfg.To == Off {
		return nil, nil
	}
	spans, metrics, err := exporters(ctx, cfg, source, log)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	about := describe(ctx, cfg, source, log)
	t := &Telemetry{
		source: source, sample: cfg.Sample, now: now,
		spans: sdktrace.NewTracerProvider(
			sdktrace.WithResource(about), sdktrace.WithIDGenerator(ids{}), sdktrace.WithBatcher(spans, sdktrace.WithMaxQueueSize(maxQueue)),
			// What is traced is decided before a span begins, see sampled and Watch.
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
		),
		metrics: sdkmetric.NewMeterProvider(sdkmetric.WithResource(about),
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics, sdkmetric.WithInterval(cfg.Interval)))),
	}
	t.tracer = t.spans.Tracer(scope)
	if t.meters, err = newMeters(t.metrics.Meter(scope)); err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: %w", err), t.Close(ctx))
	}
	return t, nil
}

// Close sends what is left until ctx ends.
func (t *Telemetry) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	spans := make(chan error, 1)
	go func() { spans <- t.spans.Shutdown(ctx) }()
	err := errors.Join(t.metrics.Shutdown(ctx), <-spans)
	if err != nil {
		return fmt.Errorf("telemetry: the last of it is lost: %w", err)
	}
	return nil
}

// traced says whether what ctx belongs to is traced.
func traced(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// mostCalls bounds the spans of the calls that one delivery makes: now and then the fanout looks at thousands of users.
const mostCalls = 100

type callsKey struct{}

// call begins the span of a call out of the service, if what ctx belongs to is traced and has not had too many of them; nil if
// not.
func (t *Telemetry) call(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if !traced(ctx) {
		return ctx, nil
	}
	if n, ok := ctx.Value(callsKey{}).(*atomic.Int64); ok && n.Add(1) > mostCalls {
		return ctx, nil
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
}

// end ends a call's span, if there is one; failed says what went wrong, "" if nothing.
func end(span trace.Span, failed string) {
	if span == nil {
		return
	}
	if failed != "" {
		span.SetStatus(codes.Error, failed)
	}
	span.End()
}
