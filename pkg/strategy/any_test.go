package strategy_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// sane checks what holds of any strategy's decision on any input, and that it is pure.
func sane(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, s strategy.Strategy, in strategy.Input) strategy.Decision {
	t.Helper()
	d, err := s.Decide(in)
	if again, err2 := s.Decide(in); said(again, err2) != said(d, err) {
		t.Fatalf("%q, and then %q", said(d, err), said(again, err2))
	}
	if err != nil {
		if denial, ok := errors.AsType[*strategy.Denial](err); !ok || denial.Code == "" || denial.Reason == "" || len(d.Intents) != 0 {
			t.Fatalf("Decide = %v, %v: want a denial alone", d.Intents, err)
		}
		return d
	}
	var seen []string
	for _, i := range d.Intents {
		e, err := strategy.Exposed(in, i.Symbol)
		ok := err == nil && slices.Contains(s.Needs().Symbols, i.Symbol) && !slices.Contains(seen, i.Symbol) && i.Reason != "" &&
			i.Notional.GreaterThanOrEqual(decimal.NewFromInt(strategy.MinNotional)) && i.Notional.Equal(i.Notional.Truncate(2))
		switch i.Action {
		case signal.Buy:
		case signal.Sell:
			ok = ok && i.Notional.Add(e.Sells).LessThanOrEqual(e.Held)
		default:
			ok = false
		}
		if !ok {
			t.Fatalf("intent %+v of %+v", i, e)
		}
		seen = append(seen, i.Symbol)
	}
	return d
}

// anyDefinition is a good one with parameters that need few bars, so that decisions come about.
func anyDefinition(t *rapid.T) strategy.Definition {
	kind := rapid.SampledFrom(strategy.Kinds()).Draw(t, "kind")
	symbols, n := list(rapid.SampledFrom([][]string{{"SPY"}, {"SPY", "TLT"}}).Draw(t, "symbols")...), rapid.Int64Range(2, 4).Draw(t, "n")
	return strategy.Definition{ID: "s", Kind: kind, Params: map[string]map[string]any{
		strategy.KindBreakout:     {"symbols": symbols, "entry": n, "exit": n, "atr_stop": rapid.Float64Range(0, 3).Draw(t, "stop"), "atr_period": int64(2), "weight": 0.5},
		strategy.KindDCA:          {"symbol": "SPY", "notional_usd": n},
		strategy.KindGemini:       {"symbols": symbols, "weight": 0.5, "bars": "1Day", "bar_count": n},
		strategy.KindRebalance:    {"weights": map[string]any{"SPY": 0.6, "TLT": 0.4}},
		strategy.KindRSIReversion: {"symbols": symbols, "period": int64(2), "weight": 0.5},
		strategy.KindSMACross:     {"symbols": symbols, "fast": int64(1), "slow": n, "weight": 0.5},
		strategy.KindVolTarget:    {"symbol": "SPY", "lookback": int64(5), "max_weight": 2.0},
	}[kind]}
}

func anyInput(t *rapid.T) strategy.Input {
	figure := rapid.Custom(func(t *rapid.T) decimal.Decimal {
		return decimal.New(rapid.Int64Range(-10_000, 10_000_000).Draw(t, "digits"), rapid.Int32Range(-6, 2).Draw(t, "places"))
	})
	price := rapid.Custom(func(t *rapid.T) decimal.Decimal {
		if rapid.IntRange(0, 99).Draw(t, "odd") == 0 {
			return figure.Draw(t, "price")
		}
		return decimal.New(rapid.Int64Range(90_00, 110_00).Draw(t, "cents"), -2)
	})
	maybe := rapid.Custom(func(t *rapid.T) decimal.NullDecimal {
		return decimal.NullDecimal{Decimal: figure.Draw(t, "figure"), Valid: rapid.IntRange(0, 9).Draw(t, "there") > 0}
	})
	symbol := rapid.SampledFrom([]string{"SPY", "TLT", "QQQ"})
	side := rapid.SampledFrom([]string{"buy", "sell", ""})
	by := rapid.SampledFrom([]string{"bar:1Day:", "schedule:", "changed_seq:7", "edit:", ""})
	in := strategy.Input{
		Now: tuesday.Add(time.Minute), StrategyID: "s", Cause: strategy.Cause{Text: by.Draw(t, "cause"), Tick: tick.Of(tuesday)},
		Account: account.Account{Equity: maybe.Draw(t, "equity"), Cash: maybe.Draw(t, "cash")}, Quotes: market.Prices{}, Bars: map[string][]market.Bar{},
	}
	for _, s := range rapid.SliceOfNDistinct(symbol, 0, 3, rapid.ID).Draw(t, "held") {
		in.Positions = append(in.Positions, account.Position{Symbol: s, Qty: figure.Draw(t, "qty"), MarketValue: maybe.Draw(t, "value"), CurrentPrice: maybe.Draw(t, "current"), AvgEntryPrice: maybe.Draw(t, "entry")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "orders") {
		in.Orders = append(in.Orders, account.Order{Symbol: symbol.Draw(t, "symbol"), Side: side.Draw(t, "side"), Qty: maybe.Draw(t, "qty"), Notional: maybe.Draw(t, "notional"), FilledQty: maybe.Draw(t, "filled"), LimitPrice: maybe.Draw(t, "limit")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "reserved") {
		in.Reserved = append(in.Reserved, signal.Reservation{SignalID: "x", StrategyID: rapid.SampledFrom([]string{"r", "s"}).Draw(t, "of"), Symbol: symbol.Draw(t, "symbol"), Action: signal.Action(side.Draw(t, "side")), Notional: figure.Draw(t, "notional")})
	}
	for _, s := range []string{"SPY", "TLT"} {
		if rapid.Bool().Draw(t, "quoted") {
			in.Quotes[s] = price.Draw(t, "quote")
		}
		var closes []string
		for range rapid.SampledFrom([]int{0, 3, 4, 5, 25, 25, 25}).Draw(t, "bars") {
			closes = append(closes, price.Draw(t, "close").String())
		}
		in.Bars[s] = daily(closes...)
	}
	if rapid.IntRange(0, 9).Draw(t, "answered") > 0 {
		action, confidence := rapid.SampledFrom([]string{"buy", "sell", "hold"}), rapid.SampledFrom([]string{"0.5", "0.6", "0.95", "1", "2"})
		in.Answer = &strategy.Answer{Text: say(symbol.Draw(t, "of"), action.Draw(t, "action"), confidence.Draw(t, "confidence"))}
	}
	return in
}

// Whatever comes in, no strategy wants what can't be.
func TestAnyInput(t *testing.T) {
	traded, denied := map[string]bool{}, map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		s, err := strategy.New(d)
		if err != nil {
			t.Fatal(err)
		}
		in := anyInput(t)
		before, _ := json.Marshal(in)
		decision := sane(t, s, in)
		if after, _ := json.Marshal(in); string(after) != string(before) {
			t.Fatalf("it changed its input (-was +is):\n%s", cmp.Diff(string(before), string(after)))
		}
		traded[d.Kind] = traded[d.Kind] || len(decision.Intents) > 0
		if _, err := s.Decide(in); err != nil {
			denied[d.Kind] = true
		}
	})
	for _, kind := range strategy.Kinds() {
		if !traded[kind] || !denied[kind] {
			t.Logf("%s: traded %t, denied %t in this run", kind, traded[kind], denied[kind])
		}
	}
}

// Prices come to indicators as the nearest float, however many digits they have.
func TestSeriesIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := decimal.New(rapid.Int64Range(1, 1<<62).Draw(t, "digits"), rapid.Int32Range(-25, 3).Draw(t, "places"))
		bars, ok, err := strategy.Needs{Bars: market.OneDay, Count: 1}.Series(closed(map[string][]market.Bar{"SPY": daily(price.String())}), "SPY")
		if want := price.InexactFloat64(); err != nil || !ok || bars.Last() != want || bars.High[0] != want || bars.Low[0] != want {
			t.Fatalf("%s is %v, %v", price, bars, err)
		}
	})
}

// Whatever the parameters: they are refused as a whole, or the strategy keeps the platform's bounds.
func FuzzKinds(f *testing.F) {
	for _, body := range []string{
		`{"symbols":["SPY","TLT"],"weight":0.5,"fast":1,"slow":2,"band":0.01}`, `{"symbols":["SPY"],"period":2,"entry":"29.9","exit":70}`, `{"symbols":["SPY"],"entry":3,"exit":2,"atr_stop":2.5,"atr_period":2}`,
		`{"symbol":"SPY","notional_usd":"25.50","every_minutes":60,"offset_minutes":35,"days":["mon","tue"]}`, `{"symbol":"SPY","estimator":"ewma","lambda":0.8,"max_weight":2}`, `{"symbol":"SPY","lookback":5,"drift_band":0,"target_vol":1}`,
		`{"symbols":["SPY","SPY"]}`, `{"symbols":"SPY"}`, `{"symbols":[1,null]}`, `{"symbol":7}`, `{"timeframe":"1Day"}`, `{"symbols":["SPY"],"timeframe":"5Min"}`, `{"symbols":["SPY"],"fast":1e308}`, `{"symbols":["SPY"],"slow":-1e308,"fast":"NaN"}`,
		`{"weights":{"SPY":0.5,"TLT":"0.5"},"every_minutes":5,"drift_band":0}`, `{}`, `{"symbol":"BF.B","notional_usd":1,"days":[]}`, `{"symbols":["SPY","TLT"],"weight":0.5,"min_confidence":0,"bars":"5Min","bar_count":30,"context":"bonds"}`, `{"symbols":["SPY"],"bar_count":3}`, `{"symbol":"SPY","notional_usd":1e-30}`,
		`{"symbols":["SPY"],"at":"session"}`, `{"symbols":["SPY"],"at":"session","timeframe":"5Min"}`, `{"symbol":"SPY","at":"session"}`,
		`{"symbols":["SPY"],"period":50}`, `{"symbols":["SPY"],"atr_stop":1,"atr_period":50}`, `{"symbols":["SPY"],"slow":500}`, `{"symbol":"SPY","lookback":400}`, `{"symbol":"SPY","estimator":"ewma","lambda":0.99}`,
	} {
		for kind := range len(strategy.Kinds()) {
			f.Add(uint8(kind), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		kind := strategy.Kinds()[int(n)%len(strategy.Kinds())]
		for _, whole := range []bool{false, true} {
			params := fromJSON(body, whole)
			s, err := strategy.New(strategy.Definition{ID: "s", Kind: kind, Params: params})
			if err != nil {
				if s != nil || !errors.Is(err, strategy.ErrInvalid) {
					t.Fatalf("New = %v, %v", s, err)
				}
				continue
			}
			names := strategy.Parameters(kind)
			for name := range params {
				if !slices.ContainsFunc(names, func(p strategy.Parameter) bool { return p.Name == name }) {
					t.Fatalf("taken: %q", name)
				}
			}
			needs, triggers := s.Needs(), s.Triggers()
			for i, symbol := range needs.Symbols {
				if market.CheckSymbol(symbol) != nil || (i > 0 && needs.Symbols[i-1] >= symbol) {
					t.Fatalf("needs %v", needs.Symbols)
				}
			}
			if len(needs.Symbols) == 0 || needs.Count < 0 || needs.Count > market.MaxBars || (needs.Bars != "") != (needs.Count > 0) || (needs.Bars != triggers.Bar && kind != strategy.KindGemini && (needs.Bars != market.OneDay || triggers.Every != 24*time.Hour)) {
				t.Fatalf("needs %+v, triggers %+v", needs, triggers)
			}
			for _, d := range []time.Duration{triggers.Every, triggers.Offset, triggers.Bar.Slot()} {
				if d < 0 || d > 24*time.Hour || d%strategy.MinSlot != 0 {
					t.Fatalf("triggers %+v", triggers)
				}
			}
			for _, in := range samples(needs.Symbols) {
				for _, by := range []string{"", "schedule:", "bar:"} {
					in.Now, in.Cause, in.Account.Cash = tuesday.Add(time.Minute), strategy.Cause{Text: by, Tick: tick.Of(tuesday)}, in.Account.Equity
					if len(in.Quotes) > 0 {
						in.Bars = map[string][]market.Bar{}
						for _, symbol := range needs.Symbols {
							in.Bars[symbol] = waves(needs.Count)
						}
					}
					sane(t, s, in)
				}
			}
		}
	})
}

// waves are n daily bars that rise and fall.
func waves(n int) []market.Bar {
	closes := make([]string, n)
	for i := range closes {
		closes[i] = decimal.NewFromInt(int64(100 + (i*i*7)%23)).String()
	}
	return daily(closes...)
}

// What a decision costs, with as many bars as are asked for by default.
func BenchmarkDecide(b *testing.B) {
	for _, kind := range strategy.Kinds() {
		params := map[string]map[string]any{
			strategy.KindDCA: {"symbol": "SPY", "notional_usd": 25.0}, strategy.KindVolTarget: {"symbol": "SPY"}, strategy.KindRebalance: {"weights": map[string]any{"SPY": 0.6}},
		}[kind]
		if params == nil {
			params = map[string]any{"symbols": list("SPY")}
		}
		b.Run(kind, func(b *testing.B) {
			s := build(b, kind, params)
			in := closed(map[string][]market.Bar{"SPY": waves(s.Needs().Count)}, holding("SPY", "900"))
			if kind == strategy.KindGemini {
				in.Quotes, in.Answer = market.Prices{"SPY": decimal.NewFromInt(100)}, &strategy.Answer{Text: say("SPY", "buy", "1")}
			}
			in.Cause.Text = map[string]string{strategy.KindDCA: "schedule:"}[kind] + in.Cause.Text
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Decide(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
