package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/telemetry/otlptest"
)

// cloudRuns is what Cloud Run's front end puts on a request.
const cloudRuns = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// service runs one whose handler is h, posts one event to it, and stops it; how long that took, and how it ended.
func service(t *testing.T, receiver string, sample float64, h event.Handler) (logs string, took time.Duration, err error) {
	t.Helper()
	var b bytes.Buffer
	at := make(chan string, 1)
	log := NewLogger(&b, Config{LogFormat: "json"}, Source{Service: "syncer", Project: "p", Revision: "syncer-00007"})
	cfg := telemetry.Config{To: telemetry.OTLP, Endpoint: receiver, Sample: sample, Interval: time.Minute}
	tel, err := telemetry.Open(t.Context(), cfg, telemetry.Source{Service: "syncer", Platform: "p"}, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r := &event.Receiver{Service: "syncer", Handle: h, DeadLetters: down{}, Log: slog.New(starts{log.Handler(), at})}
	ended := make(chan error, 1)
	go func() { ended <- Events(ctx, Config{Host: "127.0.0.1"}, r, tel) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, <-at, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Ce-Id": {"1"}, "Ce-Specversion": {"1.0"}, "Ce-Source": {"test"}, "Ce-Type": {"t"}, "Content-Type": {"application/json"}}
	req.Header.Set("Traceparent", cloudRuns)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	stop()
	began := time.Now()
	err = <-ended
	return b.String(), time.Since(began), err
}

type down struct{}

func (down) Publish(context.Context, ...event.Event) error { return errors.New("down") }

// starts tells where the service listens.
type starts struct {
	slog.Handler
	at chan string
}

func (s starts) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "url" {
			s.at <- a.Value.String()
		}
		return true
	})
	return s.Handler.Handle(ctx, r)
}

// A stop sends what was told since the last export: it would be a minute until the next.
func TestStopSendsTheLastOfIt(t *testing.T) {
	told := &otlptest.Receiver{}
	server := httptest.NewServer(told)
	defer server.Close()
	if _, _, err := service(t, server.URL, 1, func(context.Context, event.Event) error { return nil }); err != nil {
		t.Error(err)
	}
	if len(told.Spans()) != 1 || len(told.Points("agenttrader_event_duration_seconds")) != 1 {
		t.Errorf("spans %v, events %v; want one of each", told.Spans(), told.Points("agenttrader_event_duration_seconds"))
	}
}

// A receiver that hangs takes what the drain leaves, and no more.
func TestStopDoesNotWaitForAReceiverThatHangs(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	_, took, _ := service(t, server.URL, 1, func(context.Context, event.Event) error { return nil })
	if took > flushAtMost+2*time.Second {
		t.Errorf("the stop took %s, want %s at most", took, flushAtMost)
	}
}

// A line of a delivery that is not traced names the trace of Cloud Run's own line of the request.
func TestLogsStandBesideCloudRuns(t *testing.T) {
	told := &otlptest.Receiver{}
	server := httptest.NewServer(told)
	defer server.Close()
	logs, _, err := service(t, server.URL, 0, func(context.Context, event.Event) error { return event.Reject(errors.New("no")) })
	if err != nil {
		t.Error(err)
	}
	line := lineOf(t, logs, "ERROR") // the dead letters are down
	if line["logging.googleapis.com/trace"] != "projects/p/traces/"+cloudRuns[3:35] || line["logging.googleapis.com/trace_sampled"] != false || len(told.Spans()) != 0 {
		t.Errorf("%v; spans %v", line, told.Spans())
	}
}

// A panic is one error for Error Reporting, with its stack and the delivery's trace, and without its value.
func TestFaultsAreReported(t *testing.T) {
	told := &otlptest.Receiver{}
	server := httptest.NewServer(told)
	defer server.Close()
	logs, _, err := service(t, server.URL, 1, func(context.Context, event.Event) error { panic("a key") })
	if err != nil {
		t.Error(err)
	}
	line := lineOf(t, logs, "ERROR")
	stack, _ := line["stack_trace"].(string)
	if !strings.HasPrefix(stack, "panic (string) while handling the event\n\ngoroutine ") || !strings.Contains(stack, "telemetry_test.go") || strings.Contains(logs, "a key") {
		t.Errorf("stack:\n%s", stack)
	}
	place, _ := line["context"].(map[string]any)["reportLocation"].(map[string]any)
	if file, _ := place["filePath"].(string); !strings.HasSuffix(file, "/event/receive.go") || place["lineNumber"] == nil || place["functionName"] == nil {
		t.Errorf("reportLocation = %v", place)
	}
	span := told.Spans()[0]
	want := map[string]any{
		"severity": "ERROR", "message": "panic (string) while handling the event", "service": "syncer", "class": "retry", "event_id": "1", "event_type": "t",
		"@type":                        "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent",
		"serviceContext":               map[string]any{"service": "syncer", "version": "syncer-00007"},
		"logging.googleapis.com/trace": "projects/p/traces/" + span.Trace, "logging.googleapis.com/spanId": span.ID, "logging.googleapis.com/trace_sampled": true,
	}
	for _, k := range []string{"time", "stack_trace", "context"} {
		delete(line, k)
	}
	if d := cmp.Diff(want, line); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func lineOf(t *testing.T, logs, severity string) map[string]any {
	t.Helper()
	for text := range strings.Lines(logs) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if line["severity"] == severity {
			return line
		}
	}
	t.Fatalf("no line of %s:\n%s", severity, logs)
	return nil
}
