package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// origin is what a push tells of a message beside the event in it: plain text that a letter can carry.
type origin struct {
	service, message, subscription, published string
	attributes                                map[string]string
}

// originOf reads what there is; nothing of it need be there.
func originOf(service string, h http.Header, body []byte) origin {
	o := origin{service: plain(service, 200), attributes: map[string]string{}}
	published := h.Get(headerPublishTime)
	o.message, o.subscription = plain(h.Get(headerMessageID), 200), plain(h.Get(headerSubscription), 500)
	for name := range h {
		if isAttribute(name) {
			o.attributes[name] = strings.Join(h[name], ", ")
		}
	}
	var e struct { // field by field: in a bad envelope, some of them can be read
		Message map[string]json.RawMessage `json:"message"`
		Sub     json.RawMessage            `json:"subscription"`
	}
	if wrapped(h) && json.Unmarshal(body, &e) == nil && e.Message != nil {
		o.message = plain(text(o.message, e.Message["messageId"], e.Message["message_id"]), 200)
		o.subscription = plain(text(o.subscription, e.Sub), 500)
		published = text(published, e.Message["publishTime"], e.Message["publish_time"])
		o.attributes = map[string]string{}
		_ = json.Unmarshal(e.Message["attributes"], &o.attributes)
		maps.DeleteFunc(o.attributes, func(name, _ string) bool { return !isAttribute(name) })
	}
	if at, err := time.Parse(time.RFC3339Nano, published); err == nil && at.Year() > 0 && at.Year() < 10000 {
		o.published = at.UTC().Format(time.RFC3339Nano)
	}
	return o
}

// text is the first that is one, or what was known before.
func text(known string, candidates ...json.RawMessage) string {
	for _, raw := range candidates {
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			return s
		}
	}
	return known
}

// isAttribute tells a message's attributes, which unwrapped push sends as bare headers, from the headers of the
// transport. What could be a credential is never one: better a letter without an attribute than one with a token.
func isAttribute(header string) bool {
	name := strings.ToLower(header)
	for _, secret := range []string{"auth", "token", "cookie", "secret", "password", "key", "signature", "credential", "session"} {
		if strings.Contains(name, secret) {
			return false
		}
	}
	switch name {
	case "accept", "accept-encoding", "accept-language", "connection", "content-length", "expect", "forwarded", "from", "grpc-trace-bin",
		"te", "traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent", "via":
		return false
	}
	return !strings.HasPrefix(name, "x-")
}

// others are the attributes that are not the event's own.
func (o origin) others() map[string]string {
	m := maps.Clone(o.attributes)
	maps.DeleteFunc(m, func(k, _ string) bool { return hasCE(k) || strings.EqualFold(k, "Content-Type") })
	return m
}

// id tells one unreadable message from another. Pub/Sub's own id does; without one, the same content is the same
// letter, however often it is delivered.
func (o origin) id(body []byte) string {
	if o.message != "" {
		return "unreadable/" + o.message
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q ", o.service, attributesText(o.attributes))
	_, _ = h.Write(body)
	return fmt.Sprintf("unreadable/sha256-%x", h.Sum(nil)[:12])
}

// attributesText is as much of the attributes, as a JSON object, as one attribute of a message can hold. "…" counts
// those left out.
func attributesText(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	encode := func(s string) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s) // a string's always goes well
		return strings.TrimSuffix(b.String(), "\n")
	}
	var b strings.Builder
	left := 0
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pair := encode(plain(k, 100)) + ":" + encode(plain(m[k], 200))
		if b.Len()+len(pair) > maxValue-40 {
			left++
			continue
		}
		b.WriteString("," + pair)
	}
	if left > 0 {
		fmt.Fprintf(&b, `,"…":"%d more"`, left)
	}
	return "{" + b.String()[1:] + "}"
}
