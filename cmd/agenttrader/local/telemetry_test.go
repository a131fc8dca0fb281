package local_test

import (
	"bytes"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/telemetry/otlptest"
)

// A tick is one trace, from its message to the signals, whatever lies between.
func TestOneTraceOfATick(t *testing.T) {
	for name, set := range map[string]func(*testing.T, *local.Options){
		"in memory": func(*testing.T, *local.Options) {},
		"on the emulator": func(t *testing.T, o *local.Options) {
			emulator.For(t)              // or skips
			o.Firestore = local.Emulator // one of its own: another run's ticks are no ticks for this one
		},
	} {
		t.Run(name, func(t *testing.T) {
			told := &otlptest.Receiver{}
			at := httptest.NewServer(told)
			defer at.Close()
			o := options()
			o.Users, o.Ticks, o.Interval, o.Duplicate, o.OTLP, o.Traced = 5, 2, 3*time.Second, 0.5, at.URL, 1
			set(t, &o)
			r := run(t, o)
			traces := byTrace(told.Spans())
			ticks := slices.DeleteFunc(traces, func(spans []otlptest.Span) bool { return !named(spans, "fanout tick") })
			if len(ticks) != o.Ticks {
				t.Fatalf("%d traces with a tick, want %d: one of each", len(ticks), o.Ticks)
			}
			placed := 0
			for _, spans := range ticks {
				placed += whole(t, spans, o.Users)
			}
			if placed == 0 || r.Signals == 0 {
				t.Errorf("%d runs in the ticks' traces placed signals, of %d signals", placed, r.Signals)
			}
			figures(t, told, r)
			for _, key := range []string{"PKSIM", "sim-secret", "APCA"} { // of each user, and of the platform
				if bytes.Contains(told.Bytes(), []byte(key)) {
					t.Errorf("%q is in what was exported", key)
				}
			}
		})
	}
}

// whole checks that the spans of a tick hang together, and says how many runs placed signals.
func whole(t *testing.T, spans []otlptest.Span, users int) (placed int) {
	t.Helper()
	byID := map[string]otlptest.Span{}
	for _, s := range spans {
		byID[s.ID] = s
	}
	synced := map[string]bool{}
	for _, s := range spans {
		parent, known := byID[s.Parent]
		want := "" // the parent's name
		switch s.Name {
		case "fanout tick":
			if s.Parent != "" {
				t.Errorf("the tick has a parent, %s", parent.Name)
			}
			continue
		case "publish sync-requests":
			want = "fanout tick"
		case "syncer sync_request":
			want = "publish sync-requests"
			synced[s.Attributes["cloudevents.event_id"]] = true
		case "alpaca account", "vault read", "firestore update alpacaAccounts":
			want = "syncer sync_request"
		case "signaler document":
			want = "syncer sync_request"
			if !slices.Equal(s.Links, []string{s.Parent}) {
				t.Errorf("the signaler's span links to %v, want the span %s that wrote the snapshot", s.Links, s.Parent)
			}
		case "place signals":
			want = "signaler document"
			if s.Attributes["agenttrader.placed"] != "int_value:0" {
				placed++
			}
		}
		if !known || (want != "" && parent.Name != want) {
			t.Errorf("%s %q hangs on %q, want %q", s.Service, s.Name, parent.Name, want)
		}
		if s.StartNs < parent.StartNs {
			t.Errorf("%q begins before %q, which caused it", s.Name, parent.Name)
		}
	}
	if len(synced) != users {
		t.Errorf("%d users were synced in the tick's trace, want %d", len(synced), users)
	}
	return placed
}

// figures compares the metrics with what the run counted itself.
func figures(t *testing.T, told *otlptest.Receiver, r local.Report) {
	t.Helper()
	sum := func(metric, label, value string) (n int64) {
		for _, p := range told.Points(metric) {
			if value == "" || p.Labels[label] == value {
				n += int64(p.Count)
				if p.Count == 0 {
					n += int64(p.Value)
				}
			}
		}
		return n
	}
	for _, c := range []struct {
		what                 string
		got, atLeast, atMost int64
	}{
		{"broker calls", sum("agenttrader_broker_call_duration_seconds", "", ""), r.Ops.BrokerCalls, r.Ops.BrokerCalls},
		{"secret accesses", sum("agenttrader_vault_reads_total", "", ""), r.Ops.SecretAccesses, r.Ops.SecretAccesses},
		{"requests", sum("agenttrader_sync_requests_total", "", ""), int64(r.Published), int64(r.Published)},
		{"syncs", sum("agenttrader_sync_lag_seconds", "", ""), int64(r.Published), 2 * int64(r.Published)},
		{"documents written", sum("agenttrader_store_operations_total", "op", "write"), int64(r.Synced - r.Unchanged), r.Ops.StoreWrites},
		{"documents read", sum("agenttrader_store_operations_total", "op", "read"), 1, r.Ops.StoreReads},
		{"ticks", sum("agenttrader_tick_lag_seconds", "part", "tick"), int64(r.Ticks), int64(r.Ticks)},
		{"denials", sum("agenttrader_signals_total", "action", "flat"), int64(r.DenialsTotal), int64(r.DenialsTotal)},
		{"signals", sum("agenttrader_signals_total", "", "") - sum("agenttrader_signals_total", "action", "flat"), int64(r.Signals), int64(r.Signals)},
		{"deliveries", sum("agenttrader_event_duration_seconds", "", ""), r.Ops.PushRequests, r.Ops.PushRequests},
	} {
		if c.got < c.atLeast || c.got > c.atMost {
			t.Errorf("%s: %d in the metrics, want %d to %d", c.what, c.got, c.atLeast, c.atMost)
		}
	}
}

func byTrace(spans []otlptest.Span) (traces [][]otlptest.Span) {
	ids := map[string][]otlptest.Span{}
	for _, s := range spans {
		ids[s.Trace] = append(ids[s.Trace], s)
	}
	for _, of := range ids {
		traces = append(traces, of)
	}
	return traces
}

func named(spans []otlptest.Span, name string) bool {
	return slices.ContainsFunc(spans, func(s otlptest.Span) bool { return s.Name == name })
}
