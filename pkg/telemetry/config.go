// Package telemetry is what the services tell of themselves while they run: spans of a few requests and figures of all,
// sent by OTLP. It stands around the ports, so that neither the domain nor the services know of it. A nil *Telemetry is
// one that is turned off: it gives back what it is to stand around, and costs nothing.
//
//	tick ─▶ fanout ─publish─▶ traceparent of the event ─▶ syncer ─▶ traceparent of the snapshot ─▶ signaler
package telemetry

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Where telemetry goes.
const (
	Off  = "off"
	OTLP = "otlp" // to any receiver of OTLP over HTTP
	GCP  = "gcp"  // to Google Cloud's, https://docs.cloud.google.com/stackdriver/docs/reference/telemetry/overview
)

// Config is what an operator can set.
type Config struct {
	To       string        `env:"TELEMETRY"`                   // Off, OTLP or GCP; "" is Off
	Endpoint string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT"` // of OTLP: http://127.0.0.1:4318
	Sample   float64       `env:"TRACE_SAMPLE"`                // share of the requests that are traced, 0 to 1
	Interval time.Duration `env:"METRICS_INTERVAL"`            // between two exports of the metrics
	Revision string        `env:"K_REVISION"`                  // of the service; Cloud Run sets it
}

// DefaultConfig tells nobody anything.
func DefaultConfig() Config { return Config{To: Off, Sample: 0.001, Interval: time.Minute} }

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	switch c.To {
	case "", Off, GCP:
	case OTLP:
		errs = append(errs, checkEndpoint(c.Endpoint))
	default:
		errs = append(errs, fmt.Errorf("TELEMETRY is %.80q: want %s, %s or %s", c.To, Off, OTLP, GCP))
	}
	if !(c.Sample >= 0 && c.Sample <= 1) {
		errs = append(errs, fmt.Errorf("TRACE_SAMPLE is %v: want a share of the requests, 0 to 1, like 0.001", c.Sample))
	}
	if c.Interval < time.Second || c.Interval > 10*time.Minute {
		errs = append(errs, fmt.Errorf("METRICS_INTERVAL is %s: want 1s to 10m", c.Interval))
	}
	return errors.Join(errs...)
}

// checkEndpoint: user ids are in the spans, so they leave the machine encrypted.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT is %.200q: want the root of an OTLP receiver over HTTP, like http://127.0.0.1:4318", endpoint)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT is %.200q: beyond loopback by https only", endpoint)
	}
	return nil
}
