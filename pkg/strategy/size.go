package strategy

import (
	"cmp"
	"fmt"
	"slices"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// MinNotional is the least that the broker takes in one order, USD
// (https://docs.alpaca.markets/docs/fractional-trading).
const MinNotional = 1

// Exposure is what an account has of a symbol and what is under way, USD.
type Exposure struct {
	Held  decimal.Decimal // negative if short
	Buys  decimal.Decimal // open orders, open signals of other strategies, and signals that were acted on
	Sells decimal.Decimal // likewise
	Own   decimal.Decimal // the strategy's own open signal, negative if it sells; a new one takes its place
	Blind bool            // of an order can't be told what it comes to, or whether it is in what is held
}

// Coming is what will be held when all is done that is under way.
func (e Exposure) Coming() decimal.Decimal { return e.Held.Add(e.Buys).Sub(e.Sells).Add(e.Own) }

// Exposed works out the exposure of a symbol. An order that came of a signal counts once, and so does a signal that is
// both in the reservations and at the broker; expired and rejected signals count no more.
func Exposed(in Input, symbol string) (e Exposure, err error) {
	if e.Held, err = Value(in, symbol); err != nil {
		return e, err
	}
	for _, o := range in.Orders {
		if o.Symbol != symbol || o.Waits() {
			continue
		}
		usd, ok := left(in, o)
		e.add(signal.Action(o.Side), usd)
		e.Blind = e.Blind || !ok
	}
	for _, r := range in.Reserved {
		switch {
		case r.Symbol != symbol || !live(in, r):
		case r.SettledAt.IsZero() && in.StrategyID != "" && r.StrategyID == in.StrategyID:
			own := Exposure{}
			own.add(r.Action, r.Notional)
			e.Own = e.Own.Add(own.Coming())
		default:
			e.add(r.Action, r.Notional)
			e.Blind = e.Blind || (!r.SettledAt.IsZero() && moved(in, r)) // its fill, or another's
		}
	}
	return e, nil
}

// live says whether a reservation is to be counted: it may yet become an order, or became one that is not seen yet.
func live(in Input, r signal.Reservation) bool {
	done := !r.SettledAt.IsZero()
	if (done && !r.Executed) || (!done && !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(in.Now)) {
		return false
	}
	return !slices.ContainsFunc(in.Orders, func(o account.Order) bool { return o.ClientOrderID == r.SignalID && r.SignalID != "" })
}

// moved says whether more is held than when a signal was made, or less if it sells.
func moved(in Input, r signal.Reservation) bool {
	by := r.Held.Neg()
	for _, p := range in.Positions {
		if p.Symbol == r.Symbol {
			by = by.Add(p.Qty)
		}
	}
	if r.Action == signal.Sell {
		by = by.Neg()
	}
	return by.IsPositive()
}

func (e *Exposure) add(side signal.Action, usd decimal.Decimal) {
	switch side {
	case signal.Buy:
		e.Buys = e.Buys.Add(usd)
	case signal.Sell:
		e.Sells = e.Sells.Add(usd)
	default:
		e.Blind = true
	}
}

// spoken is the cash that purchases under way will take, USD: what is left of open orders, and open signals of all strategies,
// but the strategy's own of a symbol, whose place a new one takes. ok is false if it can't be told.
func spoken(in Input, symbol string) (usd decimal.Decimal, ok bool) {
	ok = true
	for _, o := range in.Orders {
		if signal.Action(o.Side) == signal.Sell || o.Waits() {
			continue
		}
		n, known := left(in, o)
		usd, ok = usd.Add(n), ok && known
	}
	for _, r := range in.Reserved {
		if own := r.StrategyID == in.StrategyID && r.Symbol == symbol && r.SettledAt.IsZero(); r.Action == signal.Buy && !own && live(in, r) {
			usd = usd.Add(r.Notional)
		}
	}
	return usd, ok
}

// left is what an open order still comes to, USD; ok is false if it can't be told.
func left(in Input, o account.Order) (usd decimal.Decimal, ok bool) {
	filled := o.FilledQty.Decimal // 0 if it is missing
	if o.Notional.Valid && filled.IsZero() {
		return decimal.Max(o.Notional.Decimal, decimal.Decimal{}), true
	}
	price, ok := price(in, o)
	switch {
	case !ok:
		return decimal.Decimal{}, false
	case o.Notional.Valid:
		usd = o.Notional.Decimal.Sub(filled.Mul(price))
	case o.Qty.Valid:
		usd = o.Qty.Decimal.Sub(filled).Mul(price)
	default:
		return decimal.Decimal{}, false
	}
	return decimal.Max(usd, decimal.Decimal{}), true
}

// price is the latest quote, else the broker's price of what is held, as what is held is valued; else the order's limit.
func price(in Input, o account.Order) (decimal.Decimal, bool) {
	if p, ok := in.Quotes[o.Symbol]; ok {
		return p, true
	}
	for _, p := range in.Positions {
		if p.Symbol == o.Symbol && p.CurrentPrice.Valid {
			return p.CurrentPrice.Decimal, true
		}
	}
	return o.LimitPrice.Decimal, o.LimitPrice.Valid
}

// Sized turns a target into a side and a notional, in whole cents: what is missing of it, or too much, when all is done
// that is under way. It never sells more than is held; where nothing is to be left, Qty has the shares, if they
// can be told. ok is false where nothing is to be done: the strategy's own open signal does it already, an open order can't be
// counted and is waited for, or less than MinNotional is off; that is signal.Flat, and an own open signal is wanted no more. An
// intent without a target stays as it is. Short positions and targets below 0 are denials.
func (i Intent) Sized(in Input) (sized Intent, ok bool, err error) {
	if !i.Target.Valid {
		return i, true, nil
	}
	target := i.Target.Decimal
	if target.IsNegative() {
		return Intent{}, false, &Denial{Code: "TARGET_INVALID", Reason: fmt.Sprintf("the target of %s is $%s: want 0 or more", i.Symbol, target)}
	}
	if _, err := long(in, i.Symbol); err != nil {
		return Intent{}, false, err
	}
	e, err := Exposed(in, i.Symbol)
	if err != nil || e.Blind {
		return Intent{}, false, err
	}
	if !e.Own.IsZero() && target.Sub(e.Coming()).Abs().LessThan(decimal.NewFromInt(MinNotional)) {
		return Intent{}, false, nil
	}
	e.Own = decimal.Decimal{} // the new signal takes its place
	off := target.Sub(e.Coming())
	i.Action, i.Notional = signal.Buy, off.Truncate(2) // Alpaca takes cents
	if off.IsNegative() {
		free := e.Held.Sub(e.Sells) // what no other order sells
		i.Action, i.Notional = signal.Sell, decimal.Min(off.Neg(), free).Truncate(2)
		if target.IsZero() {
			i.Qty = freeShares(in, i.Symbol, e)
		}
	}
	if i.Notional.LessThan(decimal.NewFromInt(MinNotional)) {
		return Intent{Symbol: i.Symbol, Action: signal.Flat}, false, nil
	}
	return i, true, nil
}

// freeShares are those of a symbol that no other order sells; not valid where some are sold by their worth.
func freeShares(in Input, symbol string, e Exposure) (shares decimal.NullDecimal) {
	var sold decimal.Decimal // USD, by orders whose shares are known
	for _, p := range in.Positions {
		if p.Symbol == symbol {
			shares = decimal.NewNullDecimal(shares.Decimal.Add(p.Qty))
		}
	}
	for _, o := range in.Orders {
		if o.Symbol == symbol && !o.Waits() && signal.Action(o.Side) == signal.Sell && o.Qty.Valid && !o.Notional.Valid {
			usd, _ := left(in, o)
			sold = sold.Add(usd)
			shares.Decimal = shares.Decimal.Sub(o.Qty.Decimal.Sub(o.FilledQty.Decimal))
		}
	}
	shares.Valid = shares.Valid && sold.Equal(e.Sells) && shares.Decimal.IsPositive()
	return shares
}

// Size is a decision of intents, sized: sells come before buys, and what comes to nothing is left out, or withdrawn. So is one
// that is denied left out, unless no other is left: the first denial is the error then.
func Size(in Input, intents ...Intent) (d Decision, denied error) {
	var sells, buys []Intent
	for _, i := range intents {
		sized, ok, err := i.Sized(in)
		switch {
		case err != nil:
			denied = cmp.Or(denied, err)
		case !ok && sized.Action == signal.Flat:
			d.Withdraw = append(d.Withdraw, i.Symbol)
		case !ok:
		case sized.Action == signal.Sell:
			sells = append(sells, sized)
		default:
			buys = append(buys, sized)
		}
	}
	if d.Intents = slices.Concat(sells, buys); len(d.Intents) > 0 {
		return d, nil
	}
	return d, denied
}

// Equity is the account's, USD, or a *Denial where it is not positive.
func Equity(in Input) (decimal.Decimal, error) {
	if !in.Account.Equity.Valid || !in.Account.Equity.Decimal.IsPositive() {
		return decimal.Decimal{}, &Denial{Code: "EQUITY_UNAVAILABLE", Reason: "the account's equity is missing, zero or negative"}
	}
	return in.Account.Equity.Decimal, nil
}

// long is the Value of a symbol that must not be held short.
func long(in Input, symbol string) (decimal.Decimal, error) {
	held, err := Value(in, symbol)
	if err == nil && held.IsNegative() {
		err = &Denial{Code: "POSITION_SHORT", Reason: fmt.Sprintf("%s is held short; this strategy works on long positions", symbol)}
	}
	return held, err
}
