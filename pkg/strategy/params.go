package strategy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
)

// The bounds of what a strategy looks at: quotes and bars are shared by all users, each trade of a run takes a reservation, and
// the record of a decision holds all of it (decision.MaxBody).
const (
	MaxSymbols = 20    // of a list
	MaxWeights = 50    // of a map of weights
	MaxHistory = 4_000 // bars of all symbols together
)

// Parameter is one that a kind of strategy takes.
type Parameter struct {
	Name    string
	Default string // "": there is none, and it is required
}

// Params reads a definition's parameters and gathers everything that is wrong with them. Every parameter that it is asked
// for is known, whatever comes of it; any other is a fault.
type Params struct {
	d     Definition
	known []Parameter
	errs  []error
}

// Read begins to read a definition's parameters.
func Read(d Definition) *Params { return &Params{d: d} }

// Err says with ErrInvalid everything that is wrong, nil if all is well. It comes last.
func (p *Params) Err() error {
	names := make([]string, len(p.known))
	for i, k := range p.known {
		names[i] = k.Name
	}
	slices.Sort(names)
	for _, name := range slices.Sorted(maps.Keys(p.d.Params)) {
		if !slices.Contains(names, name) {
			p.Fault("unknown parameter %.40q: want some of %v", name, names)
		}
	}
	if err := errors.Join(p.errs...); err != nil {
		return fmt.Errorf("%w %s (%s): %w", ErrInvalid, p.d.ID, p.d.Kind, err)
	}
	return nil
}

// history checks how many bars a strategy needs.
func (p *Params) history(n Needs) {
	if all := len(n.Symbols) * n.Count; all > MaxHistory {
		p.Fault("%d symbols with %d bars each are %d bars: want at most %d together, fewer symbols or a shorter look back", len(n.Symbols), n.Count, all, MaxHistory)
	}
}

// Fault notes something that is wrong.
func (p *Params) Fault(format string, args ...any) { p.check(fmt.Errorf(format, args...)) }

func (p *Params) check(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

func (p *Params) take(name, otherwise string) any {
	p.known = append(p.known, Parameter{Name: name, Default: otherwise})
	return p.d.Params[name]
}

// Figure reads a number within bounds, both of them allowed.
func (p *Params) Figure(name string, otherwise, low, high float64) decimal.Decimal {
	d := decimal.NewFromFloat(otherwise)
	p.number(&d, name, p.take(name, d.String()), low, high)
	return d
}

// Must is Figure without a default.
func (p *Params) Must(name string, low, high float64) (d decimal.Decimal) {
	v := p.take(name, "")
	if v == nil {
		p.Fault("%s is missing: want %s", name, bounds(low, high))
	}
	p.number(&d, name, v, low, high)
	return d
}

func (p *Params) number(d *decimal.Decimal, name string, v any, low, high float64) {
	given, err := account.Decimal(v)
	switch {
	case err != nil:
		p.check(fmt.Errorf("%s: %w", name, err))
	case !given.Valid:
	case given.Decimal.LessThan(decimal.NewFromFloat(low)) || given.Decimal.GreaterThan(decimal.NewFromFloat(high)):
		p.Fault("%s is %s: want %s", name, given.Decimal, bounds(low, high))
	default:
		*d = given.Decimal
	}
}

func bounds(low, high float64) string { return fmt.Sprintf("%.10g to %.10g", low, high) }

// Whole reads a whole number within bounds, both of them allowed.
func (p *Params) Whole(name string, otherwise, low, high int) int {
	d := p.Figure(name, float64(otherwise), float64(low), float64(high))
	if !d.IsInteger() {
		p.Fault("%s is %s: want a whole number", name, d)
	}
	return int(d.IntPart())
}

// Minutes reads a schedule's period: a multiple of MinSlot that divides a day, or 0.
func (p *Params) Minutes(name string, otherwise int) time.Duration {
	every := time.Duration(p.Whole(name, otherwise, 0, 1440)) * time.Minute
	if every != 0 && (every%MinSlot != 0 || 24*time.Hour%every != 0) {
		p.Fault("%s is %d: want a multiple of 5 that divides a day (5, 10, 15, 30, 60, … 1440)", name, every/time.Minute)
		return 0
	}
	return every
}

// ID is the definition's.
func (p *Params) ID() string { return p.d.ID }

// Text reads any text; the default "" is none.
func (p *Params) Text(name, otherwise string) string {
	v := p.take(name, cmp.Or(otherwise, "none"))
	if v == nil {
		return otherwise
	}
	s, ok := v.(string)
	if !ok {
		p.Fault("%s is a %T: want a text", name, v)
		return otherwise
	}
	return s
}

// Choice reads one of some words, of which the first is the default.
func (p *Params) Choice(name string, words ...string) string {
	v := p.take(name, words[0])
	if v == nil {
		return words[0]
	}
	s, ok := v.(string)
	if !ok || !slices.Contains(words, s) {
		p.Fault("%s is %.40q: want one of %s", name, fmt.Sprint(v), strings.Join(words, ", "))
		return words[0]
	}
	return s
}

// Timeframe reads a bar's timeframe; the default is a day.
func (p *Params) Timeframe(name string) market.Timeframe {
	words := []string{string(market.OneDay)}
	for _, f := range market.Timeframes() {
		if f != market.OneDay {
			words = append(words, string(f))
		}
	}
	return market.Timeframe(p.Choice(name, words...))
}

// session is when a strategy on daily bars runs in the session after them, as a time of day in UTC: 10:00 New York time in
// winter, 11:00 in summer, so that regular hours have begun and no half day has ended.
const session = 15 * time.Hour

// At reads when a strategy on bars runs: at their close, or, those of a day, in the next session.
func (p *Params) At(name string, bars market.Timeframe) Triggers {
	if p.Choice(name, "close", "session") == "close" {
		return Triggers{Bar: bars}
	}
	if bars != market.OneDay {
		p.Fault("%s is session, and the bars are %s: want %s, or close", name, bars, market.OneDay)
	}
	return Triggers{Every: 24 * time.Hour, Offset: session}
}

// Symbol reads a symbol, which is required.
func (p *Params) Symbol(name string) string {
	v := p.take(name, "")
	if v == nil {
		p.Fault("%s is missing: want a symbol, like SPY", name)
		return ""
	}
	s, ok := v.(string)
	if !ok {
		p.Fault("%s is a %T: want a symbol, like SPY", name, v)
		return ""
	}
	p.check(market.CheckSymbol(s))
	return s
}

// Symbols reads a list of symbols, which is required; they come sorted.
func (p *Params) Symbols(name string) []string {
	faults := len(p.errs)
	list := p.list(name, "")
	if len(p.errs) > faults {
		return list // what is no list of texts has no number
	}
	for i, s := range list {
		p.check(market.CheckSymbol(s))
		if i > 0 && s == list[i-1] {
			p.Fault("%s holds %s twice", name, s)
		}
	}
	if len(list) == 0 || len(list) > MaxSymbols {
		p.Fault(`%s holds %d symbols: want 1 to %d, like ["SPY", "TLT"]`, name, len(list), MaxSymbols)
	}
	return list
}

// list reads a list of texts, sorted.
func (p *Params) list(name, otherwise string) []string {
	v := p.take(name, otherwise)
	in, ok := v.([]any)
	if !ok && v != nil {
		p.Fault("%s is a %T: want a list", name, v)
	}
	list := make([]string, 0, len(in))
	for i, v := range in {
		s, ok := v.(string)
		if !ok {
			p.Fault("%s[%d] is a %T: want a text", name, i, v)
			continue
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// Weights reads a map of up to MaxWeights symbols to shares of equity, 0 to 1, together at most 1. It is required.
func (p *Params) Weights(name string) map[string]decimal.Decimal {
	v := p.take(name, "")
	in, ok := v.(map[string]any)
	if !ok && v != nil {
		p.Fault("%s is a %T: want a map of symbols to numbers", name, v)
		return nil
	}
	if len(in) > MaxWeights {
		p.Fault("%s holds %d symbols: want 1 to %d", name, len(in), MaxWeights)
		return nil // thousands of them need no fault each
	}
	out, one, sum := make(map[string]decimal.Decimal, len(in)), decimal.NewFromInt(1), decimal.Decimal{}
	for symbol, v := range in {
		d, err := account.Decimal(v)
		if err != nil || !d.Valid {
			p.Fault("%s.%.40s is %.40q: want a number", name, symbol, fmt.Sprint(v))
			continue
		}
		w := d.Decimal
		p.check(market.CheckSymbol(symbol))
		if w.IsNegative() || w.GreaterThan(one) {
			p.Fault("%s.%.40s is %s: want 0 to 1", name, symbol, w)
		}
		out[symbol], sum = w, sum.Add(w)
	}
	if len(out) == 0 {
		p.Fault(`%s is empty: want something like {"SPY": 0.6, "TLT": 0.4}`, name)
	}
	if sum.GreaterThan(one) {
		p.Fault("%s add up to %s: want at most 1", name, sum)
	}
	return out
}
