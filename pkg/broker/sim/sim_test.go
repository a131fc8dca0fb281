package sim_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

var start = time.Date(2026, 11, 24, 14, 30, 0, 0, time.UTC)

type world struct {
	now time.Time
	sim *sim.Server
	url string
}

func newWorld(t *testing.T, cfg sim.Config) *world {
	w := &world{now: start}
	cfg.Now = func() time.Time { return w.now }
	w.sim = sim.New(cfg)
	w.sim.Register("k1", "s1")
	s := httptest.NewServer(w.sim)
	w.url = s.URL
	t.Cleanup(func() { w.sim.Close(); s.Close() })
	return w
}

func (w *world) session(t *testing.T, key, secretKey string) broker.Session {
	t.Helper()
	b, err := alpaca.New(alpaca.Config{PaperURL: w.url, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials(key, secretKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Open(broker.Paper, creds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Equity is cash and positions to the cent, at every minute; the same seed gives the same accounts.
func TestAccountsAddUp(t *testing.T) {
	one, two := newWorld(t, sim.Config{Seed: 7}), newWorld(t, sim.Config{Seed: 7})
	a, b := one.session(t, "k1", "s1"), two.session(t, "k1", "s1")
	moved := false
	var last decimal.Decimal
	for range 60 {
		reading, err := a.Account(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		positions, err := a.Positions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum := reading.Account.Cash.Decimal
		for _, p := range positions {
			sum = sum.Add(p.MarketValue.Decimal)
		}
		if !sum.Equal(reading.Account.Equity.Decimal) {
			t.Fatalf("equity %s, cash and positions %s", reading.Account.Equity.Decimal, sum)
		}
		moved = moved || !last.IsZero() && !sum.Equal(last)
		last = sum
		other, err := b.Account(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(reading.Raw, other.Raw); diff != "" {
			t.Fatal("the same seed, another account:\n" + diff)
		}
		one.now, two.now = one.now.Add(time.Minute), two.now.Add(time.Minute)
	}
	if !moved {
		t.Error("nothing moved in an hour")
	}
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t, sim.Config{})
	s := w.session(t, "k1", "s1")
	for i := range sim.RateLimit {
		if _, err := s.Account(t.Context()); err != nil {
			t.Fatalf("request %d: %v", i+1, err)
		}
	}
	_, err := s.Account(t.Context())
	if broker.KindOf(err) != broker.RateLimited {
		t.Fatalf("request %d: %v, want rate limited", sim.RateLimit+1, err)
	}
	var e *broker.Error
	if !errors.As(err, &e) || !e.ResetAt.Equal(start.Add(time.Minute)) {
		t.Errorf("reset at %s, want the next minute", e.ResetAt)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := s.Account(t.Context()); err != nil {
		t.Errorf("in the next minute: %v", err)
	}
}

func TestKeysAndFaults(t *testing.T) {
	fault := func(s string) sim.Fault {
		f, err := sim.ParseFault(s)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	w := newWorld(t, sim.Config{Faults: []sim.Fault{fault("401=bad"), fault("hang=hung")}})
	w.sim.Register("bad", "s")
	w.sim.Register("hung", "s")
	for key, want := range map[[2]string]broker.Kind{
		{"k1", "s1"}: "", {"k1", "wrong"}: broker.Unauthorized, {"unknown", "s"}: broker.Unauthorized, {"bad", "s"}: broker.Unauthorized,
	} {
		if _, err := w.session(t, key[0], key[1]).Account(t.Context()); broker.KindOf(err) != want {
			t.Errorf("%v: %v, want %q", key, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.session(t, "hung", "s").Account(ctx); broker.KindOf(err) != broker.Timeout {
		t.Errorf("hung: %v, want a timeout", err)
	}
	for _, bad := range []string{"", "401", "401=", "teapot=2%", "401=200%", "hang=x%", "401=NaN%"} {
		if _, err := sim.ParseFault(bad); err == nil {
			t.Errorf("ParseFault(%q) was taken", bad)
		}
	}
}

func TestQuotesAndOrders(t *testing.T) {
	w := newWorld(t, sim.Config{AnyKey: true})
	creds, _ := secret.NewCredentials("any", "pair")
	q, err := alpaca.NewData(alpaca.DataConfig{BaseURL: w.url, Now: func() time.Time { return w.now }}, alpaca.FixedKeys(creds))
	if err != nil {
		t.Fatal(err)
	}
	quotes, err := q.Latest(t.Context(), []string{"SPY", "NOSUCH"})
	if err != nil || len(quotes) != 1 || !quotes["SPY"].At.Equal(start) {
		t.Fatalf("quotes = %v, %v; want SPY's alone", quotes, err)
	}
	if _, ok := quotes["SPY"].Mid(); !ok {
		t.Errorf("quote %v has no mid", quotes["SPY"])
	}
	orders, more, err := w.session(t, "any", "pair").OpenOrders(t.Context(), account.MaxOrders)
	if err != nil || more || len(orders) > 1 {
		t.Errorf("orders = %v, %t, %v", orders, more, err)
	}
	resp, err := http.Get(w.url + "/v2/nothing")
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path: %v, %v", resp, err)
	}
}

func TestLatency(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "0": true, "50ms": true, "20ms..80ms": true, "50ms~200ms": true, "fast": false, "-1s": false, "80ms..20ms": false, "0s~1s": false, "1h": false} {
		if l, err := sim.ParseLatency(text); (err == nil) != ok {
			t.Errorf("ParseLatency(%q) = %v, %v", text, l, err)
		}
	}
}

// What comes in and goes out is in the account, and among its transfers; no trade of the walk is, and no dividend.
func TestTransfers(t *testing.T) {
	w := newWorld(t, sim.Config{Seed: 7, Churn: 1})
	s := w.session(t, "k1", "s1")
	cash := func() decimal.Decimal {
		r, err := s.Account(t.Context()) // a dividend has just come in
		if err != nil {
			t.Fatal(err)
		}
		return r.Account.Cash.Decimal
	}
	before := cash()
	if !w.sim.Transfer("k1", 500_00) || !w.sim.Transfer("k1", -30_50) || w.sim.Transfer("nobody", 1) {
		t.Error("transfers")
	}
	w.now = w.now.Add(time.Second)
	if got := cash().Sub(before); got.String() != "470.5" {
		t.Errorf("cash moved by %s", got)
	}
	flows, more, err := s.Flows(t.Context(), start.Add(-time.Hour))
	if err != nil || more || len(flows) != 2 {
		t.Fatal(flows, more, err)
	}
	for i, want := range []string{"-30.5", "500"} {
		if f := flows[i]; f.Amount.Decimal.String() != want || f.At.Sub(start) > time.Second || f.At.Before(start) {
			t.Errorf("flow %d: %+v, want %s", i, f, want)
		}
	}
	if flows, _, err = s.Flows(t.Context(), start.Add(48*time.Hour)); err != nil || len(flows) != 0 {
		t.Errorf("after that: %v, %v", flows, err)
	}
	if _, _, err = w.session(t, "k1", "wrong").Flows(t.Context(), start); broker.KindOf(err) != broker.Unauthorized {
		t.Errorf("with a wrong key: %v", err)
	}
}

// Faults are the activities' too.
func TestTransfersFail(t *testing.T) {
	for text, want := range map[string]broker.Kind{"403=k1": broker.Forbidden, "429=k1": broker.RateLimited, "html=k1": broker.Unavailable, "cut=k1": broker.Unavailable, "odd=k1": broker.Malformed} {
		f, err := sim.ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, sim.Config{Faults: []sim.Fault{f}})
		if _, _, err := w.session(t, "k1", "s1").Flows(t.Context(), start); broker.KindOf(err) != want {
			t.Errorf("%s: %v, want kind %s", text, err, want)
		}
	}
}
