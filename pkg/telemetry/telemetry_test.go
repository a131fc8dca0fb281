package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/telemetry/otlptest"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var at = tick.Of(time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC))

// open opens one that tells told what is sampled; done sends it.
func open(t *testing.T, sample float64) (tel *telemetry.Telemetry, told *otlptest.Receiver, done func()) {
	t.Helper()
	told = &otlptest.Receiver{}
	server := httptest.NewServer(told)
	t.Cleanup(server.Close)
	cfg := telemetry.Config{To: telemetry.OTLP, Endpoint: server.URL + "/", Sample: sample, Interval: time.Minute}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.Open(t.Context(), cfg, telemetry.Source{Service: "test", Platform: "p"}, func() time.Time { return at.Time().Add(2 * time.Second) }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tel, told, func() {
		if err := tel.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*telemetry.Config)
		want string // in the error; "": none
	}{
		"default":              {func(*telemetry.Config) {}, ""},
		"google":               {func(c *telemetry.Config) { c.To = telemetry.GCP }, ""},
		"loopback":             {func(c *telemetry.Config) { c.To, c.Endpoint = telemetry.OTLP, "http://localhost:4318" }, ""},
		"https":                {func(c *telemetry.Config) { c.To, c.Endpoint = telemetry.OTLP, "https://collector.example/otlp" }, ""},
		"nowhere":              {func(c *telemetry.Config) { c.To = telemetry.OTLP }, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"no scheme":            {func(c *telemetry.Config) { c.To, c.Endpoint = telemetry.OTLP, "127.0.0.1:4318" }, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"open, to a stranger":  {func(c *telemetry.Config) { c.To, c.Endpoint = telemetry.OTLP, "http://10.0.0.7:4318" }, "https only"},
		"a password":           {func(c *telemetry.Config) { c.To, c.Endpoint = telemetry.OTLP, "https://u:p@collector.example" }, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"another word":         {func(c *telemetry.Config) { c.To = "jaeger" }, "TELEMETRY"},
		"more than all":        {func(c *telemetry.Config) { c.Sample = 1.5 }, "TRACE_SAMPLE"},
		"too often":            {func(c *telemetry.Config) { c.Interval = time.Millisecond }, "METRICS_INTERVAL"},
		"off, with an address": {func(c *telemetry.Config) { c.Endpoint = "nonsense" }, ""},
	} {
		cfg := telemetry.DefaultConfig()
		c.set(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want one that says %q", name, err, c.want)
		}
	}
}

// Turned off, nothing stands in between.
func TestOff(t *testing.T) {
	tel, err := telemetry.Open(t.Context(), telemetry.DefaultConfig(), telemetry.Source{}, time.Now, slog.New(slog.DiscardHandler))
	if tel != nil || err != nil {
		t.Fatalf("%v, %v", tel, err)
	}
	db, topic, vault := mem.NewDB(time.Now), &topic{}, mem.NewVault()
	users := store.New(db)
	if tel.DB(db) != document.DB(db) || tel.Publisher("t", topic) != event.Publisher(topic) || tel.Vault(vault) != vault || tel.Transport(http.DefaultTransport) != http.DefaultTransport ||
		tel.Book(users) != users || tel.Ledger(users) != users || tel.Roster(users) != users || tel.Advisor(nil) != nil || tel.Watch() != nil {
		t.Error("something stands in between")
	}
	tel.Synced(t.Context(), "written", "", at)
	tel.HealthChanged(t.Context(), health.Health{}, health.Health{})
	tel.BreakerTurned(t.Context(), "open")
	if err := tel.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What stands around the database keeps its promises, traced or not.
func TestDB(t *testing.T) {
	tel, _, done := open(t, 1)
	defer done()
	porttest.DB(t, func(*testing.T) document.DB { return tel.DB(mem.NewDB(time.Now)) })
}

type topic struct{ got []event.Event }

func (p *topic) Publish(_ context.Context, events ...event.Event) error {
	p.got = append(p.got, events...)
	return nil
}

// deliver has a handler handle an event as a receiver does.
func deliver(t *testing.T, tel *telemetry.Telemetry, e event.Event, header http.Header, handle event.Handler) {
	t.Helper()
	ctx, ended := tel.Watch()(t.Context(), header, &e)
	ended(handle(ctx, e))
}

func tickEvent() event.Event {
	e := event.New("tick", event.TypeTick, "scheduler", "")
	e.SetExtension("publishtime", at.Time().Add(time.Second))
	return e
}

func requests(t *testing.T, n int) (events []event.Event) {
	t.Helper()
	for i := range n {
		e, err := event.NewSyncRequest(at, user.User{ID: fmt.Sprintf("user-%05d", i), BrokerEnv: "paper", CadenceMinutes: 1}, health.Health{})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// Of a tick's requests some are traced, the same ones each time, within the tick's one trace; the fanout's own are not changed.
func TestSampledRequests(t *testing.T) {
	const users, share = 20_000, 0.01
	tel, told, done := open(t, share)
	var marked [2][]string
	sent := requests(t, users)
	for i := range marked { // the tick is delivered twice
		to := &topic{}
		deliver(t, tel, tickEvent(), nil, func(ctx context.Context, _ event.Event) error {
			return tel.Publisher("sync-requests", to).Publish(ctx, sent...)
		})
		for _, e := range to.got {
			if from, ok := e.Extensions()["traceparent"].(string); ok {
				marked[i] = append(marked[i], e.ID())
				if r, _, err := event.ParseSyncRequest(e); err != nil || r.TraceParent != from || !strings.HasSuffix(from, "-01") {
					t.Fatalf("request %+v of %q: %v", r, from, err)
				}
			}
		}
	}
	done()
	if n := len(marked[0]); n < users*share*0.7 || n > users*share*1.3 {
		t.Errorf("%d of %d requests are traced, want about %v", n, users, users*share)
	}
	if d := cmp.Diff(marked[0], marked[1]); d != "" {
		t.Errorf("others at the second delivery:\n%s", d)
	}
	for _, e := range sent {
		if e.Extensions()["traceparent"] != nil {
			t.Fatal("the publisher's event was changed")
		}
	}
	traces := map[string]bool{}
	for _, s := range told.Spans() {
		traces[s.Trace] = true
	}
	if len(traces) != 1 || len(told.Spans()) != 4 {
		t.Errorf("%d spans in %d traces, want a tick and a publishing in one, twice", len(told.Spans()), len(traces))
	}
}

// Without a sample there are no traces, not even of ticks.
func TestNoTraces(t *testing.T) {
	tel, told, done := open(t, 0)
	to := &topic{}
	deliver(t, tel, tickEvent(), nil, func(ctx context.Context, _ event.Event) error {
		return tel.Publisher("sync-requests", to).Publish(ctx, requests(t, 100)...)
	})
	done()
	if len(told.Spans()) != 0 || to.got[0].Extensions()["traceparent"] != nil {
		t.Errorf("%v, %v", told.Spans(), to.got[0])
	}
	if p := told.Points("agenttrader_messages_published_total"); len(p) != 1 || p[0].Value != 100 {
		t.Errorf("messages: %v, want 100", p)
	}
}

const somebody = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A change event goes on with the trace of who wrote the snapshot. Nobody else's document says what is traced.
func TestTraceOfADocument(t *testing.T) {
	for path, followed := range map[string]bool{
		"users/u/alpacaAccounts/snapshot": true, "users/u/strategies/traceparent": false, "users/u/alpacaAccounts/other": false, "users/u": false,
	} {
		tel, told, done := open(t, 1e-12)
		var body []byte
		db := mem.NewDB(time.Now)
		db.Watch(func(w mem.Written) { body = document.EncodeChange(w.Old, w.New) })
		if err := db.Set(t.Context(), path, document.Fields{"traceparent": somebody, "tick": at.String()}); err != nil {
			t.Fatal(err)
		}
		e := event.New("1", event.TypeDocument, "test", "")
		if err := e.SetData("application/protobuf", body); err != nil {
			t.Fatal(err)
		}
		deliver(t, tel, e, nil, func(context.Context, event.Event) error { return nil })
		done()
		spans := told.Spans()
		if !followed {
			if len(spans) != 0 {
				t.Errorf("%s: %v, want no span", path, spans)
			}
			continue
		}
		if len(spans) != 1 || spans[0].Trace != somebody[3:35] || spans[0].Parent != somebody[36:52] || !cmp.Equal(spans[0].Links, []string{somebody[36:52]}) {
			t.Errorf("%s: %+v, want a span in the trace that links to the snapshot's", path, spans)
		}
	}
}

// A delivery's class is told, and nothing of the error's text. One that reads thousands of documents has a hundred spans.
func TestSpanOfADelivery(t *testing.T) {
	tel, told, done := open(t, 1)
	db := tel.DB(mem.NewDB(time.Now))
	deliver(t, tel, requests(t, 1)[0], nil, func(ctx context.Context, _ event.Event) error {
		for range 1000 {
			_, _ = db.Get(ctx, "users/u")
		}
		return errors.New("a text with everything in it")
	})
	done()
	spans := told.Spans()
	if len(spans) != 101 {
		t.Errorf("%d spans, want the delivery's and 100", len(spans))
	}
	s := spans[len(spans)-1]
	if !s.Failed || s.Attributes["agenttrader.class"] != "retry" || s.Attributes["agenttrader.calls_left_out"] != "int_value:900" {
		t.Errorf("%+v", s)
	}
	if bytes.Contains(told.Bytes(), []byte("everything in it")) {
		t.Error("the error's text was exported")
	}
	if p := told.Points("agenttrader_store_operations_total"); len(p) != 1 || p[0].Value != 1000 || p[0].Labels["collection"] != "users" {
		t.Errorf("store: %v, want 1000 reads of users", p)
	}
}

// Strangers' words are no labels.
func TestLabelsAreOurWords(t *testing.T) {
	tel, told, done := open(t, 1)
	for i := range 50 {
		e := event.New(fmt.Sprint(i), fmt.Sprint("type-", i), "s", "")
		deliver(t, tel, e, nil, func(context.Context, event.Event) error { return nil })
		tel.Synced(t.Context(), "failed", fmt.Sprint("no keys for user ", i), at)
	}
	done()
	for _, name := range []string{"agenttrader_event_duration_seconds", "agenttrader_sync_lag_seconds"} {
		if p := told.Points(name); len(p) != 1 {
			t.Errorf("%s has %d series, want 1", name, len(p))
		}
	}
}

// A receiver that never answers holds nothing up, at work and at the end; and the log says it once.
func TestReceiverThatHangs(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	var log bytes.Buffer
	tel, err := telemetry.Open(t.Context(), telemetry.Config{To: telemetry.OTLP, Endpoint: server.URL, Sample: 1, Interval: time.Minute},
		telemetry.Source{Service: "test", Platform: "p"}, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, tel, tickEvent(), nil, func(context.Context, event.Event) error { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	ended := make(chan struct{})
	go func() { _ = tel.Close(ctx); close(ended) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Close went on after its time was over")
	}
	if n := strings.Count(log.String(), "telemetry could not be sent"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, log.String())
	}
}

// The table of the documentation has each metric, and no other.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("meters.go")
	if err != nil {
		t.Fatal(err)
	}
	set := func(b []byte, pattern string) map[string]bool {
		names := map[string]bool{}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(b, -1) {
			names[string(m[1])] = true
		}
		return names
	}
	if d := cmp.Diff(set(code, `"(agenttrader_[a-z_]+)"`), set(page, "(?m)^\\| `(agenttrader_[a-z_]+)` \\|")); d != "" {
		t.Errorf("(-meters.go +docs/telemetry.md):\n%s", d)
	}
}
