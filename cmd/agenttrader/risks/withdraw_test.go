package risks

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// A halt takes back what is open; reduce what opens; each where it holds. Resume takes back nothing.
func TestStopTakesBack(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"halt --platform", "alice half TRADING_HALTED, alice other TRADING_HALTED, bob half TRADING_HALTED"},
		{"reduce --platform", "alice half TRADING_REDUCING, alice other TRADING_REDUCING, bob half TRADING_REDUCING"},
		{"halt --user alice", "alice half TRADING_HALTED, alice other TRADING_HALTED"},
		{"halt --user alice --strategy half", "alice half TRADING_HALTED"},
		{"resume --user alice", ""},
	} {
		w := newWorld(t)
		must(t, w.store.PutUser(t.Context(), user.User{ID: "bob", Status: user.Active}))
		for _, uid := range []string{"alice", "bob"} {
			_, err := w.store.PutSnapshot(t.Context(), porttest.Snapshot(uid, 1, noon))
			must(t, err)
			snap, err := w.store.Snapshot(t.Context(), uid)
			must(t, err)
			for _, id := range []string{"half", "other"} {
				if uid == "bob" && id == "other" {
					continue
				}
				r := porttest.Run(snap, id, "c1", 10, porttest.Buy("SPY", "100"))
				if placed, err := w.store.Place(t.Context(), r.Batch, r.Plan); err != nil || len(placed) != 1 || placed[0].Status != signal.Pending {
					t.Fatal(placed, err)
				}
			}
		}
		_, errs, err := w.run(append(strings.Fields(c.args), "--reason", "r")...)
		must(t, err)
		var got []string
		for _, id := range []string{"alice half", "alice other", "bob half"} {
			uid, strategyID, _ := strings.Cut(id, " ")
			d, err := w.db.Get(t.Context(), store.SignalPath(uid, signal.ID(uid, strategyID, "SPY", "c1")))
			must(t, err)
			if why := d.Fields["ended_code"]; why != nil && d.Fields["status"] == "expired" {
				got = append(got, fmt.Sprint(id, " ", why))
			}
		}
		if got := strings.Join(got, ", "); got != c.want || strings.Contains(errs, "came to their end") != (c.want != "") {
			t.Errorf("%s took back %q, want %q; it said\n%s", c.args, got, c.want, errs)
		}
	}
}

// Where signals can't be taken back, the word holds all the same, and it is said.
func TestStopWithoutTakingBack(t *testing.T) {
	w := newWorld(t)
	must(t, w.db.Set(t.Context(), "users/alice/riskState/current", map[string]any{"reservations": "odd"}))
	_, _, err := w.run("halt", "--platform", "--reason", "r")
	c, err2 := w.store.PlatformControl(t.Context())
	must(t, err2)
	if err == nil || !strings.Contains(err.Error(), "alice") || !strings.Contains(err.Error(), "say it again") || c.Trading.State != risk.Halted {
		t.Errorf("%v, state %s", err, c.Trading.State)
	}
}

// A signaler that has not heard the platform's word yet places one more signal. It is taken back too, even where one user's state
// can't be read.
func TestLateSignalsAreTakenBack(t *testing.T) {
	w := newWorld(t)
	must(t, w.store.PutUser(t.Context(), user.User{ID: "bob", Status: user.Active}))
	_, err := w.store.PutSnapshot(t.Context(), porttest.Snapshot("alice", 1, noon))
	must(t, err)
	snap, err := w.store.Snapshot(t.Context(), "alice")
	must(t, err)
	must(t, w.db.Set(t.Context(), "users/bob/riskState/current", map[string]any{"reservations": "odd"}))
	w.pause = func(context.Context) error {
		r := porttest.Run(snap, "half", "c1", 10, porttest.Buy("SPY", "100"))
		placed, err := w.store.Place(t.Context(), r.Batch, r.Plan)
		if len(placed) != 1 {
			t.Errorf("placed %v, %v", placed, err)
		}
		return err
	}
	_, _, err = w.run("halt", "--platform", "--reason", "r")
	d, err2 := w.db.Get(t.Context(), store.SignalPath("alice", signal.ID("alice", "half", "SPY", "c1")))
	must(t, err2)
	if d.Fields["status"] != "expired" || err == nil || !strings.Contains(err.Error(), "bob") {
		t.Errorf("signal = %v, %v; want it taken back, and bob's trouble said", d.Fields, err)
	}
}
