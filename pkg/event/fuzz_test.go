package event_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const request = `{"user_id":"u","tick":"20261124T0930Z","cadence_minutes":1,"broker_env":"paper","key_version":"7"}`

// Whatever comes: no panic, an answer by the contract, one dead letter for poison and none else, and one that Pub/Sub
// takes.
func FuzzReceive(f *testing.F) {
	change := document.EncodeChange(nil, nil)
	const at, protobuf = "2026-11-24T09:30:00.789Z", "application/protobuf"
	for _, s := range []struct {
		method, contentType, typ, id, published, name, value string
		body                                                 []byte
	}{
		{"POST", "application/json", event.TypeSyncRequest, "20261124T0930Z/u", at, "Ce-Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", []byte(request)},
		{"POST", "application/json", "", "", "", "", "", []byte(wrap(nil, nil, request))},
		{"POST", "application/json", "", "", "", "", "", []byte(wrap(object{"ce-": "x", "CE-ID": "y"}, object{"data": "=", "publishTime": "x"}, ""))},
		{"POST", "application/json", "", "", "", "", "", []byte(`{"message":{"attributes":{"key":"value"},"data":"SGVsbG8gQ2xvdWQgUHViL1N1YiEgSGVyZSBpcyBteSBtZXNzYWdlIQ==","messageId":"2070443601311540","message_id":"2070443601311540","publishTime":"2021-02-26T19:13:55.749Z","publish_time":"2021-02-26T19:13:55.749Z"},"subscription":"projects/myproject/subscriptions/mysubscription"}`)},
		{"POST", protobuf, event.TypeDocument, "1", "", "Ce-Document", "users/u/alpacaAccounts/snapshot", change},
		{"POST", protobuf, event.TypeDocument, "1", "", "Ce-Subject", "documents/users/u/alpacaAccounts/snapshot", append(slices.Clone(change), 0x0a, 0xff, 0x01, 0x12)},
		{"POST", protobuf, event.TypeDocument, "1", "", "Ce-Datacontenttype", protobuf, []byte{0x0a, 0x05, 0x0a}},
		{"POST", "application/cloudevents+json", "", "", "", "", "", []byte(`{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":1}`)},
		{"POST", "application/cloudevents-batch+json", "", "", "", "Ce-", "x", []byte(`[]`)},
		{"POST", "", event.TypeTick, strings.Repeat("x", 2000), "now", "Ce-Specversion", "0.3", nil},
		{"POST", "text/plain; x", "t", "\xff\n", at, "Ce-Time", "2026-11-24T09:30:00Z", []byte("x")},
		{"POST", "text/plain", "t", "1", at, "Ce-Dataschema", "%zz", []byte("x")},
		{"GET", "", "", "", "", "", "", nil},
	} {
		f.Add(s.method, s.contentType, s.typ, s.id, s.published, s.name, s.value, s.body, false)
	}
	f.Fuzz(func(t *testing.T, method, contentType, typ, id, published, name, value string, body []byte, down bool) {
		l := &letters{}
		if down {
			l.err = errors.New("down")
		}
		ran, answer := false, error(nil)
		r := &event.Receiver{DeadLetters: l, Log: slog.New(slog.DiscardHandler), Handle: func(_ context.Context, e event.Event) error {
			ran, answer = true, handle(e)
			return answer
		}}
		h := http.Header{}
		if typ != "" || id != "" {
			h = headers()
		}
		for k, v := range map[string]string{"Content-Type": contentType, "Ce-Type": typ, "Ce-Id": id, "X-Goog-Pubsub-Publish-Time": published} {
			if v != "" {
				h.Set(k, v)
			}
		}
		if name != "" {
			h.Set(name, value)
		}
		req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		req.Method, req.Header = method, h
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)

		status, dead := http.StatusNoContent, 0
		switch {
		case method != http.MethodPost:
			status = http.StatusMethodNotAllowed
		case !ran || event.ClassOf(answer) == event.Poison:
			dead = 1
			if down {
				status = http.StatusServiceUnavailable
			}
		case event.ClassOf(answer) == event.Retry || event.ClassOf(answer) == event.Busy:
			status = http.StatusServiceUnavailable
		}
		if w.Code != status || len(l.got) != dead {
			t.Errorf("status %d, %d dead letters; want %d, %d (handler ran: %t, %v)", w.Code, len(l.got), status, dead, ran, answer)
		}
		for _, e := range l.got {
			if err := sendable(e); err != nil {
				t.Errorf("Pub/Sub would refuse the dead letter: %v", err)
			}
			if reason, _ := e.Extensions()["deadletterreason"].(string); reason == "" {
				t.Error("the dead letter has no reason")
			}
		}
	})
}

// handle does with events what the services begin with.
func handle(e event.Event) error {
	switch e.Type() {
	case event.TypeSyncRequest:
		_, _, err := event.ParseSyncRequest(e)
		return err
	case event.TypeDocument:
		if _, err := document.DecodeChange(e.Data()); err != nil {
			return event.Reject(err)
		}
		return nil
	case event.TypeTick:
		if _, err := event.PublishTime(e); err != nil {
			return event.Reject(err)
		}
		return errors.New("our trouble")
	}
	return [...]error{event.Reject(errors.New(e.ID() + e.Source())), event.Drop(errors.New("x")), event.Settle(errors.New("x")), event.Defer(errors.New("x"))}[len(e.ID())%4]
}

// What is taken can be worked with: an id that fits into paths, a tick in its own form, a broker that exists.
func FuzzParseSyncRequest(f *testing.F) {
	f.Add([]byte(request), event.TypeSyncRequest)
	f.Add([]byte(strings.ToUpper(request)), event.TypeSyncRequest)
	for _, s := range []string{``, `null`, `[]`, `{}`, `{"user_id":"u","user_id":"../v","tick":"20261124T0930Z","broker_env":"live"}`, `{"user_id":"u\n","tick":"20261124T0930Z","broker_env":"live"}`,
		`{"user_id":"u","tick":"00000101T0000Z","broker_env":"live","cadence_minutes":-9223372036854775808}`, `{"user_id":"u","tick":"20261124T2460Z","broker_env":"live","cadence_minutes":1e3}`} {
		f.Add([]byte(s), event.TypeSyncRequest)
	}
	f.Fuzz(func(t *testing.T, body []byte, typ string) {
		e := event.New("1", typ, "fuzz", "")
		e.DataEncoded = body
		r, at, err := event.ParseSyncRequest(e)
		if err != nil {
			if event.ClassOf(err) != event.Poison {
				t.Errorf("class %s of %v, want poison", event.ClassOf(err), err)
			}
			return
		}
		if err := user.CheckID(r.UserID); err != nil || typ != event.TypeSyncRequest {
			t.Errorf("took type %q, user %q: %v", typ, r.UserID, err)
		}
		if back, err := tick.Parse(r.Tick); err != nil || back != at || at.String() != r.Tick {
			t.Errorf("took tick %q as %s (%v)", r.Tick, at, err)
		}
		if (r.BrokerEnv != "paper" && r.BrokerEnv != "live") || r.CadenceMinutes < 1 {
			t.Errorf("took %+v", r)
		}
	})
}

// Nobody comes in without a token that the key of this test has signed, for our audience and of our account. TOKEN in
// the header stands for the token of head and claims, with signature, or signed by the key.
func FuzzBearer(f *testing.F) {
	const claims = `{"iss":"accounts.google.com","aud":"` + audience + `","email":"` + pusher + `","email_verified":true,"iat":1,"exp":4102444800}`
	const head = `{"alg":"RS256","kid":"g"}`
	f.Add("Bearer TOKEN", head, claims, []byte{}, true)
	f.Add("Bearer TOKEN", head, claims, []byte("short"), false)
	f.Add("bearer  TOKEN", `{"alg":"ES256","kid":"iap"}`, claims, []byte("short"), false)
	f.Add("Bearer TOKEN", `{"alg":"RS256","Alg":"ES256","kid":"iap"}`, claims, []byte("short"), false)
	f.Add("Bearer TOKEN", `{"alg":"none"}`, claims, []byte{}, false)
	f.Add("Bearer TOKEN", head, `{"iss":"accounts.google.com","aud":"`+audience+`","email":"`+pusher+`","Email_Verified":true,"exp":4102444800}`, []byte{}, true)
	f.Add("Bearer TOKEN", head, `null`, []byte{}, true)
	f.Add("Basic TOKEN", head, claims, []byte{}, true)
	f.Add("Bearer TOKEN.TOKEN", head, claims, []byte{}, true)
	f.Add("Bearer a.b.c", "", "", []byte{}, false)
	f.Add("", "", "", []byte{}, false)
	g := newGoogle(f, 1024) // the least that Go checks: it is fast
	v := g.verifier(f, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, authorization, head, claims string, signature []byte, signed bool) {
		text := b64([]byte(head)) + "." + b64([]byte(claims))
		token := text + "." + b64(signature)
		if signed {
			token = sign(g.key, text)
		}
		authorization = strings.ReplaceAll(authorization, "TOKEN", token)
		w, ran, touched := knock(t.Context(), v, authorization)
		in := w.Code == http.StatusOK
		if ran != in || touched != in || (!in && w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden) {
			t.Errorf("status %d, handler ran %t, body touched %t", w.Code, ran, touched)
		}
		if in {
			if err := proves(g, authorization); err != nil {
				t.Errorf("let in with %q: %v", authorization, err)
			}
		}
	})
}
