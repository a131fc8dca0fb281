package emulator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxEvent is Eventarc's own limit, with room for base64.
const maxEvent = 2 << 20

// Event is a change event in the form in which Eventarc delivers it: headers of a binary-mode CloudEvent and a raw
// protobuf body.
type Event struct {
	Header http.Header
	Body   []byte
}

// Trigger selects change events.
type Trigger struct {
	Project string
	ID      string
	Type    string // google.cloud.firestore.document.v1.written, .created, .updated or .deleted
	Path    string // a pattern: users/{uid}/alpacaAccounts/{account}
}

// Watch calls take for each event of the trigger, one after the other: it must only take note, since the emulator
// delivers one at a time, and once. Retries are the taker's.
func (e *Emulator) Watch(ctx context.Context, t Trigger, take func(Event)) error {
	e.sink.add("/functions/projects/"+t.Project+"/triggers/"+t.ID, take)
	body, err := json.Marshal(map[string]any{
		"eventType": t.Type, "database": "(default)", "namespace": "(default)",
		"document": map[string]string{"value": t.Path, "matchType": "PATH_PATTERN"},
	})
	if err != nil {
		return err
	}
	return e.call(ctx, http.MethodPost, "/emulator/v1/projects/"+t.Project+"/eventarcTrigger?eventarcTriggerId="+t.ID, string(body))
}

// sink is where the emulator delivers to.
type sink struct {
	http *http.Server
	l    net.Listener

	mu    sync.Mutex
	takes map[string]func(Event)
}

func listen(ctx context.Context) (*sink, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("firestore emulator: sink of its events: %w", err)
	}
	s := &sink{l: l, takes: map[string]func(Event){}}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

func (s *sink) addr() string { return s.l.Addr().String() }

func (s *sink) close() { _ = s.http.Close() }

func (s *sink) add(path string, take func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes[path] = take
}

// ServeHTTP takes one event of the emulator. An answer other than 200 would lose it.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	take := s.takes[r.URL.Path]
	s.mu.Unlock()
	if take == nil {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err == nil {
		var e Event
		if e, err = mend(r.Header, body); err == nil {
			take(e)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// mend undoes what the emulator does otherwise than Eventarc: a body in base64 text, an attribute that is no
// extension, and a source that says projects/ twice.
func mend(header http.Header, body []byte) (Event, error) {
	if header.Get("Ce-Id") == "" {
		return Event{}, errors.New("no CloudEvent: header ce-id is missing")
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, err := base64.StdEncoding.Decode(raw, body)
	if err != nil {
		return Event{}, fmt.Errorf("body is no base64 text: %w", err)
	}
	h := http.Header{"Content-Type": {"application/protobuf"}}
	for k, v := range header {
		if strings.HasPrefix(k, "Ce-") && k != "Ce-Datacontenttype" {
			h[k] = v
		}
	}
	h.Set("Ce-Source", strings.ReplaceAll(h.Get("Ce-Source"), "projects/projects/", "projects/"))
	return Event{Header: h, Body: raw[:n]}, nil
}
