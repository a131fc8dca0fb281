package event

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Pub/Sub's limits: a message past one is refused for ever. https://cloud.google.com/pubsub/quotas#resource_limits
const (
	maxAttributes = 100
	maxKey        = 256  // bytes
	maxValue      = 1024 // bytes
)

// keptBody is how much of an unreadable request is kept.
const keptBody = 64 << 10

// bury sends a copy of the event with the reason to the dead letters. While that fails, the event is nacked.
func (r *Receiver) bury(ctx context.Context, e Event, body []byte, reason error) error {
	if err := r.DeadLetters.Publish(ctx, letter(e, body, reason.Error())); err != nil {
		return fmt.Errorf("publish to the dead letters: %w (for: %s)", err, clip(reason.Error(), 200))
	}
	return reason
}

// letter is the copy: of the event itself, or, where it was none or no topic would take it, one that holds what came.
// Pub/Sub must never refuse it: the event would be nacked for ever.
func letter(e Event, body []byte, reason string) Event {
	readable := e.Context != nil && e.Validate() == nil
	if readable {
		c := e.Clone()
		explain(&c, reason)
		fault := refusedFor(c)
		if fault == "" {
			return c
		}
		reason = plain(reason, 300) + "; only the body is kept, since " + fault
	}
	c := New("unreadable", TypeUnreadable, "receiver", "")
	_ = c.SetData("application/octet-stream", body[:min(len(body), keptBody)]) // bytes are always taken
	explain(&c, reason)
	if readable {
		c.SetExtension("originalid", plain(e.ID(), 200))
		c.SetExtension("originaltype", plain(e.Type(), 200))
	}
	return c
}

func explain(c *Event, reason string) {
	c.SetExtension("deadletterclass", string(Poison))
	c.SetExtension("deadletterreason", plain(reason, 500))
}

// refusedFor says why Pub/Sub would refuse the event as a message, "" if it would not. A control character it would
// take, but no push could carry it on as a header.
func refusedFor(e Event) string {
	a := map[string]string{
		"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(),
		"time": e.Time().Format(time.RFC3339Nano), "dataschema": e.DataSchema(), "datacontenttype": e.DataContentType(),
	}
	for name, v := range e.Extensions() {
		a[name] = fmt.Sprint(v)
	}
	if len(a) > maxAttributes {
		return fmt.Sprintf("it has %d attributes and Pub/Sub takes %d", len(a), maxAttributes)
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		switch v := a[name]; {
		case len("ce-"+name) > maxKey:
			return fmt.Sprintf("the name of attribute %.40s… has %d bytes and Pub/Sub takes %d", name, len("ce-"+name), maxKey)
		case len(v) > maxValue:
			return fmt.Sprintf("attribute %s has %d bytes and Pub/Sub takes %d", name, len(v), maxValue)
		case !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl):
			return fmt.Sprintf("attribute %s is no plain text in UTF-8", name)
		}
	}
	return ""
}

// plain is text that can be an attribute.
func plain(s string, n int) string {
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�")), n)
}

// clip cuts text to n bytes, never in the middle of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
