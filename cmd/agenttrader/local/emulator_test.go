package local_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

func TestMain(m *testing.M) { emulator.Main(m) }

// The whole on the emulator, driven by its own change events; what it leaves is read back as any other program would.
func TestOnFirestoreEmulator(t *testing.T) {
	e, _ := emulator.For(t)
	o := options()
	o.Firestore, o.Emulator, o.Duplicate, o.Interval, o.Ticks = local.Emulator, e, 0.5, 4*time.Second, 3
	r := run(t, o)
	if r.Published == 0 || r.Synced == 0 || r.Synced+r.Dropped != r.Published || r.Signals == 0 || r.DeadLettered != 0 {
		t.Errorf("report = %+v, want every request done or dropped, and signals", r)
	}

	base := "users/user-00001/"
	snapshot := read(t, e, base+"alpacaAccounts/snapshot")
	want := map[string]string{
		"broker": "stringValue", "external_account_id": "stringValue", "status": "stringValue",
		"equity": "doubleValue", "buying_power": "doubleValue", "cash": "doubleValue",
		"updated_at": "timestampValue", "updated_at_iso": "stringValue", "user_id": "stringValue", "encrypted_key_path": "stringValue",
		"raw": "mapValue", "positions": "arrayValue", "open_orders": "arrayValue", "detail_observed_at": "timestampValue",
		"tick": "stringValue", "seq": "integerValue", "slot_minutes": "integerValue", "changed_seq": "integerValue", "observed_at": "timestampValue",
		"cadence_minutes": "integerValue", "changed_equity": "stringValue", "changed_buying_power": "stringValue",
		"key_version": "stringValue", "content_hash": "stringValue", "incomplete": "booleanValue",
		"flows": "arrayValue", "flows_observed_at": "timestampValue", "flows_since": "timestampValue", "net_flow": "stringValue",
	}
	if d := cmp.Diff(want, types(snapshot)); d != "" {
		t.Errorf("snapshot's types (-want +got):\n%s", d)
	}
	raw := types(field(snapshot["raw"], "mapValue", "fields"))
	for _, k := range []string{"equity", "buying_power", "cash"} {
		if raw[k] != "stringValue" {
			t.Errorf("raw.%s is a %s, want the broker's exact string", k, raw[k])
		}
	}
	if d := cmp.Diff(map[string]string{"kind": "stringValue", "params": "mapValue", "enabled": "booleanValue"}, types(read(t, e, base+"strategies/rebalance"))); d != "" {
		t.Errorf("strategy's types (-want +got):\n%s", d)
	}
	signals := list(t, e, base+"tradingSignals")
	if len(signals) == 0 {
		t.Fatal("no signal")
	}
	want = map[string]string{
		"user_id": "stringValue", "strategy_id": "stringValue", "symbol": "stringValue", "action": "stringValue",
		"notional_usd": "doubleValue", "notional": "stringValue", "reason": "stringValue", "status": "stringValue", "cause": "stringValue",
		"snapshot_seq": "integerValue", "created_at": "timestampValue", "expires_at": "timestampValue",
	}
	for _, s := range signals {
		got := types(s)
		delete(got, "superseded_by")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("signal's types (-want +got):\n%s", d)
		}
	}
}

// read gets a document by REST.
func read(t *testing.T, e *emulator.Emulator, path string) map[string]any {
	t.Helper()
	return field(get(t, e, path), "fields")
}

func list(t *testing.T, e *emulator.Emulator, collection string) (fields []map[string]any) {
	t.Helper()
	docs, _ := get(t, e, collection)["documents"].([]any)
	for _, d := range docs {
		fields = append(fields, field(d, "fields"))
	}
	return fields
}

func get(t *testing.T, e *emulator.Emulator, path string) (answer map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.Addr()+"/v1/projects/"+local.Project+"/databases/(default)/documents/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer owner")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", path, resp.Status, err, body)
	}
	return answer
}

// field follows keys into nested objects.
func field(v any, keys ...string) map[string]any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	m, _ := v.(map[string]any)
	return m
}

// types are the names of the fields' types on the wire.
func types(fields map[string]any) map[string]string {
	names := map[string]string{}
	for k, v := range fields {
		for name := range v.(map[string]any) {
			names[k] = name
		}
	}
	return names
}
