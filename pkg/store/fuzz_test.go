package store_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// fromJSON are a document's fields as clients write them: a whole number as int64, or a float as JavaScript has it.
func fromJSON(body []byte, whole bool) document.Fields {
	d := json.NewDecoder(bytes.NewReader(body))
	if whole {
		d.UseNumber()
	}
	var f document.Fields
	if d.Decode(&f) != nil {
		return nil
	}
	for k, v := range f {
		f[k] = plain(v)
	}
	return f
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // ±Inf if it is past all floats
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

func FuzzParseSnapshot(f *testing.F) {
	body, err := os.ReadFile("../document/testdata/snapshot.pb")
	if err != nil {
		f.Fatal(err)
	}
	c, err := document.DecodeChange(body)
	if err != nil {
		f.Fatal(err)
	}
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	for _, fields := range []document.Fields{
		c.New.Fields,
		{"syncedAt": at, "buying_power": "12.50", "cash": int64(7), "equity": 20.0, "account": map[string]any{"id": "x", "status": "ACTIVE", "equity": nil}},
		{"raw": map[string]any{"cash": math.NaN(), "equity": math.Inf(-1)}, "buying_power": math.Inf(1), "seq": 1.5},
		{"positions": nil, "open_orders": []any{}, "incomplete": false, "observed_at": at},
		{"positions": []any{map[string]any{"symbol": "SPY"}}, "incomplete": nil},
	} {
		b, err := document.Encode("projects/p/databases/(default)", document.Document{Path: store.SnapshotPath("u"), Fields: fields, UpdateTime: at})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
	}
	for _, s := range []string{
		`{"updated_at_iso":"2026-11-24T09:30:00Z","buying_power":12.5,"cash":7,"equity":"20","status":"ACTIVE","raw":{"id":"x","buying_power":"12.50","trading_blocked":false,"multiplier":4}}`,
		`{"equity":1e308,"cash":-1e-320,"buying_power":9007199254740993,"raw":{"equity":"1e30","last_equity":"1e-30","cash":"9999999999999999999999999999999.0"}}`,
		`{"tick":"20261124T0930Z","seq":1,"changed_seq":1,"incomplete":false,"positions":[{"symbol":"SPY","qty":"-1","market_value":null}],"open_orders":[{"id":"o","symbol":"SPY","qty":1,"limit_price":"1e29"}]}`,
		`{"equity":1e308}`, `{"cash":"99999999999999999999999999999999"}`, `{"cash":"1e31"}`, `{"positions":[{"symbol":"SPY","qty":1,"market_value":1e300}]}`,
		`{"positions":[],"open_orders":[],"incomplete":null,"observed_at":null}`, `{"positions":[],"incomplete":false}`, `{"positions":[{"symbol":"SPY"}]}`,
		`{"raw":{"trading_blocked":"true"}}`, `{"account":{"shorting_enabled":true,"account_blocked":null}}`, `{"equity":1e400}`, `{"cash":99999999999999999999999999999999999999}`, `{"raw":{"raw":{}},"positions":{},"open_orders":7}`,
	} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, isJSON bool) {
		if isJSON {
			for _, whole := range []bool{false, true} {
				if f := fromJSON(body, whole); f != nil {
					parse(t, document.Document{Path: store.SnapshotPath("u"), Fields: f, UpdateTime: at})
				}
			}
			return
		}
		if d, err := document.Decode(body); err == nil {
			parse(t, d)
		}
	})
}

func parse(t *testing.T, d document.Document) {
	s, err := store.ParseSnapshot("u", d)
	if err != nil {
		return
	}
	f := d.Fields
	raw, _ := f["raw"].(map[string]any)
	if raw == nil {
		raw, _ = f["account"].(map[string]any)
	}
	a := s.Account
	for name, got := range map[string]decimal.NullDecimal{
		"equity": a.Equity, "last_equity": a.LastEquity, "cash": a.Cash, "buying_power": a.BuyingPower, "multiplier": a.Multiplier,
	} {
		in := raw[name]
		if in == nil && (name == "equity" || name == "cash" || name == "buying_power") {
			in = f[name]
		}
		figure(t, name, in, got)
	}
	for name, got := range map[string]*bool{
		"trading_blocked": a.TradingBlocked, "account_blocked": a.AccountBlocked, "transfers_blocked": a.TransfersBlocked,
		"trade_suspended_by_user": a.TradeSuspendedByUser, "shorting_enabled": a.ShortingEnabled,
	} {
		if in, ok := raw[name].(bool); ok != (got != nil) || ok && in != *got {
			t.Errorf("%s is %v, read as %v", name, raw[name], got)
		}
	}
	said, complete := f["incomplete"].(bool)
	positions, havePositions := f["positions"].([]any)
	orders, haveOrders := f["open_orders"].([]any)
	if !s.Incomplete && (!complete || said || !havePositions || !haveOrders) {
		t.Errorf("complete, though incomplete is %v, positions %v, open_orders %v", f["incomplete"], f["positions"], f["open_orders"])
	}
	if len(s.Positions) != len(positions) || len(s.OpenOrders) != len(orders) {
		t.Fatalf("%d positions, %d orders of %d, %d", len(s.Positions), len(s.OpenOrders), len(positions), len(orders))
	}
	for i, p := range s.Positions {
		in := positions[i].(map[string]any)
		if in["symbol"] != p.Symbol || p.Symbol == "" {
			t.Errorf("position %d: symbol is %v, read as %q", i, in["symbol"], p.Symbol)
		}
		for name, got := range map[string]decimal.NullDecimal{"qty": decimal.NewNullDecimal(p.Qty), "avg_entry_price": p.AvgEntryPrice, "current_price": p.CurrentPrice, "market_value": p.MarketValue} {
			figure(t, name, in[name], got)
		}
	}
	for i, o := range s.OpenOrders {
		in := orders[i].(map[string]any)
		for name, got := range map[string]decimal.NullDecimal{"qty": o.Qty, "notional": o.Notional, "filled_qty": o.FilledQty, "limit_price": o.LimitPrice} {
			figure(t, name, in[name], got)
		}
	}
	if f["observed_at"] == nil && f["updated_at_iso"] == nil && f["syncedAt"] == nil && !s.Stale(time.Now(), math.MaxInt64) {
		t.Errorf("observed at %v, out of nowhere", s.ObservedAt)
	}
	again(t, s)
}

// figure: what is missing is not Valid, what is there is that very number, and neither NaN nor infinite.
func figure(t *testing.T, name string, in any, got decimal.NullDecimal) {
	t.Helper()
	if got.Valid != (in != nil) {
		t.Fatalf("%s is %v, read as %v", name, in, got)
	}
	if !got.Valid {
		return
	}
	if text := got.Decimal.String(); len(text) > 64 {
		t.Fatalf("%s is %v, read as %s", name, in, text)
	}
	switch in := in.(type) {
	case float64:
		if back := got.Decimal.InexactFloat64(); math.IsNaN(in) || math.IsInf(in, 0) || math.Abs(back-in) > 1e-30 {
			t.Fatalf("%s is %v, read as %s", name, in, got.Decimal)
		}
	case int64:
		if !got.Decimal.Equal(decimal.NewFromInt(in)) {
			t.Fatalf("%s is %v, read as %s", name, in, got.Decimal)
		}
	case string:
		want, err := decimal.NewFromString(in)
		if err != nil || !got.Decimal.Equal(want) {
			t.Fatalf("%s is %q, read as %s", name, in, got.Decimal)
		}
	default:
		t.Fatalf("%s is a %T, read as %s", name, in, got.Decimal)
	}
}

// again: what was read can be written, and read again as it was. A snapshot that can't would stop its user's syncing.
func again(t *testing.T, s account.Snapshot) {
	f := s.Fields()
	for k, v := range f {
		if v == nil {
			delete(f, k)
		}
	}
	back, err := store.ParseSnapshot("u", document.Document{Path: store.SnapshotPath("u"), Fields: f, UpdateTime: s.Version})
	if err != nil {
		t.Fatalf("read, but not again: %v", err)
	}
	if s.Detail() != back.Detail() || s.Incomplete != back.Incomplete || s.Tick != back.Tick || s.Seq != back.Seq {
		t.Errorf("%+v\nread again as\n%+v", s, back)
	}
	if s.Account.Equity.Valid != back.Account.Equity.Valid || s.Account.Cash.Valid != back.Account.Cash.Valid || s.Account.BuyingPower.Valid != back.Account.BuyingPower.Valid {
		t.Errorf("%+v\nread again as\n%+v", s.Account, back.Account)
	}
	if s.Raw != nil && s.AccountChanged(back.Account, 1) {
		t.Errorf("a change out of nowhere:\n%s", cmp.Diff(s.Account, back.Account))
	}
	if s.Hash() == "" {
		t.Error("no hash")
	}
}
