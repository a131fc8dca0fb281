package risk

import (
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// How long the order of an executed signal may be on its way. The figures of a snapshot that is begun after that count it,
// shown or not.
const (
	settleGrace = 5 * time.Minute // after the word
	sendGrace   = time.Minute     // after expires_at, the last time at which it may be sent
)

// Closing is the end of a signal that its owner did not speak of.
type Closing struct {
	SignalID string
	Status   signal.Status // Expired; Executed where its order was seen at the broker
	By       string        // the signal that supersedes it; "": none does
	Why      string        // the code of one that was taken back, with none in its place; "": it was not
}

// Why a signal is taken back, besides TradingHalted and TradingReducing.
const (
	Withdrawn = "STRATEGY_WITHDREW" // its strategy needs no trade any more
	Stopped   = "STRATEGY_STOPPED"  // its strategy is off, gone or in shadow
)

// Withdrawal is which of a user's open signals are taken back.
type Withdrawal struct {
	StrategyID string   // "": all strategies'
	Symbols    []string // nil: all
	But        []string // all but these; nil: all
	Opening    bool     // only those that open exposure
	Why        string
}

// Of says whether a reservation is meant: nobody spoke of it yet.
func (w Withdrawal) Of(r signal.Reservation) bool {
	return r.SettledAt.IsZero() && (w.StrategyID == "" || r.StrategyID == w.StrategyID) && (w.Symbols == nil || slices.Contains(w.Symbols, r.Symbol)) &&
		(w.But == nil || !slices.Contains(w.But, r.Symbol)) && (!w.Opening || r.Reserved.IsPositive())
}

// Word is what a signal's document says.
type Word struct {
	Status signal.Status // "": the document is gone
	At     time.Time     // UTC, of the document's last write, by the database's clock
}

// Reserve keeps a new signal's buying power, opens USD, and counts it among the day's. snap is what it was decided on. False:
// there are too many reservations, or the strategy has no place.
func (s *State) Reserve(sig signal.Signal, opens decimal.Decimal, snap account.Snapshot) bool {
	if len(s.Reservations) >= 2*maxReservations || !s.progress(sig.StrategyID, s.Strategies[sig.StrategyID]) { // what opens is refused sooner
		return false
	}
	mixed := slices.ContainsFunc(s.Reservations, func(r signal.Reservation) bool { return r.Symbol == sig.Symbol }) ||
		slices.ContainsFunc(snap.OpenOrders, func(o account.Order) bool { return o.Symbol == sig.Symbol })
	s.Reservations = append(s.Reservations, signal.Reservation{
		SignalID: sig.ID, StrategyID: sig.StrategyID, Symbol: sig.Symbol, Action: sig.Action, Notional: sig.Notional, Qty: sig.Qty.Decimal,
		Reserved: opens, Held: shares(snap.Positions, sig.Symbol), Mixed: mixed, CreatedAt: sig.CreatedAt.UTC(), ExpiresAt: sig.ExpiresAt.UTC(),
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
	case !first && !r.CreatedAt.Before(s.Day.Start): // rejected before, and taken back
		s.count(r.StrategyID, r.Notional, 0)
	}
	if executed {
		s.traded(r.Symbol, w.At)
	}
	r.SettledAt, r.Executed = w.At.UTC(), executed
	return true
}

// Hear settles what owners say of signals, by the signal's id.
func (s *State) Hear(words map[string]Word) (changed bool) {
	for _, r := range s.Reservations { // in their order
		if w, ok := words[r.SignalID]; ok {
			changed = s.Settle(r.SignalID, w) || changed
		}
	}
	return changed
}

// Observe marks the reservations whose orders a snapshot shows, among its open orders or by the move of its positions, and
// those of which a move will tell nothing, since other orders of the symbol are open.
func (s *State) Observe(snap account.Snapshot) (changed bool) {
	for _, o := range snap.OpenOrders {
		for i := range s.Reservations {
			switch r := &s.Reservations[i]; {
			case r.Shown():
			case r.SignalID == o.ClientOrderID:
				s.show(r, snap)
				changed = true
			case r.Symbol == o.Symbol && !r.Mixed:
				r.Mixed, changed = true, true
			}
		}
	}
	for i := range s.Reservations {
		if r := &s.Reservations[i]; !r.Shown() && s.moved(*r, snap) {
			s.show(r, snap)
			changed = true
		}
	}
	return changed
}

func (s *State) show(r *signal.Reservation, snap account.Snapshot) {
	r.ShownAt = written(snap).UTC()
	s.traded(r.Symbol, snap.ObservedAt)
}

// written is when all that a snapshot tells had been read.
func written(snap account.Snapshot) time.Time {
	if snap.Version.After(snap.ObservedAt) {
		return snap.Version
	}
	return snap.ObservedAt
}

// counted says whether a snapshot's buying power counts a reservation's order. The account is read first, and what shows
// the order after it: only a snapshot that was begun after an order had been shown is sure to count it, done or not.
func counted(r signal.Reservation, snap account.Snapshot) bool {
	return r.Shown() && snap.ObservedAt.After(r.ShownAt)
}

// Coming is the reservations that a snapshot's positions and orders do not show yet.
func (s *State) Coming(snap account.Snapshot) []signal.Reservation {
	seen := func(r signal.Reservation) bool {
		return counted(r, snap) || (r.Shown() && !written(snap).After(r.ShownAt)) // else another reading was quicker than that which showed it
	}
	if !slices.ContainsFunc(s.Reservations, seen) {
		return s.Reservations
	}
	return slices.DeleteFunc(slices.Clone(s.Reservations), seen)
}

// Release drops the reservations that have come to their end by now, the snapshot being the newest, and Observe having seen it.
// It returns the ends of the signals that nobody spoke of.
//
//	no word             at expires_at
//	rejected            by a snapshot begun after the word, or at expires_at
//	executed            by a snapshot begun after the word, and after its order was shown; or by one begun a minute after
//	                    expires_at and five minutes after the word
//	the document is gone, or says expired: as rejected
//	shown, whatever the word is: not before a snapshot that counts it
//
// So none is kept for ever: it needs nothing but time and a snapshot, and without one nothing is opened.
func (s *State) Release(snap account.Snapshot, now time.Time) (ended []Closing) {
	s.Reservations = slices.DeleteFunc(s.Reservations, func(r signal.Reservation) bool {
		expired, after := !now.Before(r.ExpiresAt), snap.ObservedAt.After(r.SettledAt)
		switch {
		case r.Shown() && !counted(r, snap):
			return false
		case r.SettledAt.IsZero() && expired:
			ended = append(ended, s.close(r, ""))
			return true
		case r.SettledAt.IsZero():
			return false
		case !r.Executed:
			return after || expired
		case r.Shown():
			return after
		}
		return snap.ObservedAt.Sub(r.ExpiresAt) > sendGrace && snap.ObservedAt.Sub(r.SettledAt) > settleGrace
	})
	return ended
}

// moved says whether positions that were read after the word have moved the order's way, by half of its notional at least,
// and no other order of the symbol can have moved them.
func (s *State) moved(r signal.Reservation, snap account.Snapshot) bool {
	read := snap.DetailAt
	if read.IsZero() {
		read = snap.ObservedAt
	}
	if !r.Executed || r.Mixed || snap.Incomplete || !read.After(r.SettledAt) {
		return false
	}
	for _, o := range s.Reservations {
		if o.SignalID != r.SignalID && o.Symbol == r.Symbol && o.Executed {
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

// Supersede drops the strategy's open reservation of a symbol in favour of another signal. One whose order is at the broker
// stays until it is counted, as executed. False: there is none.
func (s *State) Supersede(strategyID, symbol, by string) (c Closing, ok bool) {
	i := s.open(strategyID, symbol)
	if i < 0 || s.Reservations[i].SignalID == by {
		return Closing{}, false
	}
	return s.end(i, by, ""), true
}

// end closes an open reservation and drops it; what the broker shows of it is taken for the owner's word, and it stays.
func (s *State) end(i int, by, why string) Closing {
	c := s.close(s.Reservations[i], by)
	if r := &s.Reservations[i]; r.Shown() {
		r.SettledAt, r.Executed = r.ShownAt, true
		return c
	}
	c.Why = why
	s.Reservations = slices.Delete(s.Reservations, i, i+1)
	return c
}

// Withdraw takes open signals back and drops what they reserve, as Supersede does.
func (s *State) Withdraw(w Withdrawal) (ended []Closing) {
	for i := slices.IndexFunc(s.Reservations, w.Of); i >= 0; i = slices.IndexFunc(s.Reservations, w.Of) { // what has ended is no longer of it
		ended = append(ended, s.end(i, "", w.Why))
	}
	return ended
}

func (s *State) close(r signal.Reservation, by string) Closing {
	if r.Shown() {
		return Closing{SignalID: r.SignalID, Status: signal.Executed}
	}
	s.uncount(r, true)
	return Closing{SignalID: r.SignalID, Status: signal.Expired, By: by}
}

func (s *State) count(strategyID string, notional decimal.Decimal, orders int64) {
	s.Day.Notional, s.Day.Orders = s.Day.Notional.Add(notional), s.Day.Orders+orders
	if p, ok := s.Strategies[strategyID]; ok {
		p.Notional, p.Orders = p.Notional.Add(notional), p.Orders+orders
		s.Strategies[strategyID] = p
	}
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
