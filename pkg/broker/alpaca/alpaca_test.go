package alpaca_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// documented is the account of Alpaca's public API reference.
const documented = `{"account_blocked":false,"account_number":"010203ABCD","buying_power":"262113.632","cash":"-23140.2","created_at":"2019-06-12T22:47:07.99658Z","currency":"USD","crypto_status":"ACTIVE","non_marginable_buying_power":"7386.56","accrued_fees":"0","pending_transfer_in":"0","pending_transfer_out":"0","daytrade_count":0,"daytrading_buying_power":"262113.632","equity":"103820.56","id":"e6fe16f3-64a4-4921-8928-cadf02f92f98","initial_margin":"63480.38","last_equity":"103529.24","last_maintenance_margin":"38000.832","long_market_value":"126960.76","maintenance_margin":"38088.228","multiplier":"4","pattern_day_trader":false,"portfolio_value":"103820.56","regt_buying_power":"80680.36","short_market_value":"0","shorting_enabled":true,"sma":"0","status":"ACTIVE","trade_suspended_by_user":false,"trading_blocked":false,"transfers_blocked":false}`

func open(t *testing.T, h http.Handler, cfg alpaca.Config) broker.Session {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg.PaperURL = s.URL
	b, err := alpaca.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials("PKTEST", "canary-secret")
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.Open(broker.Paper, creds)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func answering(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ratelimit-Reset", "1795512660")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func TestDocumentedAccount(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	r, err := open(t, answering(200, documented), alpaca.Config{Now: func() time.Time { return at }}).Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := r.Account
	if a.ID != "e6fe16f3-64a4-4921-8928-cadf02f92f98" || a.Cash.Decimal.String() != "-23140.2" || a.BuyingPower.Decimal.String() != "262113.632" || a.Multiplier.Decimal.String() != "4" || *a.ShortingEnabled != true || !r.ObservedAt.Equal(at) {
		t.Errorf("account = %+v", a)
	}
	if r.Raw["equity"] != "103820.56" || r.Raw["daytrade_count"] != int64(0) {
		t.Errorf("raw = %v: want exact strings and whole numbers", r.Raw)
	}
}

// A missing field must never become 0 or false, as the SDK makes it.
func TestMissingFields(t *testing.T) {
	r, err := open(t, answering(200, `{"id":"a","status":"ACTIVE","buying_power":null,"cash":"1.10"}`), alpaca.Config{}).Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a := r.Account; a.BuyingPower.Valid || a.Equity.Valid || a.TradingBlocked != nil || !a.Cash.Valid {
		t.Errorf("account = %+v", a)
	}
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   broker.Kind
		code   int
	}{
		"bad key":         {401, `{"code":40110000,"message":"request is not authorized"}`, broker.Unauthorized, 40110000},
		"restricted":      {403, `{"code":40310000,"message":"account is restricted"}`, broker.Forbidden, 40310000},
		"rate limit":      {429, `{"code":42910000,"message":"rate limit exceeded"}`, broker.RateLimited, 42910000},
		"HTML 502":        {502, "<html>" + strings.Repeat("bad gateway ", 1000) + "</html>", broker.Unavailable, 0},
		"not found":       {404, `{"code":40410000,"message":"not found"}`, broker.Rejected, 40410000},
		"no JSON":         {200, `<html>`, broker.Malformed, 0},
		"cut JSON":        {200, documented[:300], broker.Malformed, 0},
		"a list":          {200, `[]`, broker.Malformed, 0},
		"an empty object": {200, `{}`, broker.Malformed, 0},
		"no figure":       {200, `{"id":"a","status":"ACTIVE","cash":"plenty"}`, broker.Malformed, 0},
		"not a number":    {200, `{"id":"a","status":"ACTIVE","cash":"NaN"}`, broker.Malformed, 0},
		"an echoed key":   {401, `{"code":1,"message":"key PKTEST with canary-secret is bad"}`, broker.Unauthorized, 1},
	} {
		_, err := open(t, answering(c.status, c.body), alpaca.Config{}).Account(t.Context())
		var e *broker.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Code != c.code || e.Status != c.status {
			t.Errorf("%s: %#v, want kind %s, code %d", name, err, c.kind, c.code)
			continue
		}
		if len(err.Error()) > 400 || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "PKTEST") {
			t.Errorf("%s: error %q: want it short and without keys", name, err)
		}
		if c.status == 429 && e.ResetAt.Unix() != 1795512660 {
			t.Errorf("%s: reset at %v", name, e.ResetAt)
		}
	}
}

func TestHungBroker(t *testing.T) {
	release := make(chan struct{})
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	s := open(t, hang, alpaca.Config{Timeout: 20 * time.Millisecond})
	if _, err := s.Account(t.Context()); broker.KindOf(err) != broker.Timeout {
		t.Errorf("hung: %v, want kind timeout", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Account(ctx); !errors.Is(err, context.Canceled) || broker.KindOf(err) != "" {
		t.Errorf("cancelled by the caller: %v, want context.Canceled and no broker's fault", err)
	}
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	b, err := alpaca.New(alpaca.Config{PaperURL: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	creds, _ := secret.NewCredentials("k", "s")
	s, _ := b.Open(broker.Paper, creds)
	if _, err := s.Account(t.Context()); broker.KindOf(err) != broker.Unavailable {
		t.Errorf("refused: %v, want kind unavailable", err)
	}
}

func TestOnePool(t *testing.T) {
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(answering(200, documented))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	b, err := alpaca.New(alpaca.Config{PaperURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := range 20 {
				creds, _ := secret.NewCredentials(fmt.Sprintf("k%d-%d", w, i), "s")
				session, _ := b.Open(broker.Paper, creds)
				if _, err := session.Account(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := opened.Load(); n > 40 {
		t.Errorf("400 users at 20 at a time opened %d connections", n)
	}
}

func TestNoKeysFromTheEnvironment(t *testing.T) {
	if err := secret.CheckEnv([]string{"PATH=/bin", "APCA_API_OAUTH=canary"}); err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "APCA_API_OAUTH") {
		t.Errorf("CheckEnv = %v, want a refusal that names the variable and not its value", err)
	}
	t.Setenv("APCA_API_KEY_ID", "somebody-else")
	if _, err := alpaca.New(alpaca.Config{}); err == nil {
		t.Error("a broker started with APCA_API_KEY_ID set")
	}
}

// Even set behind our back, the SDK's fallback to the environment never reaches the wire.
func TestForeignCredentialsAreRefused(t *testing.T) {
	called := false
	s := open(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }), alpaca.Config{})
	t.Setenv("APCA_API_OAUTH", "somebody-else")
	if _, err := s.Account(t.Context()); err == nil || called {
		t.Errorf("err %v, server called %t; want a refusal", err, called)
	}
}
