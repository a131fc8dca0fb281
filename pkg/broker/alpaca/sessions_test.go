package alpaca_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const someDays = `[{"date":"2026-11-25","open":"09:30","close":"16:00","session_open":"0400","session_close":"2000","settlement_date":"2026-11-27"},{"date":"2026-11-27","open":"09:30","close":"13:00","session_open":"0400","session_close":"1700","settlement_date":"2026-11-30"}]`

const someClock = `{"timestamp":"2026-11-27T12:59:58.659466386-05:00","is_open":true,"next_open":"2026-11-30T09:30:00-05:00","next_close":"2026-11-27T13:00:00-05:00"}`

var (
	firstDay = time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC) // the 25th in New York
	lastDay  = time.Date(2026, 11, 29, 4, 59, 0, 0, time.UTC)
)

func openSessions(t testing.TB, transport http.RoundTripper, url string) *alpaca.Sessions {
	t.Helper()
	b, err := alpaca.New(alpaca.Config{PaperURL: url, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials(canaryID, canarySecret)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Sessions(broker.Paper, creds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cannedSessions(t testing.TB, status int, body string) *alpaca.Sessions {
	t.Helper()
	return openSessions(t, canned{status: status, body: []byte(body)}, "http://127.0.0.1:1")
}

func TestCalendar(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String() + " " + r.Header.Get("APCA-API-KEY-ID")
		_, _ = w.Write([]byte(someDays))
	}))
	defer server.Close()
	c, err := openSessions(t, nil, server.URL).Calendar(t.Context(), firstDay, lastDay)
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET /v2/calendar?end=2026-11-28&start=2026-11-25 " + canaryID; asked != want {
		t.Errorf("asked %q, want %q: the days are New York's", asked, want)
	}
	for at, want := range map[string][3]bool{ // UTC: regular, extended, known
		"2026-11-25 04:59": {true, true, false}, "2026-11-25 05:00": {false, false, true}, "2026-11-25 21:00": {true, true, true}, "2026-11-25 21:01": {false, true, true},
		"2026-11-26 15:00": {false, false, true}, "2026-11-27 18:00": {true, true, true}, "2026-11-27 18:01": {false, true, true}, "2026-11-27 22:01": {false, false, true},
		"2026-11-29 04:59": {false, false, true}, "2026-11-29 05:00": {true, true, false},
	} {
		instant, err := time.Parse("2006-01-02 15:04", at)
		if err != nil {
			t.Fatal(err)
		}
		regular, known := c.Open(instant, market.Regular)
		if extended, _ := c.Open(instant, market.Extended); [3]bool{regular, extended, known} != want {
			t.Errorf("%s: regular %t, extended %t, known %t; want %v", at, regular, extended, known, want)
		}
	}
}

// Without the fields that Alpaca does not promise, a session is the usual one; every other answer is refused whole.
func TestCalendarAnswers(t *testing.T) {
	for name, body := range map[string]string{
		"no session": `[{"date":"2026-11-27","open":"09:30","close":"13:00"}]`, "null": `[{"date":"2026-11-27","open":"09:30","close":"13:00","session_open":null,"session_close":null}]`,
	} {
		c, err := cannedSessions(t, 200, body).Calendar(t.Context(), firstDay, lastDay)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if open, known := c.Open(time.Date(2026, 11, 28, 1, 0, 0, 0, time.UTC), market.Extended); !open || !known {
			t.Errorf("%s: closed at 20:00", name)
		}
	}
	day := func(fields string) string { return `[{` + fields + `}]` }
	for name, body := range map[string]string{
		"nothing": "", "null": "null", "an object": "{}", "a page": "<html>", "a null in it": "[null]", "a text in it": `["2026-11-27"]`, "an empty day": "[{}]",
		"no close": day(`"date":"2026-11-27","open":"09:30"`), "a null open": day(`"date":"2026-11-27","open":null,"close":"16:00"`),
		"a number": day(`"date":"2026-11-27","open":930,"close":"16:00"`), "a session of a number": day(`"date":"2026-11-27","open":"09:30","close":"16:00","session_open":400`),
		"no such day": day(`"date":"2026-11-31","open":"09:30","close":"16:00"`), "no such time": day(`"date":"2026-11-27","open":"09:30","close":"25:00"`),
		"the wrong way round": day(`"date":"2026-11-27","open":"16:00","close":"09:30"`), "one day twice": strings.ReplaceAll(someDays, "2026-11-27", "2026-11-25"),
		"keys": day(`"date":"` + canarySecret + `","open":"` + canaryID + `","close":"16:00"`),
	} {
		_, err := cannedSessions(t, 200, body).Calendar(t.Context(), firstDay, lastDay)
		if broker.KindOf(err) != broker.Malformed || len(err.Error()) > 400 || strings.Contains(fmt.Sprint(err), canarySecret[:8]) || strings.Contains(fmt.Sprint(err), canaryID[:8]) {
			t.Errorf("%s: %v; want a short error of kind malformed, without keys", name, err)
		}
	}
}

func TestClock(t *testing.T) {
	got, err := cannedSessions(t, 200, someClock).Clock(t.Context())
	want := market.Clock{
		At: time.Date(2026, 11, 27, 17, 59, 58, 659466386, time.UTC), Open: true,
		NextOpen: time.Date(2026, 11, 30, 14, 30, 0, 0, time.UTC), NextClose: time.Date(2026, 11, 27, 18, 0, 0, 0, time.UTC),
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for name, body := range map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "empty": "{}", "no is_open": strings.Replace(someClock, "is_open", "isOpen", 1),
		"a text for is_open": strings.Replace(someClock, "true", `"true"`, 1), "a null for it": strings.Replace(someClock, "true", "null", 1),
		"no next_close": strings.Replace(someClock, "next_close", "x", 1), "no time": strings.Replace(someClock, "2026-11-30T09:30:00-05:00", canarySecret, 1),
	} {
		k, err := cannedSessions(t, 200, body).Clock(t.Context())
		if broker.KindOf(err) != broker.Malformed || k != (market.Clock{}) || strings.Contains(fmt.Sprint(err), canarySecret[:8]) {
			t.Errorf("%s: %+v, %v; want kind malformed", name, k, err)
		}
	}
}

// The transport's rules hold here as for accounts: kinds of trouble, no key in errors, a bound on the answer, the
// context's end, and no key of somebody else's.
func TestSessionsTransport(t *testing.T) {
	both := func(s *alpaca.Sessions, ctx context.Context) []error {
		_, errCalendar := s.Calendar(ctx, firstDay, lastDay)
		_, errClock := s.Clock(ctx)
		return []error{errCalendar, errClock}
	}
	for status, want := range map[int]broker.Kind{302: broker.Malformed, 401: broker.Unauthorized, 403: broker.Forbidden, 422: broker.Rejected, 429: broker.RateLimited, 500: broker.Unavailable, 503: broker.Unavailable} {
		for _, err := range both(cannedSessions(t, status, `{"code":1,"message":"key `+canaryID+` with `+canarySecret+` is bad"}`), t.Context()) {
			var e *broker.Error
			if !errors.As(err, &e) || e.Kind != want || e.Op != "calendar" && e.Op != "clock" {
				t.Errorf("HTTP %d: %#v, want kind %s", status, err, want)
			}
			if text := fmt.Sprintf("%v %+v", err, e); strings.Contains(text, canaryID) || strings.Contains(text, canarySecret) {
				t.Errorf("HTTP %d: an error with a key: %s", status, text)
			}
		}
	}
	for _, err := range both(openSessions(t, canned{status: 200, body: []byte(someDays[:40]), cut: true}, "http://127.0.0.1:1"), t.Context()) {
		if broker.KindOf(err) != broker.Unavailable {
			t.Errorf("cut: %v", err)
		}
	}
	for _, err := range both(cannedSessions(t, 200, "["+strings.Repeat(" ", 5<<20)+"]"), t.Context()) {
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("an answer of 5 MiB: %v", err)
		}
	}
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, err := range both(openSessions(t, nil, hangs.URL), ctx) {
		if broker.KindOf(err) != broker.Timeout {
			t.Errorf("hangs: %v, want a timeout", err)
		}
	}
	b, err := alpaca.New(alpaca.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := b.Sessions(broker.Paper, secret.Credentials{}); err == nil || s != nil {
		t.Error("empty credentials were taken")
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, cannedSessions(t, 200, "")); strings.Contains(text, canaryID) || strings.Contains(text, canarySecret) {
			t.Errorf("%s shows a key: %s", format, text)
		}
	}
}

type finder struct {
	mu    sync.Mutex
	users map[string]user.User
	asked atomic.Int64
}

func (f *finder) User(_ context.Context, id string) (user.User, error) {
	f.asked.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if u, ok := f.users[id]; ok {
		return u, nil
	}
	return user.User{}, user.ErrNotFound
}

func (f *finder) put(u user.User) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[u.ID] = u
}

// A user's keys are read when they are needed, once, and again after a refusal: that is how a rotation comes through.
func TestUserSessions(t *testing.T) {
	var good atomic.Value
	good.Store("secret-1")
	serve := func(env string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Header.Get("APCA-API-KEY-ID") != env || r.Header.Get("APCA-API-SECRET-KEY") != good.Load():
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path == "/v2/clock":
				_, _ = w.Write([]byte(someClock))
			default:
				_, _ = w.Write([]byte(someDays))
			}
		}))
		t.Cleanup(s.Close)
		return s
	}
	b, err := alpaca.New(alpaca.Config{PaperURL: serve("paper").URL, LiveURL: serve("live").URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"paper", "live"} {
		good.Store("secret-1")
		users, vault := &finder{users: map[string]user.User{}}, mem.NewVault()
		s := alpaca.NewUserSessions(b, users, vault, "data")
		if _, err := s.Clock(t.Context()); !errors.Is(err, user.ErrNotFound) || !strings.Contains(err.Error(), "data") {
			t.Errorf("no such user: %v", err)
		}
		users.put(user.User{ID: "data", Status: user.Disabled, BrokerEnv: env, KeyVersion: "1"})
		if _, err := s.Calendar(t.Context(), firstDay, lastDay); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("no keys: %v", err)
		}
		vault.Add("data", []byte(`{"key_id":"`+env+`","secret_key":"secret-1"}`))
		asked := users.asked.Load()
		for range 3 {
			if _, err := s.Calendar(t.Context(), firstDay, lastDay); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Clock(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := users.asked.Load() - asked; n != 1 {
			t.Errorf("the user was read %d times", n)
		}
		good.Store("secret-2")
		vault.Add("data", []byte(`{"key_id":"`+env+`","secret_key":"secret-2"}`))
		users.put(user.User{ID: "data", BrokerEnv: env, KeyVersion: "2"})
		if _, err := s.Clock(t.Context()); broker.KindOf(err) != broker.Unauthorized {
			t.Errorf("with the old keys: %v", err)
		}
		if _, err := s.Clock(t.Context()); err != nil {
			t.Errorf("with the new keys: %v", err)
		}
	}
}

func FuzzSessions(f *testing.F) {
	for _, body := range []string{
		someDays, someClock, "", "null", "[]", "{}", "[null]", `[{"date":"2026-03-08","open":"02:30","close":"16:00"}]`, `[{"date":"2026-11-27","open":"0930","close":"1300"}]`,
		`[{"date":"` + canarySecret + `"}]`, `{"is_open":false,"timestamp":"` + canarySecret + `"}`, `{"is_open":true,"timestamp":"0000-01-01T00:00:00Z","next_open":"9999-12-31T23:59:59+23:59","next_close":""}`,
	} {
		f.Add(200, []byte(body), false)
	}
	f.Add(401, []byte(`{"message":"`+canaryID+`"}`), false)
	f.Add(200, []byte(someDays), true)
	f.Fuzz(func(t *testing.T, status int, body []byte, cut bool) {
		s := openSessions(t, canned{status: status, body: body, cut: cut}, "http://127.0.0.1:1")
		c, err := s.Calendar(context.Background(), firstDay, lastDay)
		if checkError(t, err, status) {
			var rows []map[string]any
			if json.NewDecoder(bytes.NewReader(body)).Decode(&rows) != nil || rows == nil {
				t.Fatalf("taken as a calendar: %q", body)
			}
			for at := firstDay; at.Before(lastDay); at = at.Add(37 * time.Minute) {
				regular, known := c.Open(at, market.Regular)
				if extended, _ := c.Open(at, market.Extended); !known || regular && !extended {
					t.Fatalf("%s: regular %t, extended %t, known %t of %q", at, regular, extended, known, body)
				}
			}
		}
		k, err := s.Clock(context.Background())
		if checkError(t, err, status) {
			var row map[string]any
			if json.NewDecoder(bytes.NewReader(body)).Decode(&row) != nil || row["is_open"] != k.Open || k.At.Location() != time.UTC {
				t.Fatalf("taken as a clock: %q as %+v", body, k)
			}
		}
	})
}
