package event_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
)

func TestVerifier(t *testing.T) {
	g, stranger := newGoogle(t, 2048), newGoogle(t, 2048)
	public := x509.MarshalPKCS1PublicKey(&g.key.PublicKey)
	hs256 := func() string {
		text := encode(object{"alg": "HS256", "kid": "g"}) + "." + encode(claims(nil))
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(text))
		return text + "." + b64(mac.Sum(nil))
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := g.token(nil, nil)
	for name, c := range map[string]struct {
		token         string   // as a bearer
		authorization []string // or the whole header
		status        int
		says          string
	}{
		"good":                        {token: good, status: 200},
		"good, the older issuer":      {token: g.token(nil, object{"iss": "accounts.google.com"}), status: 200},
		"good, scheme in lower case":  {authorization: []string{"bearer " + good}, status: 200},
		"good, no iat":                {token: g.token(nil, object{"iat": nil}), status: 200},
		"good, Google's clock ahead":  {token: g.token(nil, object{"iat": in(time.Minute)}), status: 200},
		"issued in the future":        {token: g.token(nil, object{"iat": in(10 * time.Minute)}), status: 401, says: "clock"},
		"expired":                     {token: g.token(nil, object{"exp": in(-2 * time.Second)}), status: 401, says: "expired"},
		"no expiry":                   {token: g.token(nil, object{"exp": nil}), status: 401, says: "expired"},
		"wrong audience":              {token: g.token(nil, object{"aud": "https://other.example"}), status: 401, says: "PUSH_AUDIENCE"},
		"audience with a slash more":  {token: g.token(nil, object{"aud": audience + "/"}), status: 401, says: "PUSH_AUDIENCE"},
		"no audience":                 {token: g.token(nil, object{"aud": nil}), status: 401, says: "PUSH_AUDIENCE"},
		"two audiences":               {token: g.token(nil, object{"aud": []string{audience, "x"}}), status: 401, says: "no JWT"},
		"wrong issuer":                {token: g.token(nil, object{"iss": "https://accounts.example.com"}), status: 401, says: "issuer"},
		"no issuer":                   {token: g.token(nil, object{"iss": nil}), status: 401, says: "issuer"},
		"wrong e-mail":                {token: g.token(nil, object{"email": "x@y.iam.gserviceaccount.com"}), status: 403, says: "PUSH_SERVICE_ACCOUNTS"},
		"e-mail in upper case":        {token: g.token(nil, object{"email": strings.ToUpper(pusher)}), status: 403, says: "PUSH_SERVICE_ACCOUNTS"},
		"e-mail is a list":            {token: g.token(nil, object{"email": []string{pusher}}), status: 403, says: "PUSH_SERVICE_ACCOUNTS"},
		"no e-mail":                   {token: g.token(nil, object{"email": nil}), status: 403, says: "PUSH_SERVICE_ACCOUNTS"},
		"unverified":                  {token: g.token(nil, object{"email_verified": false}), status: 403, says: "not verified"},
		"verified as text":            {token: g.token(nil, object{"email_verified": "true"}), status: 403, says: "not verified"},
		"verified is missing":         {token: g.token(nil, object{"email_verified": nil}), status: 403, says: "not verified"},
		"somebody else's project":     {token: g.token(nil, object{"email": "x@y.iam.gserviceaccount.com", "aud": "https://y.example"}), status: 401, says: "PUSH_AUDIENCE"},
		"alg none":                    {token: encode(object{"alg": "none"}) + "." + encode(claims(nil)) + ".", status: 401, says: "RS256"},
		"alg none, signed all same":   {token: g.token(object{"alg": "none"}, nil), status: 401, says: "RS256"},
		"no alg":                      {token: g.token(object{"alg": ""}, nil), status: 401, says: "RS256"},
		"HS256 with the public key":   {token: hs256(), status: 401, says: "RS256"},
		"ES256, a short signature":    {token: encode(object{"alg": "ES256", "kid": "iap"}) + "." + encode(claims(nil)) + "." + b64([]byte("short")), status: 401, says: "RS256"},
		"signed by another key":       {token: stranger.token(nil, nil), status: 401, says: "not signed with a key of Google's"},
		"unknown key":                 {token: g.token(object{"kid": "x"}, nil), status: 401, says: "not signed with a key of Google's"},
		"no key id":                   {token: g.token(object{"kid": ""}, nil), status: 401, says: "not signed with a key of Google's"},
		"claims changed":              {token: swap(good, 1, encode(claims(object{"sub": "2"}))), status: 401, says: "not signed with a key of Google's"},
		"no signature":                {token: swap(good, 2, ""), status: 401, says: "not signed with a key of Google's"},
		"signature taken by Google":   {token: swap(good, 2, "SIGNATURE_REMOVED_BY_GOOGLE"), status: 401, says: "invoker_iam_disabled"},
		"four parts":                  {token: good + ".x", status: 401, says: "no JWT"},
		"garbage":                     {token: "garbage-garbage-garbage", status: 401, says: "no JWT"},
		"garbage in three parts":      {token: "!garbage!garbage.!garbage!garbage.!garbage!garbage", status: 401, says: "no JWT"},
		"header is no JSON":           {token: swap(good, 0, b64([]byte("garbage-garbage"))), status: 401, says: "no JWT"},
		"nothing":                     {authorization: nil, status: 401, says: "no bearer token"},
		"empty":                       {authorization: []string{""}, status: 401, says: "no bearer token"},
		"Bearer and no more":          {authorization: []string{"Bearer "}, status: 401, says: "no bearer token"},
		"Basic":                       {authorization: []string{"Basic " + good}, status: 401, says: "no bearer token"},
		"no scheme":                   {authorization: []string{good}, status: 401, says: "no bearer token"},
		"two headers":                 {authorization: []string{"Bearer " + good, "Bearer " + good}, status: 401, says: "no bearer token"},
		"a good one, but far too big": {token: g.token(nil, object{"pad": strings.Repeat("x", 20_000)}), status: 401, says: "no bearer token"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			v := g.verifier(t, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			authorization := c.authorization
			if c.token != "" {
				authorization = []string{"Bearer " + c.token}
			}
			w, ran, touched := knock(t.Context(), v, authorization...)
			good := c.status == http.StatusOK
			if w.Code != c.status || ran != good || touched != good {
				t.Errorf("status %d, handler ran %t, body touched %t; want %d, %t, %t", w.Code, ran, touched, c.status, good, good)
			}
			if got, want := w.Header().Get("WWW-Authenticate"), map[int]string{401: "Bearer"}[c.status]; got != want {
				t.Errorf("WWW-Authenticate %q, want %q", got, want)
			}
			if answer := w.Body.String(); !good && answer != "identity token refused\n" {
				t.Errorf("the stranger is told %q", answer)
			}
			if good != (log.Len() == 0) || !strings.Contains(log.String(), c.says) || strings.Count(log.String(), "\n") > 1 {
				t.Errorf("log %q: want a line with %q, or none if the caller is ours", log.String(), c.says)
			}
			for _, part := range strings.FieldsFunc(strings.Join(authorization, " "), func(r rune) bool { return r == '.' || r == ' ' }) {
				if len(part) > 6 && strings.Contains(log.String(), part) {
					t.Errorf("log %q holds %q of the token", log.String(), part)
				}
			}
		})
	}
}

func TestCallersValidate(t *testing.T) {
	for name, c := range map[string]struct {
		callers event.Callers
		faults  []string // nil: it is right
	}{
		"right":             {event.Callers{Audience: audience, ServiceAccounts: []string{pusher, "1-compute@developer.gserviceaccount.com", "a@p.example.com.iam.gserviceaccount.com"}}, nil},
		"nothing":           {event.Callers{}, []string{"PUSH_AUDIENCE is not set", "PUSH_SERVICE_ACCOUNTS is not set"}},
		"no audience":       {event.Callers{ServiceAccounts: []string{pusher}}, []string{"PUSH_AUDIENCE is not set"}},
		"audience of space": {event.Callers{Audience: " ", ServiceAccounts: []string{pusher}}, []string{`PUSH_AUDIENCE is " "`}},
		"no accounts":       {event.Callers{Audience: audience}, []string{"PUSH_SERVICE_ACCOUNTS is not set"}},
		"no e-mails": {event.Callers{Audience: audience, ServiceAccounts: []string{"pusher", "", " " + pusher, "Pusher@p.example", "serviceAccount:" + pusher, "*@p.example"}},
			[]string{`"pusher"`, `""`, `" pusher@`, `"Pusher@p.example"`, `"serviceAccount:`, `"*@p.example"`}},
	} {
		err := c.callers.Validate()
		if (err == nil) != (c.faults == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, f := range c.faults {
			if err == nil || !strings.Contains(err.Error(), f) {
				t.Errorf("%s: %v: want %s named", name, err, f)
			}
		}
		if _, made := event.NewVerifier(c.callers, nil, slog.New(slog.DiscardHandler)); (made == nil) != (err == nil) {
			t.Errorf("%s: NewVerifier says %v, Validate %v", name, made, err)
		}
	}
}
