package keys

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
)

func TestRewrap(t *testing.T) {
	w := newWorld(t)
	w.onboard(gcp.Envelope, "alice", "1")
	run := func(fails bool, want rewrapped, args ...string) {
		t.Helper()
		want.KMSKey, want.DataKeys = mem.KMSKey, 1
		out, err := w.run(t.Context(), append([]string{"rewrap", "--json"}, args...)...)
		var got rewrapped
		if e := json.Unmarshal([]byte(out), &got); e != nil || (err != nil) != fails {
			t.Fatalf("%v, %v: %s", e, err, out)
		}
		for i := range got.Failed {
			if got.Failed[i].Reason == "" {
				t.Error("a failure without a reason")
			}
			got.Failed[i].Reason = ""
		}
		if want.Failed == nil {
			want.Failed = []failedWrap{}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v (-want +got):\n%s", args, d)
		}
	}
	run(false, rewrapped{Current: 1})
	if err := w.kms.Rotate(); err != nil {
		t.Fatal(err)
	}
	run(false, rewrapped{DryRun: true, Rewrapped: 1}, "--dry-run")
	w.kmsFault = errors.New("503")
	run(true, rewrapped{Failed: []failedWrap{{DataKey: w.dataKey(t)}}})
	if out, err := w.run(t.Context(), "rewrap"); err == nil || !strings.Contains(err.Error(), "destroy no version") || !strings.Contains(out, "503") {
		t.Errorf("for people: %v\n%s", err, out)
	}
	w.kmsFault = nil
	run(false, rewrapped{Rewrapped: 1})
	w.kms.Destroy(1)
	w.restart()
	w.holds(gcp.Envelope, "alice", "1")
	w.noLeak()
}

// dataKey is the id of the only one.
func (w *world) dataKey(t *testing.T) string {
	t.Helper()
	docs, err := w.db.Query(t.Context(), document.Query{Collection: envelope.DataKeys})
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d data keys, %v", len(docs), err)
	}
	return docs[0].ID()
}
