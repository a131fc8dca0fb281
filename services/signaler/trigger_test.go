package signaler_test

import (
	"testing"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Heartbeats, which are passed over unread where no strategy can want them: a bar's close among them runs the strategies
// that want it, once. Here there are no bars, and that is what is said.
func TestBarRunsAStrategy(t *testing.T) {
	for kind, c := range map[string]struct {
		params map[string]any
		minute int // after noon, of the heartbeat over the close
		cause  string
	}{
		strategy.KindSMACross:  {map[string]any{"symbols": []any{"SPY"}, "timeframe": "15Min"}, 16, "bar:15Min:20261124T1215Z"},
		strategy.KindVolTarget: {map[string]any{"symbol": "SPY"}, 541, "bar:1Day:20261124T2100Z"},
	} {
		w := newWorld(t)
		d := strategy.Definition{UserID: "u", ID: "r", Kind: kind, Params: c.params, Enabled: true} // in place of the world's
		must(t, w.store.PutStrategy(t.Context(), d))
		slots := func(s *account.Snapshot) { s.SlotMinutes = strategy.Slots([]strategy.Definition{d}) }
		w.write(t, c.minute-6, true, "1000", slots)
		for n, minute := range []int{c.minute - 3, c.minute, c.minute + 3} {
			w.write(t, minute, false, "1000", slots)
			w.deliver(t, n+1)
			w.deliver(t, n+1)
		}
		signals := w.signals(t)
		if f := signals[c.cause]; len(signals) != 1 || f["denial_code"] != "BARS_UNAVAILABLE" || f["action"] != "flat" {
			t.Errorf("%s: %v, want one denial for %s", kind, signals, c.cause)
		}
	}
}
