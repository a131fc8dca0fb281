package strategy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// fromJSON are parameters as a document holds them: numbers as float64, or whole ones as int64 and others as text.
func fromJSON(body []byte, whole bool) map[string]any {
	d := json.NewDecoder(bytes.NewReader(body))
	if whole {
		d.UseNumber()
	}
	var v map[string]any
	if d.Decode(&v) != nil {
		return nil
	}
	return plain(v).(map[string]any)
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v.String()
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

// number reads a parameter without the help of the code under test.
func number(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(v), true
	case float64:
		return new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64))
	case string:
		return new(big.Rat).SetString(v)
	}
	return nil, false
}

func within(v any, low, high int64) bool {
	n, ok := number(v)
	return ok && n.Cmp(big.NewRat(low, 1)) >= 0 && n.Cmp(big.NewRat(high, 1)) <= 0
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{
		`{"weights":{"SPY":0.6,"TLT":"0.3"}}`, `{"weights":{"SPY":1,"BRK.B":0,"BF.B":"0.000"},"drift_band":0,"min_notional_usd":"25.5","every_minutes":30}`,
		`{"weights":{"SPY":0.1,"TLT":0.2,"GLD":0.7000000000000001}}`, `{"weights":{"SPY":1e-320,"TLT":-0},"drift_band":1e-5}`, `{"weights":{"SPY":"NaN"}}`, `{"weights":{"SPY":-0.1}}`,
		`{"weights":{"SPY":"1e30"},"every_minutes":"1e30"}`, `{"weights":{"spy":0.1},"every_minutes":7}`, `{"weights":{"SPY":0.5},"every_minutes":1e308}`, `{"weights":{"SPY":0.5},"every_minutes":-1440}`,
		`{"weights":[],"bnad":1}`, `{}`, `{"weights":{"SPY":null},"drift_band":null}`, `{"weights":{"SPY":0.5},"every_minutes":5.0000000001}`, `{"weights":{"SPY":0.5},"every_minutes":18446744073709551621}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, whole := range []bool{false, true} {
			params := fromJSON(body, whole)
			s, err := rebalance(params)
			if err != nil {
				if s != nil || !errors.Is(err, strategy.ErrInvalid) {
					t.Fatalf("New = %v, %v", s, err)
				}
				continue
			}
			weights := bounds(t, params, s)
			for _, in := range samples(s.Needs().Symbols) {
				decide(t, s, weights, in)
			}
		}
	})
}

// bounds: what New takes keeps the bounds that the strategy's comment states.
func bounds(t *testing.T, params map[string]any, s strategy.Strategy) map[string]*big.Rat {
	in, _ := params["weights"].(map[string]any)
	weights, sum := map[string]*big.Rat{}, new(big.Rat)
	for symbol, w := range in {
		if market.CheckSymbol(symbol) != nil || !within(w, 0, 1) || !slices.Contains(s.Needs().Symbols, symbol) {
			t.Fatalf("taken: weights.%s is %v", symbol, w)
		}
		weights[symbol], _ = number(w)
		sum.Add(sum, weights[symbol])
	}
	tiny := big.NewRat(1, 1e18) // floats are rounded, at the thirtieth place
	if len(in) == 0 || len(in) != len(s.Needs().Symbols) || !slices.IsSorted(s.Needs().Symbols) || sum.Cmp(tiny.Add(tiny, big.NewRat(1, 1))) > 0 {
		t.Fatalf("taken: weights %v add up to %s, symbols %v", in, sum, s.Needs().Symbols)
	}
	if v := params["drift_band"]; v != nil && !within(v, 0, 1) {
		t.Fatalf("taken: drift_band is %v", v)
	}
	if n, _ := number(params["min_notional_usd"]); n != nil && n.Cmp(big.NewRat(1, 1)) < 0 {
		t.Fatalf("taken: min_notional_usd is %v", params["min_notional_usd"])
	}
	every := s.Triggers().Every
	n, given := number(params["every_minutes"])
	switch {
	case !given || n.Sign() == 0:
		if every != 0 {
			t.Fatalf("every_minutes is %v, and it runs every %s", params["every_minutes"], every)
		}
	case every < strategy.MinSlot || every%strategy.MinSlot != 0 || 24*time.Hour%every != 0 || n.Cmp(big.NewRat(int64(every/time.Minute), 1)) != 0:
		t.Fatalf("every_minutes is %v, and it runs every %s", params["every_minutes"], every)
	}
	for name := range params {
		if !slices.Contains([]string{"weights", "drift_band", "min_notional_usd", "every_minutes"}, name) {
			t.Fatalf("taken: %q", name)
		}
	}
	return weights
}

// samples are accounts that hold nothing, something of each symbol, and what can't be decided on.
func samples(symbols []string) []strategy.Input {
	equity := func(s string) account.Account { return account.Account{Equity: usd(s)} }
	var held, unpriced, short []account.Position
	quotes := market.Prices{}
	for i, symbol := range symbols {
		qty := decimal.New(int64(i)*7+1, int32(i%5)-3)
		held = append(held, account.Position{Symbol: symbol, Qty: qty, MarketValue: decimal.NewNullDecimal(qty.Mul(decimal.NewFromInt(100)))})
		unpriced = append(unpriced, account.Position{Symbol: symbol, Qty: qty})
		short = append(short, account.Position{Symbol: symbol, Qty: qty.Neg(), MarketValue: decimal.NewNullDecimal(qty.Neg())})
		quotes[symbol] = decimal.New(12345, -2)
	}
	return []strategy.Input{
		{}, {Account: equity("-5")}, {Account: equity("10000")}, {Account: equity("0.01"), Positions: held}, {Account: equity("103820.56"), Positions: held, Quotes: quotes},
		{Account: equity("9999999999999999999999999999999")}, {Account: equity("1e-30"), Positions: held}, {Account: equity("100"), Positions: unpriced},
		{Account: equity("100"), Positions: short}, {Account: equity("10000"), Orders: []account.Order{{Symbol: symbols[0]}, {}}},
	}
}

// decide: a trade is of a known symbol, for more than the broker's least, never sells more than is held, and all
// together never buy more than the equity.
func decide(t *testing.T, s strategy.Strategy, weights map[string]*big.Rat, in strategy.Input) {
	decision, err := s.Decide(in)
	intents := decision.Intents
	var denial *strategy.Denial
	if err != nil {
		if !errors.As(err, &denial) || intents != nil {
			t.Fatalf("Decide = %v, %v: want a denial alone", intents, err)
		}
		return
	}
	bought, buying, seen := decimal.Decimal{}, false, map[string]bool{}
	for _, i := range intents {
		held, err := strategy.Value(in, i.Symbol)
		if err != nil {
			t.Fatal(err)
		}
		ok := weights[i.Symbol] != nil && !seen[i.Symbol] && i.Notional.GreaterThanOrEqual(decimal.NewFromInt(1)) && i.Notional.Equal(i.Notional.Truncate(2)) && i.Reason != ""
		switch seen[i.Symbol] = true; i.Action {
		case signal.Buy:
			bought, buying = bought.Add(i.Notional), true
		case signal.Sell:
			ok = ok && !buying && i.Notional.LessThanOrEqual(held)
		default:
			ok = false
		}
		if !ok {
			t.Fatalf("intent %+v of %v, held %s", i, intents, held)
		}
	}
	if bought.GreaterThan(in.Account.Equity.Decimal) {
		t.Fatalf("buys for %s of %s", bought, fmt.Sprint(in.Account.Equity))
	}
	if len(in.Orders) > 0 && seen[in.Orders[0].Symbol] {
		t.Fatalf("trades %s, which has an open order", in.Orders[0].Symbol)
	}
}
