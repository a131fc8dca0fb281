package risk

import (
	"fmt"
	"slices"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
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

// stake is what is held of a symbol, and what is on its way.
type stake struct {
	held     decimal.Decimal // USD, negative if short
	qty      decimal.Decimal // shares, likewise
	unpriced int             // the sign of what is held, if it has no price; 0: what is held is known
	blind    bool            // what an open order comes to is not known
	coming   *coming         // nil: nothing is
}

// coming is open orders, and reservations that are none yet.
type coming struct{ buying, selling way }

// way is what is on its way to one side.
type way struct {
	usd  decimal.Decimal // at the price at which what is held is valued: so much of that it closes
	open decimal.Decimal // USD that it would be if it closed nothing: limit prices count
	qty  decimal.Decimal // shares of the orders by shares
	cash decimal.Decimal // USD of the rest
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
		e.stake(r.Symbol).way(r.Action).add(cents(r.Notional))
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

func (e *Engine) stake(symbol string) *stake {
	s := e.stakes[symbol]
	if s == nil {
		s = &stake{}
		e.stakes[symbol] = s
	}
	return s
}

// way is what is on its way to a side.
func (s *stake) way(a signal.Action) *way {
	if s.coming == nil {
		s.coming = &coming{}
	}
	if a == signal.Sell {
		return &s.coming.selling
	}
	return &s.coming.buying
}

// add adds what is traded by its notional.
func (w *way) add(notional decimal.Decimal) {
	w.usd, w.open, w.cash = w.usd.Add(notional), w.open.Add(notional), w.cash.Add(notional)
}

// past is what is on its way past an amount: of that it is worth what it would open. Negative: so much is missing of it.
func (w way) past(amount decimal.Decimal) decimal.Decimal {
	past := w.usd.Sub(amount)
	opens := decimal.Min(past, w.usd)
	switch extra := w.open.Sub(w.usd); {
	case extra.IsZero() || !opens.IsPositive():
	case opens.Equal(w.usd):
		past = past.Add(extra)
	default: // nobody knows which order comes first
		past = past.Add(cents(extra.Mul(opens).Div(w.usd)))
	}
	return past
}

// past is what will be there to the side of an action when all is done that is on its way there; negative: so much is left of
// what is held the other way, and can be closed.
func (s *stake) past(a signal.Action) decimal.Decimal {
	var w way
	if s.coming != nil {
		w = *s.way(a)
	}
	if a == signal.Sell {
		return w.past(s.held)
	}
	return w.past(s.held.Neg())
}

// opening is the part of what is on its way that adds to the gross exposure.
func (s *stake) opening() (sum decimal.Decimal) {
	if s.coming == nil {
		return sum
	}
	buys := s.coming.buying.past(decimal.Max(s.held.Neg(), decimal.Zero))
	sells := s.coming.selling.past(decimal.Max(s.held, decimal.Zero))
	return decimal.Max(buys, decimal.Zero).Add(decimal.Max(sells, decimal.Zero))
}

// busy: something is held, or about to be.
func (s *stake) busy() bool {
	return !s.held.IsZero() || s.unpriced != 0 || s.blind || !s.opening().IsZero()
}

// closable is the part of an amount that lowers exposure: what others close already is not there to be closed again. Of what
// is held long and has no price all may be sold, by one alone: the broker sells no more by notional than is held. It buys more
// than is short, so that nothing closes a short without a price.
func (s *stake) closable(a signal.Action, amount decimal.Decimal) decimal.Decimal {
	if s.unpriced > 0 && a == signal.Sell && !s.blind && (s.coming == nil || s.coming.selling.usd.IsZero()) {
		return amount
	}
	return s.past(a).Neg()
}

// worth is a position in USD: at the fresh quote, else as the broker values it.
func worth(p account.Position, prices market.Prices) (decimal.Decimal, bool) {
	if price, ok := prices[p.Symbol]; ok {
		return p.Qty.Mul(price), true
	}
	if p.MarketValue.Valid {
		return p.MarketValue.Decimal, true
	}
	return p.Qty.Mul(p.CurrentPrice.Decimal), p.CurrentPrice.Valid || p.Qty.IsZero()
}

// price is a symbol's, in USD a share.
func (e *Engine) price(symbol string) (decimal.Decimal, bool) {
	if price, ok := e.prices[symbol]; ok {
		return price, true
	}
	return priced(e.in.Snapshot.Positions, symbol)
}

// order adds what is left of an open order. One by shares closes so many shares, whatever its limit: the limit says what it
// opens. Who sells below the price gets the price.
func (e *Engine) order(o account.Order) {
	s, side := e.stake(o.Symbol), signal.Action(strings.ToLower(o.Side))
	w, filled := s.way(side), o.FilledQty.Decimal // 0 if it is missing
	price, ok := e.price(o.Symbol)
	if o.Notional.Valid {
		left := o.Notional.Decimal.Abs()
		if ok && filled.IsPositive() {
			left = decimal.Max(left.Sub(filled.Mul(price)), decimal.Zero)
		}
		w.add(cents(left))
		return
	}
	limit := o.LimitPrice
	if !ok {
		price, ok = limit.Decimal, limit.Valid
	}
	if !ok || !o.Qty.Valid {
		s.blind, e.unknown = true, o.Symbol
		return
	}
	left := decimal.Max(o.Qty.Decimal.Sub(filled), decimal.Zero)
	usd := left.Mul(price)
	if !s.held.IsZero() && !s.qty.IsZero() {
		usd = s.held.Mul(left).Div(s.qty).Abs() // all shares are worth all that is held, to the last digit
	}
	open := usd
	if limit.Valid && (side != signal.Sell || limit.Decimal.GreaterThan(price)) {
		open = left.Mul(limit.Decimal)
	}
	w.usd, w.open, w.qty = w.usd.Add(cents(usd)), w.open.Add(cents(open)), w.qty.Add(left)
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

// shares are an intent's, if a signal may be sent by them instead of its notional: a sale's of what is free, which come to the
// notional that was judged.
func (e *Engine) shares(i strategy.Intent) (none decimal.NullDecimal) {
	s, qty := e.stakes[i.Symbol], i.Qty.Decimal
	if i.Action != signal.Sell || !qty.IsPositive() || s == nil || !s.held.IsPositive() || !s.qty.IsPositive() {
		return none
	}
	off := qty.Mul(s.held).Sub(i.Notional.Mul(s.qty)).Abs() // times the shares held, and so is what it may be off by
	free := s.qty
	if s.coming != nil {
		free = free.Sub(s.coming.selling.qty).Sub(s.coming.selling.cash.Mul(s.qty).Div(s.held))
	}
	if qty.GreaterThan(free) || off.GreaterThan(s.qty.Mul(cent).Add(s.held.Mul(leastShares))) {
		return none
	}
	return i.Qty
}

// The broker takes orders in cents, or in billionths of a share.
var cent, leastShares = decimal.New(1, -2), decimal.New(1, -9)

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
