package event

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The extensions that a dead letter of ours has beside the event's own. When it was buried is its publish time.
const (
	LetterClass        = "deadletterclass"      // Poison
	LetterReason       = "deadletterreason"     // why
	LetterService      = "deadletterservice"    // who buried it
	LetterMessage      = "deadlettermessage"    // Pub/Sub's id of the original
	LetterSubscription = "deadlettersub"        // the full name of the subscription that the original came by
	LetterAttributes   = "deadletterattributes" // a JSON object of the original's attributes that the letter has no other room for
	LetterPublished    = publishTime            // the original's publish time
	LetterOriginalID   = "originalid"           // of an event that no topic would take as it is
	LetterOriginalType = "originaltype"         // likewise
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
func (r *Receiver) bury(ctx context.Context, h http.Header, e Event, body []byte, reason error) error {
	if err := r.DeadLetters.Publish(ctx, letter(originOf(r.Service, h, body), e, body, reason.Error())); err != nil {
		return fmt.Errorf("publish to the dead letters: %w (for: %s)", err, clip(reason.Error(), 200))
	}
	return reason
}

// letter is the copy: of the event itself, or, where it was none or no topic would take it, one that holds what came.
// Pub/Sub must never refuse it: the event would be nacked for ever.
func letter(o origin, e Event, body []byte, reason string) Event {
	readable := e.Context != nil && e.Validate() == nil
	if readable {
		c := e.Clone()
		o.explain(&c, reason, o.others())
		fault := refusedFor(c)
		if fault == "" {
			return c
		}
		reason = plain(reason, 300) + "; only the body is kept, since " + fault
	}
	if len(body) > keptBody {
		reason = plain(reason, 400) + fmt.Sprintf("; the first %d of %d bytes are kept", keptBody, len(body))
	}
	c := New(o.id(body), TypeUnreadable, "receiver", "")
	_ = c.SetData("application/octet-stream", body[:min(len(body), keptBody)]) // bytes are always taken
	o.explain(&c, reason, o.attributes)
	if readable {
		c.SetExtension(LetterOriginalID, plain(e.ID(), 200))
		c.SetExtension(LetterOriginalType, plain(e.Type(), 200))
	}
	if o.published != "" {
		c.SetExtension(LetterPublished, o.published)
	}
	return c
}

// explain says why and by whom. What the original claims of that itself is forgotten.
func (o origin) explain(c *Event, reason string, attributes map[string]string) {
	for name, v := range map[string]string{
		LetterClass: string(Poison), LetterReason: plain(reason, 500), LetterService: o.service, LetterMessage: o.message,
		LetterSubscription: o.subscription, LetterAttributes: attributesText(attributes), LetterOriginalID: "", LetterOriginalType: "",
	} {
		if v == "" {
			c.SetExtension(name, nil)
		} else {
			c.SetExtension(name, v)
		}
	}
}

// refusedFor says why Pub/Sub would refuse the event as a message, "" if it would not. A control character it would
// take, but no push could carry it on as a header.
func refusedFor(e Event) string {
	a := Attributes(e)
	if len(a) > maxAttributes {
		return fmt.Sprintf("it has %d attributes and Pub/Sub takes %d", len(a), maxAttributes)
	}
	for _, k := range slices.Sorted(maps.Keys(a)) {
		name := strings.TrimPrefix(k, "ce-")
		switch v := a[k]; {
		case len(k) > maxKey:
			return fmt.Sprintf("the name of attribute %.40s… has %d bytes and Pub/Sub takes %d", name, len(k), maxKey)
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
