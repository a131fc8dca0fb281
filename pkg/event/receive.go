package event

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/cloudevents/sdk-go/v2/types"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// MaxBody bounds an event's body: Eventarc's limit is 512 KB, our own messages are a few hundred bytes.
const MaxBody = 1 << 20

// keptBody is how much of an unreadable request is kept.
const keptBody = 64 << 10

// publishTime is the extension under which a Pub/Sub message's publish time travels with its event.
const publishTime = "publishtime"

// Receiver is the front door of a service: it decodes, hands to the handler, and answers.
type Receiver struct {
	Handle      Handler
	DeadLetters Publisher // where copies of what can't be understood go
	Log         *slog.Logger
}

// ServeHTTP answers 204 for an ack and 503 for a nack.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events come as POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxBody))
	if err != nil {
		err = Reject(fmt.Errorf("body can't be read, or is over %d bytes: %w", MaxBody, err))
	}
	var e Event
	if err == nil {
		e, err = decode(req, body)
	}
	if err == nil {
		err = r.call(req.Context(), e)
	}
	if ClassOf(err) == Poison {
		err = r.bury(req.Context(), e, body, err)
	}
	switch ClassOf(err) {
	case Done:
		w.WriteHeader(http.StatusNoContent)
	case Settled, Dropped:
		r.Log.LogAttrs(req.Context(), slog.LevelInfo, err.Error(), attrs(e, err)...)
		w.WriteHeader(http.StatusNoContent)
	case Poison:
		r.Log.LogAttrs(req.Context(), slog.LevelWarn, err.Error(), attrs(e, err)...)
		w.WriteHeader(http.StatusNoContent)
	case Busy:
		r.Log.LogAttrs(req.Context(), slog.LevelDebug, err.Error(), attrs(e, err)...)
		http.Error(w, "busy", http.StatusServiceUnavailable)
	default:
		r.Log.LogAttrs(req.Context(), slog.LevelError, err.Error(), attrs(e, err)...)
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

// call runs the handler. A panic is never swallowed: the event is nacked, and its attempts are counted.
func (r *Receiver) call(ctx context.Context, e Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// %T, not %v: the value could hold anything, a key among it
			err = fmt.Errorf("panic (%T) while handling the event\n%s", p, debug.Stack())
		}
	}()
	return r.Handle(ctx, e)
}

// bury sends a copy of the event with the reason to the dead letters. While that fails, the event is nacked.
func (r *Receiver) bury(ctx context.Context, e Event, body []byte, reason error) error {
	var c Event
	if e.Context != nil && e.Validate() == nil {
		c = e.Clone()
	} else { // it was no CloudEvent; the copy is one that holds what came
		c = New("unreadable", TypeUnreadable, "receiver", "")
		if err := c.SetData("application/octet-stream", body[:min(len(body), keptBody)]); err != nil {
			return fmt.Errorf("dead letter: %w", err)
		}
	}
	c.SetExtension("deadletterclass", string(Poison))
	c.SetExtension("deadletterreason", clip(reason.Error(), 500))
	if err := r.DeadLetters.Publish(ctx, c); err != nil {
		return fmt.Errorf("publish to the dead letters: %w (for: %s)", err, clip(reason.Error(), 200))
	}
	return reason
}

// decode reads a binary-mode CloudEvent. With Pub/Sub's payload unwrapping, the message's attributes are the headers.
func decode(req *http.Request, body []byte) (Event, error) {
	req.Body = io.NopCloser(bytes.NewReader(body))
	// The emulator and some senders put this attribute beside Content-Type, and the SDK takes it for an extension.
	req.Header.Del("Ce-Datacontenttype")
	e, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil {
		return Event{}, Reject(fmt.Errorf("request is no CloudEvent in binary mode over HTTP: %w", err))
	}
	e.SetExtension(publishTime, nil) // only Pub/Sub's own word counts
	if at := req.Header.Get("X-Goog-Pubsub-Publish-Time"); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return Event{}, Reject(fmt.Errorf("header x-goog-pubsub-publish-time %.40q is no RFC 3339 time", at))
		}
		e.SetExtension(publishTime, t.UTC())
	}
	if err := e.Validate(); err != nil {
		return Event{}, Reject(fmt.Errorf("request is no valid CloudEvent: %w", err))
	}
	return *e, nil
}

// PublishTime is when Pub/Sub took the message that carried the event, UTC.
func PublishTime(e Event) (time.Time, error) {
	if v, ok := e.Extensions()[publishTime]; ok {
		return types.ToTime(v)
	}
	return time.Time{}, fmt.Errorf("event %.80q did not come through Pub/Sub with its metadata: header x-goog-pubsub-publish-time is missing (set write_metadata on the push subscription)", e.ID())
}

func attrs(e Event, err error) []slog.Attr {
	a := []slog.Attr{slog.String("class", string(ClassOf(err)))}
	if e.Context != nil {
		a = append(a, slog.String("event_id", clip(e.ID(), 200)), slog.String("event_type", clip(e.Type(), 100)))
	}
	return a
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
