package signaler_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// everything is a world's change events of every document that the signaler has a trigger for, in their order.
type everything struct {
	*world
	paths []string
	all   []event.Event
}

func newEverything(t *testing.T) *everything {
	e := &everything{world: newWorld(t)}
	e.db.Watch(func(x mem.Written) {
		if !strings.Contains(x.Path, "/") || strings.Contains(x.Path, "/riskState/") {
			return
		}
		ev := event.New("e", event.TypeDocument, "db", "")
		_ = ev.SetData("application/protobuf", document.EncodeChange(x.Old, x.New))
		e.paths, e.all = append(e.paths, x.Path), append(e.all, ev)
	})
	return e
}

// settle delivers what is not delivered yet, in order, and what comes of it.
func (e *everything) settle(t *testing.T, from int) int {
	t.Helper()
	for ; from < len(e.all); from++ {
		must(t, e.svc.Handle(t.Context(), e.all[from]))
	}
	return from
}

// documents are all that the signaler writes.
func (e *everything) documents(t *testing.T) map[string]document.Fields {
	t.Helper()
	docs := map[string]document.Fields{}
	for _, collection := range []string{"users/u/tradingSignals", "users/u/riskState"} {
		list, err := e.db.Query(t.Context(), document.Query{Collection: collection})
		must(t, err)
		for _, d := range list {
			docs[d.Path] = d.Fields
		}
	}
	return docs
}

// An edit runs the strategy at once, on the snapshot that is there; switched off, or without a snapshot, it runs nothing.
func TestEditRunsAtOnce(t *testing.T) {
	e := newEverything(t)
	e.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.25}})
	done := e.settle(t, 0)
	if n := len(e.signals(t)); n != 0 {
		t.Errorf("%d signals without a snapshot", n)
	}
	e.write(t, 1, true, "1000", nil)
	done = e.settle(t, done)
	e.now = e.now.Add(time.Minute)
	e.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.75}})
	d, err := e.db.Get(t.Context(), store.StrategyPath("u", "r"))
	must(t, err)
	done = e.settle(t, done)
	cause := "edit:" + d.UpdateTime.Format(time.RFC3339Nano)
	if got := e.signals(t); got[cause]["notional_usd"] != 750.0 || got[cause]["status"] != "pending" || got["changed_seq:1"]["status"] != "expired" {
		t.Errorf("signals = %v, want one of %s, and the one before superseded", got, cause)
	}
	before := len(e.signals(t))
	_, err = e.db.Update(t.Context(), store.StrategyPath("u", "r"), document.Fields{"enabled": false}, time.Time{})
	must(t, err)
	e.settle(t, done)
	if got := e.signals(t); len(got) != before {
		t.Errorf("switched off: %v", got)
	}
}

// Events of all three kinds, twice and in any order: nothing is written that was not before.
func TestDisorderOfAllKinds(t *testing.T) {
	e := newEverything(t)
	done := 0
	for i := range 3 {
		e.write(t, 3*i+1, true, "1000", nil)
		done = e.settle(t, done)
		e.now = e.now.Add(time.Minute)
		e.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.2 + 0.1*float64(i)}})
		e.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5 + 0.1*float64(i)}}) // two edits in one minute
		done = e.settle(t, done)
		word := []any{"executed", " Rejected ", "filled"}[i]
		for _, f := range e.documents(t) {
			if f["status"] == "pending" {
				id := signal.ID("u", "r", "SPY", f["cause"].(string))
				must(t, e.store.PutStatus(t.Context(), "u", id, word))
			}
		}
		done = e.settle(t, done)
	}
	want := e.documents(t)
	if len(want) < 4 {
		t.Fatalf("documents = %v, want signals and a state", want)
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, n := range append(r.Perm(done), r.Perm(done)...) {
			must(t, e.svc.Handle(t.Context(), e.all[n]))
		}
		if diff := cmp.Diff(want, e.documents(t)); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

// What the signaler writes on signals itself, or what is no word, costs neither a read nor a write.
func TestOwnWritesAreFree(t *testing.T) {
	e := newEverything(t)
	e.write(t, 1, true, "1000", nil)
	e.settle(t, 0)
	e.write(t, 2, true, "100", nil) // another signal supersedes it, or a denial does
	e.settle(t, 0)
	id := signal.ID("u", "r", "SPY", "changed_seq:1")
	for _, odd := range []any{"Pending", "filled", int64(3), nil, "expired"} {
		must(t, e.store.PutStatus(t.Context(), "u", id, odd))
	}
	reads, writes := e.db.Counts()
	signals := 0
	for n, path := range e.paths {
		if strings.Contains(path, "/"+store.Signals+"/") {
			signals++
			must(t, e.svc.Handle(t.Context(), e.all[n]))
		}
	}
	if r, w := e.db.Counts(); signals < 6 || r != reads || w != writes {
		t.Errorf("%d events of signals made %d reads and %d writes", signals, r-reads, w-writes)
	}
	must(t, e.store.PutStatus(t.Context(), "u", id, " REJECTED"))
	must(t, e.svc.Handle(t.Context(), e.all[len(e.all)-1]))
	if r, _ := e.db.Counts(); r == reads+1 {
		t.Error("a word was not heard")
	}
}

// Limits that deny everything: one coded denial for each cause, however often and in whatever order its events come, and
// none for a heartbeat.
func TestLimitsThatDenyEverything(t *testing.T) {
	e := newEverything(t)
	must(t, e.db.Set(t.Context(), "users/u/riskControls/current", document.Fields{"limits": map[string]any{"allow_symbols": []any{}}}))
	must(t, e.db.Set(t.Context(), store.StrategyPath("u", "d"), document.Fields{"kind": "dca", "enabled": true, "params": map[string]any{
		"symbol": "TLT", "notional_usd": 10.0, "every_minutes": int64(5),
	}}))
	for minute := 1; minute <= 30; minute++ {
		e.write(t, minute, minute%10 == 1, "1000", nil)
		e.settle(t, 0) // all of them again
	}
	causes := map[string]int{}
	for path, f := range e.documents(t) {
		if !strings.Contains(path, "/"+store.Signals+"/") {
			continue
		}
		causes[fmt.Sprint(f["strategy_id"], " ", f["cause"])]++
		if f["action"] != "flat" || f["status"] != "rejected" || f["denial_code"] != "SYMBOL_NOT_ALLOWED" {
			t.Errorf("%v, want a denial", f)
		}
	}
	for _, seq := range []int{1, 11, 21} {
		if c := fmt.Sprintf("r changed_seq:%d", seq); causes[c] != 1 {
			t.Errorf("%d denials for %s", causes[c], c)
		}
	}
	for minute := 5; minute <= 30; minute += 5 {
		if c := "d schedule:" + noon.Add(time.Duration(minute)*time.Minute).Format("20060102T1504Z"); causes[c] != 1 {
			t.Errorf("%d denials for %s", causes[c], c)
		}
	}
	if len(causes) != 3+6 {
		t.Errorf("denials of %v, want those of 3 changes and 6 slots", causes)
	}
}
