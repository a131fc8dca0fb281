package event_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

type letters struct {
	err error
	got []event.Event
}

func (l *letters) Publish(_ context.Context, events ...event.Event) error {
	l.got = append(l.got, events...)
	return l.err
}

func headers() http.Header {
	h := http.Header{}
	for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "s", "Content-Type": "application/json"} {
		h.Set(k, v)
	}
	return h
}

// What comes in, what is answered, and whether a copy goes to the dead letters.
func TestReceiver(t *testing.T) {
	for name, c := range map[string]struct {
		method      string
		header      func(http.Header)
		body        string
		answer      error
		panics      bool
		lettersFail bool
		status      int
		letters     int
	}{
		"done":                       {status: 204},
		"settled":                    {answer: event.Settle(errors.New("x")), status: 204},
		"dropped":                    {answer: event.Drop(errors.New("x")), status: 204},
		"poison":                     {answer: event.Reject(errors.New("x")), status: 204, letters: 1},
		"poison, dead letters down":  {answer: event.Reject(errors.New("x")), lettersFail: true, status: 503, letters: 1},
		"busy":                       {answer: event.Defer(errors.New("x")), status: 503},
		"our trouble":                {answer: errors.New("x"), status: 503},
		"panic":                      {panics: true, status: 503},
		"GET":                        {method: http.MethodGet, status: 405},
		"no CloudEvent":              {header: func(h http.Header) { h.Del("Ce-Id") }, status: 204, letters: 1},
		"no headers at all":          {header: func(h http.Header) { clear(h) }, body: "noise", status: 204, letters: 1},
		"bad publish time":           {header: func(h http.Header) { h.Set("X-Goog-Pubsub-Publish-Time", "now") }, status: 204, letters: 1},
		"a body past the bound":      {body: strings.Repeat("x", event.MaxBody+1), status: 204, letters: 1},
		"the emulator's extra field": {header: func(h http.Header) { h.Set("Ce-Datacontenttype", "application/json") }, status: 204},
	} {
		t.Run(name, func(t *testing.T) {
			dead := &letters{}
			if c.lettersFail {
				dead.err = errors.New("down")
			}
			r := &event.Receiver{DeadLetters: dead, Log: slog.New(slog.DiscardHandler), Handle: func(context.Context, event.Event) error {
				if c.panics {
					panic("secret")
				}
				return c.answer
			}}
			method := c.method
			if method == "" {
				method = http.MethodPost
			}
			req := httptest.NewRequest(method, "/", strings.NewReader(c.body))
			req.Header = headers()
			if c.header != nil {
				c.header(req.Header)
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			if w.Code != c.status || len(dead.got) != c.letters {
				t.Errorf("status %d, %d dead letters; want %d, %d", w.Code, len(dead.got), c.status, c.letters)
			}
			for _, e := range dead.got {
				if e.Validate() != nil || e.Extensions()["deadletterreason"] == nil {
					t.Errorf("dead letter %v: want a valid event with its reason", e)
				}
			}
		})
	}
}

func TestPublishTime(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 5, time.UTC)
	for name, c := range map[string]struct {
		set func(http.Header)
		ok  bool
	}{
		"from Pub/Sub":             {func(h http.Header) { h.Set("X-Goog-Pubsub-Publish-Time", at.Format(time.RFC3339Nano)) }, true},
		"claimed by the publisher": {func(h http.Header) { h.Set("Ce-Publishtime", at.Format(time.RFC3339Nano)) }, false},
		"missing":                  {func(http.Header) {}, false},
	} {
		r := &event.Receiver{DeadLetters: &letters{}, Log: slog.New(slog.DiscardHandler), Handle: func(_ context.Context, e event.Event) error {
			got, err := event.PublishTime(e)
			if (err == nil) != c.ok || (c.ok && !got.Equal(at)) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			return nil
		}}
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.Header = headers()
		c.set(req.Header)
		w := httptest.NewRecorder()
		if r.ServeHTTP(w, req); w.Code != http.StatusNoContent {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

func TestSyncRequest(t *testing.T) {
	tk := tick.Of(time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC))
	e, err := event.NewSyncRequest(tk, user.User{ID: "u", BrokerEnv: "paper", CadenceMinutes: 5, KeyVersion: "7"}, health.Health{})
	if err != nil {
		t.Fatal(err)
	}
	if e.ID() != "20261124T0930Z/u" {
		t.Errorf("id %q", e.ID())
	}
	r, got, err := event.ParseSyncRequest(e)
	if err != nil || got != tk || r.UserID != "u" || r.CadenceMinutes != 5 || r.KeyVersion != "7" {
		t.Errorf("came back as %+v, %v, %v", r, got, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"user_id":"a/b","tick":"20261124T0930Z","broker_env":"paper"}`, `{"user_id":"..","tick":"20261124T0930Z","broker_env":"paper"}`,
		`{"user_id":"` + strings.Repeat("x", 2000) + `","tick":"20261124T0930Z","broker_env":"paper"}`, `{"user_id":"u","tick":"x","broker_env":"paper"}`, `{"user_id":"u","tick":"20261124T0930Z","broker_env":"demo"}`} {
		e.DataEncoded = []byte(bad)
		if _, _, err := event.ParseSyncRequest(e); event.ClassOf(err) != event.Poison {
			t.Errorf("%.80s: class %s, want poison", bad, event.ClassOf(err))
		}
	}
}
