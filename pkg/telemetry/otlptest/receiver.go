// Package otlptest is a local receiver of OTLP over HTTP that keeps what it was sent.
package otlptest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that was received.
type Span struct {
	Service        string
	Name           string
	Trace, ID      string // hex
	Parent         string // hex; "": it is a root
	Links          []string
	Attributes     map[string]string
	Failed         bool
	StartNs, EndNs uint64
}

// Point is one of a metric: a counter's or gauge's value, a histogram's count and sum.
type Point struct {
	Service string
	Labels  map[string]string
	Value   float64
	Count   uint64
}

// Receiver is an http.Handler for /v1/traces and /v1/metrics. The zero Receiver is ready.
type Receiver struct {
	mu     sync.Mutex
	spans  []Span
	points map[string][]Point // by metric, of the last export of each instance
	bodies []byte             // all that came
}

// ServeHTTP takes an export.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	b, err := io.ReadAll(body)
	if err == nil {
		err = r.take(req.URL.Path, b)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *Receiver) take(path string, b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, b...)
	if strings.HasSuffix(path, "/v1/traces") {
		var sent collecttrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &sent); err != nil {
			return err
		}
		r.addSpans(&sent)
		return nil
	}
	var sent collectmetrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(b, &sent); err != nil {
		return err
	}
	r.addPoints(&sent)
	return nil
}

func (r *Receiver) addSpans(sent *collecttrace.ExportTraceServiceRequest) {
	for _, of := range sent.GetResourceSpans() {
		service, _ := serviceOf(of.GetResource())
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := Span{
					Service: service, Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
					Parent: hex.EncodeToString(s.GetParentSpanId()), Attributes: texts(s.GetAttributes()),
					Failed: s.GetStatus().GetCode() == 2, StartNs: s.GetStartTimeUnixNano(), EndNs: s.GetEndTimeUnixNano(),
				}
				for _, l := range s.GetLinks() {
					span.Links = append(span.Links, hex.EncodeToString(l.GetSpanId()))
				}
				r.spans = append(r.spans, span)
			}
		}
	}
}

// addPoints keeps the newest: they are cumulative.
func (r *Receiver) addPoints(sent *collectmetrics.ExportMetricsServiceRequest) {
	for _, of := range sent.GetResourceMetrics() {
		service, instance := serviceOf(of.GetResource())
		for _, scope := range of.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				if r.points == nil {
					r.points = map[string][]Point{}
				}
				r.points[m.GetName()+"\x00"+instance] = pointsOf(service, m)
			}
		}
	}
}

func pointsOf(service string, m *metrics.Metric) (points []Point) {
	numbers := m.GetSum().GetDataPoints()
	if m.GetGauge() != nil {
		numbers = m.GetGauge().GetDataPoints()
	}
	for _, p := range numbers {
		points = append(points, Point{Service: service, Labels: texts(p.GetAttributes()), Value: float64(p.GetAsInt()) + p.GetAsDouble()})
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		points = append(points, Point{Service: service, Labels: texts(p.GetAttributes()), Value: p.GetSum(), Count: p.GetCount()})
	}
	return points
}

func serviceOf(r *resource.Resource) (service, instance string) {
	a := texts(r.GetAttributes())
	return a["service.name"], a["service.instance.id"]
}

func texts(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		v := a.GetValue()
		if s, ok := v.GetValue().(*common.AnyValue_StringValue); ok {
			m[a.GetKey()] = s.StringValue
		} else {
			m[a.GetKey()] = v.String()
		}
	}
	return m
}

// Spans are all that came so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// Points are a metric's, of all instances, as they stood last.
func (r *Receiver) Points(metric string) (points []Point) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.points {
		if strings.HasPrefix(name, metric+"\x00") {
			points = append(points, p...)
		}
	}
	return points
}

// Metrics are the names of all metrics that came.
func (r *Receiver) Metrics() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	for name := range r.points {
		name, _, _ = strings.Cut(name, "\x00")
		names[name] = true
	}
	return names
}

// Bytes are all that came, unpacked: for what must not be in them.
func (r *Receiver) Bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]byte(nil), r.bodies...)
}
