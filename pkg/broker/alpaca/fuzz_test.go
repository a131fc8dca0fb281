package alpaca_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

const (
	canaryID     = "PKZQXJWVKY7341"
	canarySecret = "zqxJwvKybfGhT0918zqxJwvKybfGhT0918zqxJwvKyZ9"
)

const somePositions = `[{"asset_id":"b","symbol":"SPY","qty":"5","avg_entry_price":"100.0","side":"long","market_value":"600.0","current_price":"120.0"},{"symbol":"TLT","qty":"2.5","avg_entry_price":null,"side":"short"}]`

const someOrders = `[{"id":"o","client_order_id":"c","symbol":"SPY","qty":"15","filled_qty":"0","type":"limit","side":"buy","time_in_force":"day","limit_price":"107.00","status":"accepted","notional":null,"legs":null},{"id":"p","symbol":"TLT","notional":12.5}]`

// canned answers every call alike.
type canned struct {
	status int
	header http.Header
	body   []byte
	cut    bool // the connection breaks off after the body
}

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	body := io.Reader(bytes.NewReader(c.body))
	if c.cut {
		body = io.MultiReader(body, iotest.ErrReader(errors.New("connection reset by peer")))
	}
	return &http.Response{StatusCode: c.status, Header: c.header.Clone(), Body: io.NopCloser(body), Request: req}, nil
}

func openCanned(t testing.TB, c canned) broker.Session {
	t.Helper()
	b, err := alpaca.New(alpaca.Config{PaperURL: "http://127.0.0.1:1", Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials(canaryID, canarySecret)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Open(broker.Paper, creds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func FuzzAccount(f *testing.F) {
	for _, body := range []string{
		documented, somePositions, someOrders, "", "null", "[]", "{}", "[null]", `[{}]`, "<html>bad gateway</html>", documented[:300],
		`{"code":40110000,"message":"request is not authorized"}`, `{"code":1,"message":"key ` + canaryID + ` with ` + canarySecret + ` is bad"}`,
		`{"id":"a","status":"ACTIVE","cash":"` + canarySecret + `","equity":"1e999999999","buying_power":null}`,
		`[{"symbol":"SPY","qty":"1e999999999"}]`, `[{"symbol":"SPY","qty":"1","current_price":1e-40}]`, `[{"symbol":5,"qty":true}]`,
	} {
		for _, status := range []int{200, 401, 429} {
			f.Add(status, []byte(body), false, "1795512660")
		}
	}
	f.Add(403, []byte(`{"message":"`+strings.Repeat("é", 300)+`"}`), false, "-1")
	f.Add(500, []byte{}, true, "99999999999999")
	f.Add(301, []byte(documented), false, "")
	f.Add(200, []byte(documented), true, "x")
	f.Add(0, []byte("\xff\xfe"), false, "")
	f.Fuzz(func(t *testing.T, status int, body []byte, cut bool, reset string) {
		s := openCanned(t, canned{status: status, header: http.Header{"X-Ratelimit-Reset": {reset}, "Location": {reset}}, body: body, cut: cut})
		ctx := context.Background()
		r, err := s.Account(ctx)
		if checkError(t, err, status) {
			object := map[string]json.RawMessage{}
			if json.NewDecoder(bytes.NewReader(body)).Decode(&object) != nil || r.Account.ID == "" || r.Account.Status == "" || r.ObservedAt.IsZero() {
				t.Fatalf("taken: %q as %+v", body, r)
			}
			checkAccount(t, object, r)
		}
		positions, err := s.Positions(ctx)
		if checkError(t, err, status) {
			list := checkList(t, body, len(positions))
			for i, p := range positions {
				if p.Symbol == "" {
					t.Fatalf("a position without symbol in %q", body)
				}
				checkFigures(t, list[i], map[string]decimal.NullDecimal{"qty": decimal.NewNullDecimal(p.Qty), "avg_entry_price": p.AvgEntryPrice, "current_price": p.CurrentPrice, "market_value": p.MarketValue})
			}
		}
		orders, more, err := s.OpenOrders(ctx, 250)
		if checkError(t, err, status) {
			n := len(orders)
			if more {
				n = 251 // or more
			}
			list := checkList(t, body, n)
			for i, o := range orders {
				checkFigures(t, list[i], map[string]decimal.NullDecimal{"qty": o.Qty, "notional": o.Notional, "filled_qty": o.FilledQty, "limit_price": o.LimitPrice})
			}
		}
	})
}

// checkError says whether there was none; if there was, it has a kind that fits the status, is short, and holds no key.
func checkError(t *testing.T, err error, status int) (ok bool) {
	t.Helper()
	if err == nil {
		if status >= 300 {
			t.Fatalf("HTTP %d was taken", status)
		}
		return true
	}
	var e *broker.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *broker.Error", err)
	}
	want := map[int]broker.Kind{401: broker.Unauthorized, 403: broker.Forbidden, 429: broker.RateLimited}[status]
	switch {
	case want != "":
	case status >= 500:
		want = broker.Unavailable
	case status >= 400:
		want = broker.Rejected
	}
	if e.Kind == "" || e.Op == "" || want != "" && e.Kind != want || want == "" && e.Kind != broker.Malformed && e.Kind != broker.Unavailable {
		t.Fatalf("HTTP %d is %#v, want kind %s", status, e, want)
	}
	for _, text := range []string{err.Error(), e.Message, fmt.Sprintf("%+v", *e), fmt.Sprint(errors.Unwrap(e))} {
		if len(text) >= 1000 || !utf8.ValidString(text) {
			t.Fatalf("error of %d bytes: %q", len(text), text)
		}
		if strings.Contains(text, canaryID) || strings.Contains(text, canarySecret) {
			t.Fatalf("error with a key: %s", text)
		}
	}
	if !e.ResetAt.IsZero() && (e.ResetAt.Year() < 1970 || e.ResetAt.Year() > 9999) {
		t.Fatalf("reset at %v, which no document holds", e.ResetAt)
	}
	return false
}

func checkAccount(t *testing.T, object map[string]json.RawMessage, r account.Reading) {
	t.Helper()
	a := r.Account
	checkFigures(t, object, map[string]decimal.NullDecimal{"equity": a.Equity, "last_equity": a.LastEquity, "cash": a.Cash, "buying_power": a.BuyingPower, "multiplier": a.Multiplier})
	for name, got := range map[string]*bool{
		"trading_blocked": a.TradingBlocked, "account_blocked": a.AccountBlocked, "transfers_blocked": a.TransfersBlocked,
		"trade_suspended_by_user": a.TradeSuspendedByUser, "shorting_enabled": a.ShortingEnabled,
	} {
		if missing(object[name]) != (got == nil) || got != nil && string(object[name]) != fmt.Sprint(*got) {
			t.Fatalf("%s is %s, read as %v", name, object[name], got)
		}
	}
	for name, v := range r.Raw {
		if s := fmt.Sprint(v); strings.Contains(s, canarySecret) && !strings.Contains(fmt.Sprint(keys(v)), canarySecret) {
			t.Fatalf("raw holds a key in %s: %s", name, s)
		}
	}
}

// keys are the names in a value, which nobody shows.
func keys(v any) (names []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			names = append(append(names, k), keys(e)...)
		}
	case []any:
		for _, e := range v {
			names = append(names, keys(e)...)
		}
	}
	return names
}

func checkList(t *testing.T, body []byte, n int) []map[string]json.RawMessage {
	t.Helper()
	var list []map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(body)).Decode(&list) != nil || list == nil || len(list) < n || len(list) > n && n < 250 {
		t.Fatalf("taken: %q as %d", body, n)
	}
	return list
}

// checkFigures: what the broker leaves out stays missing.
func checkFigures(t *testing.T, object map[string]json.RawMessage, got map[string]decimal.NullDecimal) {
	t.Helper()
	for name, d := range got {
		if missing(object[name]) == d.Valid {
			t.Fatalf("%s is %q, read as %v", name, object[name], d)
		}
		if text := d.Decimal.String(); len(text) > 64 {
			t.Fatalf("%s is %s", name, text)
		}
	}
}

func missing(v json.RawMessage) bool { return v == nil || string(v) == "null" }
