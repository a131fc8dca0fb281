package strategy_test

import (
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// What is there without the strategy's own open signal needs it no more; what the signal itself brings about stands.
func TestWithdraw(t *testing.T) {
	open := func(side signal.Action, usd int64) []signal.Reservation {
		return []signal.Reservation{{SignalID: "a", StrategyID: "s", Symbol: "SPY", Action: side, Notional: decimal.NewFromInt(usd), CreatedAt: tuesday, ExpiresAt: tuesday.Add(15 * time.Minute)}}
	}
	rising, falling := daily(append(repeat("100", 20), "101", "120")...), daily(append(repeat("100", 20), "99", "80")...)
	sma := map[string]any{"symbols": []any{"SPY"}, "fast": int64(2), "slow": int64(5), "weight": 0.1}
	half := map[string]any{"weights": map[string]any{"SPY": 0.5}}
	model := map[string]any{"symbols": []any{"SPY"}, "weight": 0.1, "every_minutes": int64(60)}
	vol := map[string]any{"symbol": "SPY", "max_weight": 0.1, "target_vol": 1.0}
	for name, c := range map[string]struct {
		kind     string
		params   map[string]any
		bars     []market.Bar
		held     string // USD of SPY
		open     []signal.Reservation
		answer   string
		withdraw string
		wants    string
	}{
		"rebalance: bought by hand":                                   {strategy.KindRebalance, half, nil, "5000", open(signal.Buy, 5000), "", "SPY", ""},
		"rebalance: the signal brings it there":                       {strategy.KindRebalance, half, nil, "0", open(signal.Buy, 5000), "", "", ""},
		"rebalance: in the band, and none open":                       {strategy.KindRebalance, half, nil, "5000", nil, "", "SPY", ""},
		"rebalance: in the band, and its own signal brings it nearer": {strategy.KindRebalance, half, nil, "4600", open(signal.Buy, 600), "", "", ""},
		"sma_cross: of less weight by now":                            {strategy.KindSMACross, map[string]any{"symbols": []any{"SPY"}, "fast": int64(2), "slow": int64(5), "weight": 0.02}, rising, "0", open(signal.Buy, 1000), "", "", "buy SPY 200"},
		"rebalance: too much by now":                                  {strategy.KindRebalance, half, nil, "9000", open(signal.Buy, 5000), "", "", "sell SPY 4000"},
		"sma_cross: turned before it was bought":                      {strategy.KindSMACross, sma, falling, "0", open(signal.Buy, 1000), "", "SPY", ""},
		"sma_cross: bought by hand":                                   {strategy.KindSMACross, sma, rising, "1000", open(signal.Buy, 1000), "", "SPY", ""},
		"sma_cross: waits for its signal":                             {strategy.KindSMACross, sma, rising, "0", open(signal.Buy, 1000), "", "", ""},
		"vol_target: bought by hand":                                  {strategy.KindVolTarget, vol, rising, "1000", open(signal.Buy, 1000), "", "SPY", ""},
		"vol_target: waits for its signal":                            {strategy.KindVolTarget, vol, rising, "0", open(signal.Buy, 1000), "", "", ""},
		"gemini: turned before it was bought":                         {strategy.KindGemini, model, rising, "0", open(signal.Buy, 1000), "sell", "SPY", ""},
		"gemini: holds on":                                            {strategy.KindGemini, model, rising, "0", open(signal.Buy, 1000), "hold", "", ""},
	} {
		in := closed(map[string][]market.Bar{"SPY": c.bars})
		in.Quotes = market.Prices{"SPY": decimal.NewFromInt(100)}
		in.Reserved = c.open
		if held := decimal.RequireFromString(c.held); held.IsPositive() {
			in.Positions = []account.Position{{Symbol: "SPY", Qty: held.Div(decimal.NewFromInt(100)), MarketValue: usd(c.held), AvgEntryPrice: usd("100")}}
		}
		if c.answer != "" {
			in.Answer = &strategy.Answer{Text: `{"symbol":"SPY","action":"` + c.answer + `","confidence":0.9,"reason":"r"}`, Finish: "STOP"}
		}
		d, err := build(t, c.kind, c.params).Decide(in)
		if got := strings.Join(d.Withdraw, " "); err != nil || got != c.withdraw || said(d, nil) != c.wants {
			t.Errorf("%s: withdraws %q, wants %q, %v; want %q, %q", name, got, said(d, nil), err, c.withdraw, c.wants)
		}
	}
}
