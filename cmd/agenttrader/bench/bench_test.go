package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/telemetry/otlptest"
)

// Each design syncs every user at every tick: what is compared is the same work.
func TestDesigns(t *testing.T) {
	broker := sim.New(sim.Config{Seed: 1, Now: time.Now, AnyKey: true, Churn: 0.05})
	server, err := serve.Listen(t.Context(), "127.0.0.1:0", broker)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { broker.Close(); _ = server.Stop(t.Context()) }()
	told := &otlptest.Receiver{}
	receiver := httptest.NewServer(told)
	defer receiver.Close()
	for _, d := range append(allDesigns(), Fanout) {
		r, err := Measure(t.Context(), Spec{Design: d, Users: 40, Ticks: 3, Broker: server.URL(), OTLP: receiver.URL})
		if err != nil {
			t.Errorf("%s: %v", d, err)
			continue
		}
		if r.Syncs != 120 || r.UsersPerSecond <= 0 || (d != Fanout && r.BrokerCalls < 1) {
			t.Errorf("%s: %+v", d, r)
		}
		if d == Sequential || d == Pool {
			if r.WritesPerTick != 40 || r.ReadsPerTick != 40 || r.BrokerCalls != 1 {
				t.Errorf("%s: %v reads, %v writes, %v calls; the predecessor makes one of each", d, r.ReadsPerTick, r.WritesPerTick, r.BrokerCalls)
			}
		}
	}
	syncs := 0
	for _, p := range told.Points("agenttrader_sync_lag_seconds") {
		syncs += int(p.Count)
	}
	if syncs != 2*5*40 || len(told.Spans()) < 5*40 { // the two ticks that warm up too
		t.Errorf("telemetry told of %d syncs and %d spans; want two designs with all syncs, one of them with all spans", syncs, len(told.Spans()))
	}
	if _, err := Measure(t.Context(), Spec{Design: "moon", Users: 1, Broker: server.URL()}); err == nil {
		t.Error("an unknown design was measured")
	}
}

// The predecessor's figure is the one that the platform's facts state: $241 in API calls; and a month of ours is far below.
func TestMonthAndCost(t *testing.T) {
	prices, err := readPrices()
	if err != nil {
		t.Fatal(err)
	}
	before := costOf("predecessor", prices, predecessorMonth(), 0)
	if math.Abs(before.APICalls-241.4) > 0.1 {
		t.Errorf("predecessor: %.2f USD, want 241.4", before.APICalls)
	}
	if testing.Short() {
		t.Skip("simulates days: left out with -short")
	}
	t.Parallel() // it waits for the simulated broker as often as not
	m, err := month(t.Context(), Scenario{Name: "regular", Syncers: 1, Hours: market.Regular, Material: 0.05, Envelope: true})
	if err != nil {
		t.Fatal(err)
	}
	if u := m.PerUser; u.Messages < 21*390 || u.Messages > 21*392 {
		t.Errorf("%.0f requests a month, want one in each of 390 minutes and one after the close, on 21 days", u.Messages)
	}
	if u := m.PerUser; u.Reads > 900 || u.Writes > 3500 || u.Accesses != 0 {
		t.Errorf("per user and month: %+v", u)
	}
	if calls := m.Fixed.KMS * ticksPerDay; calls < 64*4 || calls > 64*8 {
		t.Errorf("%.0f calls of KMS a day; want one for each of 64 data keys and each of 6.5 hours", calls)
	}
	if now := costOf("now", prices, m, 0.5); now.APICalls > 10 {
		t.Errorf("envelope keys in regular hours: %.2f USD of API calls, want 10 at most", now.APICalls)
	}
}

// What an idle account costs round the clock, with one syncer and with four that have a topic each: heartbeats are writes,
// and nearly nothing else is paid for.
func TestIdleMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates hours: left out with -short")
	}
	for _, syncers := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d syncers", syncers), func(t *testing.T) {
			t.Parallel()
			m, err := monthOf(t.Context(), Scenario{Name: "idle", Syncers: syncers, Topics: syncers > 1, Hours: market.Always}, 240)
			if err != nil {
				t.Fatal(err)
			}
			if u := m.PerUser; u.Messages != 43200 || u.Reads > 500 || u.Writes > 15_000 || u.Accesses > 1000 {
				t.Errorf("per user and month: %+v; want 43,200 requests, at most 500 reads, 15,000 writes and 1,000 accesses", u)
			}
			t.Logf("%+v", m.PerUser)
		})
	}
}

// The page needs nothing from elsewhere, and shows what is in the report.
func TestPage(t *testing.T) {
	r := Report{Designs: []Result{{Design: Pipeline, UsersPerSecond: 4711, CPUPerSync: 0.5}, {Design: Bare, UsersPerSecond: 9000, CPUPerSync: 0.1}}, Machine: "<machine>"}
	var page, table bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), "4711") || !strings.Contains(page.String(), "&lt;machine&gt;") || strings.Contains(page.String(), "src=") || strings.Contains(page.String(), "http") {
		t.Errorf("page: %s", page.String())
	}
	if !strings.Contains(table.String(), "platform 5.0 times") {
		t.Errorf("table: %s", table.String())
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	if err := (Options{Users: 1000, Runs: 1, Designs: designs()}).Validate(); err != nil {
		t.Error(err)
	}
	err := Options{Designs: []string{"moon"}, Users: 1, Churn: 2, Growth: []int{7}}.Validate()
	for _, want := range []string{"--design", "--users", "--runs", "--material", "--growth"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %s: %v", want, err)
		}
	}
}
