package risk_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// stored is a state after a write and a read.
func stored(t *testing.T, s *risk.State) *risk.State {
	t.Helper()
	s, err := risk.ParseState(s.Fields())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// buyOnce is a run of a strategy that may buy once a day, and what its owner executes of it.
func buyOnce(t *testing.T, s *risk.State, id, cause string, now time.Time) signal.Signal {
	t.Helper()
	snap := fresh()
	snap.ObservedAt, snap.DetailAt = now, now
	ended, changed, err := s.Refresh(nil, snap, now)
	if err != nil {
		t.Fatal(err)
	}
	r := risk.Run{
		Batch: signal.Batch{UserID: "u", StrategyID: id, Cause: cause, CauseTick: tick.Of(now), Now: now}, Input: risk.Input{MaxSnapshotAge: 5 * time.Minute},
		Limits: map[string]any{"max_orders_per_day": int64(1)}, Life: 15 * time.Minute, Intents: []strategy.Intent{intent(signal.Buy, "GLD", "1")},
	}
	sig := r.Plan(risk.View{Snapshot: snap, State: s, Ended: ended, Changed: changed}).Signals[0]
	s.Settle(sig.ID, risk.Word{Status: signal.Executed, At: now})
	return sig
}

// Of more strategies than are remembered each keeps its limit of the day: those that were counted stay, and one that finds no place
// is denied until there is one.
func TestMoreStrategiesThanAreRemembered(t *testing.T) {
	s, got := &risk.State{}, map[string]int{}
	for cause := range 5 {
		for i := range 101 {
			sig := buyOnce(t, s, fmt.Sprintf("st%03d", i), fmt.Sprintf("c%d", cause), at(float64(cause*10)))
			got[sig.DenialCode]++
			s = stored(t, s)
		}
	}
	if got[""] != 100 || got[risk.OrdersExceeded] != 400 || got[risk.StrategiesExceeded] != 5 {
		t.Errorf("%v; want 100 signals, one of each strategy that has a place, 400 %s and 5 %s", got, risk.OrdersExceeded, risk.StrategiesExceeded)
	}
	tomorrow := noon.Add(24 * time.Hour)
	if sig := buyOnce(t, s, "st100", "next", tomorrow); sig.DenialCode != "" || len(s.Strategies) != 100 {
		t.Errorf("the next day, when nothing is counted: %s, %d strategies; want a signal, 100", sig.DenialCode, len(s.Strategies))
	}
}

// What is forgotten is what counts least; never the strategy that has just run, whatever it ran for.
func TestWhatIsForgotten(t *testing.T) {
	full := func() *risk.State {
		s := &risk.State{}
		for i := range 100 {
			id, b := fmt.Sprintf("st%03d", i), signal.Batch{Cause: "c", CauseTick: tick.Tick(1000 - i), Now: at(float64(i))}
			if b.StrategyID = id; i%2 == 1 {
				b.Cause, b.Aside = "demand:d", true
			}
			if !s.Ran(b, nil) {
				t.Fatalf("no place for %s", id)
			}
		}
		return s
	}
	edit := signal.Batch{StrategyID: "new", Cause: "edit:e", Aside: true, Now: at(200)}
	change := func(s *risk.State, id string, f func(*risk.Progress)) {
		p := s.Strategies[id]
		f(&p)
		s.Strategies[id] = p
	}
	for name, c := range map[string]struct {
		keep   func(*risk.State)
		forgot string
	}{
		"the one that ran longest ago":  {func(*risk.State) {}, "st000"},
		"not one that ran for a demand": {func(s *risk.State) { change(s, "st000", func(p *risk.Progress) { p.At = at(150) }) }, "st001"},
		"not one with orders of today":  {func(s *risk.State) { change(s, "st000", func(p *risk.Progress) { p.Orders = 1 }) }, "st001"},
		"nor with a notional of today":  {func(s *risk.State) { change(s, "st000", func(p *risk.Progress) { p.Notional = dec("1") }) }, "st001"},
		"nor with a mark of its own":    {func(s *risk.State) { change(s, "st000", func(p *risk.Progress) { p.Mark.At = noon }) }, "st001"},
		"nor with a breach":             {func(s *risk.State) { s.Breaches = []risk.Breach{{Strategy: "st000"}} }, "st001"},
		"nor with a reservation":        {func(s *risk.State) { s.Reservations = []signal.Reservation{{StrategyID: "st000"}} }, "st001"},
		"before one that has a memory":  {func(s *risk.State) { change(s, "st000", func(p *risk.Progress) { p.State = strategy.State{"k": "v"} }) }, "st001"},
		"a memory, where nothing else is": {func(s *risk.State) {
			for id := range s.Strategies {
				change(s, id, func(p *risk.Progress) { p.State = strategy.State{"k": "v"} })
			}
		}, "st000"},
		"nothing that must be kept": {func(s *risk.State) {
			for id := range s.Strategies {
				change(s, id, func(p *risk.Progress) { p.Orders = 1 })
			}
		}, "new"},
	} {
		s := full()
		c.keep(s)
		ids := slices.Collect(maps.Keys(s.Strategies))
		ok := s.Ran(edit, nil)
		s = stored(t, s)
		var forgot []string
		for _, id := range append(ids, "new") {
			if _, there := s.Strategies[id]; !there {
				forgot = append(forgot, id)
			}
		}
		if !slices.Equal(forgot, []string{c.forgot}) || ok != (c.forgot != "new") {
			t.Errorf("%s: forgot %v, want %s; the new one has a place: %t", name, forgot, c.forgot, ok)
		}
		if done, _ := s.Seen(edit); done != ok {
			t.Errorf("%s: the edit was seen: %t, want %t", name, done, ok)
		}
	}
}

// A breach is never forgotten: where its strategy finds no place, it is the user's.
func TestBreachesAreKept(t *testing.T) {
	snap := fresh()
	limits := map[string]any{"max_drawdown_share": "0.1"}
	s := &risk.State{Mark: risk.Mark{Equity: usd("12000"), At: at(-60)}}
	l := risk.Lookout{Now: noon, Strategies: map[string]map[string]any{}}
	for i := range 250 {
		l.Strategies[fmt.Sprintf("st%03d", i)] = limits
	}
	l.Mark(risk.View{Snapshot: snap, State: s})
	s = stored(t, s)
	if own := slices.DeleteFunc(slices.Clone(s.Breaches), func(b risk.Breach) bool { return b.Strategy == "" }); len(s.Breaches) != 101 || len(own) != 100 || len(s.Strategies) != 100 {
		t.Errorf("%d breaches, %d of strategies, of %d; want 101, 100, 100", len(s.Breaches), len(own), len(s.Strategies))
	}
	for id := range l.Strategies {
		in := input(nil)
		in.StrategyID, in.State = id, s
		in.State.Mark = risk.Mark{Equity: usd("10000"), At: noon} // what was lost is made up for
		v := risk.New(in).Check(intent(signal.Buy, "AAPL", "1"))
		if c := code(v); c != risk.TradingReducing && c != risk.StrategiesExceeded {
			t.Fatalf("%s: %v; want its breach, and no word took it back", id, v.Denial)
		}
	}
}

// The breach of a strategy that is not enabled is taken back by a word on it, which says that its mark begins anew, or by the
// user's, which does not. The words of before are none, and a strategy that runs has its own.
func TestBreachOfWhatDoesNotRun(t *testing.T) {
	word := func(minute float64) risk.Trading {
		return risk.Trading{State: risk.Active, Reason: "r", Author: "a", At: at(minute)}
	}
	for name, c := range map[string]struct {
		user, strategy risk.Trading
		enabled        bool
		lifted, marked bool
	}{
		"nobody":                    {},
		"the strategy":              {strategy: word(5), lifted: true, marked: true},
		"the user":                  {user: word(5), lifted: true},
		"the user, before":          {user: word(-5)},
		"the strategy, before":      {strategy: word(-5)},
		"the user, but it runs":     {user: word(5), enabled: true},
		"the strategy, and it runs": {strategy: word(5), enabled: true, lifted: true, marked: true},
	} {
		s := &risk.State{Mark: risk.Mark{Equity: usd("10000"), At: at(-60)}}
		s.Breaches = []risk.Breach{{Strategy: "gone", Code: risk.DrawdownExceeded, At: noon}, {Code: risk.DailyLossExceeded, At: at(6)}}
		l := risk.Lookout{Now: at(7), Strategies: map[string]map[string]any{"other": nil}}
		if c.enabled {
			l.Strategies["gone"] = nil
		}
		changed := l.Mark(risk.View{Snapshot: fresh(), State: s, Control: risk.Control{Trading: c.user, Strategies: map[string]risk.Trading{"gone": c.strategy}}})
		if (len(s.Breaches) == 1) != c.lifted || changed != c.lifted || s.Breaches[len(s.Breaches)-1].Strategy != "" {
			t.Errorf("%s: %+v, changed %t; want it lifted: %t, and never the user's", name, s.Breaches, changed, c.lifted)
		}
		if marked := !s.Strategies["gone"].Mark.At.IsZero(); marked != c.marked {
			t.Errorf("%s: a mark of its own: %t, want %t", name, marked, c.marked)
		}
	}
}
