package event_test

import (
	"context"
	"encoding/base64"

	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// seen is what a handler got of an event.
type seen struct {
	ID, Type, Source, Subject, ContentType, Data, Published string
	Extensions                                              object
}

func see(e event.Event) *seen {
	s := &seen{ID: e.ID(), Type: e.Type(), Source: e.Source(), Subject: e.Subject(), ContentType: e.DataContentType(), Data: string(e.Data())}
	if at, err := event.PublishTime(e); err == nil {
		s.Published = at.Format(time.RFC3339Nano)
	}
	for k, v := range e.Extensions() {
		if k == "publishtime" {
			continue
		}
		if s.Extensions == nil {
			s.Extensions = object{}
		}
		s.Extensions[k] = v
	}
	return s
}

// push sends a request to a receiver whose handler answers err.
func push(header http.Header, body io.Reader, err error) (status int, got *seen, dead []event.Event) {
	l := &letters{}
	r := &event.Receiver{DeadLetters: l, Log: slog.New(slog.DiscardHandler), Handle: func(_ context.Context, e event.Event) error {
		got = see(e)
		return err
	}}
	req := httptest.NewRequest(http.MethodPost, "/", body)
	req.Header = header
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code, got, l.got
}

func with(h http.Header, kv ...string) http.Header {
	for i := 0; i < len(kv); i += 2 {
		h[kv[i]] = []string{kv[i+1]}
	}
	return h
}

// An envelope like the documentation's, with a CloudEvent's attributes.
func wrap(attributes, more object, data string) string {
	a := object{"ce-specversion": "1.0", "ce-id": "20261124T0930Z/u", "ce-source": "//agenttrader/fanout", "ce-type": event.TypeSyncRequest, "Content-Type": "application/json"}
	maps.Copy(a, attributes)
	maps.DeleteFunc(a, func(_ string, v any) bool { return v == nil })
	m := object{
		"attributes": a, "data": base64.StdEncoding.EncodeToString([]byte(data)), "messageId": "2070443601311540", "message_id": "2070443601311540",
		"publishTime": "2026-11-24T09:30:00.789Z", "publish_time": "2026-11-24T09:30:00.789Z",
	}
	maps.Copy(m, more)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	text, err := base64.RawURLEncoding.DecodeString(encode(object{"message": m, "subscription": "projects/p/subscriptions/s", "deliveryAttempt": 1}))
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestWrappedPush(t *testing.T) {
	const jsonType = "application/json"
	usual := seen{ID: "20261124T0930Z/u", Type: event.TypeSyncRequest, Source: "//agenttrader/fanout", ContentType: jsonType, Data: `{"a":1}`, Published: "2026-11-24T09:30:00.789Z"}
	but := func(change func(*seen)) *seen { s := usual; change(&s); return &s }
	large := strings.Repeat("x", event.MaxBody)
	for name, c := range map[string]struct {
		contentType string
		body        string
		want        *seen  // nil: it can't be understood
		reason      string // then
	}{
		"usual":                          {body: wrap(nil, nil, `{"a":1}`), want: &usual},
		"with a charset":                 {contentType: "application/json; charset=UTF-8", body: wrap(nil, nil, `{"a":1}`), want: &usual},
		"older names only":               {body: wrap(nil, object{"publishTime": nil, "messageId": nil}, `{"a":1}`), want: &usual},
		"no publish time":                {body: wrap(nil, object{"publishTime": nil, "publish_time": nil}, `{"a":1}`), want: but(func(s *seen) { s.Published = "" })},
		"no data":                        {body: wrap(nil, object{"data": nil}, ""), want: but(func(s *seen) { s.Data = "" })},
		"no content type":                {body: wrap(object{"Content-Type": nil}, nil, `{"a":1}`), want: but(func(s *seen) { s.ContentType = "" })},
		"another content type":           {body: wrap(object{"Content-Type": nil, "content-type": "text/plain"}, nil, `{"a":1}`), want: but(func(s *seen) { s.ContentType = "text/plain" })},
		"names in another spelling":      {body: wrap(object{"ce-id": nil, "CE-Id": "7"}, nil, `{"a":1}`), want: but(func(s *seen) { s.ID = "7" })},
		"a name in two spellings":        {body: wrap(object{"CE-ID": "7"}, nil, `{"a":1}`), want: but(func(s *seen) { s.ID = "7" })},
		"subject, extension, spaces":     {body: wrap(object{"ce-subject": " users/u ", "ce-traceparent": " 00-1 "}, nil, `{"a":1}`), want: but(func(s *seen) { s.Subject = "users/u"; s.Extensions = object{"traceparent": "00-1"} })},
		"attributes that are none":       {body: wrap(object{"note": "a\nb", "authorization": "x", "googclient_schemaencoding": "JSON"}, nil, `{"a":1}`), want: &usual},
		"a forged publish time":          {body: wrap(object{"X-Goog-Pubsub-Publish-Time": "2020-01-01T00:00:00Z", "ce-publishtime": "2020-01-01T00:00:00Z"}, object{"publishTime": nil, "publish_time": nil}, `{"a":1}`), want: but(func(s *seen) { s.Published = "" })},
		"as much data as may be":         {body: wrap(nil, nil, large), want: but(func(s *seen) { s.Data = large })},
		"data a byte too long":           {body: wrap(nil, nil, large+"x"), reason: "is over 1048576 bytes"},
		"an endless body":                {body: wrap(nil, nil, large+large), reason: "body is over"},
		"no attributes":                  {body: wrap(nil, object{"attributes": nil}, `{"a":1}`), reason: "ce-specversion, ce-id, ce-source, ce-type"},
		"one attribute missing":          {body: wrap(object{"ce-source": nil}, nil, `{"a":1}`), reason: "set its attributes ce-source"},
		"an empty attribute":             {body: wrap(object{"ce-source": ""}, nil, `{"a":1}`), reason: "set its attributes ce-source"},
		"a control character":            {body: wrap(object{"ce-id": "a\r\nx: y"}, nil, `{"a":1}`), reason: "control character"},
		"an attribute without a name":    {body: wrap(object{"ce-": "x"}, nil, `{"a":1}`), reason: "names no attribute"},
		"an extension no event can have": {body: wrap(object{"ce-my_ext": "x"}, nil, `{"a":1}`), reason: "no CloudEvent"},
		"a name no header can have":      {body: wrap(object{"ce-a b": "x"}, nil, `{"a":1}`), reason: "no CloudEvent"},
		"structured mode inside":         {body: wrap(object{"Content-Type": "application/cloudevents+json"}, nil, `{"a":1}`), reason: "structured mode"},
		"an envelope in an envelope":     {body: wrap(object{"ce-id": nil, "ce-type": nil, "ce-source": nil, "ce-specversion": nil}, nil, wrap(nil, nil, "")), reason: "set its attributes"},
		"bad publish time":               {body: wrap(nil, object{"publishTime": "now"}, `{"a":1}`), reason: "RFC 3339"},
		"publish time is a number":       {body: wrap(nil, object{"publishTime": 1}, `{"a":1}`), reason: "no Pub/Sub push"},
		"attribute is a number":          {body: wrap(object{"ce-id": 1}, nil, `{"a":1}`), reason: "no Pub/Sub push"},
		"bad base64":                     {body: wrap(nil, object{"data": "%%%"}, ""), reason: "no Pub/Sub push"},
		"message is null":                {body: `{"message":null}`, reason: "it has no message"},
		"some other JSON":                {body: `{"a":1}`, reason: "it has no message"},
		"a list":                         {body: `[]`, reason: "no Pub/Sub push"},
		"cut off":                        {body: wrap(nil, nil, `{"a":1}`)[:100], reason: "no Pub/Sub push"},
		"more behind it":                 {body: wrap(nil, nil, `{"a":1}`) + "{}", reason: "no Pub/Sub push"},
		"nothing":                        {body: "", reason: "no Pub/Sub push"},
		"no JSON by its content type":    {contentType: "text/plain", body: wrap(nil, nil, `{"a":1}`), reason: "no CloudEvent in binary mode"},
		"no content type of its own":     {contentType: "-", body: wrap(nil, nil, `{"a":1}`), reason: "no CloudEvent in binary mode"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"Content-Type": {jsonType}}
			if c.contentType != "" {
				h.Set("Content-Type", c.contentType)
			}
			if c.contentType == "-" {
				h.Del("Content-Type")
			}
			status, got, dead := push(h, strings.NewReader(c.body), nil)
			if diff := cmp.Diff(c.want, got); diff != "" || status != http.StatusNoContent {
				t.Errorf("status %d, handler's event (-want +got):\n%.2000s", status, diff)
			}
			if c.want != nil {
				if len(dead) != 0 {
					t.Errorf("dead letter %v", dead)
				}
				return
			}
			if len(dead) != 1 || dead[0].Type() != event.TypeUnreadable {
				t.Fatalf("dead letters %v: want one, unreadable", dead)
			}
			if r, _ := dead[0].Extensions()["deadletterreason"].(string); !strings.Contains(r, c.reason) {
				t.Errorf("reason %q: want %q in it", r, c.reason)
			}
			if kept := string(dead[0].Data()); kept != c.body[:min(len(c.body), 64<<10)] {
				t.Errorf("the copy holds %d bytes, %.80q…: want what came", len(kept), kept)
			}
		})
	}
}

// Requests that carry an event's headers themselves, in all forms that are not the usual one.
func TestOtherForms(t *testing.T) {
	plain := seen{ID: "1", Type: "t", Source: "s", ContentType: "application/json", Data: "{}"}
	but := func(change func(*seen)) *seen { s := plain; change(&s); return &s }
	long := strings.Repeat("x", 2000)
	const structured = `{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":1}` // makes the SDK panic
	for name, c := range map[string]struct {
		header http.Header
		body   io.Reader
		want   *seen // nil: the handler gets none
		status int   // 0: 204
		dead   int
	}{
		"an envelope beside headers of an event": {header: headers(), body: strings.NewReader(wrap(nil, nil, "x")), want: but(func(s *seen) { s.Data = wrap(nil, nil, "x") })},
		"no content type":                        {header: with(headers(), "Content-Type", ""), want: but(func(s *seen) { s.ContentType = "" })},
		"an id of 2 kB":                          {header: with(headers(), "Ce-Id", long), want: but(func(s *seen) { s.ID = long })},
		"a tab in a value":                       {header: with(headers(), "Ce-Id", "a\tb"), want: but(func(s *seen) { s.ID = "a\tb" })},
		"structured mode":                        {header: http.Header{"Content-Type": {"application/cloudevents+json"}}, body: strings.NewReader(structured), dead: 1},
		"structured mode with a charset":         {header: http.Header{"Content-Type": {"Application/CloudEvents+JSON; charset=utf-8"}}, body: strings.NewReader(structured), dead: 1},
		"structured mode beside headers":         {header: with(headers(), "Content-Type", "application/cloudevents+json"), body: strings.NewReader(structured), dead: 1},
		"a batch":                                {header: http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, body: strings.NewReader("[" + structured + "]"), dead: 1},
		"a header without a name":                {header: with(headers(), "Ce-", "x"), dead: 1},
		"a hyphen in an extension":               {header: with(headers(), "Ce-My-Ext", "x"), dead: 1},
		"a version to come":                      {header: with(headers(), "Ce-Specversion", "2.0"), dead: 1},
		"a body cut off":                         {header: headers(), body: iotest.ErrReader(io.ErrUnexpectedEOF), status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			if c.body == nil {
				c.body = strings.NewReader("{}")
			}
			if c.status == 0 {
				c.status = http.StatusNoContent
			}
			status, got, dead := push(c.header, c.body, nil)
			if diff := cmp.Diff(c.want, got); diff != "" || status != c.status || len(dead) != c.dead {
				t.Errorf("status %d, %d dead letters; want %d, %d; handler's event (-want +got):\n%.2000s", status, len(dead), c.status, c.dead, diff)
			}
			for _, l := range dead {
				if err := sendable(l); err != nil || l.Type() != event.TypeUnreadable {
					t.Errorf("dead letter %.500v: %v", l, err)
				}
			}
		})
	}
}
