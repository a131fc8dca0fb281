package local

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// lines keeps a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// take returns what was logged, and forgets it.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}

// What a bad request becomes, at the endpoints as they are served: the answer, the class in the log, whether a copy
// goes to the dead letters. After each, the service does its work as if nothing had been.
func TestBadInput(t *testing.T) {
	var log lines
	p, err := start(t.Context(), Options{Users: 1, Interval: time.Hour, Strategy: "all", Seed: 1},
		slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.pubsub.Collect(t.Context(), topicDead, "look", 1000); err != nil {
		t.Fatal(err)
	}
	now := p.now()
	noise := make([]byte, 10<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	request := func(change func(m map[string]any)) []byte {
		m := map[string]any{"user_id": "user-00001", "tick": tick.Of(now).String(), "cadence_minutes": 1, "broker_env": "paper"}
		if change != nil {
			change(m)
		}
		b, _ := json.Marshal(m)
		return b
	}
	of := func(key string, v any) []byte { return request(func(m map[string]any) { m[key] = v }) }
	path := store.SnapshotPath("user-00001")
	written := func(path string, f document.Fields) []byte {
		b, err := document.Encode(mem.Database, document.Document{Path: path, Fields: f, CreateTime: now, UpdateTime: now})
		if err != nil {
			t.Fatal(err)
		}
		return document.EncodeChange(nil, b)
	}
	good := document.Fields{"raw": map[string]any{"equity": "1", "cash": "1", "buying_power": "1"}, "observed_at": now, "tick": tick.Of(now).String(), "seq": 1, "changed_seq": 1}
	with := func(key string, v any) []byte {
		f := document.Fields{}
		for k, g := range good {
			f[k] = g
		}
		f[key] = v
		return written(path, f)
	}
	at := func(s string) func(http.Header) {
		return func(h http.Header) { h.Set("X-Goog-Pubsub-Publish-Time", s) }
	}
	header := func(k, v string) func(http.Header) { return func(h http.Header) { h.Set(k, v) } }
	bare := func(h http.Header) { clear(h) }

	ticks := endpoint{p.at.fanout, event.TypeTick, "application/json", func() []byte { return nil }}
	requests := endpoint{p.at.syncer, event.TypeSyncRequest, "application/json", func() []byte { return request(nil) }}
	changes := endpoint{p.at.signaler, event.TypeDocument, "application/protobuf", func() []byte { return written(path, good) }}
	const (
		dead = "poison"  // acknowledged; a copy with the reason is in the dead letters
		drop = "dropped" // acknowledged; nothing else
		none = ""        // not a matter of the log
	)
	for _, c := range []struct {
		name   string
		to     endpoint
		change func(http.Header)
		body   []byte
		status int
		class  string
		says   string // in the log line
	}{
		{"fanout: no event at all", ticks, bare, nil, 204, dead, "no CloudEvent"},
		{"fanout: noise", ticks, nil, noise, 204, dead, "over 1048576 bytes"},
		{"fanout: another type", ticks, header("Ce-Type", "com.example.x"), nil, 204, dead, "com.example.x"},
		{"fanout: no publish time", ticks, func(h http.Header) { h.Del("X-Goog-Pubsub-Publish-Time") }, nil, 204, dead, "set write_metadata"},
		{"fanout: publish time is a word", ticks, at("soon"), nil, 204, dead, "no RFC 3339 time"},
		{"fanout: tick of 1970", ticks, at("1970-01-01T00:00:00Z"), nil, 204, drop, "is not replayed"},
		{"fanout: tick of 2100", ticks, at("2100-01-01T00:00:00Z"), nil, 204, dead, "lies in the future"},

		{"syncer: no event at all", requests, bare, nil, 204, dead, "no CloudEvent"},
		{"syncer: empty body", requests, nil, []byte{}, 204, dead, "no JSON object"},
		{"syncer: noise", requests, nil, noise, 204, dead, "over 1048576 bytes"},
		{"syncer: another content type", requests, header("Content-Type", "text/html"), nil, 204, dead, "content type"},
		{"syncer: another type", requests, header("Ce-Type", event.TypeTick), nil, 204, dead, "event type"},
		{"syncer: JSON cut in the middle", requests, nil, request(nil)[:20], 204, dead, "no JSON object"},
		{"syncer: user id with a slash", requests, nil, of("user_id", "a/alpacaAccounts/snapshot"), 204, dead, "user id"},
		{"syncer: user id ..", requests, nil, of("user_id", ".."), 204, dead, "user id"},
		{"syncer: user id of 2 kB", requests, nil, of("user_id", strings.Repeat("u", 2048)), 204, dead, "user id"},
		{"syncer: user id is a number", requests, nil, of("user_id", 7), 204, dead, "no JSON object"},
		{"syncer: tick of 1970", requests, nil, of("tick", "19700101T0000Z"), 204, drop, "is not replayed"},
		{"syncer: tick of 2100", requests, nil, of("tick", "21000101T0000Z"), 204, dead, "lies in the future"},
		{"syncer: tick is a word", requests, nil, of("tick", "soon"), 204, dead, "soon"},
		{"syncer: another broker", requests, nil, of("broker_env", "moon"), 204, dead, "want paper or live"},

		{"signaler: no event at all", changes, bare, nil, 204, dead, "no CloudEvent"},
		{"signaler: empty body", changes, nil, []byte{}, 204, dead, "neither value nor old_value"},
		{"signaler: noise", changes, nil, noise, 204, dead, "over 1048576 bytes"},
		{"signaler: another content type", changes, header("Content-Type", "application/json"), nil, 204, dead, "content type"},
		{"signaler: another type", changes, header("Ce-Type", "google.cloud.audit.log.v1.written"), nil, 204, dead, "event type"},
		{"signaler: protobuf cut in the middle", changes, nil, with("status", "ACTIVE")[:40], 204, dead, "protobuf"},
		{"signaler: user id ..", changes, nil, written("users/../alpacaAccounts/snapshot", good), 204, dead, "no document path"},
		{"signaler: user id with a slash", changes, nil, written("users/a/b/alpacaAccounts/snapshot", good), 204, dead, "users/a/b"},
		{"signaler: user id of 2 kB", changes, nil, written("users/"+strings.Repeat("u", 2048)+"/alpacaAccounts/snapshot", good), 204, dead, "uuu"},
		{"signaler: raw is a word", changes, nil, with("raw", "x"), 204, dead, path},
		{"signaler: seq is a word", changes, nil, with("seq", "x"), 204, dead, path},
		{"signaler: a figure is a list", changes, nil, with("raw", map[string]any{"equity": []any{"1"}}), 204, dead, path},
		{"signaler: a figure is a word", changes, nil, with("raw", map[string]any{"equity": "lots"}), 204, dead, path},
		{"signaler: positions is a number", changes, nil, with("positions", 3), 204, dead, path},
		{"signaler: observed_at is a word", changes, nil, with("observed_at", "noon"), 204, dead, path},
	} {
		t.Run(c.name, func(t *testing.T) {
			log.take()
			before := len(p.pubsub.Messages(topicDead))
			if c.body == nil {
				c.body = c.to.good()
			}
			if got := c.to.post(t, c.change, c.body); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			said := log.take()
			if strings.Count(said, "\n") != 1 || !strings.Contains(said, `"class":"`+c.class+`"`) || !strings.Contains(said, c.says) {
				t.Errorf("log = %.600s\nwant one line of class %s that says %q", said, c.class, c.says)
			}
			if len(said) > 2500 {
				t.Errorf("log line of %d bytes", len(said))
			}
			want := before
			if c.class == dead {
				want++
			}
			for range 200 { // a dead letter comes back through Pub/Sub
				if len(p.pubsub.Messages(topicDead)) >= want {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if got := len(p.pubsub.Messages(topicDead)); got != want {
				t.Errorf("%d dead letters, want %d", got-before, want-before)
			}
			if got := c.to.post(t, nil, c.to.good()); got != 204 && got != 503 { // 503: a tick at work
				t.Errorf("a good event after it: status %d", got)
			}
			if said := log.take(); strings.Contains(said, `"class":"poison"`) || strings.Contains(said, `"class":"retry"`) {
				t.Errorf("a good event after it: %s", said)
			}
		})
	}
	for _, e := range []endpoint{ticks, requests, changes} {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, e.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %v, %v; want 405", e.url, resp, err)
		}
	}
}

// endpoint is a service's, and what a good event for it is.
type endpoint struct {
	url, typ, content string
	good              func() []byte
}

func (e endpoint) post(t *testing.T, change func(http.Header), body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "e1", "Ce-Type": e.typ, "Ce-Source": "//test", "Content-Type": e.content,
		"X-Goog-Pubsub-Publish-Time": time.Now().UTC().Format(time.RFC3339Nano),
	} {
		req.Header.Set(k, v)
	}
	if change != nil {
		change(req.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
