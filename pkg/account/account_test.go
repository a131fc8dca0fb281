package account_test

import (
	"math"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
)

func usd(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}

func TestChanged(t *testing.T) {
	yes, no := true, false
	base := account.Account{ID: "a", Status: "ACTIVE", Cash: usd("100"), Equity: usd("10000"), BuyingPower: usd("20000"), Multiplier: usd("2"), TradingBlocked: &no}
	for name, c := range map[string]struct {
		change func(*account.Account)
		want   bool
	}{
		"nothing":                {func(*account.Account) {}, false},
		"the same figure, again": {func(a *account.Account) { a.Cash = usd("100.00") }, false},
		"a cent of cash":         {func(a *account.Account) { a.Cash = usd("100.01") }, true},
		"status":                 {func(a *account.Account) { a.Status = "ACCOUNT_UPDATED" }, true},
		"a block":                {func(a *account.Account) { a.TradingBlocked = &yes }, true},
		"a block goes missing":   {func(a *account.Account) { a.TradingBlocked = nil }, true},
		"multiplier":             {func(a *account.Account) { a.Multiplier = usd("4") }, true},
		"equity under the band":  {func(a *account.Account) { a.Equity = usd("10009.99") }, false},
		"equity at the band":     {func(a *account.Account) { a.Equity = usd("9990") }, true},
		"buying power":           {func(a *account.Account) { a.BuyingPower = usd("20020") }, true},
		"equity goes missing":    {func(a *account.Account) { a.Equity = decimal.NullDecimal{} }, true},
	} {
		b := base
		c.change(&b)
		if got := (account.Snapshot{Account: base}).AccountChanged(b, 10); got != c.want {
			t.Errorf("%s: AccountChanged = %t, want %t", name, got, c.want)
		}
	}
}

func TestMissingStaysMissing(t *testing.T) {
	a, err := account.FromRaw(map[string]any{"id": "a", "status": "ACTIVE", "equity": nil, "cash": "0"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Equity.Valid || a.BuyingPower.Valid || a.TradingBlocked != nil || !a.Cash.Valid {
		t.Errorf("account = %+v: want no equity, no buying power, no block, and cash of 0", a)
	}
	f := account.Snapshot{Account: a}.Fields()
	if f["equity"] != nil || f["cash"] != 0.0 {
		t.Errorf("fields: equity %v, cash %v; want nil and 0", f["equity"], f["cash"])
	}
}

func TestDecimal(t *testing.T) {
	for _, bad := range []any{"NaN", "1e999999999", "-Infinity", "", "12,5", true, math.NaN(), math.Inf(1), strings.Repeat("9", 100), []any{}} {
		if d, err := account.Decimal(bad); err == nil {
			t.Errorf("Decimal(%.20v) = %v, want an error", bad, d)
		}
	}
}

// Both of the predecessor's shapes are read, numbers and strings alike; neither is fresh without a time.
func TestPredecessorsShapes(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	for name, f := range map[string]map[string]any{
		"raw, numbers": {"updated_at_iso": "2026-11-24T09:30:00Z", "buying_power": 12.5, "cash": 7.0, "equity": 20.0, "status": "ACTIVE", "raw": map[string]any{"id": "x", "buying_power": "12.50"}},
		"syncedAt":     {"syncedAt": at, "buying_power": "12.50", "cash": "7", "equity": "20", "account": map[string]any{"id": "x", "status": "ACTIVE"}},
	} {
		s, err := account.FromFields("u", f, at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !s.Account.BuyingPower.Decimal.Equal(decimal.RequireFromString("12.5")) || !s.Account.Cash.Valid || s.Account.Status != "ACTIVE" || !s.ObservedAt.Equal(at) || !s.Incomplete {
			t.Errorf("%s: %+v", name, s)
		}
		delete(f, "updated_at_iso")
		delete(f, "syncedAt")
		if s, err = account.FromFields("u", f, at); err != nil || !s.Stale(at, time.Hour) {
			t.Errorf("%s without a time: stale %t, %v; want stale", name, s.Stale(at, time.Hour), err)
		}
	}
}

func TestWrongTypes(t *testing.T) {
	for name, v := range map[string]any{"seq": "7", "observed_at": "today", "positions": "none", "raw": []any{}, "buying_power": true, "tick": "x", "updated_at_iso": "x", "incomplete": 1.0} {
		if _, err := account.FromFields("u", map[string]any{name: v}, time.Time{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s = %v: error %v, want one that names the field", name, v, err)
		}
	}
}
