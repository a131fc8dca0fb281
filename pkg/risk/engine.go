package risk

import (
	"fmt"
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Input is all that the engine sees. It changes none of it.
type Input struct {
	Now            time.Time // UTC
	StrategyID     string
	Symbols        []string // that the strategy trades; nil: any
	Snapshot       account.Snapshot
	State          *State // turned to the day and marked
	Levels         []Level
	Quotes         map[string]market.Quote
	Open           func(market.Hours) (open, known bool) // whether the exchanges are; nil: not known
	MaxSnapshotAge time.Duration                         // a limit may only tighten it
	Buffer         decimal.Decimal                       // share of buying power that is kept back; a limit may only raise it
}

// Check is one check of an intent.
type Check struct {
	Limit    string // the limit's name, or what is checked
	Level    string // whose limit it is; "" if nobody set one, or it is no limit
	Value    decimal.NullDecimal
	Bound    decimal.NullDecimal
	Distance decimal.NullDecimal // how far the value may still go; negative: it has gone too far
	Code     string              // of what is wrong; "" if nothing is
	Waived   bool                // it does not hold for what closes a position
	Note     string              // what else explains a code: key=value, each with a blank before it
}

// Verdict is what the engine says of an intent: all checks in their order. The first that fails and is not waived is the
// denial.
type Verdict struct {
	Denial *strategy.Denial // nil: it may become a signal
	Opens  decimal.Decimal  // USD of new exposure, which take buying power; 0 for what only closes
	Checks []Check
}

// Engine checks the intents of one run, one after the other: each that is taken leaves less to the next. It is for one
// goroutine.
type Engine struct {
	in      Input
	fault   string  // of ours, in preparing
	fixed   []Check // what does not depend on the intent; Waived: it can be
	prices  market.Prices
	stakes  map[string]*stake
	limits  [figures]bound // of MaxPosition and MaxGross in USD
	own     [2]bound       // the strategy's own of MaxDay and MaxOrders
	symbols int            // held or about to be
	gross   decimal.Decimal
	unknown string              // a symbol that is held and has no price
	power   decimal.NullDecimal // USD of buying power that is left
	full    int                 // reservations
	day     [2]counts
}

// counts of the day: all of the user's, and the strategy's own.
type counts struct {
	notional decimal.Decimal
	orders   int64
}

// New prepares a run's checks.
func New(in Input) (e *Engine) {
	e = &Engine{in: in}
	defer func() {
		if r := recover(); r != nil {
			e.fault = fmt.Sprint(r)
		}
	}()
	e.prices, e.stakes = market.Fresh(in.Quotes, in.Now), make(map[string]*stake, len(in.Snapshot.Positions)+4)
	for f := range e.limits {
		e.limits[f] = tightest(in.Levels, Figure(f), nil)
	}
	shared := func(l Level) bool { return l.Strategy == "" }
	mine := func(l Level) bool { return l.Strategy != "" }
	for i, f := range []Figure{MaxDay, MaxOrders} {
		e.limits[f], e.own[i] = tightest(in.Levels, f, shared), tightest(in.Levels, f, mine)
	}
	if equity := in.Snapshot.Account.Equity; e.solvent() {
		e.limits[MaxPosition], e.limits[MaxGross] = e.limits[MaxPosition].share(equity.Decimal), e.limits[MaxGross].share(equity.Decimal)
	}
	e.full = len(in.State.Reservations)
	own := in.State.Strategies[in.StrategyID]
	e.day = [2]counts{{cents(in.State.Day.Notional), in.State.Day.Orders}, {cents(own.Notional), own.Orders}}
	e.weigh()
	e.purse()
	q := &question{Engine: e, closes: true, out: make([]Check, 0, settledChecks)} // so that what can be waived says so
	q.settled()
	e.fixed = q.out
	return e
}

// solvent: shares of equity mean something.
func (e *Engine) solvent() bool {
	equity := e.in.Snapshot.Account.Equity
	return equity.Valid && equity.Decimal.IsPositive()
}

// cents cuts a figure to a hundredth of a cent. What is cut off is nothing that a broker trades.
func cents(d decimal.Decimal) decimal.Decimal { return d.Truncate(scale) }

const scale = 4

// weigh adds up positions, open orders and what is reserved and no order yet.
func (e *Engine) weigh() {
	for _, p := range e.in.Snapshot.Positions {
		s := e.stake(p.Symbol)
		s.qty = s.qty.Add(p.Qty)
		value, ok := worth(p, e.prices)
		if !ok {
			s.unpriced, e.unknown = p.Qty.Sign(), p.Symbol
			continue
		}
		s.held = s.held.Add(cents(value))
	}
	for _, o := range e.in.Snapshot.OpenOrders {
		if !o.Waits() {
			e.order(o)
		}
	}
	for _, r := range e.in.State.Coming(e.in.Snapshot) {
		s := e.stake(r.Symbol)
		if w := s.way(r.Action); r.Qty.IsPositive() && !s.held.IsZero() && !s.qty.IsZero() { // so many shares, whatever they are worth by now
			usd := s.worth(r.Qty)
			w.shares(r.Qty, usd, usd)
		} else {
			w.add(cents(r.Notional))
		}
	}
	for _, s := range e.stakes {
		if e.gross = e.gross.Add(s.held.Abs()); s.coming != nil {
			e.gross = e.gross.Add(s.opening())
		}
		if s.busy() {
			e.symbols++
		}
	}
}

// purse is the predecessor's buying power less the buffer and what is reserved.
func (e *Engine) purse() {
	e.power = e.in.Snapshot.Account.BuyingPower
	if !e.power.Valid {
		return
	}
	kept := e.in.Buffer
	if l := e.limits[Buffer]; l.Valid {
		kept = decimal.Max(kept, l.Decimal)
	}
	if kept.IsPositive() && e.power.Decimal.IsPositive() {
		e.power.Decimal = e.power.Decimal.Sub(e.power.Decimal.Mul(kept))
	}
	e.power.Decimal = cents(e.power.Decimal.Sub(e.in.State.Reserved(e.in.Snapshot)))
}

// Check says whether an intent may become a signal. A fault of ours, a panic included, is a denial.
func (e *Engine) Check(i strategy.Intent) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = faulty(i, fmt.Sprint(r))
		}
	}()
	if e.fault != "" {
		return faulty(i, e.fault)
	}
	q := e.question(i)
	q.all()
	v.Opens, v.Checks = q.opens, q.out
	for n := range v.Checks {
		if c := &v.Checks[n]; c.Code != "" && !c.Waived {
			v.Denial = &strategy.Denial{Code: c.Code, Reason: c.text(q)}
			break
		}
	}
	return v
}

func faulty(i strategy.Intent, fault string) Verdict {
	return Verdict{Denial: &strategy.Denial{Code: EngineFault, Reason: fmt.Sprintf("symbol=%.20q fault=%.200q", i.Symbol, fault)}, Opens: i.Notional}
}

// refused is the denial of every intent.
func (e *Engine) refused() *strategy.Denial {
	if e.fault != "" {
		return &strategy.Denial{Code: EngineFault, Reason: fmt.Sprintf("fault=%.200q", e.fault)}
	}
	closable := slices.ContainsFunc(e.in.Snapshot.Positions, func(p account.Position) bool {
		return !p.Qty.IsZero() && (e.in.Symbols == nil || slices.Contains(e.in.Symbols, p.Symbol))
	})
	for _, c := range e.fixed {
		switch {
		case c.Code == "" || (c.Waived && closable):
		case c.Code == SnapshotStale:
			return &strategy.Denial{Code: c.Code, Reason: account.TextStale}
		default:
			return &strategy.Denial{Code: c.Code, Reason: "limit=" + c.Limit + c.Note}
		}
	}
	return nil
}

// Take notes that an intent became a signal.
func (e *Engine) Take(i strategy.Intent, opens decimal.Decimal) {
	s := e.stake(i.Symbol)
	before, busy := s.opening(), s.busy()
	s.way(i.Action).add(cents(i.Notional))
	e.gross = e.gross.Add(s.opening()).Sub(before)
	if !busy && s.busy() {
		e.symbols++
	}
	e.power.Decimal = e.power.Decimal.Sub(opens)
	e.full++
	for n := range e.day {
		e.day[n].notional, e.day[n].orders = e.day[n].notional.Add(i.Notional), e.day[n].orders+1
	}
}

// worst is the most restricting of the levels' words.
func (e *Engine) worst() (state TradingState, by Level) {
	for _, l := range e.in.Levels {
		switch l.Trading.State {
		case Halted:
			return Halted, l
		case Reducing:
			if state != Reducing {
				state, by = Reducing, l
			}
		}
	}
	return state, by
}

// breached is a breach that holds for this strategy.
func (e *Engine) breached() (Breach, bool) {
	i := slices.IndexFunc(e.in.State.Breaches, func(b Breach) bool { return b.Strategy == "" || b.Strategy == e.in.StrategyID })
	if i < 0 {
		return Breach{}, false
	}
	return e.in.State.Breaches[i], true
}
