package risk_test

import (
	"fmt"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// all is a limit of every kind, none of which is in the way.
func all() map[string]any {
	return map[string]any{
		"max_trade_usd": 1e6, "max_day_usd": 1e6, "max_orders_per_day": 100.0, "max_position_share": 1.0, "max_positions": 100.0, "max_gross_share": 3.0,
		"max_daily_loss_share": 0.1, "max_drawdown_share": 0.3, "cooldown_minutes": 1.0, "buffer_share": 0.05,
		"deny_symbols": []any{"GME"}, "allow_symbols": []any{"AAPL", "SPY"},
	}
}

// BenchmarkEngine is one run with ten positions: preparing it, a check that passes, one that is denied.
func BenchmarkEngine(b *testing.B) {
	in := input(all())
	in.Snapshot.Positions = nil
	for i := range 10 {
		in.Snapshot.Positions = append(in.Snapshot.Positions, account.Position{Symbol: fmt.Sprintf("S%d", i), Qty: dec("10"), MarketValue: usd("500.25")})
	}
	in.State.Reserve(signal.Signal{ID: "a", Symbol: "SPY", Action: signal.Buy, Notional: dec("10"), ExpiresAt: noon}, dec("10"), account.Snapshot{})
	b.Run("prepare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = risk.New(in)
		}
	})
	e := risk.New(in)
	for name, notional := range map[string]string{"pass": "500.00", "deny": "5000.00"} {
		i := intent(signal.Buy, "AAPL", notional)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := e.Check(i); (v.Denial == nil) != (name == "pass") {
					b.Fatal(v.Denial)
				}
			}
		})
	}
}
