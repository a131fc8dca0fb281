package risk_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

func usd(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}

func TestAfford(t *testing.T) {
	held := []account.Position{
		{Symbol: "SPY", Qty: decimal.NewFromInt(10), MarketValue: usd("5000")},
		{Symbol: "TLT", Qty: decimal.NewFromInt(-10), MarketValue: usd("-900")},
	}
	for name, c := range map[string]struct {
		power    decimal.NullDecimal
		action   signal.Action
		symbol   string
		notional string
		code     string
		text     string
	}{
		"under":                          {usd("1000"), signal.Buy, "AAPL", "999.99", "", ""},
		"equal passes":                   {usd("1000"), signal.Buy, "AAPL", "1000", "", ""},
		"a cent over":                    {usd("1000"), signal.Buy, "AAPL", "1000.01", risk.BuyingPowerExceeded, "Refusing to trade: requested notional $1000.01 exceeds buying power $1000.00."},
		"no buying power":                {usd("0"), signal.Buy, "AAPL", "1", risk.BuyingPowerUnavailable, "Warm-cache buying power unavailable/zero; refusing to trade."},
		"negative buying power":          {usd("-5"), signal.Buy, "AAPL", "1", risk.BuyingPowerUnavailable, "Warm-cache buying power unavailable/zero; refusing to trade."},
		"buying power missing":           {decimal.NullDecimal{}, signal.Buy, "AAPL", "1", risk.BuyingPowerUnavailable, "Warm-cache buying power unavailable/zero; refusing to trade."},
		"closing all, no buying power":   {usd("0"), signal.Sell, "SPY", "5000", "", ""},
		"a sell past what is held":       {usd("0"), signal.Sell, "SPY", "5000.01", risk.BuyingPowerUnavailable, "Warm-cache buying power unavailable/zero; refusing to trade."},
		"a sell of what is not held":     {usd("100"), signal.Sell, "AAPL", "101", risk.BuyingPowerExceeded, "Refusing to trade: requested notional $101.00 exceeds buying power $100.00."},
		"buying back a short":            {usd("0"), signal.Buy, "TLT", "900", "", ""},
		"buying past a short":            {usd("99"), signal.Buy, "TLT", "1000", risk.BuyingPowerExceeded, "Refusing to trade: requested notional $1000.00 exceeds buying power $99.00."},
		"selling more of a short":        {usd("0"), signal.Sell, "TLT", "1", risk.BuyingPowerUnavailable, "Warm-cache buying power unavailable/zero; refusing to trade."},
		"negative notional (its defect)": {usd("1000"), signal.Buy, "AAPL", "-1", risk.IntentInvalid, ""},
		"no notional":                    {usd("1000"), signal.Buy, "AAPL", "0", risk.IntentInvalid, ""},
		"unknown action (its defect)":    {usd("1000"), "short", "AAPL", "1", risk.IntentInvalid, ""},
		"no symbol":                      {usd("1000"), signal.Buy, "", "1", risk.IntentInvalid, ""},
	} {
		purse := risk.NewPurse(account.Snapshot{Account: account.Account{BuyingPower: c.power}})
		d := purse.Afford(strategy.Input{Positions: held}, strategy.Intent{Symbol: c.symbol, Action: c.action, Notional: decimal.RequireFromString(c.notional)})
		switch {
		case (d == nil) != (c.code == ""):
			t.Errorf("%s: %v, want code %q", name, d, c.code)
		case d != nil && (d.Code != c.code || (c.text != "" && d.Reason != c.text)):
			t.Errorf("%s: %s %q, want %s %q", name, d.Code, d.Reason, c.code, c.text)
		}
	}
}

func TestBuyingPowerIsSpentOnceInARun(t *testing.T) {
	purse := risk.NewPurse(account.Snapshot{Account: account.Account{BuyingPower: usd("100")}})
	want := strategy.Intent{Symbol: "SPY", Action: signal.Buy, Notional: decimal.NewFromInt(60)}
	if d := purse.Afford(strategy.Input{}, want); d != nil {
		t.Errorf("the first: %v", d)
	}
	if d := purse.Afford(strategy.Input{}, want); d == nil || d.Code != risk.BuyingPowerExceeded {
		t.Errorf("the second: %v, want %s", d, risk.BuyingPowerExceeded)
	}
}

func TestUsable(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		s    account.Snapshot
		code string
	}{
		"fresh":           {account.Snapshot{ObservedAt: now.Add(-300 * time.Second)}, ""},
		"stale":           {account.Snapshot{ObservedAt: now.Add(-301 * time.Second)}, risk.SnapshotStale},
		"from the future": {account.Snapshot{ObservedAt: now.Add(61 * time.Second)}, risk.SnapshotStale},
		"without time":    {account.Snapshot{}, risk.SnapshotStale},
		"incomplete":      {account.Snapshot{ObservedAt: now, Incomplete: true}, risk.SnapshotIncomplete},
	} {
		d := risk.Usable(c.s, now, 300*time.Second)
		if (d == nil) != (c.code == "") || (d != nil && d.Code != c.code) {
			t.Errorf("%s: %v, want %q", name, d, c.code)
		}
	}
}
