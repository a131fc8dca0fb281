package store_test

import (
	"fmt"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// book is a store with one user's snapshot: buying power of $1,000.10, SPY held for 750.01.
func book(t testing.TB) (*mem.DB, *store.Store, account.Snapshot) {
	db := mem.NewDB(func() time.Time { return noon })
	s := store.New(db)
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	_, err := s.PutSnapshot(t.Context(), porttest.Snapshot("u", 1, noon))
	must(t, err)
	snap, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	return db, s, snap
}

func statuses(t *testing.T, db *mem.DB) map[string]string {
	docs, err := db.Query(t.Context(), document.Query{Collection: store.UserPath("u") + "/" + store.Signals})
	must(t, err)
	got := map[string]string{}
	for _, d := range docs {
		f := d.Fields
		got[fmt.Sprint(f["strategy_id"], " ", f["cause"], " ", f["symbol"])] = fmt.Sprint(f["status"], " ", f["action"], " ", f["notional"], " ", f["denial_code"])
	}
	return got
}

// What was never to be acted on goes with the record of its run, or after 30 days where none is kept. A signal that was stays its
// owner's, whatever becomes of it.
func TestDenialsExpire(t *testing.T) {
	db, s, snap := book(t)
	place := func(id string, kept time.Duration, r risk.Run) {
		t.Helper()
		got, err := s.Place(t.Context(), r.Batch, func(v risk.View) risk.Plan {
			p := r.Plan(v)
			if kept > 0 {
				p.Record = &risk.Record{ID: id, At: noon, ExpireAt: noon.Add(kept)}
			}
			return p
		})
		must(t, err)
		if len(got) != 1 {
			t.Fatalf("%s: %d signals", id, len(got))
		}
	}
	for i, r := range []risk.Run{
		porttest.Run(snap, "live", "c", 1, porttest.Buy("GLD", "1")), porttest.Run(snap, "rejected", "c", 1, porttest.Buy("TLT", "1")), porttest.Run(snap, "expired", "c", 1, porttest.Buy("QQQ", "1")),
		porttest.Run(snap, "denied", "c", 1, porttest.Buy("GLD", "5000")), porttest.Run(snap, "shadow", "c", 1, porttest.Buy("IWM", "1")),
	} {
		r.Shadow = r.Batch.StrategyID == "shadow"
		place(r.Batch.StrategyID, time.Hour, r)
		r.Batch.StrategyID, r.Batch.Cause = r.Batch.StrategyID+" without record", fmt.Sprint("d", i)
		place(r.Batch.StrategyID, 0, r)
	}
	must(t, s.PutStatus(t.Context(), "u", signal.ID("u", "rejected", "TLT", "c"), "rejected"))
	must(t, s.Settle(t.Context(), "u", signal.ID("u", "rejected", "TLT", "c")))
	if _, err := s.Withdraw(t.Context(), "u", risk.Withdrawal{StrategyID: "expired", Why: risk.Withdrawn}, noon); err != nil {
		t.Fatal(err)
	}
	docs, err := db.Query(t.Context(), document.Query{Collection: store.UserPath("u") + "/" + store.Signals})
	must(t, err)
	got := map[string]any{}
	for _, d := range docs {
		got[d.Fields["strategy_id"].(string)] = d.Fields["expire_at"]
	}
	month := noon.Add(30 * 24 * time.Hour)
	want := map[string]any{
		"live": nil, "live without record": nil, "rejected": nil, "rejected without record": nil, "expired": nil, "expired without record": nil,
		"denied": noon.Add(time.Hour), "denied without record": month, "shadow": noon.Add(time.Hour), "shadow without record": month,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("expire_at (-want +got):\n%s", d)
	}
}

// The predecessor's defects: two unsent signals each spend everything, and a sell that closes is refused.
func TestBuyingPowerIsSpentOnce(t *testing.T) {
	db, s, snap := book(t)
	sell := strategy.Intent{Symbol: "SPY", Action: signal.Sell, Notional: decimal.RequireFromString("750.009")} // cents are what the broker takes
	for i, r := range []risk.Run{
		porttest.Run(snap, "a", "c1", 10, porttest.Buy("GLD", "1000.10")),
		porttest.Run(snap, "b", "c1", 10, porttest.Buy("TLT", "1000.10")),
		porttest.Run(snap, "b", "c2", 11, sell),
		porttest.Run(snap, "b", "c2", 11, sell), // delivered again
		porttest.Run(snap, "c", "c1", 10, porttest.Buy("TLT", "-5"), porttest.Buy("GLD", "1"), porttest.Buy("GLD", "2")),
	} {
		if _, err := s.Place(t.Context(), r.Batch, r.Plan); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	want := map[string]string{
		"a c1 GLD": "pending buy 1000.10 <nil>", "b c1 TLT": "rejected flat 0.00 BUYING_POWER_EXCEEDED", "b c2 SPY": "pending sell 750.00 <nil>",
		"c c1 TLT": "rejected flat 0.00 INTENT_INVALID", "c c1 GLD": "rejected flat 0.00 INTENT_INVALID",
	}
	if diff := cmp.Diff(want, statuses(t, db)); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
}

// A run without a wish and without news costs no write; one with a new state of the strategy's is kept, once.
// A sell of all that is held says the shares; what says more than is held is none of it.
func TestSharesOfAnExit(t *testing.T) {
	for qty, want := range map[string]any{"": nil, "1.123456789": "1.123456789", "1.1234567891": nil, "-1": nil} {
		_, s, snap := book(t)
		snap.Positions = []account.Position{{Symbol: "SPY", Qty: decimal.RequireFromString("1.123456789"), MarketValue: decimal.NewNullDecimal(decimal.NewFromInt(700))}}
		_, err := s.PutSnapshot(t.Context(), snap)
		must(t, err)
		snap, err = s.Snapshot(t.Context(), "u")
		must(t, err)
		i := strategy.Intent{Symbol: "SPY", Action: signal.Sell, Notional: decimal.NewFromInt(700)}
		if qty != "" {
			i.Qty = decimal.NewNullDecimal(decimal.RequireFromString(qty))
		}
		r := porttest.Run(snap, "a", "c1", 10, i)
		placed, err := s.Place(t.Context(), r.Batch, r.Plan)
		must(t, err)
		if len(placed) != 1 || placed[0].Status != signal.Pending {
			t.Fatalf("%q: %+v", qty, placed)
		}
		stored, err := s.Signal(t.Context(), "u", placed[0].ID)
		must(t, err)
		var got any
		if stored.Qty.Valid {
			got = stored.Qty.Decimal.String()
		}
		if got != want {
			t.Errorf("%q: %v shares, want %v", qty, got, want)
		}
	}
}

func TestQuietRunWritesNothing(t *testing.T) {
	db, s, snap := book(t)
	for i, c := range []struct {
		keep   strategy.State
		writes int64
	}{{nil, 1}, {nil, 0}, {strategy.State{"in": "1"}, 1}, {strategy.State{"in": "1"}, 0}, {nil, 0}, {strategy.State{}, 1}} {
		_, before := db.Counts()
		r := porttest.Run(snap, "a", fmt.Sprint("c", i), tick.Tick(10+i))
		r.Keep = c.keep
		_, err := s.Place(t.Context(), r.Batch, r.Plan)
		must(t, err)
		if _, after := db.Counts(); after-before != c.writes { // the first is the high-water mark
			t.Errorf("run %d: %d writes, want %d", i, after-before, c.writes)
		}
	}
}

// A breach is written though the run wants nothing; until a person says otherwise only what closes passes.
func TestBreachIsKept(t *testing.T) {
	db, s, snap := book(t)
	must(t, s.SetLimits(t.Context(), "u", risk.ParseLimits(map[string]any{"max_drawdown_share": "0.1"})))
	place := func(strategyID, cause string, at tick.Tick, intents ...strategy.Intent) {
		t.Helper()
		r := porttest.Run(snap, strategyID, cause, at, intents...)
		_, err := s.Place(t.Context(), r.Batch, r.Plan)
		must(t, err)
	}
	observe := func(equity string) {
		t.Helper()
		next := porttest.Snapshot("u", snap.Seq+1, snap.ObservedAt.Add(time.Minute))
		next.Raw["equity"], next.Version = equity, snap.Version
		_, err := s.PutSnapshot(t.Context(), next)
		must(t, err)
		snap, err = s.Snapshot(t.Context(), "u")
		must(t, err)
	}
	place("a", "c1", 10)
	observe("850")
	place("a", "c2", 11)
	observe("1000.10")
	place("b", "c3", 12, porttest.Buy("GLD", "1"), strategy.Intent{Symbol: "SPY", Action: signal.Sell, Notional: decimal.NewFromInt(750)})
	word, err := risk.SetTrading(risk.Active, "looked at it", "ops", snap.ObservedAt.Add(time.Second))
	must(t, err)
	must(t, s.SetTrading(t.Context(), "u", "", word))
	observe("1000.10")
	place("c", "c4", 13, porttest.Buy("GLD", "1"))
	want := map[string]string{
		"b c3 GLD": "rejected flat 0.00 TRADING_REDUCING", "b c3 SPY": "pending sell 750.00 <nil>", "c c4 GLD": "pending buy 1.00 <nil>",
	}
	if diff := cmp.Diff(want, statuses(t, db)); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
}

// A state that can't be read decides nothing, and says which document is to be mended.
func TestUnreadableState(t *testing.T) {
	db, s, snap := book(t)
	must(t, db.Set(t.Context(), "users/u/riskState/current", document.Fields{"reservations": "none"}))
	r := porttest.Run(snap, "a", "c1", 10, porttest.Buy("GLD", "1"))
	if _, err := s.Place(t.Context(), r.Batch, r.Plan); err == nil || len(statuses(t, db)) != 0 {
		t.Errorf("placed on an unreadable state: %v", err)
	}
}

// BenchmarkPlace is the whole transaction on the twin: a run that supersedes the one before.
func BenchmarkPlace(b *testing.B) {
	_, s, snap := book(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		r := porttest.Run(snap, "a", fmt.Sprint("c", n), tick.Tick(n), porttest.Buy("GLD", "100"))
		placed, err := s.Place(b.Context(), r.Batch, r.Plan)
		if err != nil || len(placed) != 1 || placed[0].DenialCode != "" {
			b.Fatal(placed, err)
		}
	}
}
