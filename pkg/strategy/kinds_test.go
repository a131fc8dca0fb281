package strategy_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

func list(symbols ...string) (l []any) {
	for _, s := range symbols {
		l = append(l, s)
	}
	return l
}

// Averages of 2 and 4 closes, by hand; 10 % of $10,000.
func TestSMACross(t *testing.T) {
	params := map[string]any{"symbols": list("SPY"), "fast": int64(2), "slow": int64(4)}
	up, down, level := daily("10", "10", "10", "12"), daily("10", "10", "10", "8"), daily("10", "12", "10", "12") // 11 to 10.5, 9 to 9.5, 11 to 11
	for name, c := range map[string]struct {
		bars []market.Bar
		held []account.Position
		more map[string]any
		want string
	}{
		"above":                   {up, nil, nil, "buy SPY 1000"},
		"above, in":               {up, []account.Position{holding("SPY", "980")}, nil, ""},
		"above, half in":          {up, []account.Position{holding("SPY", "400")}, nil, "buy SPY 600"},
		"below, in":               {down, []account.Position{holding("SPY", "980.019")}, nil, "sell SPY 980.01"},
		"below, out":              {down, nil, nil, ""},
		"below, dust":             {down, []account.Position{holding("SPY", "0.40")}, nil, ""},
		"equal, out":              {level, nil, nil, ""},
		"equal, in":               {level, []account.Position{holding("SPY", "980")}, nil, ""},
		"above, within the band":  {up, nil, map[string]any{"band": 0.05}, ""}, // 11 is 4.8 % above 10.5
		"above, out of the band":  {up, nil, map[string]any{"band": 0.04}, "buy SPY 1000"},
		"another symbol is held":  {up, []account.Position{holding("TLT", "980")}, nil, "buy SPY 1000"},
		"below, short":            {down, []account.Position{holding("SPY", "-980")}, nil, "POSITION_SHORT"},
		"older bars do not count": {slices.Concat(daily("99", "1", "10", "10", "10", "12")), nil, nil, "buy SPY 1000"},
	} {
		p := map[string]any{}
		for _, m := range []map[string]any{params, c.more} {
			for k, v := range m {
				p[k] = v
			}
		}
		if got := said(build(t, strategy.KindSMACross, p).Decide(closed(map[string][]market.Bar{"SPY": c.bars}, c.held...))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Over two changes, by hand: the averages begin at (0+1)/2 = 0.5 and 0.5, and each change halves what was before.
func TestRSIReversion(t *testing.T) {
	params := map[string]any{"symbols": list("SPY"), "period": int64(2)}
	flat := repeat("10", 18) // 21 bars are taken
	fall := daily(append(flat, "11", "10", "8")...)
	rise := daily(append(flat, "9", "10", "12")...)
	back := daily(append(flat, "10", "11", "10")...)
	for name, c := range map[string]struct {
		bars []market.Bar
		held []account.Position
		want string
	}{
		"oversold":     {fall, nil, "buy SPY 1000"}, // gains 0.5, 0.25, 0.125; losses 0, 0.5, 1.25: 9.09
		"oversold, in": {fall, []account.Position{holding("SPY", "1000")}, ""},
		"back":         {rise, []account.Position{holding("SPY", "1000")}, "sell SPY 1000"}, // 90.9
		"back, out":    {rise, nil, ""},
		"between":      {back, nil, ""}, // 0.25 to 0.5: 33.3
		"between, in":  {back, []account.Position{holding("SPY", "1000")}, ""},
	} {
		d, err := build(t, strategy.KindRSIReversion, params).Decide(closed(map[string][]market.Bar{"SPY": c.bars}, c.held...))
		if got := said(d, err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if name == "oversold" && !strings.Contains(d.Intents[0].Reason, "RSI 2 at 9.09 is below 30") {
			t.Errorf("reason %q", d.Intents[0].Reason)
		}
	}
}

// Highs and lows of 3 and 2 bars before the newest, by hand.
func TestBreakout(t *testing.T) {
	bars := func(last string, n int) []market.Bar {
		b := daily(append(append(repeat("100", n), "104", "103", "102"), last)...)
		b[len(b)-4].High, b[len(b)-4].Low = decimal.NewFromInt(110), decimal.NewFromInt(90) // three bars before the newest
		return b
	}
	in := holding("SPY", "1000") // at 100 a share
	for name, c := range map[string]struct {
		bars []market.Bar
		held []account.Position
		more map[string]any
		want string
	}{
		"above the high":            {bars("110.01", 0), nil, nil, "buy SPY 1000"},
		"at the high":               {bars("110", 0), nil, nil, ""},
		"above the high, in":        {bars("110.01", 0), []account.Position{in}, nil, ""},
		"below the low of two":      {bars("101.99", 0), []account.Position{in}, nil, "sell SPY 1000"},
		"at the low of two":         {bars("102", 0), []account.Position{in}, nil, ""},
		"below the low, out":        {bars("101.99", 0), nil, nil, ""},
		"too few for the stop":      {bars("110.01", 0), nil, map[string]any{"atr_stop": 2.0}, "BARS_INSUFFICIENT"},
		"the entry is far above":    {bars("102.5", 30), []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(9), MarketValue: usd("900"), AvgEntryPrice: usd("170")}}, map[string]any{"atr_stop": 2.0, "atr_period": int64(2)}, "sell SPY 900"},
		"the entry is near":         {bars("102.5", 30), []account.Position{in}, map[string]any{"atr_stop": 2.0, "atr_period": int64(2)}, ""},
		"no entry price":            {bars("102.5", 30), []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(9), MarketValue: usd("900")}}, map[string]any{"atr_stop": 2.0, "atr_period": int64(2)}, "PRICE_UNAVAILABLE"},
		"no entry price, below low": {bars("101.9", 30), []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(9), MarketValue: usd("900")}}, map[string]any{"atr_stop": 2.0, "atr_period": int64(2)}, "sell SPY 900"},
	} {
		params := map[string]any{"symbols": list("SPY"), "entry": int64(3), "exit": int64(2)}
		for k, v := range c.more {
			params[k] = v
		}
		if got := said(build(t, strategy.KindBreakout, params).Decide(closed(map[string][]market.Bar{"SPY": c.bars}, c.held...))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// An account in cash that never changes buys at each slot; at no other cause.
func TestDCA(t *testing.T) {
	for every, want := range map[int64]strategy.Triggers{1440: {Every: 24 * time.Hour, Offset: 15 * time.Hour}, 720: {Every: 12 * time.Hour}, 60: {Every: time.Hour}} { // by default in regular hours
		if got := build(t, strategy.KindDCA, map[string]any{"symbol": "SPY", "notional_usd": 1.0, "every_minutes": every}).Triggers(); got != want {
			t.Errorf("every %d minutes: %+v, want %+v", every, got, want)
		}
	}
	s := build(t, strategy.KindDCA, map[string]any{"symbol": "SPY", "notional_usd": "25.50", "every_minutes": int64(60), "offset_minutes": int64(35), "days": list("mon", "tue")})
	midnight := tick.Of(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)) // a Tuesday
	bought := map[string]int{}
	snap := account.Snapshot{ChangedSeq: 1, SlotMinutes: strategy.Slots([]strategy.Definition{{Kind: strategy.KindDCA, Params: map[string]any{"symbol": "SPY", "notional_usd": 1.0, "every_minutes": int64(60), "offset_minutes": int64(35)}}})}
	for minute := tick.Tick(0); minute < 2*24*60; minute += 3 { // two days of heartbeats
		old, now := snap, snap
		old.Tick, now.Tick = midnight+minute-3, midnight+minute
		e := strategy.Between(&old, now)
		if cause, ok := e.Cause(s.Triggers()); ok {
			if !e.Any() {
				t.Errorf("%s is suppressed", cause.Text)
			}
			bought[said(s.Decide(strategy.Input{Cause: cause, Account: account.Account{Cash: usd("100")}}))]++
		}
	}
	if bought["buy SPY 25.5"] != 24 || bought[""] != 24 {
		t.Errorf("%v, want 24 purchases on Tuesday, and none on Wednesday", bought)
	}
	slot := strategy.Cause{Text: "schedule:20261124T1235Z", Tick: midnight + 755}
	for want, in := range map[string]strategy.Input{
		"":                  {Cause: strategy.Cause{Text: "edit:2026-11-24T12:35:00Z", Tick: slot.Tick}, Account: account.Account{Cash: usd("100")}},
		"CASH_UNAVAILABLE":  {Cause: slot},
		"CASH_INSUFFICIENT": {Cause: slot, Account: account.Account{Cash: usd("25.49"), BuyingPower: usd("100")}},
		"POSITION_SHORT":    {Cause: slot, Account: account.Account{Cash: usd("100")}, Positions: []account.Position{holding("SPY", "-1")}},
		"buy SPY 25.5":      {Cause: slot, Account: account.Account{Cash: usd("25.50")}, Positions: []account.Position{holding("SPY", "1000")}},
	} {
		if got := said(s.Decide(in)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	reserved := func(strategyID, symbol string, side signal.Action, more func(*signal.Reservation)) strategy.Input {
		r := signal.Reservation{SignalID: "x", StrategyID: strategyID, Symbol: symbol, Action: side, Notional: decimal.NewFromInt(80), ExpiresAt: tuesday.Add(time.Minute)}
		if more != nil {
			more(&r)
		}
		return strategy.Input{Reserved: []signal.Reservation{r}}
	}
	ordered := func(o account.Order) strategy.Input { return strategy.Input{Orders: []account.Order{o}} }
	for name, c := range map[string]struct {
		in   strategy.Input
		want string
	}{
		"another's purchase":         {reserved("a", "TLT", signal.Buy, nil), "CASH_INSUFFICIENT"},
		"its own, of another symbol": {reserved("s", "TLT", signal.Buy, nil), "CASH_INSUFFICIENT"},
		"its own, which ends":        {reserved("s", "SPY", signal.Buy, nil), "buy SPY 25.5"},
		"its own, acted on":          {reserved("s", "SPY", signal.Buy, func(r *signal.Reservation) { r.SettledAt, r.Executed = tuesday, true }), "CASH_INSUFFICIENT"},
		"another's, refused":         {reserved("a", "TLT", signal.Buy, func(r *signal.Reservation) { r.SettledAt = tuesday }), "buy SPY 25.5"},
		"another's, expired":         {reserved("a", "TLT", signal.Buy, func(r *signal.Reservation) { r.ExpiresAt = tuesday }), "buy SPY 25.5"},
		"another's sale":             {reserved("a", "TLT", signal.Sell, nil), "buy SPY 25.5"},
		"an order":                   {ordered(account.Order{Symbol: "TLT", Side: "buy", Notional: usd("74.51")}), "CASH_INSUFFICIENT"},
		"an order that leaves it":    {ordered(account.Order{Symbol: "TLT", Side: "buy", Notional: usd("74.50")}), "buy SPY 25.5"},
		"an order of shares":         {ordered(account.Order{Symbol: "TLT", Side: "buy", Qty: usd("1")}), "CASH_UNAVAILABLE"},
		"at a limit, half done":      {ordered(account.Order{Symbol: "TLT", Side: "buy", Qty: usd("4"), FilledQty: usd("2"), LimitPrice: usd("40")}), "CASH_INSUFFICIENT"},
		"a sale of shares":           {ordered(account.Order{Symbol: "TLT", Side: "sell", Qty: usd("1")}), "buy SPY 25.5"},
	} {
		c.in.Now, c.in.StrategyID, c.in.Cause, c.in.Account = tuesday, "s", slot, account.Account{Cash: usd("100"), BuyingPower: usd("200")}
		if got := said(s.Decide(c.in)); got != c.want {
			t.Errorf("with cash of $100 and %s: %q, want %q", name, got, c.want)
		}
	}
}

// Hull's prices, whose volatility is 19.30 % a year: a target of 10 % is a weight of 0.518072.
func TestVolTarget(t *testing.T) {
	hull := strings.Fields("20 20.10 19.90 20 20.50 20.25 20.90 20.90 20.90 20.75 20.75 21 21.10 20.90 20.90 21.25 21.40 21.40 21.25 21.75 22")
	for name, c := range map[string]struct {
		params map[string]any
		bars   []market.Bar
		held   []account.Position
		want   string
	}{
		"in cash":             {nil, daily(hull...), nil, "buy SPY 5180.72"},
		"within the band":     {nil, daily(hull...), []account.Position{holding("SPY", "4700")}, ""},
		"too much":            {nil, daily(hull...), []account.Position{holding("SPY", "7000")}, "sell SPY 1819.28"},
		"a narrow band":       {map[string]any{"drift_band": 0.01}, daily(hull...), []account.Position{holding("SPY", "4700")}, "buy SPY 480.72"},
		"capped":              {map[string]any{"target_vol": 0.5}, daily(hull...), nil, "buy SPY 10000"},
		"capped below":        {map[string]any{"target_vol": 0.5, "max_weight": 0.25}, daily(hull...), nil, "buy SPY 2500"},
		"on margin":           {map[string]any{"target_vol": 0.5, "max_weight": 2.0}, daily(hull...), nil, "buy SPY 20000"},
		"no move":             {nil, daily(repeat("20", 21)...), nil, "VOLATILITY_ZERO"},
		"too few":             {nil, daily(hull[1:]...), nil, "BARS_INSUFFICIENT"},
		"too few for ewma":    {map[string]any{"estimator": "ewma"}, daily(hull...), nil, "BARS_INSUFFICIENT"},
		"lambda's 1 per cent": {map[string]any{"estimator": "ewma", "lambda": 0.8}, daily(append([]string{"20"}, hull...)...), nil, ""},
	} {
		params := map[string]any{"symbol": "SPY"}
		for k, v := range c.params {
			params[k] = v
		}
		s := build(t, strategy.KindVolTarget, params)
		got := said(s.Decide(closed(map[string][]market.Bar{"SPY": c.bars}, c.held...)))
		if name == "lambda's 1 per cent" { // 21 returns
			closes := make([]float64, len(c.bars))
			for i, b := range c.bars {
				closes[i] = b.Close.InexactFloat64()
			}
			w := 0.1 / (indicator.EWMAVolatility(closes, 0.8) * math.Sqrt(252))
			c.want = "buy SPY " + decimal.NewFromFloat(w).Round(6).Mul(decimal.NewFromInt(10000)).Truncate(2).String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	pair, closes := daily(hull...), make([]float64, len(hull)) // a pair's year has 365 days
	for i := range pair {
		closes[i], pair[i].At = pair[i].Close.InexactFloat64(), pair[i].At.Add(time.Hour).AddDate(0, 0, -1)
	}
	w := decimal.NewFromFloat(0.1 / (indicator.Volatility(closes, 20) * math.Sqrt(365))).Round(6)
	want := "buy BTC/USD " + w.Mul(decimal.NewFromInt(10000)).Truncate(2).String()
	if got := said(build(t, strategy.KindVolTarget, map[string]any{"symbol": "BTC/USD"}).Decide(closed(map[string][]market.Bar{"BTC/USD": pair}))); got != want {
		t.Errorf("a pair: %q, want %q", got, want)
	}
	if n := build(t, strategy.KindVolTarget, map[string]any{"symbol": "SPY", "estimator": "ewma"}).Needs().Count; n != 76 {
		t.Errorf("%d closes for lambda 0.94, want 76: RiskMetrics has 74 to 75 returns", n)
	}
}

// What can't be decided on is denied, never traded on.
func TestBars(t *testing.T) {
	s := build(t, strategy.KindSMACross, map[string]any{"symbols": list("SPY"), "fast": int64(1), "slow": int64(2)})
	edit := strategy.Cause{Text: "edit:2026-11-24T21:00:00Z", Tick: tick.Of(tuesday)}
	moved := func(days int) []market.Bar {
		bars := daily("10", "12")
		for i := range bars {
			bars[i].At = bars[i].At.AddDate(0, 0, days)
		}
		return bars
	}
	change := func(f func(b []market.Bar)) []market.Bar {
		bars := daily("10", "12")
		f(bars)
		return bars
	}
	for name, c := range map[string]struct {
		bars []market.Bar
		edit bool
		want string
	}{
		"good":                       {daily("10", "12"), false, "buy SPY 1000"},
		"good, by an edit":           {daily("10", "12"), true, "buy SPY 1000"},
		"none":                       {nil, false, "BARS_UNAVAILABLE"},
		"one":                        {daily("12"), false, "BARS_INSUFFICIENT"},
		"yesterday's":                {moved(-1), false, "BARS_LATE"},
		"yesterday's, by an edit":    {moved(-1), true, "buy SPY 1000"},
		"Friday's, by an edit":       {daily("10", "12", "0", "0")[:2], true, "BARS_LATE"},
		"Thursday's":                 {moved(-5), false, "BARS_STALE"},
		"Thursday's, by an edit":     {moved(-5), true, "BARS_STALE"},
		"last year's":                {moved(-365), false, "BARS_STALE"},
		"tomorrow's":                 {moved(1), false, "BARS_INVALID"},
		"three weekdays are missing": {change(func(b []market.Bar) { b[0].At = b[0].At.AddDate(0, 0, -5) }), false, "BARS_GAP"},
		"two weekdays are missing":   {change(func(b []market.Bar) { b[0].At = b[0].At.AddDate(0, 0, -4) }), false, "buy SPY 1000"},
		"twice the same":             {change(func(b []market.Bar) { b[0].At = b[1].At }), false, "BARS_INVALID"},
		"the wrong way round":        {change(func(b []market.Bar) { b[0].At = b[1].At.Add(time.Hour) }), false, "BARS_INVALID"},
		"a price of nothing":         {daily("0", "12"), false, "BARS_INVALID"},
		"a price below 0":            {daily("-10", "12"), false, "BARS_INVALID"},
		"a price beyond reason":      {daily("10", "1e300"), false, "BARS_INVALID"},
		"a close above the high":     {change(func(b []market.Bar) { b[1].High = decimal.NewFromInt(11) }), false, "BARS_INVALID"},
		"a close below the low":      {change(func(b []market.Bar) { b[1].Low = decimal.NewFromInt(13) }), false, "BARS_INVALID"},
	} {
		in := closed(map[string][]market.Bar{"SPY": c.bars})
		if c.edit {
			in.Cause = edit
		}
		if got := said(s.Decide(in)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for code, in := range map[string]strategy.Input{"EQUITY_UNAVAILABLE": {}, "BARS_UNAVAILABLE": {Account: account.Account{Equity: usd("1")}}} {
		if got := said(s.Decide(in)); got != code {
			t.Errorf("%q, want %s", got, code)
		}
	}
	holiday := closed(map[string][]market.Bar{"SPY": moved(1)}) // Wednesday's, on Thanksgiving
	holiday.Now = tuesday.AddDate(0, 0, 2)
	holiday.Cause.Tick = tick.Of(holiday.Now)
	if got := said(s.Decide(holiday)); got != "" {
		t.Errorf("a holiday: %q", got)
	}
}

// What is wrong with one symbol takes no exit of another's away, and is said where there is none.
func TestEachSymbolAlone(t *testing.T) {
	sma := build(t, strategy.KindSMACross, map[string]any{"symbols": list("AAA", "SPY"), "fast": int64(1), "slow": int64(2)})
	for name, c := range map[string]struct {
		bars, spy []market.Bar
		held      []account.Position
		want      string
	}{
		"no bars":           {nil, daily("12", "10"), []account.Position{holding("SPY", "980")}, "sell SPY 980"},
		"short":             {daily("12", "10"), daily("12", "10"), []account.Position{holding("AAA", "-5"), holding("SPY", "980")}, "sell SPY 980"},
		"no price":          {daily("12", "10"), daily("12", "10"), []account.Position{{Symbol: "AAA", Qty: decimal.NewFromInt(1)}, holding("SPY", "980")}, "sell SPY 980"},
		"nothing else":      {nil, daily("12", "10"), nil, "BARS_UNAVAILABLE"},
		"the first is said": {nil, daily("12"), nil, "BARS_UNAVAILABLE"},
	} {
		if got := said(sma.Decide(closed(map[string][]market.Bar{"AAA": c.bars, "SPY": c.spy}, c.held...))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	rebalance := build(t, strategy.KindRebalance, map[string]any{"weights": map[string]any{"AAA": 0.1, "SPY": 0.1}})
	for name, c := range map[string]struct {
		held []account.Position
		want string
	}{
		"short":        {[]account.Position{holding("AAA", "-5"), holding("SPY", "3000")}, "sell SPY 2000"},
		"nothing else": {[]account.Position{holding("AAA", "-5"), holding("SPY", "1000")}, "POSITION_SHORT"},
	} {
		if got := said(rebalance.Decide(closed(nil, c.held...))); got != c.want {
			t.Errorf("rebalance, %s: %q, want %q", name, got, c.want)
		}
	}
}

// In the session after a day's bar, whatever the season, on that bar; on no day without one.
func TestInTheSession(t *testing.T) {
	zone, err := market.Zone()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, symbols string }{{strategy.KindSMACross, "symbols"}, {strategy.KindBreakout, "symbols"}, {strategy.KindRSIReversion, "symbols"}, {strategy.KindVolTarget, "symbol"}} {
		params := map[string]any{"symbols": list("SPY"), "at": "session"}
		if c.symbols == "symbol" {
			params = map[string]any{"symbol": "SPY", "at": "session"}
		}
		s := build(t, c.kind, params)
		slots := strategy.Slots([]strategy.Definition{{Kind: c.kind, Params: params}})
		runs := 0
		for at := tick.Of(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); at.Time().Year() == 2026; at += 3 {
			old, now := account.Snapshot{Tick: at - 3, SlotMinutes: slots}, account.Snapshot{Tick: at, SlotMinutes: slots}
			e := strategy.Between(&old, now)
			cause, ok := e.Cause(s.Triggers())
			if !ok {
				continue
			}
			runs++
			if local := cause.Tick.Time().In(zone); !e.Any() || local.Hour() < 10 || local.Hour() > 12 {
				t.Fatalf("%s: runs at %s, suppressed %t; want it in hours, of half days too", c.kind, local, !e.Any())
			}
		}
		if runs != 365 {
			t.Errorf("%s: %d runs in a year", c.kind, runs)
		}
	}
	s := build(t, strategy.KindSMACross, map[string]any{"symbols": list("SPY"), "fast": int64(1), "slow": int64(2), "at": "session"})
	for name, c := range map[string]struct {
		day    int // of November 2026
		newest int // bar's day
		want   string
	}{
		"Wednesday":                      {25, 24, "buy SPY 1000"},
		"Wednesday, on Monday's":         {25, 23, "BARS_LATE"},
		"Thanksgiving":                   {26, 24, ""},
		"Friday, on Wednesday's":         {27, 25, "buy SPY 1000"},
		"Friday, on Tuesday's":           {27, 24, "BARS_STALE"},
		"Monday, on Friday's":            {30, 27, "buy SPY 1000"},
		"Monday, on Wednesday's":         {30, 25, "BARS_STALE"},
		"Saturday":                       {28, 24, ""},
		"Wednesday, a pair's, till 6:00": {25, 24, "buy BTC/USD 1000"},
		"Wednesday, a pair's, a day ago": {25, 23, "BARS_LATE"},
	} {
		symbol, s := "SPY", s
		if strings.Contains(name, "pair") {
			symbol = "BTC/USD"
			s = build(t, strategy.KindSMACross, map[string]any{"symbols": list(symbol), "fast": int64(1), "slow": int64(2), "at": "session"})
		}
		bars := daily("10", "12")
		bars[1].At = bars[1].At.AddDate(0, 0, c.newest-24)
		bars[0].At = bars[1].At.AddDate(0, 0, -1)
		in := closed(map[string][]market.Bar{symbol: bars})
		in.Now = time.Date(2026, 11, c.day, 15, 0, 30, 0, time.UTC)
		in.Cause = strategy.Cause{Text: "schedule:" + tick.Of(in.Now).String(), Tick: tick.Of(in.Now)}
		if got := said(s.Decide(in)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if _, err := strategy.New(strategy.Definition{Kind: strategy.KindSMACross, Params: map[string]any{"symbols": list("SPY"), "timeframe": "1Hour", "at": "session"}}); !errors.Is(err, strategy.ErrInvalid) {
		t.Errorf("hourly bars in the session after them: %v", err)
	}
}

// A pair's day began at 06:00 UTC, say, and ended 15 hours before the exchanges closed.
func TestPairs(t *testing.T) {
	s := build(t, strategy.KindSMACross, map[string]any{"symbols": list("BTC/USD"), "fast": int64(1), "slow": int64(2)})
	for days, want := range map[int]string{0: "BARS_INVALID", -1: "buy BTC/USD 1000", -2: ""} {
		bars := daily("10", "12")
		for i := range bars {
			bars[i].At = bars[i].At.Add(time.Hour).AddDate(0, 0, days)
		}
		if got := said(s.Decide(closed(map[string][]market.Bar{"BTC/USD": bars}))); got != want {
			t.Errorf("%d days: %q, want %q", days, got, want)
		}
	}
}

func TestIntradayBars(t *testing.T) {
	s := build(t, strategy.KindSMACross, map[string]any{"symbols": list("SPY", "TLT"), "timeframe": "15Min", "fast": int64(1), "slow": int64(2)})
	bars := func(end time.Time) []market.Bar {
		b := daily("10", "12")
		b[0].At, b[1].At = end.Add(-45*time.Minute), end.Add(-15*time.Minute) // a bar without a trade is left out between
		return b
	}
	for name, c := range map[string]struct {
		spy, tlt time.Time
		cause    string
		now      time.Time
		want     string
	}{
		"both are new":              {tuesday, tuesday, "bar", tuesday, "buy SPY 1000, buy TLT 1000"},
		"one is not traded":         {tuesday, tuesday.Add(-15 * time.Minute), "bar", tuesday, "buy SPY 1000"},
		"at night":                  {tuesday.Add(-5 * time.Hour), tuesday.Add(-5 * time.Hour), "bar", tuesday, ""},
		"late, and a newer is here": {tuesday.Add(15 * time.Minute), tuesday, "bar", tuesday.Add(16 * time.Minute), "buy SPY 1000, buy TLT 1000"},
		"edited in the session":     {tuesday, tuesday, "edit", tuesday.Add(45 * time.Minute), "buy SPY 1000, buy TLT 1000"},
		"edited at night":           {tuesday, tuesday, "edit", tuesday.Add(46 * time.Minute), "BARS_STALE"},
		"Friday's on a Wednesday":   {tuesday.AddDate(0, 0, -4), tuesday.AddDate(0, 0, -4), "bar", tuesday.AddDate(0, 0, 1), "BARS_STALE"},
	} {
		in := closed(map[string][]market.Bar{"SPY": bars(c.spy), "TLT": bars(c.tlt)})
		in.Cause.Text, in.Now = c.cause+":15Min:", c.now
		if got := said(s.Decide(in)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Each fault by itself, and all of them at once.
func TestParameters(t *testing.T) {
	spy := list("SPY")
	for want, d := range map[string]strategy.Definition{
		"symbols holds 0 symbols":                              {Kind: strategy.KindSMACross},
		"symbols is a string: want a list":                     {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": "SPY"}},
		"symbols[0] is a int64":                                {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": []any{int64(1)}}},
		"symbols holds SPY twice":                              {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": list("SPY", "TLT", "SPY")}},
		`symbol "spy"`:                                         {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": list("spy")}},
		"weight is 0.6 of equity for each of 2 symbols":        {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": list("SPY", "TLT"), "weight": 0.6}},
		`timeframe is "2Min": want one of 1Day, 5Min`:          {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": spy, "timeframe": "2Min"}},
		"fast is 50 and slow is 50":                            {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": spy, "fast": int64(50)}},
		"slow is 501: want 2 to 500":                           {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": spy, "slow": int64(501)}},
		"fast is 2.5: want a whole number":                     {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": spy, "fast": 2.5}},
		`unknown parameter "fsat": want some of [at band fast`: {Kind: strategy.KindSMACross, Params: map[string]any{"symbols": spy, "fsat": int64(1)}},
		"entry is 60 and exit is 50":                           {Kind: strategy.KindRSIReversion, Params: map[string]any{"symbols": spy, "entry": 60.0}},
		"period: figure":                                       {Kind: strategy.KindRSIReversion, Params: map[string]any{"symbols": spy, "period": "many"}},
		"atr_stop is -1: want 0 to 20":                         {Kind: strategy.KindBreakout, Params: map[string]any{"symbols": spy, "atr_stop": -1.0}},
		"symbol is a int64: want a symbol":                     {Kind: strategy.KindDCA, Params: map[string]any{"symbol": int64(1), "notional_usd": 1.0}},
		"weights is a string: want a map":                      {Kind: strategy.KindRebalance, Params: map[string]any{"weights": "SPY"}},
		"weights is empty: want something like":                {Kind: strategy.KindRebalance},
		"symbol is missing: want a symbol, like SPY":           {Kind: strategy.KindDCA, Params: map[string]any{"notional_usd": 1.0}},
		"notional_usd is missing: want 1 to 1000000":           {Kind: strategy.KindDCA, Params: map[string]any{"symbol": "SPY"}},
		"notional_usd is 1.001: want whole cents":              {Kind: strategy.KindDCA, Params: map[string]any{"symbol": "SPY", "notional_usd": "1.001"}},
		"every_minutes is 0":                                   {Kind: strategy.KindDCA, Params: map[string]any{"symbol": "SPY", "notional_usd": 1.0, "every_minutes": int64(0)}},
		"offset_minutes is 60: want a multiple of 5 that":      {Kind: strategy.KindDCA, Params: map[string]any{"symbol": "SPY", "notional_usd": 1.0, "every_minutes": int64(60), "offset_minutes": int64(60)}},
		`days holds "someday"`:                                 {Kind: strategy.KindDCA, Params: map[string]any{"symbol": "SPY", "notional_usd": 1.0, "days": list("mon", "someday")}},
		`estimator is "garch": want one of window, ewma`:       {Kind: strategy.KindVolTarget, Params: map[string]any{"symbol": "SPY", "estimator": "garch"}},
		"max_weight is 3: want 0.01 to 2":                      {Kind: strategy.KindVolTarget, Params: map[string]any{"symbol": "SPY", "max_weight": 3.0}},
	} {
		if _, err := strategy.New(d); !errors.Is(err, strategy.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want ErrInvalid that says %q", d.Params, err, want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: one mistake is told twice: %v", d.Params, err)
		}
	}
	_, err := strategy.New(strategy.Definition{Kind: strategy.KindSMACross, Params: map[string]any{"symbols": list("spy"), "slow": int64(1), "weight": "x", "a": nil, "b": nil}})
	if n := strings.Count(err.Error(), "\n") + 1; n != 5 {
		t.Errorf("%d faults are named, want 5: %v", n, err)
	}
}

func TestMode(t *testing.T) {
	for v, want := range map[any]strategy.Mode{nil: strategy.Live, "live": strategy.Live, "shadow": strategy.Shadow, "shadwo": strategy.Shadow, "": strategy.Shadow, true: strategy.Shadow} {
		if got := strategy.ParseMode(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
