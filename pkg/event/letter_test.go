package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// sendable says what Pub/Sub would refuse an event for, as gcp.Message makes a message of it.
func sendable(e event.Event) error {
	a := event.Attributes(e)
	errs := []error{e.Validate()}
	if len(a) > 100 {
		errs = append(errs, fmt.Errorf("%d attributes", len(a)))
	}
	for k, v := range a {
		if len(k) > 256 || len(v) > 1024 || !utf8.ValidString(k) || !utf8.ValidString(v) {
			errs = append(errs, fmt.Errorf("attribute %.300q: %.1100q", k, v))
		}
	}
	if len(e.Data()) > 9_000_000 {
		errs = append(errs, fmt.Errorf("%d bytes of data", len(e.Data())))
	}
	return errors.Join(errs...)
}

// What a topic would refuse travels as the body alone: else the event would be nacked for ever.
func TestDeadLetterIsAlwaysTaken(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) (kv []string) {
		for i := range n {
			kv = append(kv, fmt.Sprintf("Ce-Ext%d", i), "x")
		}
		return kv
	}
	for name, c := range map[string]struct {
		header []string
		reason error // default: "x"
		whole  bool  // the event itself is copied
		says   string
	}{
		"usual":                          {whole: true, says: "x"},
		"an id as long as may be":        {header: []string{"Ce-Id", x(1024)}, whole: true},
		"an id a byte too long":          {header: []string{"Ce-Id", x(1025)}, says: "attribute id has 1025 bytes"},
		"an id of 2 kB":                  {header: []string{"Ce-Id", x(2000)}, says: "x; only the body is kept, since attribute id"},
		"type":                           {header: []string{"Ce-Type", x(1025)}, says: "attribute type has"},
		"source":                         {header: []string{"Ce-Source", x(1025)}, says: "attribute source has"},
		"a source that grows":            {header: []string{"Ce-Source", strings.Repeat("é", 400)}, says: "attribute source has 2400"},
		"subject":                        {header: []string{"Ce-Subject", x(1025)}, says: "attribute subject has"},
		"content type":                   {header: []string{"Content-Type", "text/plain; x=" + x(1025)}, says: "attribute Content-Type has"},
		"schema":                         {header: []string{"Ce-Dataschema", "https://x/" + x(1025)}, says: "attribute dataschema has"},
		"extension":                      {header: []string{"Ce-Trace", x(1025)}, says: "attribute trace has"},
		"a name as long as may be":       {header: []string{"Ce-" + x(253), "1"}, whole: true},
		"a name a byte too long":         {header: []string{"Ce-" + x(254), "1"}, says: "the name of attribute xxx"},
		"as many as may be":              {header: many(90), whole: true},
		"too many":                       {header: many(97), says: "attributes and Pub/Sub takes 100"},
		"no UTF-8":                       {header: []string{"Ce-Id", "a\xff"}, says: "attribute id is no plain text"},
		"no UTF-8 in an extension":       {header: []string{"Ce-Trace", "a\xc3("}, says: "attribute trace is no plain text"},
		"control characters":             {header: []string{"Ce-Id", "a\x00\r\nb"}, says: "attribute id is no plain text"},
		"a long reason":                  {reason: errors.New(strings.Repeat("é", 2000)), whole: true, says: "éé"},
		"a long reason, a long id":       {header: []string{"Ce-Id", x(2000)}, reason: errors.New("r" + strings.Repeat("é", 2000)), says: "since attribute id has 2000"},
		"a reason that is no UTF-8":      {reason: errors.New("a\xffb"), whole: true, says: "a\uFFFDb"},
		"a reason of more than a line":   {reason: errors.Join(errors.New("a"), errors.New("b")), whole: true, says: "a b"},
		"a reason that is quite too bad": {header: []string{"Ce-Id", "\xff" + x(2000)}, reason: errors.New(strings.Repeat("\xff\n", 2000)), says: "since attribute id"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.reason == nil {
				c.reason = errors.New("x")
			}
			status, _, dead := push(with(headers(), c.header...), strings.NewReader("the body"), event.Reject(c.reason))
			if status != http.StatusNoContent || len(dead) != 1 {
				t.Fatalf("status %d, %d dead letters; want 204, 1", status, len(dead))
			}
			e := dead[0]
			if err := sendable(e); err != nil {
				t.Errorf("Pub/Sub would refuse it: %v", err)
			}
			if (e.Type() != event.TypeUnreadable) != c.whole || string(e.Data()) != "the body" {
				t.Errorf("type %.100q, data %q; want the whole event: %t, and its data", e.Type(), e.Data(), c.whole)
			}
			if r, _ := e.Extensions()["deadletterreason"].(string); !strings.Contains(r, c.says) || r == "" {
				t.Errorf("reason %q: want %q in it", r, c.says)
			}
			if _, ok := e.Extensions()["originalid"]; ok == c.whole {
				t.Errorf("extensions %v: want the id of what was left out, and only then", e.Extensions())
			}
		})
	}
}

// A letter says what came, by which message, and who buried it; never a token.
func TestDeadLetterTellsWhereItCameFrom(t *testing.T) {
	const message, sub, at = "2070443601311540", "projects/p/subscriptions/s", "2026-11-24T09:30:00.789Z"
	pushed := func(kv ...string) http.Header {
		return with(headers(), append([]string{"X-Goog-Pubsub-Message-Id", message, "X-Goog-Pubsub-Subscription-Name", sub,
			"X-Goog-Pubsub-Publish-Time", at, "Authorization", "Bearer canary", "X-Serverless-Authorization", "canary", "Cookie", "canary",
			"Api_key", "canary", "User-Agent", "APIs-Google", "Team", "a\"b"}, kv...)...)
	}
	bare := func(kv ...string) http.Header {
		h := pushed(kv...)
		for _, k := range []string{"Ce-Specversion", "Ce-Id", "Ce-Type", "Ce-Source"} {
			h.Del(k)
		}
		return with(h, kv...)
	}
	usual := map[string]string{event.LetterMessage: message, event.LetterSubscription: sub, event.LetterPublished: at, event.LetterAttributes: `{"Team":"a\"b"}`}
	but := func(kv ...string) map[string]string {
		m := maps.Clone(usual)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		header http.Header
		body   string
		id     string
		want   map[string]string
	}{
		"an event":                      {header: pushed(), id: "1", want: usual},
		"one that lies of itself":       {header: pushed("Ce-Deadlettermessage", "x", "Ce-Deadletterservice", "x", "Ce-Originalid", "x", "Ce-Publishtime", "1990-01-01T00:00:00Z"), id: "1", want: usual},
		"one that no topic takes":       {header: pushed("Ce-Id", strings.Repeat("x", 2000)), id: "unreadable/" + message, want: but(event.LetterAttributes, "{\"Ce-Id\":\"")},
		"unreadable":                    {header: bare("Content-Type", "text/plain"), id: "unreadable/" + message, want: but(event.LetterAttributes, `{"Content-Type":"text/plain","Team":"a\"b"}`)},
		"half an event":                 {header: bare("Ce-Type", "t"), id: "unreadable/" + message, want: but(event.LetterAttributes, `"Ce-Type":"t"`)},
		"without Pub/Sub":               {header: http.Header{"Content-Type": {"text/plain"}}, id: "unreadable/sha256-", want: but(event.LetterMessage, "", event.LetterSubscription, "", event.LetterPublished, "", event.LetterAttributes, `{"Content-Type":"text/plain"}`)},
		"wrapped":                       {header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer canary"}}, body: wrap(object{"Team": "a\"b", "token": "canary"}, nil, "{}"), id: "20261124T0930Z/u", want: usual},
		"wrapped, unreadable":           {header: http.Header{"Content-Type": {"application/json"}}, body: wrap(object{"ce-id": nil, "ce-type": nil, "Team": "a\"b", "token": "canary"}, nil, "{}"), id: "unreadable/" + message, want: but(event.LetterAttributes, `"Team":"a\"b"`)},
		"wrapped, odd":                  {header: http.Header{"Content-Type": {"application/json"}}, body: wrap(nil, object{"publishTime": 7, "messageId": 7, "attributes": 7}, "{}"), id: "unreadable/" + message, want: but(event.LetterAttributes, "")},
		"wrapped, noise":                {header: http.Header{"Content-Type": {"application/json"}}, body: "{", id: "unreadable/sha256-", want: but(event.LetterMessage, "", event.LetterSubscription, "", event.LetterPublished, "", event.LetterAttributes, `{"Content-Type":"application/json"}`)},
		"hostile words of the metadata": {header: bare("X-Goog-Pubsub-Message-Id", "a\x00\xff"+strings.Repeat("x", 5000), "X-Goog-Pubsub-Publish-Time", "now"), id: "unreadable/a ", want: but(event.LetterMessage, "a ", event.LetterPublished, "", event.LetterAttributes, `"Team"`)},
	} {
		t.Run(name, func(t *testing.T) {
			l := &letters{}
			r := &event.Receiver{Service: "syncer", DeadLetters: l, Log: slog.New(slog.DiscardHandler), Handle: func(context.Context, event.Event) error { return event.Reject(errors.New("no")) }}
			req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
			req.Header = c.header
			r.ServeHTTP(httptest.NewRecorder(), req)
			if len(l.got) != 1 || sendable(l.got[0]) != nil {
				t.Fatalf("letters %v: want one that Pub/Sub takes", l.got)
			}
			a := event.Attributes(l.got[0])
			if !strings.HasPrefix(a["ce-id"], c.id) || a["ce-"+event.LetterService] != "syncer" {
				t.Errorf("id %q, buried by %q; want %q…, syncer", a["ce-id"], a["ce-"+event.LetterService], c.id)
			}
			for k, want := range c.want {
				if got := a["ce-"+k]; !strings.Contains(got, want) || (want == "") != (got == "") {
					t.Errorf("%s = %q, want %q", k, got, want)
				}
			}
			if s := fmt.Sprint(a); strings.Contains(s, "canary") {
				t.Errorf("a token in the letter: %s", s)
			}
		})
	}
}

// A second delivery of the same unreadable request is the same letter; another request is another.
func TestUnreadableIDs(t *testing.T) {
	id := func(body, team string) string {
		_, _, dead := push(http.Header{"Team": {team}}, strings.NewReader(body), nil)
		return dead[0].ID()
	}
	if a, b := id("x", "a"), id("x", "a"); a != b {
		t.Errorf("the same request is %s and %s", a, b)
	}
	if a, b, c := id("x", "a"), id("y", "a"), id("x", "b"); a == b || a == c || b == c {
		t.Errorf("three requests are %s, %s, %s", a, b, c)
	}
}

// However many attributes there are and whatever is in them, they fit into one attribute, as JSON.
func TestDeadLetterAttributesAreBounded(t *testing.T) {
	h := http.Header{}
	for i := range 90 {
		h[fmt.Sprintf("A%d\xff\"", i)] = []string{strings.Repeat("\u2028\x00\xff", 300)}
	}
	_, _, dead := push(h, strings.NewReader(""), nil)
	var m map[string]string
	text, _ := dead[0].Extensions()[event.LetterAttributes].(string)
	if err := json.Unmarshal([]byte(text), &m); err != nil || len(m) < 2 || m["…"] == "" {
		t.Errorf("%v: %q", err, text)
	}
	if err := sendable(dead[0]); err != nil {
		t.Error(err)
	}
}
