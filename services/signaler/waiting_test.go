package signaler_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Strategies that no change of the account runs, written where there is no snapshot to run them on: none yet, or a stale one. The
// next one runs them, once; before, nothing is said. One that can't be run is said then.
func TestEditWaitsForASnapshot(t *testing.T) {
	quiet := func(s *account.Snapshot) { s.SlotMinutes = account.NoSlots }
	for name, before := range map[string]func(*everything){
		"no snapshot": func(*everything) {},
		"a stale one": func(e *everything) { e.write(t, 1, true, "1000", quiet); e.now = e.now.Add(4 * time.Hour) },
		"two that are stale": func(e *everything) {
			e.write(t, 1, true, "1000", quiet)
			e.write(t, 60, true, "1000", quiet)
			e.now = e.now.Add(301 * time.Second)
		},
	} {
		e := newEverything(t)
		must(t, e.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
		before(e)
		done := e.settle(t, 0)
		e.kind(t, strategy.KindSMACross, map[string]any{"symbols": []any{"SPY"}, "timeframe": "1Day"})
		must(t, e.store.PutStrategy(t.Context(), strategy.Definition{UserID: "u", ID: "odd", Kind: strategy.KindSMACross, Params: map[string]any{"symbols": "SPY"}, Enabled: true}))
		done = e.settle(t, done)
		if got := e.signals(t); len(got) != 0 {
			t.Errorf("%s: %v, before there is a snapshot to run it on", name, got)
		}
		minute := int(e.now.Sub(noon)/time.Minute) + 3*60
		e.write(t, minute, len(e.events) == 0, "1000", quiet)
		done = e.settle(t, done)
		want := e.documents(t)
		codes := map[string]int{}
		for path, f := range want {
			if strings.Contains(path, store.Signals) {
				codes[fmt.Sprint(f["strategy_id"], " ", f["denial_code"], " ", strings.HasPrefix(f["cause"].(string), "edit:"))]++
			}
		}
		if diff := cmp.Diff(map[string]int{"r BARS_UNAVAILABLE true": 1, "odd STRATEGY_INVALID true": 1}, codes); diff != "" { // there are no bars here
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		e.write(t, minute+1, false, "1000", quiet)
		done = e.settle(t, done)
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 1))
			for _, n := range append(r.Perm(done), r.Perm(done)...) {
				must(t, e.svc.Handle(t.Context(), e.all[n]))
			}
			if diff := cmp.Diff(want, e.documents(t)); diff != "" {
				t.Fatalf("%s, seed %d (-want +got):\n%s", name, seed, diff)
			}
		}
	}
}

// The events of an edit and of the snapshot that runs it, each twice and in any order: one signal, of the edit.
func TestEditWaitsInDisorder(t *testing.T) {
	quiet := func(s *account.Snapshot) { s.SlotMinutes = account.NoSlots }
	for _, order := range [][]int{{0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}, {1, 0, 0, 1}, {1, 0, 1, 0}, {1, 1, 0, 0}} {
		e := newEverything(t)
		e.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5}, "drift_band": 0.9})
		e.write(t, 1, true, "1000", quiet)
		first := e.settle(t, 0)
		e.now = e.now.Add(8 * time.Hour)
		e.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5}})
		e.write(t, 20*60, false, "1000", quiet)
		for _, n := range order {
			must(t, e.svc.Handle(t.Context(), e.all[first+n]))
		}
		got := e.signals(t)
		for cause, f := range got {
			if len(got) != 1 || !strings.HasPrefix(cause, "edit:") || f["status"] != "pending" || f["notional_usd"] != 500.0 {
				t.Errorf("%v: %s %v", order, cause, f)
			}
		}
		if len(got) == 0 {
			t.Errorf("%v: the edit never ran", order)
		}
	}
}

// A heartbeat after a silence that no edit can have met is passed over unread, as any; after a long one it costs the look at the
// strategies, and runs none that was there before.
func TestSilenceCostsOneRead(t *testing.T) {
	w := newWorld(t)
	for _, step := range []struct {
		minute, cadence int
		want            int64 // reads
	}{{1, 1, 1}, {4, 1, 0}, {7, 15, 0}, {22, 15, 0}, {60, 1, 1}, {63, 1, 0}} {
		w.write(t, step.minute, false, "1000", func(s *account.Snapshot) { s.SlotMinutes, s.CadenceMinutes = account.NoSlots, step.cadence })
		if step.minute == 1 {
			must(t, w.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
		}
		before, _ := w.db.Counts()
		w.deliver(t, len(w.events)-1)
		if after, _ := w.db.Counts(); after-before != step.want {
			t.Errorf("minute %d: %d reads, want %d", step.minute, after-before, step.want)
		}
		if step.minute == 1 {
			w.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5}}) // its own event runs it, not the silence
		}
	}
	if got := w.signals(t); len(got) != 0 {
		t.Errorf("signals = %v", got)
	}
}
