package event_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
)

var errDown = errors.New("connection refused")

// While Google's keys can't be had it is our trouble: 503, so that the event comes again, and an error in the log.
func TestKeysUnavailable(t *testing.T) {
	hang := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	g := newGoogle(t, 2048)
	for name, c := range map[string]struct {
		answer  func(*http.Request) (*http.Response, error)
		timeout time.Duration
	}{
		"no connection":               {answer: func(*http.Request) (*http.Response, error) { return nil, errDown }},
		"an error page":               {answer: func(*http.Request) (*http.Response, error) { return reply(500, "sorry") }},
		"not found":                   {answer: func(*http.Request) (*http.Response, error) { return reply(404, `{"keys":[{"kid":"g"}]}`) }},
		"sent elsewhere":              {answer: func(*http.Request) (*http.Response, error) { return reply(302, "") }},
		"no JSON":                     {answer: func(*http.Request) (*http.Response, error) { return reply(200, "<html>") }},
		"keys of another form":        {answer: func(*http.Request) (*http.Response, error) { return reply(200, `{"keys":[{"kid":7}]}`) }},
		"no keys":                     {answer: func(*http.Request) (*http.Response, error) { return reply(200, `{}`) }},
		"no answer":                   {answer: hang},
		"no answer, an eager client":  {answer: hang, timeout: time.Second},
		"no answer, a patient client": {answer: hang, timeout: time.Hour},
		"an answer cut off": {answer: func(*http.Request) (*http.Response, error) {
			r, err := reply(200, "")
			r.Body = io.NopCloser(iotest.ErrReader(errDown))
			return r, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				down := &google{key: g.key, iap: g.iap, answer: c.answer}
				v, err := event.NewVerifier(event.Callers{Audience: audience, ServiceAccounts: []string{pusher}},
					&http.Client{Transport: down, Timeout: c.timeout}, slog.New(slog.NewJSONHandler(&log, nil)))
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				w, ran, touched := knock(t.Context(), v, "Bearer "+g.token(nil, nil))
				if w.Code != http.StatusServiceUnavailable || ran || touched || w.Body.String() != "try again\n" {
					t.Errorf("status %d %q, handler ran %t, body touched %t; want 503", w.Code, w.Body, ran, touched)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				if !strings.Contains(log.String(), `"level":"ERROR"`) || !strings.Contains(log.String(), "keys can't be fetched") {
					t.Errorf("log %q", log.String())
				}
				down.answer = nil
				if w, _, _ := knock(t.Context(), v, "Bearer "+g.token(nil, nil)); w.Code != http.StatusOK {
					t.Errorf("status %d once the keys are there, want 200", w.Code)
				}
			})
		})
	}
}

// The keys are fetched once an hour, and for all: a caller who hangs up does not end it.
func TestKeysAreFetchedForAll(t *testing.T) {
	g := newGoogle(t, 2048)
	g.answer = func(req *http.Request) (*http.Response, error) {
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		return (&google{key: g.key, iap: g.iap}).RoundTrip(req)
	}
	v := g.verifier(t, slog.New(slog.DiscardHandler))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if w, _, _ := knock(gone, v, "Bearer "+g.token(nil, nil)); w.Code != http.StatusOK {
			t.Errorf("status %d, want 200", w.Code)
		}
	}
	if g.fetched != 1 {
		t.Errorf("the keys were fetched %d times, want once", g.fetched)
	}
}

// Strangers get a few lines, the rest is counted; and they hush up neither somebody known nor our own trouble.
func TestStrangersDoNotFloodTheLog(t *testing.T) {
	g := newGoogle(t, 2048)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		v := g.verifier(t, slog.New(slog.NewTextHandler(&log, nil)))
		for range 1000 {
			knock(t.Context(), v, "Bearer garbage")
		}
		if n := strings.Count(log.String(), "\n"); n == 0 || n > 10 {
			t.Errorf("%d lines for 1000 strangers, want a few", n)
		}
		log.Reset()
		knock(t.Context(), v, "Bearer "+g.token(nil, object{"email_verified": false}))
		if !strings.Contains(log.String(), "not verified") || !strings.Contains(log.String(), pusher) {
			t.Errorf("log %q after a flood: want a line on the unverified caller", log.String())
		}
		time.Sleep(time.Minute)
		log.Reset()
		knock(t.Context(), v, "Bearer garbage")
		if !strings.Contains(log.String(), "unsaid=995") {
			t.Errorf("log %q a minute later: want a line that counts 995 others", log.String())
		}
	})
}
