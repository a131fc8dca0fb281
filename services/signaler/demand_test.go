package signaler_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// demanding is a world whose signaler is asked, with a model that says buy SPY.
func demanding(t *testing.T) *asking {
	a := newAsking(t, 24)
	a.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5, "GLD": 0.25}})
	return a
}

func (w *world) demand(t *testing.T, d signaler.Demand) []signaler.Made {
	t.Helper()
	d.UserID = "u"
	made, err := w.svc.Generate(t.Context(), d)
	must(t, err)
	return made
}

// The strategies that trade the symbol are run, for nothing but it; whoever asks again under the same name gets the same.
func TestDemand(t *testing.T) {
	a := demanding(t)
	a.write(t, 1, true, "2000", nil)
	ask := signaler.Demand{Symbol: " spy ", ID: "order-7", Context: "the Fed meets today"}
	made := a.demand(t, ask)
	if len(made) != 2 || made[0].StrategyID != "g" || made[1].StrategyID != "r" || len(made[0].Signals) != 1 || made[0].Signals[0].Action != signal.Buy || made[0].Cause != "demand:order-7" {
		t.Fatalf("made %+v", made)
	}
	if raw, _ := a.signal(t, made[0])["raw_model_output"].(string); !strings.Contains(raw, `I like bonds\\nthe Fed meets today`) {
		t.Errorf("the model was not told: %s", raw)
	}
	for _, m := range made {
		for _, s := range m.Signals {
			if s.Symbol != "SPY" {
				t.Errorf("%s signals %s, which nobody asked for", m.StrategyID, s.Symbol)
			}
		}
	}
	signals, calls := a.count(t), a.calls
	a.write(t, 9, true, "2000", nil) // another minute, another account
	ask.Context = "all is calm"
	for _, m := range a.demand(t, ask) {
		if len(m.Signals) > 0 && !m.Repeated {
			t.Errorf("asked again: %+v", m)
		}
	}
	if got := a.count(t); got != signals || a.calls != calls {
		t.Errorf("asked again: %d signals and %d questions, want %d and %d", got, a.calls, signals, calls)
	}
	if d := a.demand(t, signaler.Demand{Symbol: "GLD"}); len(d) != 1 || d[0].StrategyID != "r" || !strings.HasPrefix(d[0].Cause, "demand:20261124T120900") || d[0].Signals[0].Notional.String() != "250" {
		t.Errorf("GLD: %+v", d)
	}
}

// What came to nothing the first time comes to nothing again, though by now the strategy would want something; with records, and
// without, and where nobody reads any.
func TestDemandForNothing(t *testing.T) {
	for name, change := range map[string]func(*signaler.Deps, *signaler.Config){
		"records":    func(*signaler.Deps, *signaler.Config) {},
		"no records": func(_ *signaler.Deps, c *signaler.Config) { c.DecisionTTL = 0 },
		"unread":     func(d *signaler.Deps, _ *signaler.Config) { d.Records = nil },
	} {
		w := newWorld(t)
		var deps signaler.Deps
		w.deps(t, func(d *signaler.Deps) { d.Records = w.store; deps = *d })
		cfg := signaler.DefaultConfig()
		change(&deps, &cfg)
		var err error
		w.svc, err = signaler.New(cfg, deps)
		must(t, err)
		w.write(t, 1, true, "1000", func(s *account.Snapshot) { s.Positions = []account.Position{share("SPY", 500)} })
		ask := signaler.Demand{Symbol: "SPY", ID: "x"}
		if made := w.demand(t, ask); len(made) != 1 || made[0].Repeated || len(made[0].Signals) != 0 || (made[0].DecisionID == "") != (name != "records") {
			t.Errorf("%s: %+v, want nothing", name, made)
		}
		w.write(t, 5, true, "1000", nil)
		if made := w.demand(t, ask); len(made) != 1 || made[0].Repeated != (name == "records") || len(made[0].Signals) != 0 || w.count(t) != 0 {
			t.Errorf("%s: asked again: %+v, %d signals", name, made, w.count(t))
		}
		ask.ID = "y"
		if made := w.demand(t, ask); len(made) != 1 || len(made[0].Signals) != 1 || made[0].Signals[0].Action != signal.Buy {
			t.Errorf("%s: by another name: %+v, want a buy", name, made)
		}
	}
}

// Many who ask at once under one name get one signal.
func TestDemandAtOnce(t *testing.T) {
	a := demanding(t)
	a.write(t, 1, true, "2000", nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := a.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "SPY", StrategyID: "r", ID: "x"}); err != nil && !errors.Is(err, document.ErrConflict) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := a.count(t); n != 1 {
		t.Errorf("%d signals", n)
	}
}

// Whose account is not known, or not fresh, gets the predecessor's texts.
func TestDemandDenied(t *testing.T) {
	a := demanding(t)
	if _, err := a.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "SPY"}); err == nil || err.Error() != "Missing warm-cache snapshot at Firestore doc users/u/alpacaAccounts/snapshot" {
		t.Errorf("no snapshot: %v", err)
	}
	a.write(t, 1, true, "10", nil)
	if s := a.demand(t, signaler.Demand{Symbol: "SPY", StrategyID: "r"})[0].Signals[0]; s.DenialCode != risk.BuyingPowerExceeded || s.Reason != "Refusing to trade: requested notional $500.00 exceeds buying power $10.00." {
		t.Errorf("unaffordable: %+v", s)
	}
	a.now = a.now.Add(time.Hour)
	if s := a.demand(t, signaler.Demand{Symbol: "SPY", StrategyID: "r"})[0].Signals[0]; s.DenialCode != risk.SnapshotStale || s.Reason != "Warm-cache buying power unavailable/zero or snapshot stale; refusing to generate trade." {
		t.Errorf("stale: %+v", s)
	}
	for want, d := range map[string]signaler.Demand{
		"no enabled strategy trades the symbol: user u has 2 enabled strategies": {UserID: "u", Symbol: "NVDA"},
		"strategy \"other\" of user u is not there":                              {UserID: "u", Symbol: "SPY", StrategyID: "other"},
		"want capitals and digits":                                               {UserID: "u", Symbol: "S P Y"},
		"user: ":                                                                 {UserID: "a/b", Symbol: "SPY"},
		"id of the demand is":                                                    {UserID: "u", Symbol: "SPY", ID: "a/b"},
		"looks like a key":                                                       {UserID: "u", Symbol: "SPY", Context: "PKABCDEFGHIJ12345678"},
		"strategy g: context: 12 bytes of the owner's, a line's end and 988 of --context: want at most 1000 together": {UserID: "u", Symbol: "SPY", Context: strings.Repeat("x", 988), StrategyID: "g"},
	} {
		if _, err := a.svc.Generate(t.Context(), d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", d, err, want)
		}
	}
}

// A document that can't be run may be one that trades the symbol: what came of the others is given, and the fault.
func TestDemandOfABrokenStrategy(t *testing.T) {
	a := demanding(t)
	a.strategy(t, "broken", map[string]any{"weights": "SPY"})
	a.write(t, 1, true, "2000", nil)
	made, err := a.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "SPY", Context: strings.Repeat("x", 988)})
	if len(made) != 1 || made[0].StrategyID != "r" || len(made[0].Signals) != 1 || !errors.Is(err, strategy.ErrInvalid) ||
		!strings.Contains(err.Error(), "broken (rebalance): weights is a string") || !strings.Contains(err.Error(), "strategy g: context: 12 bytes") {
		t.Errorf("%+v, %v; want what r wants, and what is wrong with the two others", made, err)
	}
	if made, err := a.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "SPY", StrategyID: "r"}); len(made) != 1 || err != nil {
		t.Errorf("r alone: %+v, %v", made, err)
	}
}

// What comes to a signal or a denial leaves one record, that can be replayed; what comes to nothing leaves none.
func TestRecords(t *testing.T) {
	w := newWorld(t)
	w.write(t, 1, true, "1000", nil)
	w.deliver(t, 0)
	w.deliver(t, 0)
	w.write(t, 2, true, "1000", nil) // all that is wanted is under way
	w.deliver(t, 1)
	w.write(t, 3, true, "1000", func(s *account.Snapshot) { s.Incomplete = true })
	w.deliver(t, 2)
	w.deliver(t, 2)
	records, err := w.store.DecisionsOn(t.Context(), "u", w.now)
	must(t, err)
	if len(records) != 2 || records[0].Outcome[0] != "buy SPY 500.00" || records[1].Outcome[0] != "flat * SNAPSHOT_INCOMPLETE" || records[0].Body != nil || !records[0].ExpireAt.Equal(noon.Add(time.Minute+720*time.Hour)) {
		t.Fatalf("records %+v", records)
	}
	for _, listed := range records {
		r, err := w.store.Decision(t.Context(), "u", listed.ID)
		must(t, err)
		kept, err := decision.Decode(r.Body)
		must(t, err)
		again, err := decision.Replay(kept)
		must(t, err)
		if len(again.Signals) != 1 || again.Signals[0].ID != listed.Signals[0] {
			t.Errorf("replayed: %+v", again)
		}
	}
	if _, err := w.store.Decision(t.Context(), "u", "other"); !errors.Is(err, risk.ErrNoRecord) {
		t.Errorf("no record: %v", err)
	}
}

func (w *world) count(t *testing.T) int {
	t.Helper()
	docs, err := w.db.Query(t.Context(), document.Query{Collection: "users/u/tradingSignals"})
	must(t, err)
	return len(docs)
}

func (w *world) signal(t *testing.T, m signaler.Made) document.Fields {
	t.Helper()
	d, err := w.db.Get(t.Context(), store.SignalPath("u", m.Signals[0].ID))
	must(t, err)
	return d.Fields
}

// Somebody asks by a clock that is wrong: nothing is decided by it, no day begun and no signal ended, and both times are said.
func TestDemandByAWrongClock(t *testing.T) {
	for name, c := range map[string]struct {
		off     time.Duration // this machine's, from the database's
		unasked bool          // nobody tells the database's
		want    string        // "": it is good enough
	}{
		"a day ahead":            {24 * time.Hour, false, "this machine's clock says 2026-11-25T12:01:00Z, and the database's 2026-11-24T12:01:00Z"},
		"a day behind":           {-24 * time.Hour, false, "this machine's clock says 2026-11-23T12:01:00Z, and the database's 2026-11-24T12:01:00Z"},
		"three minutes ahead":    {3 * time.Minute, false, "12:04:00Z, and the database's 2026-11-24T12:01:00Z"},
		"a little ahead":         {50 * time.Second, false, ""},
		"a little behind":        {-50 * time.Second, false, ""},
		"before the snapshot":    {-90 * time.Second, false, "users/u/alpacaAccounts/snapshot was observed at 2026-11-24T12:01:00Z, and it is 2026-11-24T11:59:30Z"},
		"behind, and none tells": {-24 * time.Hour, true, "was observed at 2026-11-24T12:01:00Z, and it is 2026-11-23T12:01:00Z"},
	} {
		w := newWorld(t)
		w.write(t, 1, true, "1000", nil)
		w.deliver(t, 0)
		w.deps(t, func(d *signaler.Deps) {
			d.Now = func() time.Time { return w.now.Add(c.off) }
			if !c.unasked {
				d.Clock = func(context.Context) (time.Time, error) { return w.now, nil }
			}
		})
		before, err := w.store.RiskState(t.Context(), "u")
		must(t, err)
		made, err := w.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "SPY", ID: "x"})
		after, err2 := w.store.RiskState(t.Context(), "u")
		must(t, err2)
		switch {
		case c.want == "":
			if err != nil || len(made) != 1 || len(made[0].Signals) != 0 {
				t.Errorf("%s: %+v, %v, want nothing: all is under way", name, made, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.want) || len(made) != 0:
			t.Errorf("%s: %+v, %v; want %q", name, made, err, c.want)
		case !cmp.Equal(before, after) || w.signals(t)["changed_seq:1"]["status"] != "pending" || w.count(t) != 1:
			t.Errorf("%s: it left its mark: %+v, then %+v; %v", name, before, after, w.signals(t))
		}
	}
	w := newWorld(t)
	w.write(t, 1, true, "1000", nil)
	w.deps(t, func(d *signaler.Deps) {
		d.Clock = func(context.Context) (time.Time, error) { return time.Time{}, document.ErrUnavailable }
	})
	if made, err := w.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "SPY"}); !errors.Is(err, document.ErrUnavailable) || len(made) != 0 {
		t.Errorf("no clock: %+v, %v", made, err)
	}
}
