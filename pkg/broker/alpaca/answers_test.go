package alpaca_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

func figure(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}

// A figure that the broker leaves out of a position or an order stays missing, as in the account.
func TestPositionsAndOrders(t *testing.T) {
	positions, err := openCanned(t, canned{status: 200, body: []byte(somePositions)}).Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantPositions := []account.Position{
		{Symbol: "SPY", Qty: figure("5").Decimal, AvgEntryPrice: figure("100"), CurrentPrice: figure("120"), MarketValue: figure("600")},
		{Symbol: "TLT", Qty: figure("-2.5").Decimal},
	}
	if diff := cmp.Diff(wantPositions, positions); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
	orders, more, err := openCanned(t, canned{status: 200, body: []byte(someOrders)}).OpenOrders(t.Context(), 10)
	if err != nil || more {
		t.Fatal(err, more)
	}
	wantOrders := []account.Order{
		{ID: "o", ClientOrderID: "c", Symbol: "SPY", Side: "buy", Type: "limit", TimeInForce: "day", Status: "accepted", Qty: figure("15"), FilledQty: figure("0"), LimitPrice: figure("107")},
		{ID: "p", Symbol: "TLT", Notional: figure("12.5")},
	}
	if diff := cmp.Diff(wantOrders, orders); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	for name, body := range map[string]string{"none": "[]", "one": `[{"symbol":"A","qty":"1"}]`} {
		s := openCanned(t, canned{status: 200, body: []byte(body)})
		positions, err := s.Positions(t.Context())
		orders, more, err2 := s.OpenOrders(t.Context(), 1)
		if n := strings.Count(body, "{"); err != nil || err2 != nil || more || len(positions) != n || len(orders) != n {
			t.Errorf("%s: %v, %v, %t, %v, %v", name, positions, orders, more, err, err2)
		}
	}
	if orders, more, err := openCanned(t, canned{status: 200, body: []byte(someOrders)}).OpenOrders(t.Context(), 1); err != nil || !more || len(orders) != 1 {
		t.Errorf("more than the limit: %v, %t, %v", orders, more, err)
	}
}

// No list is not an empty list, and a figure that would fill the memory is none.
func TestListsThatAreNone(t *testing.T) {
	for name, body := range map[string]string{
		"null": "null", "nothing": "", "an object": "{}", "a null in it": "[null]", "a text in it": `["SPY"]`, "a figure of no number": `[{"symbol":"SPY","qty":"1","market_value":"NaN","limit_price":"NaN"}]`,
		"a huge exponent": `[{"symbol":"SPY","qty":"1e999999999"}]`, "a tiny one": `[{"symbol":"SPY","qty":"1e-999999999"}]`, "many digits": `[{"symbol":"SPY","qty":"` + strings.Repeat("9", 100) + `"}]`,
		"a symbol of no text": `[{"symbol":7,"qty":"1"}]`,
	} {
		s := openCanned(t, canned{status: 200, body: []byte(body)})
		positions, err := s.Positions(t.Context())
		if broker.KindOf(err) != broker.Malformed || positions != nil {
			t.Errorf("%s: positions %v, %v; want kind malformed", name, positions, err)
		}
		orders, _, err := s.OpenOrders(t.Context(), 10)
		if broker.KindOf(err) != broker.Malformed || orders != nil {
			t.Errorf("%s: orders %v, %v; want kind malformed", name, orders, err)
		}
	}
	for name, body := range map[string]string{"no qty": `[{"symbol":"SPY"}]`, "a null qty": `[{"symbol":"SPY","qty":null}]`, "no symbol": `[{"qty":"1"}]`} {
		if positions, err := openCanned(t, canned{status: 200, body: []byte(body)}).Positions(t.Context()); broker.KindOf(err) != broker.Malformed {
			t.Errorf("%s: %v, %v; want kind malformed", name, positions, err)
		}
	}
}

// A connection that breaks in the answer is the way's fault; a status that came before it still counts.
func TestAnswerBreaksOff(t *testing.T) {
	for status, want := range map[int]broker.Kind{200: broker.Unavailable, 302: broker.Unavailable, 401: broker.Unauthorized, 429: broker.RateLimited, 503: broker.Unavailable} {
		_, err := openCanned(t, canned{status: status, body: []byte(documented[:100]), cut: true}).Account(t.Context())
		if broker.KindOf(err) != want {
			t.Errorf("HTTP %d: %v, want kind %s", status, err, want)
		}
		if status == 200 && !strings.Contains(fmt.Sprint(err), "broke off") {
			t.Errorf("HTTP %d: %v does not say what happened", status, err)
		}
	}
}

// Wherever the broker sends a key back, escaped or cut, it goes no further: neither into errors nor into documents.
func TestEchoedKeys(t *testing.T) {
	escaped := strings.ReplaceAll(canarySecret, "zqx", `\u007a\u0071x`)
	for name, c := range map[string]canned{
		"in a figure":             {status: 200, body: []byte(`{"id":"a","status":"ACTIVE","cash":"` + canarySecret + `"}`)},
		"escaped in a figure":     {status: 200, body: []byte(`{"id":"a","status":"ACTIVE","cash":"` + escaped + `"}`)},
		"in a list":               {status: 200, body: []byte(`[{"symbol":"SPY","qty":"` + canarySecret + `","filled_qty":"` + canarySecret + `"}]`)},
		"in a message":            {status: 401, body: []byte(`{"message":"no key ` + canaryID + `/` + escaped + `"}`)},
		"at the end of a message": {status: 401, body: []byte(`{"message":"` + strings.Repeat("x", 170) + canarySecret + `"}`)},
		"in a page":               {status: 502, body: []byte(`<html>` + canarySecret)},
		"in a place to go to":     {status: 302, header: http.Header{"Location": {"http://%zz/" + canarySecret}}},
	} {
		s := openCanned(t, c)
		_, errAccount := s.Account(t.Context())
		_, errPositions := s.Positions(t.Context())
		_, _, errOrders := s.OpenOrders(t.Context(), 5)
		for _, err := range []error{errAccount, errPositions, errOrders} {
			var e *broker.Error
			if !errors.As(err, &e) {
				t.Errorf("%s: %v, want a *broker.Error", name, err)
				continue
			}
			if text := fmt.Sprintf("%v %+v", err, *e); strings.Contains(text, canarySecret[:20]) || strings.Contains(text, canaryID) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	body := `{"id":"` + canaryID + `","status":"ACTIVE","note":["` + escaped + `",["` + canarySecret + `"],{"k":"` + canarySecret + `"}]}`
	r, err := openCanned(t, canned{status: 200, body: []byte(body)}).Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, canarySecret[:20]) || strings.Contains(text, canaryID) {
		t.Errorf("the reading holds a key: %s", text)
	}
	if diff := cmp.Diff(map[string]any{"id": "[redacted]", "status": "ACTIVE", "note": []any{"[redacted]", `["[redacted]"]`, map[string]any{"k": "[redacted]"}}}, r.Raw, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("raw (-want +got):\n%s", diff)
	}
}

// A session is never printed on purpose; if it is, it shows no key.
func TestSessionShowsNoKey(t *testing.T) {
	s := openCanned(t, canned{})
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, canaryID) || strings.Contains(text, canarySecret) || strings.Contains(text, fmt.Sprintf("%x", canarySecret)) {
			t.Errorf("%s shows a key: %s", format, text)
		}
	}
}

func TestBoundedErrors(t *testing.T) {
	_, err := openCanned(t, canned{status: 403, body: []byte(`{"message":"\u0007` + strings.Repeat("é", 1000) + `"}`)}).Account(t.Context())
	var e *broker.Error
	if !errors.As(err, &e) || len(e.Message) > 200 || len(e.Message) < 190 || !utf8.ValidString(e.Message) || strings.ContainsRune(e.Message, 7) {
		t.Errorf("%#v: want a message of at most 200 bytes of UTF-8 without control characters", err)
	}
	many := openCanned(t, canned{status: 200, body: []byte("[" + strings.Repeat(`{"symbol":"SPY"},`, 499) + "{}]")})
	if _, err := many.Positions(t.Context()); err == nil || len(err.Error()) > 300 {
		t.Errorf("error of %d bytes, want less", len(fmt.Sprint(err)))
	}
}

// Only a count of seconds is a time to wait for; milliseconds would be one that no document can hold.
func TestResetAt(t *testing.T) {
	for header, want := range map[string]int64{"1795512660": 1795512660, "": 0, "soon": 0, "0": 0, "-5": 0, "1795512660000": 0, "9223372036854775807": 0, "1e9": 0} {
		_, err := openCanned(t, canned{status: 429, header: http.Header{"X-Ratelimit-Reset": {header}}}).Account(t.Context())
		var e *broker.Error
		if !errors.As(err, &e) || e.Kind != broker.RateLimited || e.ResetAt.IsZero() != (want == 0) || want != 0 && e.ResetAt.Unix() != want {
			t.Errorf("%q: %#v, want reset at %d", header, err, want)
		}
	}
}

// A reset connection is the caller's to ask again on: net/http alone would repeat the call on every pooled connection.
func TestResetIsNotRepeated(t *testing.T) {
	var resets atomic.Bool
	var calls atomic.Int64
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !resets.Load() {
			<-hold
			_, _ = w.Write([]byte(`{"id":"a","status":"ACTIVE"}`))
			return
		}
		calls.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	defer server.Close()
	b, err := alpaca.New(alpaca.Config{PaperURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials("k", "s")
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.Open(broker.Paper, creds)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 { // twenty connections in the pool
		wg.Go(func() {
			if _, err := session.Account(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	close(hold)
	wg.Wait()
	resets.Store(true)
	_, err = session.Account(t.Context())
	if broker.KindOf(err) != broker.Unavailable {
		t.Errorf("a reset connection is %v, want unavailable", err)
	}
	if n := calls.Load(); n < 1 || n > 2 {
		t.Errorf("one call was made %d times", n)
	}
}

// An array in an array becomes its text once, however many are in it.
func TestNestedArrays(t *testing.T) {
	deep := strings.Repeat("[", 40) + "1.5" + strings.Repeat("]", 40)
	body := `{"id":"a","status":"ACTIVE","x":[["y",[1,2.5]],{"z":[[true]]},[]],"deep":` + deep + `}`
	r, err := openCanned(t, canned{status: 200, body: []byte(body)}).Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []any{`["y",[1,"2.5"]]`, map[string]any{"z": []any{"[true]"}}, "[]"}
	if diff := cmp.Diff(want, r.Raw["x"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	list, _ := r.Raw["deep"].([]any)
	if text, _ := list[0].(string); len(list) != 1 || text != strings.Repeat("[", 39)+`"1.5"`+strings.Repeat("]", 39) {
		t.Errorf("deep = %.200v", r.Raw["deep"])
	}
}
