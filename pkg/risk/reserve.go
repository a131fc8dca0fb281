package risk

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// settleGrace is how long an executed order has to show up. Whatever snapshot is fresh enough to trade on after that began
// after the word: the broker's figures count the order, shown or not.
const settleGrace = 5 * time.Minute

// Closing is the end of a signal that its owner did not speak of.
type Closing struct {
	SignalID string
	Status   signal.Status // Expired; Executed where its order was seen at the broker
	By       string        // the signal that supersedes it; "": none does
}

// Word is what a signal's document says.
type Word struct {
	Status signal.Status // "": the document is gone
	At     time.Time     // UTC, of the document's last write, by the database's clock
}

// Reserve keeps a new signal's buying power, opens USD, and counts it among the day's. held is the shares of the symbol
// that the snapshot shows. False: there are too many reservations.
func (s *State) Reserve(sig signal.Signal, opens, held decimal.Decimal) bool {
	if len(s.Reservations) >= 2*maxReservations { // what opens is refused sooner
		return false
	}
	s.Reservations = append(s.Reservations, signal.Reservation{
		SignalID: sig.ID, StrategyID: sig.StrategyID, Symbol: sig.Symbol, Action: sig.Action, Notional: sig.Notional,
		Reserved: opens, Held: held, CreatedAt: sig.CreatedAt.UTC(), ExpiresAt: sig.ExpiresAt.UTC(),
	})
	s.count(sig.StrategyID, sig.Notional, 1)
	return true
}

// Settle takes an owner's word on a signal. It only marks the reservation: what releases it is Release. A word that was
// heard before changes nothing, and neither does one on a signal without a reservation; another word replaces the first.
func (s *State) Settle(signalID string, w Word) (changed bool) {
	i := s.find(signalID)
	if i < 0 || w.Status == signal.Pending {
		return false
	}
	r := &s.Reservations[i]
	executed, first := w.Status == signal.Executed, r.SettledAt.IsZero()
	switch {
	case !first && r.Executed == executed:
		return false
	case !executed:
		s.uncount(*r, w.Status != signal.Rejected)
	case !first: // rejected before
		s.count(r.StrategyID, r.Notional, 0)
	}
	if executed {
		s.traded(r.Symbol, w.At)
	}
	r.SettledAt, r.Executed = w.At.UTC(), executed
	return true
}

// Observe marks the reservations whose orders a snapshot shows: its buying power counts them from then on, also when
// they are done and no longer among the open orders.
func (s *State) Observe(snap account.Snapshot) (changed bool) {
	for _, o := range snap.OpenOrders {
		if i := s.find(o.ClientOrderID); i >= 0 && !s.Reservations[i].Shown {
			s.Reservations[i].Shown, changed = true, true
			s.traded(s.Reservations[i].Symbol, snap.ObservedAt)
		}
	}
	return changed
}

// Release drops the reservations that have come to their end by now, the snapshot being the newest. It returns the ends of
// the signals that nobody spoke of.
//
//	no word             at expires_at
//	rejected            by a snapshot begun after the word, or at expires_at
//	executed            by a snapshot begun after the word whose orders show it, or whose positions, read after the
//	                    word, have moved its way (moved); or by any snapshot begun after the word, once both expires_at and five
//	                    minutes after the word are past
//	the document is gone, or says expired: as rejected
//
// So none is kept for ever: the last line needs nothing but time and a snapshot, and without one nothing is opened.
func (s *State) Release(snap account.Snapshot, now time.Time) (ended []Closing) {
	all := slices.Clone(s.Reservations)
	s.Reservations = slices.DeleteFunc(s.Reservations, func(r signal.Reservation) bool {
		expired, after := !now.Before(r.ExpiresAt), snap.ObservedAt.After(r.SettledAt)
		switch {
		case r.SettledAt.IsZero() && expired:
			ended = append(ended, s.close(r, ""))
			return true
		case r.SettledAt.IsZero():
			return false
		case !r.Executed:
			return after || expired
		}
		return after && (r.Shown || moved(r, all, snap) || (expired && now.Sub(r.SettledAt) >= settleGrace))
	})
	return ended
}

// moved says whether positions that were read after the word have moved the order's way, by half of its notional at least.
// Where several executed orders of the symbol are looked for, there is no telling whose move it is.
func moved(r signal.Reservation, all []signal.Reservation, snap account.Snapshot) bool {
	read := snap.DetailAt
	if read.IsZero() {
		read = snap.ObservedAt
	}
	if snap.Incomplete || !read.After(r.SettledAt) {
		return false
	}
	for _, o := range all {
		if o.SignalID != r.SignalID && o.Symbol == r.Symbol && o.Executed && !o.Shown {
			return false
		}
	}
	by := shares(snap.Positions, r.Symbol).Sub(r.Held)
	if r.Action == signal.Sell {
		by = by.Neg()
	}
	if price, ok := priced(snap.Positions, r.Symbol); ok && by.Mul(price).LessThan(r.Notional.Mul(half)) {
		return false
	}
	return by.IsPositive()
}

var half = decimal.New(5, -1)

// priced is the broker's price of a held symbol, USD a share.
func priced(positions []account.Position, symbol string) (price decimal.Decimal, ok bool) {
	for _, p := range positions {
		switch {
		case p.Symbol != symbol:
		case p.CurrentPrice.Valid:
			return p.CurrentPrice.Decimal, true
		case p.MarketValue.Valid && !p.Qty.IsZero():
			return p.MarketValue.Decimal.Div(p.Qty), true
		}
	}
	return decimal.Decimal{}, false
}

// Supersede drops the strategy's open reservation of a symbol in favour of another signal. False: there is none.
func (s *State) Supersede(strategyID, symbol, by string) (c Closing, ok bool) {
	i := s.open(strategyID, symbol)
	if i < 0 || s.Reservations[i].SignalID == by {
		return Closing{}, false
	}
	c = s.close(s.Reservations[i], by)
	s.Reservations = slices.Delete(s.Reservations, i, i+1)
	return c, true
}

func (s *State) close(r signal.Reservation, by string) Closing {
	if r.Shown {
		return Closing{SignalID: r.SignalID, Status: signal.Executed}
	}
	s.uncount(r, true)
	return Closing{SignalID: r.SignalID, Status: signal.Expired, By: by}
}

func (s *State) count(strategyID string, notional decimal.Decimal, orders int64) {
	s.Day.Notional, s.Day.Orders = s.Day.Notional.Add(notional), s.Day.Orders+orders
	p := s.Strategies[strategyID]
	p.Notional, p.Orders = p.Notional.Add(notional), p.Orders+orders
	s.progress(strategyID, p)
}

// uncount takes back what was never traded, if it is of today.
func (s *State) uncount(r signal.Reservation, order bool) {
	if r.CreatedAt.Before(s.Day.Start) {
		return
	}
	orders := int64(0)
	if order {
		orders = -1
	}
	s.count(r.StrategyID, r.Notional.Neg(), orders)
}
