package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"github.com/google/uuid"
	"go.opentelemetry.io/contrib/detectors/gcp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	google      = "https://telemetry.googleapis.com"
	cloudScope  = "https://www.googleapis.com/auth/cloud-platform"
	maxQueue    = 8192             // spans that wait; more are dropped
	exportLimit = 10 * time.Second // of one export
	complainGap = time.Minute      // between two log lines of exports that failed
)

// exporters send to the receiver. Google's own exporters for its former APIs come to their end: it takes OTLP.
// https://github.com/GoogleCloudPlatform/opentelemetry-operations-go/blob/main/MIGRATION.md
func exporters(ctx context.Context, cfg Config, source Source, log *slog.Logger) (sdktrace.SpanExporter, sdkmetric.Exporter, error) {
	endpoint := strings.TrimSuffix(cfg.Endpoint, "/")
	client := &http.Client{Timeout: exportLimit}
	if cfg.To == GCP {
		endpoint = google
		creds, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{cloudScope}})
		if err != nil {
			return nil, nil, fmt.Errorf("no credentials of Google Cloud: %w", err)
		}
		client, err = httptransport.NewClient(&httptransport.Options{
			Credentials: creds, DisableTelemetry: true, Headers: http.Header{"X-Goog-User-Project": {source.Platform}},
		})
		if err != nil {
			return nil, nil, err
		}
		client.Timeout = exportLimit
	}
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"), otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, nil, err
	}
	metrics, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(endpoint+"/v1/metrics"), otlpmetrichttp.WithHTTPClient(client),
		otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	if err != nil {
		return nil, nil, err
	}
	c := &complaints{log: log}
	return spanExporter{spans, c}, metricExporter{metrics, c}, nil
}

// describe is what the receiver is told of the source. Google wants a location, which the metadata server knows.
func describe(ctx context.Context, cfg Config, source Source, log *slog.Logger) *resource.Resource {
	own := []attribute.KeyValue{
		attribute.String("service.namespace", "agenttrader"), attribute.String("service.name", source.Service),
		attribute.String("service.instance.id", uuid.NewString()), // two instances must not count into one series
	}
	if cfg.Revision != "" {
		own = append(own, attribute.String("service.version", cfg.Revision))
	}
	options := []resource.Option{resource.WithAttributes(own...)}
	if cfg.To == GCP {
		options = append(options, resource.WithDetectors(gcp.NewDetector()), resource.WithAttributes(attribute.String("gcp.project_id", source.Platform)))
	}
	r, err := resource.New(ctx, options...)
	if err != nil { // there is something all the same
		log.WarnContext(ctx, "telemetry does not know all of where it runs", "error", err)
	}
	return r
}

// complaints logs what could not be sent, now and then: the SDK would tell a variable of its package.
type complaints struct {
	log *slog.Logger

	mu    sync.Mutex
	next  time.Time
	quiet int // exports that failed since the last line
}

func (c *complaints) add(ctx context.Context, what string, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Before(c.next) {
		c.quiet++
		return
	} else {
		c.next = now.Add(complainGap)
	}
	c.log.WarnContext(ctx, "telemetry could not be sent", "what", what, "error", err, "others_since", c.quiet)
	c.quiet = 0
}

type spanExporter struct {
	sdktrace.SpanExporter
	complaints *complaints
}

// ExportSpans implements sdktrace.SpanExporter.
func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.complaints.add(ctx, "spans", e.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

type metricExporter struct {
	sdkmetric.Exporter
	complaints *complaints
}

// Export implements sdkmetric.Exporter.
func (e metricExporter) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	e.complaints.add(ctx, "metrics", e.Exporter.Export(ctx, m))
	return nil
}
