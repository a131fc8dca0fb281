package local_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/gcp"
)

func options() local.Options {
	return local.Options{Users: 40, Ticks: 4, Interval: 300 * time.Millisecond, Strategy: "all", Seed: 1}
}

func run(t *testing.T, o local.Options) local.Report {
	t.Helper()
	r, err := local.Run(t.Context(), o, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	return r
}

// Every event twice. What a slow machine does not get done in a tick's time is dropped, and not lost.
func TestEveryEventTwice(t *testing.T) {
	o := options()
	o.Duplicate, o.Interval = 1, 2*time.Second // long, so that a busy machine does not outlast a tick's lease
	r := run(t, o)
	if r.Published == 0 || r.Synced == 0 || r.Synced+r.Dropped != r.Published || r.Signals == 0 || r.DeadLettered != 0 {
		t.Errorf("report = %+v, want every request done or dropped, and signals", r)
	}
}

// Half an hour with executors, some of whom write odd words: what they hold is released, and nobody spends twice.
func TestExecutors(t *testing.T) {
	o := options()
	o.Ticks, o.Interval, o.Executor, o.Duplicate, o.Reorder = 30, 400*time.Millisecond, 1, 0.3, 0.3
	r, err := local.Run(t.Context(), o, slog.New(slog.DiscardHandler), nil) // a slow machine may be late with ticks; no matter here
	if err != nil {
		t.Fatal(err)
	}
	if e := r.Executor; e.Executed == 0 || e.Rejected == 0 || e.Odd == 0 {
		t.Errorf("executors did %+v", e)
	}
	if r.Overspent != 0 || r.Leaked != 0 || r.SignalsDuplicate != 0 || r.Denials["BUYING_POWER_EXCEEDED"] == 0 {
		t.Errorf("overspent %d, leaked %d, denials %v; want the rivals' alone", r.Overspent, r.Leaked, r.Denials)
	}
}

func TestFaultyUsersStayAlone(t *testing.T) {
	o := options()
	bad, err := sim.ParseFault("401=PKSIM0000003")
	if err != nil {
		t.Fatal(err)
	}
	o.Faults = []sim.Fault{bad}
	if r := run(t, o); r.Failed == 0 || r.Failed > 4 || r.Synced == 0 || r.Failed+r.Synced+r.Dropped != r.Published {
		t.Errorf("published %d, failed %d, synced %d, dropped %d; want one user to fail at each tick", r.Published, r.Failed, r.Synced, r.Dropped)
	}
}

// With keys in envelopes everything else is the same, and KMS is asked once for each data key.
func TestEnvelopeCustody(t *testing.T) {
	o := options()
	o.Custody = gcp.Envelope
	r := run(t, o)
	if r.Synced == 0 || r.Synced+r.Dropped != r.Published || r.Signals == 0 || r.Ops.SecretAccesses != 0 || r.Ops.KMSCalls < 10 || r.Ops.KMSCalls > 40 {
		t.Errorf("report = %+v, want every request done or dropped, no access to a secret, and at most one call of KMS a user", r)
	}
}

// A server that is not ours, and users of one's own.
func TestAnotherServer(t *testing.T) {
	var keys []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/account" {
			http.NotFound(w, r)
			return
		}
		keys = append(keys, r.Header.Get("APCA-API-KEY-ID"))
		_, _ = w.Write([]byte(`{"account_blocked":false,"account_number":"010203ABCD","buying_power":"262113.632","cash":"-23140.2","currency":"USD","equity":"103820.56","id":"e6fe16f3-64a4-4921-8928-cadf02f92f98","multiplier":"4","status":"ACTIVE","trading_blocked":false}`))
	}))
	defer s.Close()
	o := options()
	o.AlpacaURL, o.Ticks = s.URL, 1
	o.UsersFile = filepath.Join(t.TempDir(), "keys.json")
	b, err := json.Marshal([]map[string]string{{"user_id": "me", "key_id": "PKME", "secret_key": "s"}})
	if err == nil {
		err = os.WriteFile(o.UsersFile, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, o)
	// The account is synced; without positions nothing is traded on it.
	if r.Users != 1 || r.Synced != 1 || r.Signals != 0 || r.DenialsTotal != 1 || len(keys) != 1 || keys[0] != "PKME" {
		t.Errorf("report = %+v, keys %v", r, keys)
	}
}

// A user who holds only cash, and whose account never changes, has a signal in each slot: the heartbeats bring them.
func TestQuietCashUserWithDCA(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/account":
			_, _ = w.Write([]byte(`{"account_blocked":false,"buying_power":"10000","cash":"5000","currency":"USD","equity":"5000","id":"e6fe16f3-64a4-4921-8928-cadf02f92f98","multiplier":"2","status":"ACTIVE","trading_blocked":false}`))
		case "/v2/positions", "/v2/orders":
			_, _ = w.Write([]byte(`[]`))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	o := options()
	o.AlpacaURL, o.Users, o.Ticks, o.Interval, o.Strategy = s.URL, 1, 18, 500*time.Millisecond, "dca"
	o.Executor, o.Duplicate = 1, 0.5
	var ticks []time.Time
	r, err := local.Run(t.Context(), o, slog.New(slog.DiscardHandler), func(p local.Progress) {
		if p.Done {
			ticks = append(ticks, p.Tick.Time())
		}
	})
	if err != nil || r.SignalsDuplicate != 0 {
		t.Fatal(err, r.SignalsDuplicate)
	}
	slots, late := 0, 0 // of a slot in the last two ticks the heartbeat may be still to come
	for i, at := range ticks[1:] {
		switch {
		case at.Minute()%5 != 0:
		case i < len(ticks)-3:
			slots++
		default:
			late++
		}
	}
	if got := r.ByStrategy["dca"]; len(ticks) != 18 || slots < 3 || got.Signals < slots || got.Signals > slots+late || got.Denials != 0 {
		t.Errorf("%d ticks, %+v, want a signal in each of %d slots, or %d more", len(ticks), got, slots, late)
	}
}

func TestOptions(t *testing.T) {
	for want, change := range map[string]func(*local.Options){
		"--users is 0":       func(o *local.Options) { o.Users = 0 },
		"--ticks is -1":      func(o *local.Options) { o.Ticks = -1 },
		"--interval is":      func(o *local.Options) { o.Interval = 0 },
		"--strategy is":      func(o *local.Options) { o.Strategy = "moon" },
		"--executor is 2":    func(o *local.Options) { o.Executor = 2 },
		"--custody is":       func(o *local.Options) { o.Custody = "moon" },
		"--duplicate is 2":   func(o *local.Options) { o.Duplicate = 2 },
		"by https only":      func(o *local.Options) { o.AlpacaURL = "http://paper.example.com" },
		"--users-file":       func(o *local.Options) { o.AlpacaURL = "https://paper.example.com" },
		"--alpaca-data-url ": func(o *local.Options) { o.DataURL = "data" },
	} {
		o := options()
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want one that says %q", err, want)
		}
	}
}

func TestUsersFile(t *testing.T) {
	for want, content := range map[string]string{
		"want a JSON list":           `{"user_id": 1}`,
		"the list is empty":          `[]`,
		"entry 1":                    `[{"user_id":"a/b","key_id":"canary","secret_key":"canary"}]`,
		"entry 2":                    `[{"user_id":"a","key_id":"canary","secret_key":"canary"},{"user_id":"a","key_id":"canary","secret_key":"canary"}]`,
		"key_id and secret_key must": `[{"user_id":"a","key_id":"canary"}]`,
	} {
		o := options()
		o.UsersFile = filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(o.UsersFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := local.Run(t.Context(), o, slog.New(slog.DiscardHandler), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want an error that says %q and no key", content, err, want)
		}
	}
}

// A file of bars sets the clock: the run ends where the file does.
func TestReplay(t *testing.T) {
	file := "symbol,timeframe,t,o,h,l,c,v\n"
	at := time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)
	for i := range 12 {
		price := 500 + 20*(i%2) // the accounts move by it
		file += fmt.Sprintf("SPY,5Min,%s,%d,%d,%d,%d,1000\n", at.Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339), price, price, price, price)
	}
	replay, err := sim.ParseReplay([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Replay, o.Ticks = replay, 10
	var last local.Progress
	r, err := local.Run(t.Context(), o, slog.New(slog.DiscardHandler), func(p local.Progress) { last = p })
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if want := "tick 16:00Z"; !strings.HasPrefix(last.Line(), want) || r.Signals == 0 {
		t.Errorf("the last tick is %q, want %q; %d signals", last.Line(), want, r.Signals)
	}
	o.AlpacaURL = "http://127.0.0.1:1"
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "--bars") {
		t.Errorf("with another server: %v", err)
	}
}
