package risk_test

import (
	"testing"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// A panic while losses are watched: decimals of this kind overflow when they are multiplied.
func TestFaultOfTheWatch(t *testing.T) {
	tiny := func(n int64) decimal.Decimal { return decimal.New(n, -2_000_000_000) }
	in := input(nil)
	in.Snapshot.Account.Equity, in.Snapshot.Flows.Total = decimal.NewNullDecimal(tiny(2)), tiny(1)
	in.State.Mark.Equity, in.State.Mark.Flow = decimal.NewNullDecimal(tiny(5)), tiny(0)
	v := risk.View{Snapshot: in.Snapshot, State: in.State}
	faults := 0
	l := risk.Lookout{Now: noon, Strategies: map[string]map[string]any{"st": nil}, Fault: func(error) { faults++ }}
	if l.Mark(v) || faults != 1 {
		t.Errorf("a fault of the watch is worth a write, or was not told: %d", faults)
	}
	r := risk.Run{
		Batch:   signal.Batch{UserID: "u", StrategyID: "st", Cause: "c", CauseTick: 1, Now: noon},
		Intents: []strategy.Intent{intent(signal.Buy, "GLD", "1"), intent(signal.Buy, "AAPL", "1")},
	}
	p := r.Plan(v)
	if len(p.Signals) != 1 || p.Signals[0].DenialCode != risk.EngineFault || p.Signals[0].Symbol != signal.AllSymbols || !p.Write || len(v.State.Reservations) != 0 {
		t.Errorf("plan = %+v, reservations %v; want one denial", p, v.State.Reservations)
	}
	if done, _ := v.State.Seen(r.Batch); !done || !cmp.Equal(v.State.Mark.At, in.State.Mark.At) {
		t.Error("the cause may come again, or the mark has moved")
	}
}
