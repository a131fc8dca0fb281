package account_test

import (
	"math"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// Whatever is taken for a figure is short enough to be taken again: a snapshot that could be written, but not read,
// would stop its user's syncing.
func TestFiguresAreReadAgain(t *testing.T) {
	texts := rapid.OneOf(rapid.StringMatching(`[-+]?[0-9]{0,35}(\.[0-9]{0,32})?`), rapid.StringMatching(`[-+]?[0-9]{1,8}(\.[0-9]{0,8})?[eE][-+]?[0-9]{1,3}`), rapid.StringMatching(`-?9{25,40}(e[0-9])?`))
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(texts.AsAny(), rapid.Float64().AsAny(), rapid.Float64Range(-1e32, 1e32).AsAny(), rapid.Int64().AsAny()).Draw(t, "figure")
		d, err := account.Decimal(in)
		if err != nil {
			return
		}
		again, err := account.Decimal(d.Decimal.String())
		if err != nil || !again.Decimal.Equal(d.Decimal) {
			t.Fatalf("%v is read as %s, and that as %v, %v", in, d.Decimal, again, err)
		}
		if _, err := account.Decimal(d.Decimal.InexactFloat64()); err != nil {
			t.Fatalf("%v is read as %s, its float: %v", in, d.Decimal, err)
		}
	})
}

func TestDecimalBounds(t *testing.T) {
	for name, c := range map[string]struct {
		v    any
		want string // "" is an error
	}{
		"a float as it is written": {0.1, "0.1"}, "a large float": {1e31, "1" + strings.Repeat("0", 31)}, "a float that is next to nothing": {5e-324, "0"},
		"the rest of a sum": {0.1 + 0.2 - 0.3, "0"}, "too large a float": {1.1e31, ""}, "the largest float": {-math.MaxFloat64, ""},
		"31 digits": {strings.Repeat("9", 31), strings.Repeat("9", 31)}, "32 digits": {strings.Repeat("9", 32), ""}, "30 places": {"1e-30", "0." + strings.Repeat("0", 29) + "1"},
		"31 places": {"1e-31", ""}, "digits and exponent": {strings.Repeat("9", 20) + "e20", ""}, "an exponent": {"1e30", "1" + strings.Repeat("0", 30)},
		"64 characters": {strings.Repeat("0", 63) + "7", "7"}, "65 characters": {strings.Repeat("0", 64) + "7", ""},
	} {
		if name == "the rest of a sum" {
			x, y, z := 0.1, 0.2, 0.3
			c.v, c.want = x+y-z, "0.000000000000000055511151231258"
		}
		d, err := account.Decimal(c.v)
		if (err == nil) != (c.want != "") || err == nil && d.Decimal.String() != c.want {
			t.Errorf("%s: Decimal(%v) = %s, %v; want %q", name, c.v, d.Decimal, err, c.want)
		}
	}
}

// Only a snapshot that says so itself is complete.
func TestIncompleteUnlessItSaysSo(t *testing.T) {
	ours := func(change func(map[string]any)) map[string]any {
		f := map[string]any{"positions": []any{}, "open_orders": []any{}, "incomplete": false, "observed_at": time.Unix(1, 0)}
		change(f)
		return f
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   bool
	}{
		"complete":            {func(map[string]any) {}, false},
		"incomplete":          {func(f map[string]any) { f["incomplete"] = true }, true},
		"it doesn't say":      {func(f map[string]any) { delete(f, "incomplete") }, true},
		"it says null":        {func(f map[string]any) { f["incomplete"] = nil }, true},
		"no positions":        {func(f map[string]any) { delete(f, "positions") }, true},
		"positions are null":  {func(f map[string]any) { f["positions"] = nil }, true},
		"no open orders":      {func(f map[string]any) { delete(f, "open_orders") }, true},
		"open orders are nil": {func(f map[string]any) { f["open_orders"] = nil }, true},
	} {
		s, err := account.FromFields("u", ours(c.change), time.Time{})
		if err != nil || s.Incomplete != c.want {
			t.Errorf("%s: Incomplete = %t, %v; want %t", name, s.Incomplete, err, c.want)
		}
	}
}

// Fields and FromFields are each other's reverse.
func TestFieldsRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	raw := map[string]any{"id": "a", "status": "ACTIVE", "equity": "10.10", "cash": nil, "trading_blocked": false}
	a, err := account.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := account.Snapshot{
		UserID: "u", Account: a, Raw: raw, Tick: 29_000_000, Seq: 7, ChangedSeq: 5, ObservedAt: at, DetailAt: at.Add(-time.Minute), Version: at.Add(time.Second),
		KeyVersion: "3", KeyPath: "projects/p/secrets/s", ContentHash: "h", TraceParent: "00-1",
		Positions:  []account.Position{{Symbol: "SPY", Qty: decimal.RequireFromString("-1.5"), MarketValue: usd("-600.01")}},
		OpenOrders: []account.Order{{ID: "o", ClientOrderID: "c", Symbol: "TLT", Side: "buy", Type: "limit", TimeInForce: "gtc", Status: "new", Qty: usd("1"), FilledQty: usd("0")}, {ID: "p", Notional: usd("5")}},
	}
	got, err := account.FromFields("u", want.Fields(), want.Version)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListsFromRaw(t *testing.T) {
	if ps, err := account.PositionsFromRaw([]any{map[string]any{"symbol": "SPY", "qty": int64(3), "side": "long"}}); err != nil || len(ps) != 1 || ps[0].Qty.String() != "3" || ps[0].AvgEntryPrice.Valid {
		t.Errorf("PositionsFromRaw = %+v, %v", ps, err)
	}
	if os, err := account.OrdersFromRaw([]any{map[string]any{"id": "o", "qty": "1"}}); err != nil || len(os) != 1 || !os[0].Qty.Valid || os[0].FilledQty.Valid {
		t.Errorf("OrdersFromRaw = %+v, %v", os, err)
	}
	for _, bad := range []any{nil, "SPY", map[string]any{"symbol": "SPY"}, map[string]any{"symbol": "SPY", "qty": "NaN"}, map[string]any{"symbol": true, "qty": "1"}} {
		if ps, err := account.PositionsFromRaw([]any{bad}); err == nil {
			t.Errorf("PositionsFromRaw(%v) = %+v", bad, ps)
		}
	}
	for _, bad := range []any{nil, 5.0, map[string]any{"id": int64(1)}, map[string]any{"qty": true}} {
		if os, err := account.OrdersFromRaw([]any{bad}); err == nil {
			t.Errorf("OrdersFromRaw(%v) = %+v", bad, os)
		}
	}
}

func TestCents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimal.New(rapid.Int64().Draw(t, "n"), -rapid.Int32Range(0, 20).Draw(t, "scale"))
		if got, want := account.Cents(d), d.StringFixed(2); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	})
}
