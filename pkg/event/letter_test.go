package event_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// sendable says what Pub/Sub would refuse an event for, as gcp.Message makes a message of it.
func sendable(e event.Event) error {
	a := map[string]string{"ce-specversion": e.SpecVersion(), "ce-id": e.ID(), "ce-source": e.Source(), "ce-type": e.Type(), "Content-Type": e.DataContentType()}
	if e.Subject() != "" {
		a["ce-subject"] = e.Subject()
	}
	if !e.Time().IsZero() {
		a["ce-time"] = e.Time().UTC().Format(time.RFC3339Nano)
	}
	for name, v := range e.Extensions() {
		if t, ok := v.(time.Time); ok {
			v = t.UTC().Format(time.RFC3339Nano)
		}
		a["ce-"+name] = fmt.Sprint(v)
	}
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
		"content type":                   {header: []string{"Content-Type", "text/plain; x=" + x(1025)}, says: "attribute datacontenttype has"},
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
