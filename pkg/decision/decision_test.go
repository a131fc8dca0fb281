package decision_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var update = flag.Bool("update", false, "write the golden files")

// closing is Tuesday's close in New York.
var closing = time.Date(2026, 11, 24, 21, 0, 0, 0, time.UTC)

var symbols = []string{"SPY", "TLT", "QQQ"}

// same compares decimals by value, and takes no list as an empty one.
func same() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b decimal.Decimal) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b decimal.NullDecimal) bool {
			return a.Valid == b.Valid && (!a.Valid || a.Decimal.Equal(b.Decimal))
		}),
	}
}

func definition(t *rapid.T, kind string) strategy.Definition {
	n := rapid.Int64Range(2, 4).Draw(t, "n")
	list := rapid.SampledFrom([][]any{{"SPY"}, {"SPY", "TLT"}}).Draw(t, "symbols")
	d := strategy.Definition{ID: "s", UserID: "u", Kind: kind, Enabled: true, Params: map[string]map[string]any{
		strategy.KindBreakout:     {"symbols": list, "entry": n, "exit": n, "atr_stop": rapid.Float64Range(0, 3).Draw(t, "stop"), "atr_period": int64(2), "weight": 0.5},
		strategy.KindDCA:          {"symbol": "SPY", "notional_usd": n},
		strategy.KindGemini:       {"symbols": list, "weight": 0.5, "bars": "1Day", "bar_count": n, "context": "bonds <3"},
		strategy.KindRebalance:    {"weights": map[string]any{"SPY": 0.6, "TLT": "0.4"}, "drift_band": 0.0},
		strategy.KindRSIReversion: {"symbols": list, "period": int64(2), "weight": "0.5"},
		strategy.KindSMACross:     {"symbols": list, "fast": int64(1), "slow": n, "weight": 0.5},
		strategy.KindVolTarget:    {"symbol": "SPY", "lookback": int64(5), "max_weight": 2.0},
	}[kind]}
	d.Mode = rapid.SampledFrom([]strategy.Mode{"", strategy.Live, strategy.Shadow}).Draw(t, "mode")
	d.Limits = limits(t)
	return d
}

func limits(t *rapid.T) map[string]any {
	return rapid.SampledFrom([]map[string]any{
		nil, nil, nil, {}, {"max_trade_usd": int64(100)}, {"max_trade_usd": "99.99", "max_orders_per_day": 3.0}, {"hours": "regular"}, {"hours": "extended", "max_position_share": 0.2},
		{"allow_symbols": []any{"spy"}}, {"deny_symbols": []any{"TLT"}, "max_quote_age_s": int64(30)}, {"max_trade_usd": math.NaN()}, {"odd": time.Unix(5, 0).UTC(), "odder": []byte{0, 255}},
		{"limits": map[string]any{"!time": "no"}}, {"max_daily_loss_share": 0.01, "max_drawdown_share": "0.01"}, {"cooldown_minutes": int64(30), "buffer_share": 0.1},
	}).Draw(t, "limits")
}

func control(t *rapid.T) risk.Control {
	f := map[string]any{}
	if l := limits(t); l != nil {
		f["limits"] = l
	}
	if s := rapid.SampledFrom([]string{"", "", "", "ACTIVE", "REDUCING", "HALTED", "odd"}).Draw(t, "state"); s != "" {
		f["trading_state"], f["reason"], f["author"], f["set_at"] = s, "a \"reason\"", "jane", closing.Add(-time.Hour)
	}
	if rapid.IntRange(0, 4).Draw(t, "word on a strategy") == 0 {
		f["strategies"] = map[string]any{"s": map[string]any{"trading_state": "REDUCING", "reason": "r", "author": "a", "set_at": closing}}
	}
	return risk.ParseControl(f)
}

// anyCase is a run of a kind, and the view of it.
func anyCase(t *rapid.T, kind string) (*decision.Case, risk.View) {
	figure := rapid.Custom(func(t *rapid.T) decimal.Decimal {
		return decimal.New(rapid.Int64Range(-100, 10_000_000).Draw(t, "digits"), rapid.Int32Range(-6, 2).Draw(t, "places"))
	})
	price := rapid.Custom(func(t *rapid.T) decimal.Decimal {
		return decimal.New(rapid.Int64Range(90_0000, 110_0000).Draw(t, "price"), -4)
	})
	maybe := rapid.Custom(func(t *rapid.T) (n decimal.NullDecimal) {
		if rapid.IntRange(0, 9).Draw(t, "there") > 0 {
			n = decimal.NewNullDecimal(figure.Draw(t, "figure"))
		}
		return n
	})
	flag := rapid.Custom(func(t *rapid.T) *bool {
		b := rapid.IntRange(0, 9).Draw(t, "flag") == 0
		return rapid.SampledFrom([]*bool{&b, &b, &b, nil}).Draw(t, "said")
	})
	symbol, side := rapid.SampledFrom(symbols), rapid.SampledFrom([]string{"buy", "sell"})
	now := closing.Add(rapid.SampledFrom([]time.Duration{time.Minute, 61*time.Second + 123456789, 2 * time.Minute, time.Hour}).Draw(t, "later"))
	d := definition(t, kind)
	s, err := strategy.New(d)
	if err != nil {
		t.Fatal(err)
	}
	c := &decision.Case{
		Definition: d, Strategy: s, Now: now, Quotes: map[string]market.Quote{}, Bars: map[string][]market.Bar{}, RawModelOutput: rapid.String().Draw(t, "raw"),
		Cause:    strategy.Cause{Text: rapid.SampledFrom([]string{"bar:1Day:20261124T2100Z", "schedule:20261124T2100Z", "changed_seq:7", "demand:x"}).Draw(t, "cause"), Tick: tick.Of(closing)},
		Symbol:   rapid.SampledFrom([]string{"", "", "SPY"}).Draw(t, "only"),
		Platform: control(t), MaxSnapshotAge: 5 * time.Minute, Buffer: decimal.New(rapid.Int64Range(0, 99).Draw(t, "buffer"), -2),
		Life: 15 * time.Minute, Keep: time.Hour,
	}
	if rapid.Bool().Draw(t, "hours") {
		regular, extended := rapid.Bool().Draw(t, "regular"), rapid.Bool().Draw(t, "extended")
		c.Open = decision.NewHours(func(h market.Hours) (open, known bool) {
			return map[market.Hours]bool{market.Regular: regular, market.Extended: extended}[h], regular != extended
		})
	}
	if rapid.IntRange(0, 9).Draw(t, "answered") > 0 {
		c.Answer = &strategy.Answer{Finish: "STOP", PromptTokens: 5, Text: fmt.Sprintf(`{"symbol":%q,"action":%q,"confidence":%s,"reason":"b\u00e9 <&>"}`,
			rapid.SampledFrom([]string{"SPY", "TLT"}).Draw(t, "of"), rapid.SampledFrom([]string{"buy", "buy", "sell", "hold"}).Draw(t, "action"), rapid.SampledFrom([]string{"0.5", "0.95", "1"}).Draw(t, "sure"))}
	}
	for _, symbol := range symbols {
		if rapid.Bool().Draw(t, "quoted") {
			mid := price.Draw(t, "quote")
			c.Quotes[symbol] = market.Quote{Bid: mid, Ask: mid.Add(decimal.New(1, -2)), At: now.Add(-time.Duration(rapid.Int64Range(0, 130_000_000_000).Draw(t, "age")))}
		}
		n := rapid.SampledFrom([]int{0, 3, 25, 25, 25}).Draw(t, "bars")
		at := make([]time.Time, n)
		for i, day := n-1, time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC); i >= 0; day = day.AddDate(0, 0, -1) {
			if day.Weekday() != time.Saturday && day.Weekday() != time.Sunday {
				at[i], i = day, i-1
			}
		}
		for _, begin := range at {
			p := price.Draw(t, "close")
			c.Bars[symbol] = append(c.Bars[symbol], market.Bar{At: begin, Open: p, High: p.Add(decimal.New(1, -1)), Low: p.Sub(decimal.New(1, -1)), Close: p, Volume: decimal.New(rapid.Int64Range(0, 1e9).Draw(t, "volume"), -1)})
		}
	}
	snap := account.Snapshot{
		UserID: "u", Seq: 8, ChangedSeq: 7, Tick: tick.Of(now), ObservedAt: now.Add(-time.Duration(rapid.Int64Range(0, 310_000_000_000).Draw(t, "observed"))), Incomplete: rapid.IntRange(0, 19).Draw(t, "incomplete") == 0,
		Account: account.Account{
			ID: "a", Status: rapid.SampledFrom([]string{"ACTIVE", "ACTIVE", "ACTIVE", "ONBOARDING", ""}).Draw(t, "status"), Currency: "USD", Equity: maybe.Draw(t, "equity"), LastEquity: maybe.Draw(t, "last"), Cash: maybe.Draw(t, "cash"), BuyingPower: maybe.Draw(t, "power"),
			TradingBlocked: flag.Draw(t, "trading"), AccountBlocked: flag.Draw(t, "account"), TradeSuspendedByUser: flag.Draw(t, "suspended"),
		},
	}
	if rapid.Bool().Draw(t, "flows") {
		snap.Flows = account.Flows{Total: price.Draw(t, "flow"), Since: closing.Add(-time.Hour), At: closing}
		snap.Flows.Recent = []account.Flow{{ID: "f", At: closing.Add(-time.Minute), Seen: closing, Amount: decimal.NewNullDecimal(snap.Flows.Total)}}
	}
	for _, s := range rapid.SliceOfNDistinct(symbol, 0, 3, rapid.ID).Draw(t, "held") {
		snap.Positions = append(snap.Positions, account.Position{Symbol: s, Qty: decimal.New(rapid.Int64Range(-10, 1000).Draw(t, "qty"), -1), MarketValue: maybe.Draw(t, "value"), CurrentPrice: maybe.Draw(t, "current"), AvgEntryPrice: maybe.Draw(t, "entry")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "orders") {
		snap.OpenOrders = append(snap.OpenOrders, account.Order{ID: "o", ClientOrderID: "x", Symbol: symbol.Draw(t, "symbol"), Side: side.Draw(t, "side"), Qty: maybe.Draw(t, "qty"), Notional: maybe.Draw(t, "notional"), FilledQty: maybe.Draw(t, "filled"), LimitPrice: maybe.Draw(t, "limit")})
	}
	state := &risk.State{Strategies: map[string]risk.Progress{"r": {Tick: 1}, "s": {Tick: 5, Causes: []string{"c"}, State: strategy.State{"in": "1"}, Orders: 2, Notional: decimal.NewFromInt(5)}}}
	if _, err := state.Turn(now); err != nil {
		t.Fatal(err)
	}
	state.Day.Orders, state.Day.Notional = rapid.Int64Range(0, 4).Draw(t, "orders"), decimal.New(rapid.Int64Range(0, 1e6).Draw(t, "day"), -2)
	if mark := maybe.Draw(t, "mark"); mark.Decimal.IsPositive() { // no other is ever set
		state.Mark = risk.Mark{Equity: mark, At: closing.Add(-time.Hour)}
	}
	if rapid.Bool().Draw(t, "traded") {
		state.Traded = map[string]time.Time{"SPY": closing.Add(-10 * time.Minute)}
	}
	if rapid.IntRange(0, 9).Draw(t, "breach") == 0 {
		state.Breaches = []risk.Breach{{Code: risk.DrawdownExceeded, At: closing.Add(-time.Hour), Value: decimal.NewFromInt(7), Bound: decimal.NewFromInt(5)}}
	}
	for n := range rapid.IntRange(0, 2).Draw(t, "reserved") {
		notional := decimal.New(rapid.Int64Range(1, 1e6).Draw(t, "usd"), -2)
		state.Reservations = append(state.Reservations, signal.Reservation{SignalID: fmt.Sprint("r", n), StrategyID: rapid.SampledFrom([]string{"r", "s"}).Draw(t, "of"), Symbol: symbol.Draw(t, "symbol"), Action: signal.Action(side.Draw(t, "side")), Notional: notional, Reserved: notional, CreatedAt: closing.Add(-time.Minute), ExpiresAt: closing.Add(14 * time.Minute)})
	}
	return c, risk.View{Snapshot: snap, State: state, Control: control(t)}
}

// third buys at the third cause that it sees.
type third struct{}

func (third) Triggers() strategy.Triggers { return strategy.Triggers{Every: 5 * time.Minute} }
func (third) Needs() strategy.Needs       { return strategy.Needs{Symbols: []string{"SPY"}} }
func (third) Decide(in strategy.Input) (d strategy.Decision, _ error) {
	d.State = strategy.State{"seen": in.State["seen"] + "x"}
	if d.State["seen"] == "xxx" {
		d.Intents = []strategy.Intent{{Symbol: "SPY", Action: signal.Buy, Notional: decimal.NewFromInt(5)}}
	}
	return d, nil
}

// A strategy's memory lasts where nothing comes of the run, and a repeated delivery is no second cause.
func TestMemory(t *testing.T) {
	s := store.New(mem.NewDB(func() time.Time { return closing }))
	if err := s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutSnapshot(t.Context(), porttest.Snapshot("u", 1, closing)); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(t.Context(), "u")
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, cause := range []string{"a", "a", "b", "b", "c", "c", "d"} {
		c := &decision.Case{
			Definition: strategy.Definition{ID: "s", UserID: "u"}, Strategy: third{}, Cause: strategy.Cause{Text: "schedule:" + cause, Tick: tick.Of(closing) + tick.Tick(cause[0])},
			Now: closing, MaxSnapshotAge: time.Hour, Life: time.Minute,
		}
		if wants, _ := c.Wants(snap); !wants {
			t.Fatalf("%s is passed over", cause)
		}
		placed, err := s.Place(t.Context(), c.Batch(), c.Plan)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, len(placed))
	}
	if diff := cmp.Diff([]int{0, 0, 0, 0, 1, 0, 0}, got); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
}

// A record suffices: by it alone the same is wanted, judged and signed, whatever the kind and the input.
func TestReplay(t *testing.T) {
	for _, kind := range strategy.Kinds() {
		t.Run(kind, func(t *testing.T) {
			records := 0
			rapid.Check(t, func(t *rapid.T) {
				c, v := anyCase(t, kind)
				run := c.Decide(v.Snapshot, v.State)
				plan := planned(c, v)
				if (plan.Record != nil) != (len(plan.Signals) > 0) {
					t.Fatalf("%d signals, and record %v", len(plan.Signals), plan.Record)
				}
				if plan.Record == nil {
					return
				}
				records++
				r, err := decision.Decode(plan.Record.Body)
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Signals) != len(plan.Signals) || len(r.Intents) != len(run.Intents) || len(r.Verdicts) != len(plan.Judged) {
					t.Fatalf("recorded %+v of %+v", r.Outcome, plan)
				}
				for i, s := range plan.Signals {
					if want := (decision.Signal{ID: s.ID, Symbol: s.Symbol, Action: s.Action, Notional: s.Notional, Qty: s.Qty, Reason: s.Reason, Status: s.Status, DenialCode: s.DenialCode, Shadow: s.Shadow}); !cmp.Equal(want, r.Signals[i], same()) || plan.Record.Signals[i] != s.ID {
						t.Fatalf("signal (-placed +recorded):\n%s", cmp.Diff(want, r.Signals[i], same()))
					}
				}
				for i, j := range plan.Judged {
					for n, check := range j.Checks {
						if !cmp.Equal(check, r.Verdicts[i].Checks[n], same()) {
							t.Fatalf("check (-made +recorded):\n%s", cmp.Diff(check, r.Verdicts[i].Checks[n], same()))
						}
					}
				}
				again, err := decision.Replay(r)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(r.Outcome, again, same()); d != "" {
					t.Fatalf("replayed (-recorded +again):\n%s", d)
				}
			})
			if records == 0 {
				t.Error("no run came to signals: nothing was tested")
			}
		})
	}
}

// The most that parameters allow, on a full account, is kept whole and replays: figures without any pattern, and longer than
// those of shares.
func TestWorstRecord(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	figure := func(digits int, places int32) decimal.Decimal {
		low := int64(math.Pow10(digits - 1))
		return decimal.New(low+random.Int64N(9*low), -places)
	}
	some := func(digits int, places int32) decimal.NullDecimal {
		return decimal.NewNullDecimal(figure(digits, places))
	}
	id := func() string { return fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64()) }
	many, weights := []any{}, map[string]any{}
	for i := range strategy.MaxSymbols {
		many = append(many, fmt.Sprintf("SYM%d", i))
	}
	for i := range strategy.MaxWeights {
		weights[fmt.Sprintf("SYM%d", i)] = 0.02
	}
	for name, d := range map[string]strategy.Definition{
		"many symbols": {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": many, "slow": int64(strategy.MaxHistory / strategy.MaxSymbols), "weight": 0.05}},
		"long periods": {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": many[:strategy.MaxHistory/500], "slow": int64(500), "weight": 0.05}},
		"many weights": {Kind: strategy.KindRebalance, Params: map[string]any{"weights": weights, "drift_band": int64(0)}},
	} {
		random = rand.New(rand.NewPCG(1, 2)) // the same in whatever order
		d.ID, d.UserID = "s", "u"
		s, err := strategy.New(d)
		if err != nil {
			t.Fatal(err)
		}
		c, v := example(t)
		c.Definition, c.Strategy, c.Now = d, s, closing.Add(time.Minute)
		c.Cause = strategy.Cause{Text: "bar:1Day:20261124T2100Z", Tick: tick.Of(closing)}
		for _, symbol := range s.Needs().Symbols {
			c.Quotes[symbol] = market.Quote{Bid: figure(8, 4), Ask: figure(8, 4), At: closing}
			day := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)
			bars := make([]market.Bar, s.Needs().Count)
			for i := len(bars) - 1; i >= 0; day = day.AddDate(0, 0, -1) {
				if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
					continue
				}
				p := []decimal.Decimal{figure(9, 4), figure(9, 4), figure(9, 4)}
				slices.SortFunc(p, decimal.Decimal.Cmp)
				bars[i] = market.Bar{At: day, Open: figure(9, 4), Low: p[0], Close: p[1], High: p[2], Volume: figure(10, 0)}
				i--
			}
			c.Bars[symbol] = bars
		}
		for i := range 250 {
			symbol := fmt.Sprintf("SYM%d", i)
			v.Snapshot.Positions = append(v.Snapshot.Positions, account.Position{Symbol: symbol, Qty: figure(12, 9), AvgEntryPrice: some(9, 4), CurrentPrice: some(9, 4), MarketValue: some(9, 4)})
			v.Snapshot.OpenOrders = append(v.Snapshot.OpenOrders, account.Order{ID: id(), ClientOrderID: id(), Symbol: "OF" + symbol, Side: "buy", Type: "limit", TimeInForce: "day", Status: "new", Qty: some(12, 9), LimitPrice: some(9, 4)})
		}
		v.State.Traded = map[string]time.Time{}
		for i := range 500 {
			v.State.Traded[fmt.Sprintf("SYM%d", i)] = closing.Add(-time.Duration(random.Int64N(int64(time.Hour))))
		}
		for i := range 150 {
			v.State.Reservations = append(v.State.Reservations, signal.Reservation{SignalID: id(), StrategyID: "other", Symbol: fmt.Sprintf("R%d", i), Action: signal.Buy, Notional: figure(7, 2), Reserved: figure(7, 2), Held: figure(12, 9), CreatedAt: closing, ExpiresAt: closing.Add(time.Hour)})
		}
		plan := planned(c, v)
		if plan.Record == nil {
			t.Fatalf("%s: nothing came of it", name)
		}
		r, err := decision.Decode(plan.Record.Body)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decision.Replay(r); len(r.Cut) > 0 || len(r.Verdicts) == 0 || err != nil || !cmp.Equal(r.Outcome, again, same()) {
			t.Errorf("%s: cut %v, %d verdicts, %v\n%s", name, r.Cut, len(r.Verdicts), err, cmp.Diff(r.Outcome, again, same()))
		}
	}
	if _, err := strategy.New(strategy.Definition{ID: "s", Kind: strategy.KindSMACross, Params: map[string]any{"symbols": many, "slow": int64(500), "weight": 0.05}}); !errors.Is(err, strategy.ErrInvalid) || !strings.Contains(err.Error(), "20 symbols with 500 bars each are 10000 bars: want at most 4000 together") {
		t.Errorf("more than a record holds: %v", err)
	}
}

// What does not fit is cut, and says so: the verdicts stay, and nobody takes what is left for the whole.
func TestTooLong(t *testing.T) {
	c, v := example(t)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		for i := range 500 {
			price := func() decimal.Decimal { return decimal.New(random.Int64(), -15) }
			c.Bars[fmt.Sprint("S", n)] = append(c.Bars[fmt.Sprint("S", n)], market.Bar{At: closing.Add(time.Duration(i) * time.Hour), Open: price(), High: price(), Low: price(), Close: price()})
		}
	}
	plan := planned(c, v)
	r, err := decision.Decode(plan.Record.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Record.Body) > decision.MaxBody || cmp.Diff([]string{"bars"}, r.Cut) != "" || len(r.Verdicts) != 1 || len(r.Snapshot.Positions) == 0 {
		t.Errorf("%d bytes, cut %v, %d verdicts", len(plan.Record.Body), r.Cut, len(r.Verdicts))
	}
	if _, err := decision.Replay(r); err == nil || !strings.Contains(err.Error(), "lacks bars") {
		t.Errorf("Replay = %v", err)
	}
	for _, body := range [][]byte{nil, []byte("noise"), plan.Record.Body[:len(plan.Record.Body)/2]} {
		if _, err := decision.Decode(body); err == nil {
			t.Errorf("%d bytes were taken", len(body))
		}
	}
}

// planned is a plan as it is written.
func planned(c *decision.Case, v risk.View) risk.Plan {
	plan := c.Plan(v)
	if plan.Record != nil {
		plan.Record.Body = plan.Record.Pack()
	}
	return plan
}

// example is a run that never changes.
func example(t *testing.T) (*decision.Case, risk.View) {
	t.Helper()
	d := strategy.Definition{ID: "half", UserID: "u", Kind: strategy.KindRebalance, Params: map[string]any{"weights": map[string]any{"SPY": 0.5}}, Limits: map[string]any{"max_trade_usd": int64(300)}}
	s, err := strategy.New(d)
	if err != nil {
		t.Fatal(err)
	}
	no, usd := false, func(n int64) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.NewFromInt(n)) }
	c := &decision.Case{
		Definition: d, Strategy: s, Cause: strategy.Cause{Text: "changed_seq:7", Tick: tick.Of(closing), ChangedSeq: 7}, Now: closing, MaxSnapshotAge: 5 * time.Minute, Life: 15 * time.Minute, Keep: time.Hour,
		Quotes: map[string]market.Quote{"SPY": {Bid: decimal.NewFromInt(599), Ask: decimal.NewFromInt(601), At: closing}}, Bars: map[string][]market.Bar{},
	}
	return c, risk.View{State: &risk.State{}, Snapshot: account.Snapshot{
		UserID: "u", Seq: 7, ChangedSeq: 7, Tick: tick.Of(closing), ObservedAt: closing.Add(-time.Minute), Raw: map[string]any{"account_number": "raw-canary"}, KeyPath: "key-canary", KeyVersion: "key-canary",
		Account:   account.Account{ID: "a", Status: "ACTIVE", Currency: "USD", Equity: usd(1000), Cash: usd(900), BuyingPower: usd(900), TradingBlocked: &no, AccountBlocked: &no},
		Positions: []account.Position{{Symbol: "SPY", Qty: decimal.New(1, -1), MarketValue: usd(60)}},
	}}
}

// A record of a run that found no place among the strategies says what left it none.
func TestReplayWithoutPlace(t *testing.T) {
	c, v := example(t)
	c.Definition.Limits = nil
	v.State.Strategies = map[string]risk.Progress{}
	for i := range risk.MaxStrategies {
		v.State.Strategies[fmt.Sprint(i)] = risk.Progress{Orders: 1}
	}
	r, err := decision.Decode(planned(c, v).Record.Body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decision.Replay(r)
	if err != nil || len(r.Signals) != 1 || r.Signals[0].DenialCode != risk.StrategiesExceeded || !cmp.Equal(r.Outcome, again, same()) {
		t.Errorf("%v: %+v, replayed %+v; want %s", err, r.Signals, again.Signals, risk.StrategiesExceeded)
	}
}

// A record of today's form is read and replayed by all that comes later; and it holds nothing of the keys.
func TestGolden(t *testing.T) {
	const file = "testdata/v1.json"
	c, v := example(t)
	r, err := decision.Decode(planned(c, v).Record.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("a record looks otherwise now (-want +got): keep the old names, or raise the version\n%s", cmp.Diff(string(bytes.TrimSpace(want)), string(got)))
	}
	if bytes.Contains(got, []byte("canary")) {
		t.Errorf("the record holds what it should not:\n%s", got)
	}
	old := &decision.Record{}
	if err := json.Unmarshal(want, old); err != nil {
		t.Fatal(err)
	}
	again, err := decision.Replay(old)
	if err != nil || len(again.Signals) != 1 || again.Signals[0].DenialCode != risk.TradeExceeded || !cmp.Equal(old.Outcome, again, same()) {
		t.Errorf("replayed: %v\n%s", err, cmp.Diff(old.Outcome, again, same()))
	}
}
