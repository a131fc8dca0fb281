package event

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Attributes are those of a Pub/Sub message that carries the event: push with payload unwrapping makes a binary-mode
// CloudEvent of it. Its data is the event's.
func Attributes(e Event) map[string]string {
	a := map[string]string{"ce-specversion": e.SpecVersion(), "ce-id": e.ID(), "ce-source": e.Source(), "ce-type": e.Type()}
	if s := e.Subject(); s != "" {
		a["ce-subject"] = s
	}
	if t := e.Time(); !t.IsZero() {
		a["ce-time"] = t.UTC().Format(time.RFC3339Nano)
	}
	if s := e.DataSchema(); s != "" {
		a["ce-dataschema"] = s
	}
	for name, v := range e.Extensions() {
		if t, ok := v.(time.Time); ok {
			v = t.UTC().Format(time.RFC3339Nano)
		}
		a["ce-"+name] = fmt.Sprint(v)
	}
	if len(e.Data()) > 0 {
		a["Content-Type"] = event.ApplicationJSON
		if t := e.DataContentType(); t != "" {
			a["Content-Type"] = t
		}
	}
	return a
}

// FromMessage is the event that a Pub/Sub message carries, as a receiver would read it. Its error is a Reject.
func FromMessage(attributes map[string]string, data []byte) (Event, error) {
	h, err := headers(attributes)
	if err != nil {
		return Event{}, Reject(fmt.Errorf("message is no CloudEvent: %w", err))
	}
	return read(context.Background(), h, data) // all of it is in memory
}

// headers are those that payload unwrapping would make of a message's attributes, as far as they make an event.
func headers(attributes map[string]string) (http.Header, error) {
	h := http.Header{}
	for _, k := range slices.Sorted(maps.Keys(attributes)) { // of a name in two spellings always the same counts
		name := k
		switch {
		case hasCE(k):
			name = "Ce-" + k[3:]
		case !strings.EqualFold(k, "Content-Type"):
			continue
		}
		v := attributes[k]
		if strings.ContainsFunc(v, unicode.IsControl) {
			return nil, fmt.Errorf("attribute %.80q has a control character: no header could carry it", k)
		}
		h.Add(name, strings.Trim(v, " "))
	}
	var missing []string
	for _, k := range []string{"ce-specversion", "ce-id", "ce-source", "ce-type"} {
		if h.Get(k) == "" {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("set its attributes %s", strings.Join(missing, ", "))
	}
	return h, nil
}
