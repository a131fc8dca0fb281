package strategy

import (
	"cmp"
	"fmt"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// stance is what a strategy thinks of a symbol.
type stance int

const (
	stay stance = iota // as it is
	in
	out
)

// swing is what strategies share that are either in a symbol, with a fixed share of equity, or out of it. Whether they are
// in is told by the account, so they keep no state: a signal that was refused, missed or only partly done is made up for
// at the next bar. What stands at less than half of its target does not count as in, less than MinNotional as out. A
// position is not resized while it is held. A symbol should belong to one strategy only.
type swing struct {
	needs  Needs
	runs   Triggers
	weight decimal.Decimal // share of equity, of each symbol
}

// newSwing reads the parameters that all of them take; the number of bars is left to the strategy.
func newSwing(p *Params) swing {
	s := swing{needs: Needs{Symbols: p.Symbols("symbols"), Bars: p.Timeframe("timeframe")}}
	s.runs, s.weight = p.At("at", s.needs.Bars), p.Figure("weight", 0.1, 0.001, 1)
	if all := s.weight.Mul(decimal.NewFromInt(int64(len(s.needs.Symbols)))); all.GreaterThan(decimal.NewFromInt(1)) {
		p.Fault("weight is %s of equity for each of %d symbols, together %s: want at most 1", s.weight, len(s.needs.Symbols), all)
	}
	return s
}

func (s *swing) Triggers() Triggers { return s.runs }

func (s *swing) Needs() Needs { return s.needs }

// decide asks look about each symbol. What can't be decided of one takes no exit and no stop of another's away: it is denied
// if nothing else comes of the run.
func (s *swing) decide(input Input, look func(symbol string, bars Series) (stance, string, error)) (Decision, error) {
	equity, err := Equity(input)
	if err != nil {
		return Decision{}, err
	}
	target := equity.Mul(s.weight)
	var intents []Intent
	var done []string
	var denied error
	for _, symbol := range s.needs.Symbols {
		i, ok, err := s.one(input, symbol, target, look)
		switch {
		case err != nil:
			denied = cmp.Or(denied, err)
		case ok:
			intents = append(intents, i)
		case i.Action == signal.Flat:
			done = append(done, symbol)
		}
	}
	d, err := Size(input, intents...)
	d.Withdraw = append(d.Withdraw, done...)
	if len(d.Intents) == 0 && err == nil {
		err = denied
	}
	return d, err
}

// one is what is wanted of a symbol, if anything is; signal.Flat where it is there without the strategy's own open signal.
func (s *swing) one(input Input, symbol string, target decimal.Decimal, look func(symbol string, bars Series) (stance, string, error)) (i Intent, ok bool, err error) {
	bars, ok, err := s.needs.Series(input, symbol)
	if err != nil || !ok {
		return Intent{}, false, err
	}
	think, reason, err := look(symbol, bars)
	if err != nil {
		return Intent{}, false, err
	}
	e, err := Exposed(input, symbol)
	if err != nil {
		return Intent{}, false, err
	}
	switch coming := e.Coming().Sub(e.Own); { // whether its own open signal does it, Sized says
	case think == in && twice(coming).LessThan(target):
		return Intent{Symbol: symbol, Target: decimal.NewNullDecimal(target), Reason: reason}, true, nil
	case think == out && e.Held.Abs().GreaterThanOrEqual(decimal.NewFromInt(MinNotional)):
		return Intent{Symbol: symbol, Target: decimal.NewNullDecimal(decimal.Decimal{}), Reason: reason}, true, nil
	case think != stay:
		return Intent{Symbol: symbol, Action: signal.Flat}, false, nil
	}
	return Intent{}, false, nil
}

func twice(d decimal.Decimal) decimal.Decimal { return d.Add(d) }

// settled is how many bars an average of Wilder's over n takes until what it began with no longer counts: of the first
// average less than 0.01 % is left after ten times n.
func settled(n int) int { return 10*n + 1 }

// named is a bar's timeframe and its newest close, for reasons.
func named(f market.Timeframe, s Series) string { return fmt.Sprintf("%s close %.2f", f, s.Last()) }
