package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// MaxBody bounds an event's data: Eventarc's limit is 512 KB, our own messages are a few hundred bytes.
const MaxBody = 1 << 20

// Receiver is the front door of a service: it decodes, hands to the handler, and answers.
type Receiver struct {
	Service     string // its name, for the dead letters
	Handle      Handler
	DeadLetters Publisher // where copies of what can't be understood go
	Log         *slog.Logger
	Watch       Watch // nil: nobody watches
}

// Watch is told of each delivery: the request's headers, and its event, which has no Context if none could be read, and
// whose extensions may be set. The context that it returns is the handler's and the logs'; ended is told once what became
// of the event, by its error.
type Watch func(ctx context.Context, h http.Header, e *Event) (context.Context, func(ended error))

// ServeHTTP answers 204 for an ack and 503 for a nack.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events come as POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := readBody(w, req)
	var e Event
	if err == nil {
		e, err = decode(req.Context(), req.Header, body)
	}
	ctx, ended := req.Context(), func(error) {}
	if r.Watch != nil {
		ctx, ended = r.Watch(ctx, req.Header, &e)
	}
	if err == nil {
		err = r.call(ctx, e)
	}
	if ClassOf(err) == Poison {
		err = r.bury(ctx, req.Header, e, body, err)
	}
	ended(err)
	switch ClassOf(err) {
	case Done:
		w.WriteHeader(http.StatusNoContent)
	case Settled: // what changed by it is in the user's health, and logged there: a line each minute would say nothing new
		r.Log.LogAttrs(ctx, slog.LevelDebug, err.Error(), attrs(e, err)...)
		w.WriteHeader(http.StatusNoContent)
	case Dropped:
		r.Log.LogAttrs(ctx, slog.LevelInfo, err.Error(), attrs(e, err)...)
		w.WriteHeader(http.StatusNoContent)
	case Poison:
		r.Log.LogAttrs(ctx, slog.LevelWarn, clip(err.Error(), 1000), attrs(e, err)...)
		w.WriteHeader(http.StatusNoContent)
	case Busy:
		r.Log.LogAttrs(ctx, slog.LevelDebug, err.Error(), attrs(e, err)...)
		http.Error(w, "busy", http.StatusServiceUnavailable)
	default:
		r.Log.LogAttrs(ctx, slog.LevelError, err.Error(), attrs(e, err)...)
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

// readBody is the body. One that is too long can never be taken; one that was cut off comes again.
func readBody(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	limit := int64(MaxBody)
	if wrapped(req.Header) {
		limit = maxWire
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, limit))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return body, Reject(fmt.Errorf("body is over %d bytes", limit))
	case err != nil:
		return body, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

// call runs the handler. A panic is never swallowed: the event is nacked, and its attempts are counted.
func (r *Receiver) call(ctx context.Context, e Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{fmt.Sprintf("%T", p), debug.Stack()}
		}
	}()
	return r.Handle(ctx, e)
}

// panicked is a handler's panic. The type of its value is told, not the value: it could hold anything, a key among it.
type panicked struct {
	value string
	stack []byte
}

func (p *panicked) Error() string { return "panic (" + p.value + ") while handling the event" }

// Stack is the name under which a panic's stack is logged, as Error Reporting wants it: the message and debug.Stack.
const Stack = "stack_trace"

func attrs(e Event, err error) []slog.Attr {
	a := []slog.Attr{slog.String("class", string(ClassOf(err)))}
	var p *panicked
	if errors.As(err, &p) {
		a = append(a, slog.String(Stack, p.Error()+"\n\n"+string(p.stack)))
	}
	if e.Context != nil {
		a = append(a, slog.String("event_id", clip(e.ID(), 200)), slog.String("event_type", clip(e.Type(), 100)))
	}
	return a
}
