package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/market"
)

const heading = "symbol,timeframe,t,o,h,l,c,v\n"

// hours is a file of 5Min bars of SPY and QQQ, from the start on, whose n-th bar closes at 100+n and 50+n.
func hours(bars int) string {
	var b strings.Builder
	b.WriteString(heading)
	for i := range bars {
		at := start.Add(time.Duration(i) * 5 * time.Minute).Format(time.RFC3339)
		fmt.Fprintf(&b, "SPY,5Min,%s,%d,%d.5,%d,%d,%d\n", at, 100+i, 100+i, 99+i, 100+i, 10)
		fmt.Fprintf(&b, "QQQ,5Min,%s,%d,%d.5,%d,%d,%d\n", at, 50+i, 50+i, 49+i, 50+i, 10)
	}
	return b.String()
}

func parse(t testing.TB, text string) *sim.Replay {
	t.Helper()
	r, err := sim.ParseReplay([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What was replayed is seen as time passes, never before; quotes and accounts follow the closes; longer bars are made of
// the file's; who is not in the file walks on.
func TestReplay(t *testing.T) {
	r := parse(t, hours(36))
	if from, to := r.Range(); !from.Equal(start) || !to.Equal(start.Add(3*time.Hour)) || strings.Join(r.Symbols(), " ") != "QQQ SPY" {
		t.Errorf("range %s to %s, symbols %v", from, to, r.Symbols())
	}
	w := newWorld(t, sim.Config{Replay: r})
	w.now = start.Add(61 * time.Minute)
	got := w.bars(t, market.FiveMinutes, 5, "SPY", "QQQ", "TLT")
	if last := got["SPY"][4]; !last.Close.Equal(decimal.New(111, 0)) || !last.At.Equal(start.Add(55*time.Minute)) || len(got["TLT"]) != 5 {
		t.Errorf("bars %v", got)
	}
	q, err := w.data(t).Latest(t.Context(), []string{"SPY", "QQQ", "TLT"})
	if err != nil || len(q) != 3 {
		t.Fatal(q, err)
	}
	if mid, _ := q["QQQ"].Mid(); !mid.Equal(decimal.New(61, 0)) {
		t.Errorf("QQQ is quoted at %s, its last close is 61", mid)
	}
	positions, err := w.session(t, "k1", "s1").Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range positions {
		if p.Symbol == "SPY" && !p.CurrentPrice.Decimal.Equal(decimal.New(111, 0)) {
			t.Errorf("the account values SPY at %s", p.CurrentPrice.Decimal)
		}
	}
	w.now = start.Add(2 * time.Hour) // 16:30: the hours of 15:00 and of 14:00, whose first half the file lacks
	hour := w.bars(t, market.OneHour, 2, "SPY")["SPY"]
	if len(hour) != 2 || !hour[1].Open.Equal(decimal.New(106, 0)) || !hour[1].Close.Equal(decimal.New(117, 0)) || !hour[1].High.Equal(decimal.RequireFromString("117.5")) || !hour[1].Volume.Equal(decimal.New(120, 0)) {
		t.Errorf("hours %v", hour)
	}
	w.now = time.Date(2026, 11, 24, 21, 0, 0, 0, time.UTC)
	if day := w.bars(t, market.OneDay, 1, "SPY")["SPY"]; len(day) != 1 || !day[0].Open.Equal(decimal.New(100, 0)) || !day[0].Close.Equal(decimal.New(135, 0)) {
		t.Errorf("day %v", day)
	}
	// a file of days alone
	days := newWorld(t, sim.Config{Replay: parse(t, `[{"symbol":"SPY","timeframe":"1Day","t":"2026-11-23T05:00:00Z","o":1.5,"h":"2","l":1,"c":2,"v":7}]`)})
	days.now = start
	if got := days.bars(t, market.OneDay, 5, "SPY"); len(got["SPY"]) != 1 || got["SPY"][0].Open.String() != "1.5" {
		t.Errorf("days %v", got)
	}
}

func TestBadReplays(t *testing.T) {
	good := "SPY,5Min,2026-11-24T14:30:00Z,1,2,1,2,10"
	for text, want := range map[string]string{
		"":                           "empty",
		heading:                      "no bar",
		"symbol,t,o,h,l,c,v\n1":      `lacks the column "timeframe"`,
		heading + "SPY,5Min\n":       "wrong number of fields",
		heading + "\"SPY,5Min":       "row 1",
		heading + good + "\n" + good: "row 2: row 1 is the same bar",
		heading + strings.Replace(good, "SPY", "spy", 1):               `row 1: symbol "spy"`,
		heading + strings.Replace(good, "SPY", "BTC/USD", 1):           "row 1: symbol BTC/USD",
		heading + strings.Replace(good, "5Min", "7Min", 1):             `row 1: timeframe "7Min"`,
		heading + strings.Replace(good, "14:30:00Z", "14:30", 1):       "row 1: t is",
		heading + strings.Replace(good, "14:30", "14:31", 1):           "no bar of 5Min begins then",
		heading + strings.Replace(good, "5Min", "1Day", 1):             "midnight in New York",
		heading + strings.Replace(good, ",1,2,1,2,", ",0,2,1,2,", 1):   `row 1: o is "0"`,
		heading + strings.Replace(good, ",1,2,1,2,", ",1,NaN,1,2,", 1): `row 1: h is "NaN"`,
		heading + strings.Replace(good, ",1,2,1,2,", ",1,2,-1,2,", 1):  `row 1: l is "-1"`,
		heading + strings.Replace(good, ",1,2,1,2,", ",1,2,1,,", 1):    `row 1: c is ""`,
		heading + strings.Replace(good, ",1,2,1,2,", ",1,2,1,3,", 1):   "contradict",
		heading + strings.Replace(good, ",10", ",-1", 1):               `row 1: v is "-1"`,
		"[]":                 "no bar",
		"[1]":                "no JSON list of objects",
		"[{}] x":             "behind the JSON list",
		`[{"symbol":"SPY"}]`: `row 1: timeframe ""`,
		heading + strings.Repeat("spy,,,,,,,\n", 50): "the rest is not looked at",
	} {
		_, err := sim.ParseReplay([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 2000 {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if _, err := sim.ReadReplay(filepath.Join(t.TempDir(), "none.csv")); err == nil {
		t.Error("a file that is not there was read")
	}
	path := filepath.Join(t.TempDir(), "bars.csv")
	if err := os.WriteFile(path, []byte("\ufeff V, c,L,h,o,T,timeframe,symbol\n10,2,1,2,1,2026-11-24T09:30:00-05:00,5Min,SPY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := sim.ReadReplay(path)
	if err != nil {
		t.Fatal(err)
	}
	if from, _ := r.Range(); !from.Equal(start) {
		t.Errorf("from %s", from)
	}
}

func FuzzReplay(f *testing.F) {
	for _, text := range []string{
		hours(3), "", heading, "[]", `[{"symbol":"SPY","timeframe":"1Day","t":"2026-11-23T05:00:00Z","o":1,"h":2,"l":1,"c":2,"v":7}]`, `[{"symbol":1}]`, "[null]",
		heading + "SPY,1Hour,2026-11-24T14:00:00Z,1,2,1,2,1e14", heading + "SPY,5Min,9999-12-31T23:55:00Z,1,2,1,2,1\nSPY,5Min,1970-01-01T00:05:00Z,1,2,1,2,1",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := sim.ParseReplay(b)
		if err != nil {
			if len(err.Error()) > 5000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		from, to := r.Range()
		if len(r.Symbols()) == 0 || !from.Before(to) {
			t.Fatalf("taken: %q, from %s to %s", b, from, to)
		}
	})
}
