package risk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

var noon = time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC) // in New York

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func usd(s string) decimal.NullDecimal { return decimal.NewNullDecimal(dec(s)) }

func flag(b bool) *bool { return &b }

// fresh is a healthy account of $10,000: SPY long for 5,000, TLT short for 900.
func fresh() account.Snapshot {
	return account.Snapshot{
		UserID: "u", ObservedAt: noon, DetailAt: noon, Seq: 1, ChangedSeq: 1, Flows: account.Flows{At: noon, Since: noon.Add(-24 * time.Hour)},
		Account: account.Account{
			Status: "ACTIVE", Equity: usd("10000"), LastEquity: usd("10000"), BuyingPower: usd("1000"),
			TradingBlocked: flag(false), AccountBlocked: flag(false),
		},
		Positions: []account.Position{
			{Symbol: "SPY", Qty: dec("10"), MarketValue: usd("5000"), CurrentPrice: usd("500")},
			{Symbol: "TLT", Qty: dec("-10"), MarketValue: usd("-900"), CurrentPrice: usd("90")},
		},
	}
}

// input is that account, no limit set.
func input(limits map[string]any) risk.Input {
	state := &risk.State{Mark: risk.Mark{Equity: usd("10000"), At: noon.Add(-time.Hour)}}
	if _, err := state.Turn(noon); err != nil {
		panic(err)
	}
	return risk.Input{
		Now: noon, StrategyID: "st", Snapshot: fresh(), State: state, MaxSnapshotAge: 5 * time.Minute,
		Levels: risk.Levels(risk.Control{Limits: risk.ParseLimits(limits)}, risk.Control{}, "st", nil),
	}
}

func intent(action signal.Action, symbol, notional string) strategy.Intent {
	return strategy.Intent{Action: action, Symbol: symbol, Notional: dec(notional)}
}

func code(v risk.Verdict) string {
	if v.Denial == nil {
		return ""
	}
	return v.Denial.Code
}

type change func(*risk.Input)

// One row for each check: what it refuses, and that it refuses no more than that.
func TestEachCheck(t *testing.T) {
	type limits = map[string]any
	reserve := func(strategyID, symbol string, action signal.Action, notional, opens string) change {
		return func(in *risk.Input) {
			in.State.Reserve(signal.Signal{ID: strategyID + symbol, StrategyID: strategyID, Symbol: symbol, Action: action, Notional: dec(notional), CreatedAt: noon.Add(-time.Minute), ExpiresAt: noon.Add(time.Hour)}, dec(opens), account.Snapshot{})
		}
	}
	broker := func(f func(*acct)) change { return func(in *risk.Input) { f(&in.Snapshot.Account) } }
	trading := func(i int, s risk.TradingState) change {
		return func(in *risk.Input) { in.Levels[i].Trading = risk.Trading{State: s, Reason: "a drill", Author: "ops"} }
	}
	open := func(open, known bool) change {
		return func(in *risk.Input) { in.Open = func(market.Hours) (bool, bool) { return open, known } }
	}
	remembered := func(n int) change {
		return func(in *risk.Input) {
			in.State.Strategies = map[string]risk.Progress{}
			for i := range n {
				in.State.Strategies[fmt.Sprint(i)] = risk.Progress{Orders: 1}
			}
		}
	}
	quoted := func(age time.Duration, price string) change {
		return func(in *risk.Input) {
			in.Quotes = map[string]market.Quote{"AAPL": {Bid: dec(price), Ask: dec(price), At: noon.Add(-age)}}
		}
	}
	for _, c := range []struct {
		limits   limits
		change   change
		notional string // of AAPL to buy, which the account can afford up to 1000
		code     string // "" passes
		closing  string // the code of the sell that closes all of SPY under the same conditions
	}{
		{nil, nil, "1000", "", ""},
		{nil, trading(0, risk.Halted), "1", risk.TradingHalted, risk.TradingHalted},
		{nil, trading(1, risk.Halted), "1", risk.TradingHalted, risk.TradingHalted},
		{nil, trading(2, risk.Halted), "1", risk.TradingHalted, risk.TradingHalted},
		{nil, trading(0, risk.Reducing), "1", risk.TradingReducing, ""},
		{nil, trading(2, risk.Reducing), "1", risk.TradingReducing, ""},
		{nil, func(in *risk.Input) { in.State.Breaches = []risk.Breach{{Code: risk.DrawdownExceeded, At: noon}} }, "1", risk.TradingReducing, ""},
		{nil, func(in *risk.Input) { in.State.Breaches = []risk.Breach{{Strategy: "st", At: noon}} }, "1", risk.TradingReducing, ""},
		{nil, func(in *risk.Input) { in.State.Breaches = []risk.Breach{{Strategy: "other", At: noon}} }, "1", "", ""},
		{nil, func(in *risk.Input) { in.Symbols = []string{"SPY"} }, "1", risk.SymbolForeign, ""},
		{nil, remembered(99), "1", "", ""},
		{nil, remembered(100), "1", risk.StrategiesExceeded, risk.StrategiesExceeded},
		{nil, broker(func(a *acct) { a.TradingBlocked = flag(true) }), "1", risk.AccountBlocked, risk.AccountBlocked},
		{nil, broker(func(a *acct) { a.AccountBlocked = flag(true) }), "1", risk.AccountBlocked, risk.AccountBlocked},
		{nil, broker(func(a *acct) { a.TradeSuspendedByUser = flag(true) }), "1", risk.AccountBlocked, risk.AccountBlocked},
		{nil, broker(func(a *acct) { a.TradingBlocked = nil }), "1", risk.AccountUnknown, ""},
		{nil, broker(func(a *acct) { a.AccountBlocked = nil }), "1", risk.AccountUnknown, ""},
		{nil, broker(func(a *acct) { a.Status = "APPROVAL_PENDING" }), "1", risk.AccountInactive, ""},
		{nil, broker(func(a *acct) { a.Status = "" }), "1", risk.AccountInactive, ""},
		{limits{"hours": "regular"}, open(true, true), "1", "", ""},
		{limits{"hours": " Regular"}, open(false, true), "1", risk.MarketClosed, risk.MarketClosed},
		{limits{"hours": "extended"}, open(true, false), "1", risk.MarketUnknown, ""},
		{limits{"hours": "extended"}, nil, "1", risk.MarketUnknown, ""},
		{limits{"hours": "any"}, open(false, true), "1", "", ""},
		{limits{"max_daily_loss_share": 0.1}, broker(func(a *acct) { a.Equity = usd("9000") }), "1", "", ""},
		{limits{"max_daily_loss_share": 0.1}, broker(func(a *acct) { a.Equity = usd("8999.99") }), "1", risk.DailyLossExceeded, ""},
		{limits{"max_daily_loss_share": 0.1}, broker(func(a *acct) { a.LastEquity = decimal.NullDecimal{} }), "1", risk.DailyLossUnavailable, ""},
		{limits{"max_daily_loss_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows.Gap = noon }, "1", risk.DailyLossUnavailable, ""},
		{limits{"max_daily_loss_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows = account.Flows{} }, "1", risk.DailyLossUnavailable, ""},
		{limits{"max_daily_loss_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows.At = noon.Add(-73 * time.Hour) }, "1", risk.DailyLossUnavailable, ""},
		{limits{"max_daily_loss_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows.Recent = []account.Flow{{At: noon, Seen: noon}} }, "1", risk.DailyLossUnavailable, ""},
		{limits{"max_drawdown_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows.Gap = noon }, "1", risk.DrawdownUnavailable, ""},
		{limits{"max_drawdown_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows = account.Flows{} }, "1", risk.DrawdownUnavailable, ""},
		{limits{"max_drawdown_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows.Since = noon }, "1", risk.DrawdownUnavailable, ""},
		{limits{"max_drawdown_share": 0.1}, func(in *risk.Input) { in.Snapshot.Flows.Recent = []account.Flow{{At: noon, Seen: noon}} }, "1", risk.DrawdownUnavailable, ""},
		{nil, func(in *risk.Input) { in.Snapshot.Flows = account.Flows{} }, "1", "", ""},
		{limits{"max_drawdown_share": "0.2"}, broker(func(a *acct) { a.Equity = usd("8000") }), "1", "", ""},
		{limits{"max_drawdown_share": "0.2"}, broker(func(a *acct) { a.Equity = usd("7999.99") }), "1", risk.DrawdownExceeded, ""},
		{limits{"max_drawdown_share": "0.2"}, broker(func(a *acct) { a.Equity = decimal.NullDecimal{} }), "1", risk.DrawdownUnavailable, ""},
		{limits{"max_trade": 5}, nil, "1", risk.LimitInvalid, ""},
		{limits{"max_trade_usd": "NaN"}, nil, "1", risk.LimitInvalid, ""},
		{limits{"max_trade_usd": -5.0}, nil, "1", risk.LimitInvalid, ""},
		{limits{"max_trade_usd\t": 100.0, "max_trade_usd": 1e6}, nil, "1", risk.LimitInvalid, ""},
		{limits{" hours": "any", "hours ": "any"}, nil, "1", risk.LimitInvalid, ""},
		{limits{"max_trade_usd\t": 100.0, "max_trade_usd": nil}, nil, "100", "", ""},
		{nil, func(in *risk.Input) { in.Snapshot.ObservedAt = noon.Add(-301 * time.Second) }, "1", risk.SnapshotStale, ""},
		{nil, func(in *risk.Input) { in.Snapshot.ObservedAt = time.Time{} }, "1", risk.SnapshotStale, ""},
		{nil, func(in *risk.Input) { in.Snapshot.ObservedAt = noon.Add(2 * time.Minute) }, "1", risk.SnapshotStale, ""},
		{limits{"max_snapshot_age_s": 30.0}, func(in *risk.Input) { in.Snapshot.ObservedAt = noon.Add(-31 * time.Second) }, "1", risk.SnapshotStale, ""},
		{limits{"max_snapshot_age_s": 3000.0}, func(in *risk.Input) { in.Snapshot.ObservedAt = noon.Add(-301 * time.Second) }, "1", risk.SnapshotStale, ""},
		{nil, func(in *risk.Input) { in.Snapshot.Incomplete = true }, "1", risk.SnapshotIncomplete, ""},
		{limits{"deny_symbols": []any{" aapl"}}, nil, "1", risk.SymbolDenied, ""},
		{limits{"deny_symbols": []any{"SPY"}}, nil, "1", "", ""},
		{limits{"allow_symbols": []any{"SPY"}}, nil, "1", risk.SymbolNotAllowed, ""},
		{limits{"allow_symbols": []any{}}, nil, "1", risk.SymbolNotAllowed, ""},
		{limits{"allow_symbols": []any{"aapl"}}, nil, "1", "", ""},
		{limits{"max_quote_age_s": 30.0}, nil, "1", risk.QuoteUnavailable, ""},
		{limits{"max_quote_age_s": 30.0}, quoted(30*time.Second, "200"), "1", "", ""},
		{limits{"max_quote_age_s": 30.0}, quoted(31*time.Second, "200"), "1", risk.QuoteStale, ""},
		{limits{"max_quote_age_s": 30.0}, func(in *risk.Input) {
			in.Quotes = map[string]market.Quote{"AAPL": {Bid: dec("0.01"), Ask: dec("199999.99"), At: noon}}
		}, "1", risk.QuoteUnavailable, ""},
		{limits{"min_price_usd": 5.0}, nil, "1", risk.PriceUnavailable, ""},
		{limits{"min_price_usd": 5.0}, quoted(0, "5"), "1", "", ""},
		{limits{"min_price_usd": 5.0}, quoted(0, "4.99"), "1", risk.PriceBelow, ""},
		{limits{"cooldown_minutes": 10.0}, func(in *risk.Input) { in.State.Traded = map[string]time.Time{"AAPL": noon.Add(-599 * time.Second)} }, "1", risk.CooldownActive, ""},
		{limits{"cooldown_minutes": 10.0}, func(in *risk.Input) { in.State.Traded = map[string]time.Time{"AAPL": noon.Add(-10 * time.Minute)} }, "1", "", ""},
		{limits{"cooldown_minutes": 10.0}, reserve("other", "AAPL", signal.Buy, "1", "1"), "1", risk.CooldownActive, ""},
		{limits{"max_orders_per_day": int64(2)}, func(in *risk.Input) { in.State.Day.Orders = 1 }, "1", "", ""},
		{limits{"max_orders_per_day": int64(2)}, func(in *risk.Input) { in.State.Day.Orders = 2 }, "1", risk.OrdersExceeded, ""},
		{limits{"max_trade_usd": "100"}, nil, "100", "", ""},
		{limits{"max_trade_usd": "100"}, nil, "100.01", risk.TradeExceeded, ""},
		{limits{"max_day_usd": "100"}, func(in *risk.Input) { in.State.Day.Notional = dec("40") }, "60", "", ""},
		{limits{"max_day_usd": "100"}, func(in *risk.Input) { in.State.Day.Notional = dec("40") }, "60.01", risk.DayExceeded, ""},
		{limits{"max_position_share": "0.05"}, nil, "500", "", ""},
		{limits{"max_position_share": "0.05001"}, nil, "500.10", "", ""},
		{limits{"min_price_usd": "0.00002"}, quoted(0, "0.00001"), "1", risk.PriceBelow, ""},
		{limits{"max_position_share": "0.05"}, nil, "500.01", risk.PositionExceeded, ""},
		{limits{"max_position_share": "0.05"}, reserve("other", "AAPL", signal.Buy, "200", "200"), "300.01", risk.PositionExceeded, ""},
		{limits{"max_position_share": "0.05"}, broker(func(a *acct) { a.Equity = decimal.NullDecimal{} }), "1", risk.EquityUnavailable, ""},
		{limits{"max_positions": int64(3)}, nil, "1", "", ""},
		{limits{"max_positions": int64(2)}, nil, "1", risk.PositionsExceeded, ""},
		{limits{"max_positions": int64(3)}, reserve("other", "GLD", signal.Buy, "1", "1"), "1", risk.PositionsExceeded, ""},
		{limits{"max_gross_share": "0.6"}, nil, "100", "", ""},
		{limits{"max_gross_share": "0.6"}, nil, "100.01", risk.ExposureExceeded, ""},
		{limits{"max_gross_share": "0.6"}, func(in *risk.Input) {
			in.Snapshot.OpenOrders = []order{{Symbol: "GLD", Side: "buy", Notional: usd("50")}}
		}, "50.01", risk.ExposureExceeded, ""},
		{limits{"max_gross_share": "0.9"}, func(in *risk.Input) { in.Snapshot.OpenOrders = []order{{Symbol: "GLD", Side: "buy", Qty: usd("5")}} }, "1", risk.PriceUnavailable, ""},
		{limits{"max_gross_share": "0.6"}, broker(func(a *acct) { a.Equity = usd("-1") }), "1", risk.EquityUnavailable, ""},
		{nil, broker(func(a *acct) { a.BuyingPower = usd("0") }), "1", risk.BuyingPowerUnavailable, ""},
		{nil, broker(func(a *acct) { a.BuyingPower = decimal.NullDecimal{} }), "1", risk.BuyingPowerUnavailable, ""},
		{nil, nil, "1000.01", risk.BuyingPowerExceeded, ""},
		{nil, reserve("other", "GLD", signal.Buy, "600", "600"), "400.01", risk.BuyingPowerExceeded, ""},
		{nil, reserve("other", "GLD", signal.Buy, "600", "600"), "400", "", ""},
		{limits{"buffer_share": "0.25"}, nil, "750", "", ""},
		{limits{"buffer_share": "0.25"}, nil, "750.01", risk.BuyingPowerExceeded, ""},
		{limits{"buffer_share": "0.25"}, func(in *risk.Input) { in.Buffer = dec("0.5") }, "500.01", risk.BuyingPowerExceeded, ""},
	} {
		in := input(c.limits)
		if c.change != nil {
			c.change(&in)
		}
		e := risk.New(in)
		v, closing := e.Check(intent(signal.Buy, "AAPL", c.notional)), e.Check(intent(signal.Sell, "SPY", "5000"))
		if code(v) != c.code || code(closing) != c.closing {
			t.Errorf("%v, $%s: %v, closing %v; want %q, %q", c.limits, c.notional, v.Denial, closing.Denial, c.code, c.closing)
		}
		if len(v.Checks) != len(closing.Checks) || len(v.Checks) < 24 {
			t.Errorf("%d and %d checks: all are made, whatever the verdict", len(v.Checks), len(closing.Checks))
		}
	}
}

type (
	acct  = account.Account
	order = account.Order
)

// The reservations' own bound stops what opens, and leaves room for what closes.
func TestReservationsFull(t *testing.T) {
	in := input(nil)
	for i := range 200 {
		in.State.Reserve(signal.Signal{ID: fmt.Sprint(i), Symbol: "GLD", ExpiresAt: noon.Add(time.Hour)}, decimal.Decimal{}, account.Snapshot{})
	}
	e := risk.New(in)
	if v := e.Check(intent(signal.Buy, "AAPL", "1")); code(v) != risk.ReservationsExceeded {
		t.Errorf("opening: %v", v.Denial)
	}
	if v := e.Check(intent(signal.Sell, "SPY", "1")); v.Denial != nil {
		t.Errorf("closing: %v", v.Denial)
	}
}

// One cause, one denial: it is for all symbols of the run that find no room, and supersedes what theirs would have.
func TestReservationsFullIsSaidOnce(t *testing.T) {
	in := input(nil)
	for i := range 199 {
		in.State.Reserve(signal.Signal{ID: fmt.Sprint(i), StrategyID: "other", Symbol: "GLD", ExpiresAt: noon.Add(time.Hour)}, decimal.Decimal{}, account.Snapshot{})
	}
	in.State.Reserve(signal.Signal{ID: "open", StrategyID: "s", Symbol: "C", ExpiresAt: noon.Add(time.Hour)}, decimal.Decimal{}, account.Snapshot{})
	r := risk.Run{Batch: signal.Batch{UserID: "u", StrategyID: "s", Cause: "c", CauseTick: 1, Now: noon}, Input: in, Life: time.Minute}
	for _, symbol := range []string{"A", "B", "C", "D"} {
		r.Intents = append(r.Intents, intent(signal.Buy, symbol, "1"))
	}
	p := r.Plan(risk.View{Snapshot: in.Snapshot, State: in.State})
	if len(p.Signals) != 2 || p.Signals[0].Symbol != "A" || p.Signals[0].Status != signal.Pending {
		t.Fatalf("%d signals: %+v, want one buy, which has the last place, and one denial", len(p.Signals), p.Signals)
	}
	d := p.Signals[1]
	if d.Symbol != "B" || d.DenialCode != risk.ReservationsExceeded || !strings.HasSuffix(d.Reason, " other_symbols=2") || len(p.Judged) != 4 {
		t.Errorf("denial %+v, %d judged; want B's, for two others too, and all four judged", d, len(p.Judged))
	}
	if len(p.Closed) != 1 || p.Closed[0].SignalID != "open" || p.Closed[0].By != d.ID {
		t.Errorf("closed %+v, want the open one of C, by %s", p.Closed, d.ID)
	}
}

// The predecessor's rule and its defects: what opens must be affordable, what closes need not be, nonsense never passes.
func TestAffordability(t *testing.T) {
	const unavailable = "Warm-cache buying power unavailable/zero; refusing to trade."
	for name, c := range map[string]struct {
		power            decimal.NullDecimal
		action           signal.Action
		symbol, notional string
		code, text       string
	}{
		"under":                          {usd("1000"), signal.Buy, "AAPL", "999.99", "", ""},
		"equal passes":                   {usd("1000"), signal.Buy, "AAPL", "1000", "", ""},
		"a cent over":                    {usd("1000"), signal.Buy, "AAPL", "1000.01", risk.BuyingPowerExceeded, "Refusing to trade: requested notional $1000.01 exceeds buying power $1000.00."},
		"no buying power":                {usd("0"), signal.Buy, "AAPL", "1", risk.BuyingPowerUnavailable, unavailable},
		"negative buying power":          {usd("-5"), signal.Buy, "AAPL", "1", risk.BuyingPowerUnavailable, unavailable},
		"buying power missing":           {decimal.NullDecimal{}, signal.Buy, "AAPL", "1", risk.BuyingPowerUnavailable, unavailable},
		"closing all, no buying power":   {usd("0"), signal.Sell, "SPY", "5000", "", ""},
		"closing, buying power missing":  {decimal.NullDecimal{}, signal.Sell, "SPY", "5000", "", ""},
		"a sell past what is held":       {usd("0"), signal.Sell, "SPY", "5000.01", risk.BuyingPowerUnavailable, unavailable},
		"a sell of what is not held":     {usd("100"), signal.Sell, "AAPL", "101", risk.BuyingPowerExceeded, "Refusing to trade: requested notional $101.00 exceeds buying power $100.00."},
		"buying back a short":            {usd("0"), signal.Buy, "TLT", "900", "", ""},
		"buying past a short":            {usd("99"), signal.Buy, "TLT", "1000", risk.BuyingPowerExceeded, "Refusing to trade: requested notional $1000.00 exceeds buying power $99.00."},
		"selling more of a short":        {usd("0"), signal.Sell, "TLT", "1", risk.BuyingPowerUnavailable, unavailable},
		"negative notional (its defect)": {usd("1000"), signal.Buy, "AAPL", "-1", risk.IntentInvalid, ""},
		"no notional":                    {usd("1000"), signal.Buy, "AAPL", "0", risk.IntentInvalid, ""},
		"unknown action (its defect)":    {usd("1000"), "short", "AAPL", "1", risk.IntentInvalid, ""},
		"no symbol":                      {usd("1000"), signal.Buy, "", "1", risk.IntentInvalid, ""},
		"no plain symbol":                {usd("1000"), signal.Buy, "aapl|x", "1", risk.IntentInvalid, ""},
	} {
		in := input(nil)
		in.Snapshot.Account.BuyingPower = c.power
		v := risk.New(in).Check(intent(c.action, c.symbol, c.notional))
		if code(v) != c.code || (c.text != "" && v.Denial.Reason != c.text) {
			t.Errorf("%s: %v, want %s %q", name, v.Denial, c.code, c.text)
		}
	}
	in := input(nil)
	in.Symbols = []string{"SPY"}
	if v := risk.New(in).Check(intent(signal.Sell, "TLT", "1")); code(v) != risk.SymbolForeign {
		t.Errorf("another symbol than the strategy's (its defect): %v", v.Denial)
	}
	if _, err := account.FromFields("u", map[string]any{"buying_power": "NaN", "observed_at": noon}, noon); err == nil {
		t.Error("buying power of NaN (its defect) was read")
	}
}

// What another signal or order closes already is not there to be closed again: the rest would open a short.
func TestNothingIsClosedTwice(t *testing.T) {
	in := input(nil)
	in.Snapshot.Account.BuyingPower = usd("0")
	in.Snapshot.OpenOrders = []account.Order{{Symbol: "SPY", Side: "SELL", Qty: usd("2")}} // 1,000 at the position's price
	in.State.Reserve(signal.Signal{ID: "a", Symbol: "SPY", Action: signal.Sell, Notional: dec("3000"), ExpiresAt: noon.Add(time.Hour)}, decimal.Decimal{}, in.Snapshot)
	e := risk.New(in)
	if v := e.Check(intent(signal.Sell, "SPY", "1000")); v.Denial != nil || !v.Opens.IsZero() {
		t.Errorf("the rest: %v, opens %s", v.Denial, v.Opens)
	}
	if v := e.Check(intent(signal.Sell, "SPY", "1001")); code(v) != risk.BuyingPowerUnavailable || !v.Opens.Equal(dec("1")) {
		t.Errorf("past the rest: %v, opens %s", v.Denial, v.Opens)
	}
	e.Take(intent(signal.Sell, "SPY", "1000"), decimal.Decimal{})
	if v := e.Check(intent(signal.Sell, "SPY", "1")); !v.Opens.Equal(dec("1")) {
		t.Errorf("after the rest: opens %s", v.Opens)
	}
}

// Shares that a signal sells are sold, whatever they are worth by now.
func TestSharesOnSaleAreNotClosedAgain(t *testing.T) {
	for _, price := range []string{"500", "550", "450"} {
		in := input(nil)
		in.Snapshot.Account.BuyingPower = usd("0")
		in.Snapshot.Positions = []account.Position{{Symbol: "SPY", Qty: dec("10"), MarketValue: decimal.NewNullDecimal(dec(price).Mul(dec("10"))), CurrentPrice: usd(price)}}
		in.Quotes = nil
		in.State.Reserve(signal.Signal{ID: "a", Symbol: "SPY", Action: signal.Sell, Notional: dec("5000"), Qty: usd("10"), ExpiresAt: noon.Add(time.Hour)}, decimal.Decimal{}, in.Snapshot)
		if v := risk.New(in).Check(intent(signal.Sell, "SPY", "10")); v.Denial == nil || !v.Opens.Equal(dec("10")) {
			t.Errorf("at %s: %v, opens %s; want nothing left to close", price, v.Denial, v.Opens)
		}
	}
}

func TestBuyingPowerIsSpentOnceInARun(t *testing.T) {
	e := risk.New(input(nil))
	want := intent(signal.Buy, "AAPL", "600")
	v := e.Check(want)
	if v.Denial != nil {
		t.Fatalf("the first: %v", v.Denial)
	}
	e.Take(want, v.Opens)
	if v := e.Check(want); code(v) != risk.BuyingPowerExceeded || v.Denial.Reason != "Refusing to trade: requested notional $600.00 exceeds buying power $400.00." {
		t.Errorf("the second: %v, want %s", v.Denial, risk.BuyingPowerExceeded)
	}
}

// The tightest of all levels wins, whichever level that is; a strategy's counts are its own.
func TestTightestWins(t *testing.T) {
	for _, c := range []struct {
		platform, user, strategy string
		notional, level          string
	}{
		{"100", "200", "300", "100.01", "platform"}, {"300", "100", "200", "100.01", "user"}, {"300", "200", "100", "100.01", "strategy"},
		{"100", "100", "100", "100.01", "platform"}, {"300", "200", "100", "100", ""},
	} {
		in := input(nil)
		for i, v := range []string{c.platform, c.user, c.strategy} {
			in.Levels[i].Limits = risk.ParseLimits(map[string]any{"max_trade_usd": v})
		}
		v := risk.New(in).Check(intent(signal.Buy, "AAPL", c.notional))
		if (v.Denial == nil) != (c.level == "") || (c.level != "" && !strings.Contains(v.Denial.Reason, "level="+c.level+" value=100.01 bound=100 distance=-0.01")) {
			t.Errorf("%+v: %v", c, v.Denial)
		}
	}
	in := input(map[string]any{"max_orders_per_day": int64(10)})
	in.Levels[2].Limits = risk.ParseLimits(map[string]any{"max_orders_per_day": int64(3)})
	in.State.Day.Orders, in.State.Strategies = 8, map[string]risk.Progress{"st": {Orders: 2}, "other": {Orders: 6}}
	if v := risk.New(in).Check(intent(signal.Buy, "AAPL", "1")); v.Denial != nil {
		t.Errorf("the strategy's third order: %v", v.Denial)
	}
	in.State.Strategies["st"] = risk.Progress{Orders: 3}
	if v := risk.New(in).Check(intent(signal.Buy, "AAPL", "1")); code(v) != risk.OrdersExceeded || !strings.Contains(v.Denial.Reason, "level=strategy value=4 bound=3") {
		t.Errorf("the strategy's fourth order: %v", v.Denial)
	}
}

func TestDenialsExplainThemselves(t *testing.T) {
	in := input(map[string]any{"max_gross_share": "0.6", "max_trade": 1.0})
	v := risk.New(in).Check(intent(signal.Buy, "AAPL", "150"))
	if got, want := v.Denial.Error(), `LIMIT_INVALID: symbol=AAPL action=buy notional=150.00 limit=limits field="platform.\"max_trade\""`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var gross risk.Check
	for _, c := range v.Checks {
		if c.Limit == "max_gross_share" {
			gross = c
		}
	}
	if gross.Code != risk.ExposureExceeded || gross.Value.Decimal.String() != "6050" || gross.Bound.Decimal.String() != "6000" || gross.Distance.Decimal.String() != "-50" || gross.Level != "platform" {
		t.Errorf("a later check is reported too: %+v", gross)
	}
	in = input(nil)
	in.Levels[1].Trading = risk.Trading{State: risk.Halted, Reason: "a drill", Author: "ops@example.com"}
	v = risk.New(in).Check(intent(signal.Sell, "SPY", "150"))
	if got, want := v.Denial.Error(), `TRADING_HALTED: symbol=SPY action=sell notional=150.00 limit=trading_state level=user author=ops@example.com why="a drill"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The same input, the same verdict; and the input is left as it was.
func TestDeterministic(t *testing.T) {
	verdict := func() risk.Verdict {
		in := input(map[string]any{"max_gross_share": "0.1", "max_trade_usd": 1.0, "deny_symbols": []any{"AAPL"}, "cooldown_minutes": 5.0})
		return risk.New(in).Check(intent(signal.Buy, "AAPL", "5000"))
	}
	first := verdict()
	for range 20 {
		if diff := cmp.Diff(fmt.Sprintf("%+v", first.Checks), fmt.Sprintf("%+v", verdict().Checks)); diff != "" {
			t.Fatal(diff)
		}
	}
	if first.Denial.Code != risk.SymbolDenied {
		t.Errorf("the first in the documented order is %s, got %v", risk.SymbolDenied, first.Denial)
	}
}

// A fault inside the engine denies.
func TestEngineFault(t *testing.T) {
	in := input(map[string]any{"hours": "regular"})
	in.Open = func(market.Hours) (bool, bool) { panic("no calendar") }
	for _, i := range []strategy.Intent{intent(signal.Buy, "AAPL", "1"), intent(signal.Sell, "SPY", "1")} {
		if v := risk.New(in).Check(i); code(v) != risk.EngineFault || !strings.Contains(v.Denial.Reason, "no calendar") {
			t.Errorf("%v, want %s", v.Denial, risk.EngineFault)
		}
	}
}

func TestUsable(t *testing.T) {
	for name, c := range map[string]struct {
		s    account.Snapshot
		code string
	}{
		"fresh":           {account.Snapshot{ObservedAt: noon.Add(-300 * time.Second)}, ""},
		"stale":           {account.Snapshot{ObservedAt: noon.Add(-301 * time.Second)}, risk.SnapshotStale},
		"from the future": {account.Snapshot{ObservedAt: noon.Add(61 * time.Second)}, risk.SnapshotStale},
		"without time":    {account.Snapshot{}, risk.SnapshotStale},
		"incomplete":      {account.Snapshot{ObservedAt: noon, Incomplete: true}, risk.SnapshotIncomplete},
	} {
		d := risk.Usable(c.s, noon, 300*time.Second)
		if (d == nil) != (c.code == "") || (d != nil && d.Code != c.code) {
			t.Errorf("%s: %v, want %q", name, d, c.code)
		}
	}
	// A document of the predecessor's syncedAt shape without a time is stale: its own check failed open there.
	s, err := account.FromFields("u", map[string]any{"buying_power": "5", "account": map[string]any{"id": "x"}}, noon)
	if err != nil || risk.Usable(s, noon, time.Hour) == nil {
		t.Errorf("without a time: %v, usable", err)
	}
}
