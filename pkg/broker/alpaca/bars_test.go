package alpaca_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// noon in New York, on a Tuesday.
var noon = time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)

func canary(t testing.TB) secret.Credentials {
	t.Helper()
	creds, err := secret.NewCredentials(canaryID, canarySecret)
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

func openData(t testing.TB, cfg alpaca.DataConfig) *alpaca.Data {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	d, err := alpaca.NewData(cfg, alpaca.FixedKeys(canary(t)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func cannedData(t testing.TB, c canned) *alpaca.Data {
	return openData(t, alpaca.DataConfig{BaseURL: "http://127.0.0.1:1", Transport: c, Limit: 10_000})
}

// barAt is a bar in Alpaca's form, so many minutes before noon.
func barAt(minutes int, closes string) string {
	return fmt.Sprintf(`{"t":%q,"o":100,"h":110.5,"l":99.25,"c":%s,"v":1200,"n":7,"vw":101.1}`, noon.Add(-time.Duration(minutes)*time.Minute).Format(time.RFC3339), closes)
}

func barsOf(symbol string, bars ...string) string {
	return `{"bars":{"` + symbol + `":[` + strings.Join(bars, ",") + `]},"next_page_token":null}`
}

func TestBars(t *testing.T) {
	var asked []url.Values
	var paths []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, paths = append(asked, r.URL.Query()), append(paths, r.URL.Path)
		switch {
		case r.URL.Path == "/v1beta3/crypto/us/bars":
			_, _ = io.WriteString(w, `{"bars":{"BTC/USD":[{"t":"2026-11-24T16:55:00Z","o":98000.5,"h":98001,"l":97999,"c":98000,"v":0.25}]},"next_page_token":null}`)
		case r.URL.Query().Get("page_token") == "":
			_, _ = io.WriteString(w, `{"bars":{"SPY":[`+barAt(15, "101")+`,`+barAt(10, "102")+`]},"next_page_token":"more"}`)
		default:
			_, _ = io.WriteString(w, `{"bars":{"SPY":[`+barAt(5, "103.4567")+`,`+barAt(0, "104")+`],"TLT":[`+barAt(10, "101")+`,`+barAt(5, "101")+`],"XYZ":[`+barAt(5, "1")+`]},"next_page_token":null}`)
		}
	}))
	defer s.Close()
	d := openData(t, alpaca.DataConfig{BaseURL: s.URL, Feed: "sip"})
	got, err := d.Closed(t.Context(), []string{"SPY", "TLT", "BTC/USD", "nonsense"}, market.FiveMinutes, 2, noon.Add(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || len(got["SPY"]) != 2 || len(got["TLT"]) != 2 || len(got["BTC/USD"]) != 1 {
		t.Fatalf("bars %v; want the newest two closed ones of what was asked for", got)
	}
	want := market.Bar{
		At: noon.Add(-5 * time.Minute), Open: decimal.New(100, 0), High: decimal.RequireFromString("110.5"), Low: decimal.RequireFromString("99.25"),
		Close: decimal.RequireFromString("103.4567"), Volume: decimal.New(1200, 0),
	}
	if diff := cmp.Diff(want, got["SPY"][1]); diff != "" {
		t.Errorf("bar (-want +got):\n%s", diff)
	}
	q := asked[0]
	for name, want := range map[string]string{
		"symbols": "SPY,TLT", "timeframe": "5Min", "adjustment": "split", "feed": "sip", "limit": "10000", "sort": "asc",
		"start": "2026-11-24T16:50:00Z", "end": "2026-11-24T17:00:30Z",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if asked[1].Get("page_token") != "more" || paths[0] != "/v2/stocks/bars" || len(paths) != 4 || asked[3].Get("symbols") != "BTC/USD" {
		t.Errorf("asked %v of %v; want two pages of shares, and two rounds of the pair, which has one bar only", asked, paths)
	}
	if asked[3].Get("start") >= asked[2].Get("start") {
		t.Errorf("the second round goes no further back: %v", asked[3])
	}
	for tf, want := range map[market.Timeframe]string{"15Min": "15Min", "30Min": "30Min", "1Hour": "1Hour", "1Day": "1Day"} {
		asked = nil
		_, _ = d.Closed(t.Context(), []string{"SPY"}, tf, 1, noon)
		if asked[0].Get("timeframe") != want {
			t.Errorf("%s is asked for as %s", tf, asked[0].Get("timeframe"))
		}
	}
}

// A day's bar is taken from the day's close on, in summer and in winter; a half day's, where the calendar is known.
func TestDayBars(t *testing.T) {
	day := func(date, offset string) string {
		return `{"t":"` + date + "T00:00:00" + offset + `","o":1,"h":1,"l":1,"c":1,"v":1}`
	}
	body := barsOf("SPY", day("2026-07-10", "-04:00"), day("2026-11-25", "-05:00"), day("2026-11-27", "-05:00"))
	z, err := market.Zone()
	if err != nil {
		t.Fatal(err)
	}
	half, err := market.NewDay(z, "2026-11-27", "09:30", "13:00", "", "")
	if err != nil {
		t.Fatal(err)
	}
	calendar, err := market.NewCalendar(half.Open, half.Open, []market.Day{half})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		by              string
		bars, withKnown int
	}{
		{"2026-07-10T15:59:59-04:00", 0, 0}, {"2026-07-10T16:00:00-04:00", 1, 1}, {"2026-11-25T16:00:00-05:00", 2, 2},
		{"2026-11-27T12:59:59-05:00", 2, 2}, {"2026-11-27T13:00:00-05:00", 2, 3}, {"2026-11-27T16:00:00-05:00", 3, 3},
	} {
		by, err := time.Parse(time.RFC3339, tt.by)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			calendar market.Calendar
			want     int
		}{{market.Calendar{}, tt.bars}, {calendar, tt.withKnown}} {
			d := openData(t, alpaca.DataConfig{BaseURL: "http://127.0.0.1:1", Transport: canned{status: 200, body: []byte(body)}, Calendar: c.calendar})
			got, err := d.Closed(t.Context(), []string{"SPY"}, market.OneDay, 3, by)
			if err != nil || len(got["SPY"]) != c.want {
				t.Errorf("%s: %d bars, %v; want %d", tt.by, len(got["SPY"]), err, c.want)
			}
		}
	}
}

// What can't be a bar takes the symbol's other bars with it, and nobody else's.
func TestBarsThatAreNone(t *testing.T) {
	good := barAt(10, "101")
	for name, bad := range map[string]string{
		"no time": `{"o":1,"h":1,"l":1,"c":1,"v":1}`, "no open": strings.Replace(good, `"o":100,`, "", 1), "a null close": strings.Replace(good, `"c":101`, `"c":null`, 1),
		"a price of 0": strings.Replace(good, `"l":99.25`, `"l":0`, 1), "a negative one": strings.Replace(good, `"l":99.25`, `"l":-5`, 1),
		"a huge one": strings.Replace(good, `"h":110.5`, `"h":1e300`, 1), "a close above the high": barAt(10, "111"), "high below low": strings.Replace(good, `"h":110.5`, `"h":99`, 1),
		"a time between": strings.Replace(good, ":50:00Z", ":51:00Z", 1), "twice, and different": barAt(5, "105"),
	} {
		body := `{"bars":{"SPY":[` + bad + `,` + barAt(5, "101") + `],"TLT":[` + good + `,` + barAt(5, "101") + `]},"next_page_token":null}`
		got, err := cannedData(t, canned{status: 200, body: []byte(body)}).Closed(t.Context(), []string{"SPY", "TLT"}, market.FiveMinutes, 2, noon)
		if broker.KindOf(err) != broker.Malformed || len(got) != 1 || len(got["TLT"]) != 2 || !strings.Contains(err.Error(), "SPY") {
			t.Errorf("%s: %v, %v; want TLT's alone, and an error about SPY", name, got, err)
		}
	}
	for name, bad := range map[string]string{
		"NaN": strings.Replace(good, `"c":101`, `"c":NaN`, 1), "a text": strings.Replace(good, `"c":101`, `"c":"101"`, 1), "past float64": strings.Replace(good, `"c":101`, `"c":1e999`, 1),
		"a negative volume": strings.Replace(good, `"v":1200`, `"v":-1`, 1),
	} {
		got, err := cannedData(t, canned{status: 200, body: []byte(barsOf("SPY", bad))}).Closed(t.Context(), []string{"SPY"}, market.FiveMinutes, 1, noon)
		if broker.KindOf(err) != broker.Malformed || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// out of order, and twice the same
	got, err := cannedData(t, canned{status: 200, body: []byte(barsOf("SPY", barAt(5, "103"), barAt(15, "101"), barAt(10, "102"), barAt(10, "102"), barAt(0, "104")))}).
		Closed(t.Context(), []string{"SPY"}, market.FiveMinutes, 3, noon)
	var closes []string
	for _, b := range got["SPY"] {
		closes = append(closes, b.Close.String())
	}
	if err != nil || strings.Join(closes, " ") != "101 102 103" {
		t.Errorf("out of order: %v, %v", closes, err)
	}
}

func TestDataFaults(t *testing.T) {
	reset := http.Header{"X-Ratelimit-Reset": {strconv.FormatInt(noon.Add(20*time.Second).Unix(), 10)}}
	for name, tt := range map[string]struct {
		canned
		kind broker.Kind
	}{
		"bad key":       {canned{status: 401, body: []byte(`{"message":"key ` + canaryID + ` with ` + canarySecret + ` is bad"}`)}, broker.Unauthorized},
		"no permission": {canned{status: 403, body: []byte(`{"message":"subscription does not permit querying recent SIP data"}`)}, broker.Forbidden},
		"rate limit":    {canned{status: 429, header: reset, body: []byte(`{"message":"too many requests."}`)}, broker.RateLimited},
		"bad request":   {canned{status: 400, body: []byte(`{"message":"invalid symbol: X"}`)}, broker.Rejected},
		"500":           {canned{status: 500, body: []byte(`{"message":"oops"}`)}, broker.Unavailable},
		"HTML":          {canned{status: 502, body: []byte("<html>" + canarySecret)}, broker.Unavailable},
		"HTML, 200":     {canned{status: 200, body: []byte("<html>")}, broker.Malformed},
		"cut":           {canned{status: 200, body: []byte(barsOf("SPY", barAt(5, "101"))[:60]), cut: true}, broker.Unavailable},
		"cut JSON":      {canned{status: 200, body: []byte(barsOf("SPY", barAt(5, "101"))[:60])}, broker.Malformed},
		"a redirect":    {canned{status: 302, header: http.Header{"Location": {"http://elsewhere"}}}, broker.Malformed},
		"no gzip":       {canned{status: 200, header: http.Header{"Content-Encoding": {"gzip"}}, body: []byte("{}")}, broker.Unavailable},
		"a gzip bomb":   {canned{status: 200, header: http.Header{"Content-Encoding": {"gzip"}}, body: bomb(t)}, broker.Malformed},
		"no end of it":  {canned{status: 200, body: []byte(`{"bars":{},"next_page_token":"again"}`)}, broker.Malformed},
	} {
		d := cannedData(t, tt.canned)
		_, err := d.Closed(t.Context(), []string{"SPY"}, market.FiveMinutes, 1, noon)
		var e *broker.Error
		if name == "a gzip bomb" && broker.KindOf(err) == broker.Unavailable {
			tt.kind = broker.Unavailable
		}
		if !errors.As(err, &e) || e.Kind != tt.kind || e.Op != "bars" {
			t.Errorf("%s: bars: %#v, want kind %s", name, err, tt.kind)
			continue
		}
		if (tt.kind == broker.Rejected) != errors.Is(err, market.ErrRejected) {
			t.Errorf("%s: %v is refused for a symbol: %t", name, err, errors.Is(err, market.ErrRejected))
		}
		if tt.kind == broker.RateLimited && !e.ResetAt.Equal(noon.Add(20*time.Second)) {
			t.Errorf("%s: reset at %s", name, e.ResetAt)
		}
		_, err2 := d.Latest(t.Context(), []string{"SPY"})
		if name != "no end of it" && broker.KindOf(err2) != tt.kind {
			t.Errorf("%s: quotes: %v, want kind %s", name, err2, tt.kind)
		}
		for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", *e), fmt.Sprint(err2)} {
			if len(text) > 400 || strings.Contains(text, canaryID) || strings.Contains(text, canarySecret) {
				t.Errorf("%s: a long error, or one with a key: %s", name, text)
			}
		}
	}
}

func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 8<<20))
	_ = w.Close()
	return b.Bytes()
}

// Past a limit, the plan's or our own, nobody is asked until it resets. Pages count.
func TestDataLimit(t *testing.T) {
	now, calls, status := noon, 0, 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(noon.Add(40*time.Second).Unix(), 10))
		w.WriteHeader(status)
		token := "null"
		if r.URL.Query().Get("page_token") == "" {
			token = `"2"`
		}
		_, _ = io.WriteString(w, `{"bars":{"SPY":[`+barAt(5, "101")+`]},"next_page_token":`+token+`}`)
	}))
	defer s.Close()
	d := openData(t, alpaca.DataConfig{BaseURL: s.URL, Limit: 20, Now: func() time.Time { return now }}) // 4 at once
	ask := func() error {
		_, err := d.Closed(t.Context(), []string{"SPY"}, market.FiveMinutes, 1, noon)
		return err
	}
	for range 2 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	var e *broker.Error
	if err := ask(); !errors.As(err, &e) || e.Kind != broker.RateLimited || !e.ResetAt.After(now) || calls != 4 {
		t.Errorf("past our own limit: %v after %d calls", err, calls)
	}
	now, status = now.Add(30*time.Second), 429
	if err := ask(); broker.KindOf(err) != broker.RateLimited || calls != 5 {
		t.Errorf("past the plan's: %v after %d calls", err, calls)
	}
	status = 200
	if err := ask(); broker.KindOf(err) != broker.RateLimited || calls != 5 {
		t.Errorf("until it resets: %v after %d calls", err, calls)
	}
	now = now.Add(10 * time.Second)
	if err := ask(); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// Keys are read when they are needed, hourly, and after a refusal; while they can't be, the old ones serve.
func TestDataKeys(t *testing.T) {
	now, reads, good, current := noon, 0, "secret-1", "secret-1"
	fault := secret.ErrNotFound
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("APCA-API-SECRET-KEY") != good {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"quotes":{"SPY":{"t":"2026-11-24T16:59:59Z","bp":1,"ap":2}}}`)
	}))
	defer s.Close()
	d, err := alpaca.NewData(alpaca.DataConfig{BaseURL: s.URL, Now: func() time.Time { return now }}, func(context.Context) (secret.Credentials, error) {
		reads++
		if fault != nil {
			return secret.Credentials{}, fault
		}
		return secret.NewCredentials("k", current)
	})
	if err != nil || reads != 0 {
		t.Fatal(err, reads)
	}
	for i, step := range []struct {
		after           time.Duration
		fault           error
		current, good   string
		ok              bool
		reads           int
		expectForbidden bool
	}{
		{0, secret.ErrNotFound, "", "secret-1", false, 1, false},
		{time.Second, nil, "secret-1", "secret-1", false, 1, false}, // a failure is remembered for a minute
		{time.Minute, nil, "secret-1", "secret-1", true, 2, false},
		{time.Minute, nil, "secret-2", "secret-1", true, 2, false}, // rotated: the old key still works
		{time.Second, nil, "secret-2", "secret-2", false, 2, true}, // and now it does not
		{time.Second, nil, "secret-2", "secret-2", true, 3, false},
		{time.Hour, errors.New("503"), "secret-2", "secret-2", true, 4, false},
		{30 * time.Second, nil, "secret-2", "secret-2", true, 4, false},
		{30 * time.Second, nil, "secret-2", "secret-2", true, 5, false},
	} {
		now, fault, current, good = now.Add(step.after), step.fault, step.current, step.good
		got, err := d.Latest(t.Context(), []string{"SPY"})
		if (err == nil) != step.ok || (len(got) == 1) != step.ok || reads != step.reads || step.expectForbidden != (broker.KindOf(err) == broker.Forbidden) {
			t.Errorf("%d: %v, %v after %d readings; want %+v", i, got, err, reads, step)
		}
	}
}

func TestQuotesThatAreNone(t *testing.T) {
	quote := func(fields string) string {
		return `{"quotes":{"SPY":{` + fields + `},"TLT":{"t":"2026-11-24T16:59:59Z","bp":1,"ap":2}}}`
	}
	for name, tt := range map[string]struct {
		fields string
		ok     bool
	}{
		"good": {`"t":"2026-11-24T16:59:59Z","bp":1,"ap":2`, true}, "one side": {`"t":"2026-11-24T16:59:59Z","bp":1`, true},
		"no time": {`"bp":1,"ap":2`, false}, "negative": {`"t":"2026-11-24T16:59:59Z","bp":-1,"ap":2`, false}, "huge": {`"t":"2026-11-24T16:59:59Z","bp":1,"ap":1e200`, false},
	} {
		got, err := cannedData(t, canned{status: 200, body: []byte(quote(tt.fields))}).Latest(t.Context(), []string{"SPY", "TLT"})
		if _, ok := got["SPY"]; ok != tt.ok || (err == nil) != tt.ok || len(got["TLT"].Bid.String()) != 1 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	var paths sync.Map
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths.Store(r.URL.Path+"?"+r.URL.Query().Get("symbols"), true)
		_, _ = io.WriteString(w, `{"quotes":{"`+r.URL.Query().Get("symbols")+`":{"t":"2026-11-24T16:59:59Z","bp":1,"ap":2}}}`)
	}))
	defer s.Close()
	got, err := openData(t, alpaca.DataConfig{BaseURL: s.URL}).Latest(t.Context(), []string{"SPY", "BTC/USD"})
	_, shares := paths.Load("/v2/stocks/quotes/latest?SPY")
	_, pairs := paths.Load("/v1beta3/crypto/us/latest/quotes?BTC/USD")
	if err != nil || len(got) != 2 || !shares || !pairs {
		t.Errorf("shares and pairs: %v, %v", got, err)
	}
}

func TestDataConfig(t *testing.T) {
	if _, err := alpaca.NewData(alpaca.DataConfig{Feed: "otc"}, alpaca.FixedKeys(canary(t))); err == nil {
		t.Error("an unknown feed was taken")
	}
	d, err := alpaca.NewData(alpaca.DataConfig{}, alpaca.FixedKeys(secret.Credentials{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Latest(t.Context(), []string{"SPY"}); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("without keys: %v", err)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(format, cannedData(t, canned{})); strings.Contains(text, canaryID) || strings.Contains(text, canarySecret) {
			t.Errorf("%s shows a key", format)
		}
	}
	t.Setenv("APCA_API_OAUTH", "somebody-else")
	if _, err := alpaca.NewData(alpaca.DataConfig{}, alpaca.FixedKeys(canary(t))); err == nil {
		t.Error("started with APCA_API_OAUTH set")
	}
}

func TestDataEndsWithItsContext(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	d := openData(t, alpaca.DataConfig{BaseURL: hangs.URL})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := d.Closed(ctx, []string{"SPY"}, market.OneHour, 5, noon); broker.KindOf(err) != broker.Timeout {
		t.Errorf("hung: %v, want a timeout", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := d.Closed(ctx, []string{"SPY"}, market.OneHour, 5, noon); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzBars(f *testing.F) {
	for _, body := range []string{
		barsOf("SPY", barAt(10, "101"), barAt(5, "102")), barsOf("SPY"), "", "null", "[]", "{}", `{"bars":null}`, `{"bars":{"SPY":null}}`, `{"bars":{"SPY":[null]}}`,
		`{"bars":{"SPY":[{"t":"2026-11-24T16:55:00Z","o":1e308,"h":1e308,"l":1e-308,"c":1,"v":18446744073709551615}]}}`, `{"bars":{},"next_page_token":"` + canarySecret + `"}`,
		`{"bars":{"SPY":[{"t":"` + canarySecret + `"}]}}`, barsOf("SPY", barAt(5, "101"), barAt(5, "102")),
	} {
		f.Add(200, []byte(body), false)
	}
	f.Add(403, []byte(`{"message":"`+canaryID+`"}`), false)
	f.Add(200, []byte(barsOf("SPY", barAt(5, "101"))), true)
	f.Fuzz(func(t *testing.T, status int, body []byte, cut bool) {
		d := cannedData(t, canned{status: status, body: body, cut: cut})
		for _, tf := range market.Timeframes() {
			got, err := d.Closed(context.Background(), []string{"SPY", "TLT"}, tf, 2, noon)
			checkError(t, err, status)
			if len(got) > 0 && (status >= 300 || !json.Valid(bytes.TrimSpace(body)) && json.NewDecoder(bytes.NewReader(body)).Decode(new(any)) != nil) {
				t.Fatalf("HTTP %d, %q was taken as %v", status, body, got)
			}
			for symbol, bars := range got {
				if symbol != "SPY" && symbol != "TLT" || len(bars) == 0 || len(bars) > 2 {
					t.Fatalf("%q was taken as %v", body, got)
				}
				for i, b := range bars {
					if b.Check() != nil || i > 0 && !bars[i-1].At.Before(b.At) || b.At.After(noon) || len(b.Close.String()) > 40 {
						t.Fatalf("%q was taken as %v: %v", body, bars, b.Check())
					}
				}
			}
		}
	})
}
