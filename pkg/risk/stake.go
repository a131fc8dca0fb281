package risk

import (
	"strings"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

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

// shares adds what is traded by shares: what they are worth, and what they would open.
func (w *way) shares(qty, usd, open decimal.Decimal) {
	w.usd, w.open, w.qty = w.usd.Add(cents(usd)), w.open.Add(cents(open)), w.qty.Add(qty)
}

// worth is what shares are by what is held of them, which is something: all of it for all, to the last digit.
func (s *stake) worth(qty decimal.Decimal) decimal.Decimal { return s.held.Mul(qty).Div(s.qty).Abs() }

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
		usd = s.worth(left)
	}
	open := usd
	if limit.Valid && (side != signal.Sell || limit.Decimal.GreaterThan(price)) {
		open = left.Mul(limit.Decimal)
	}
	w.shares(left, usd, open)
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
