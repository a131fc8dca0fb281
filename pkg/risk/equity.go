package risk

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
)

// Flows is the net money that came into the account from outside, deposits less withdrawals, in USD, as far as the
// snapshot's equity counts it. Not valid: not known; a limit that needs it then lets nothing open.
type Flows struct {
	SinceClose decimal.NullDecimal // since the close that the broker's last_equity is of
	SinceMark  decimal.NullDecimal // since the mark
}

// FlowsOf works them out of a snapshot.
func FlowsOf(snap account.Snapshot, m Mark) (f Flows) {
	if !snap.Flows.KnownAt(snap.ObservedAt) {
		return f
	}
	if closed, err := market.PreviousClose(snap.ObservedAt); err == nil {
		f.SinceClose = decimal.NewNullDecimal(decimal.Decimal{})
		for _, k := range snap.Flows.Recent {
			if k.At.After(closed) {
				f.SinceClose.Decimal = f.SinceClose.Decimal.Add(k.Amount.Decimal)
				f.SinceClose.Valid = f.SinceClose.Valid && k.Amount.Valid
			}
		}
	}
	if m.before(snap.Flows) {
		return f
	}
	f.SinceMark = decimal.NewNullDecimal(snap.Flows.Total.Sub(m.Flow))
	for _, k := range snap.Flows.Recent {
		switch {
		case !k.Seen.After(m.At):
		case !k.Amount.Valid:
			f.SinceMark.Valid = false
		case k.At.Before(m.At) && k.Amount.Decimal.IsPositive(): // booked late: the mark's equity had it already
			f.SinceMark.Decimal = f.SinceMark.Decimal.Sub(k.Amount.Decimal)
		}
	}
	return f
}

// Mark is a user's high-water mark: the highest equity, in the money that is in the account now.
type Mark struct {
	Equity decimal.NullDecimal // USD
	At     time.Time           // UTC, of the snapshot that set it
	Flow   decimal.Decimal     // USD: that snapshot's Flows.Total
}

// markOf is a mark at a snapshot's own equity.
func markOf(snap account.Snapshot) Mark {
	return Mark{Equity: snap.Account.Equity, At: snap.ObservedAt.UTC(), Flow: snap.Flows.Total}
}

// before says that the mark is from before these flows were counted, or there is none.
func (m Mark) before(f account.Flows) bool { return !m.Equity.Valid || m.At.Before(f.Since) }

// markDigits is to how many places a mark is cut: downwards, so that a flow never adds to a drawdown.
const markDigits = 8

// MarkEquity raises the mark to a snapshot's equity, if that is higher. A deposit or withdrawal since moves the mark so that
// the drawdown, as a share, stays what it was without it: mark × equity / (equity - flow). Without equity or flows
// nothing changes. A snapshot that is older than the mark says nothing. A mark that is older than the count of the flows
// begins anew.
func (s *State) MarkEquity(snap account.Snapshot) (changed bool) {
	equity, m := snap.Account.Equity, s.Mark
	if !equity.Valid || !equity.Decimal.IsPositive() || snap.ObservedAt.Before(m.At) || !snap.Flows.KnownAt(snap.ObservedAt) {
		return false
	}
	if m.before(snap.Flows) {
		s.Mark = markOf(snap)
		return true
	}
	f := FlowsOf(snap, m)
	if !f.SinceMark.Valid {
		return false
	}
	flow := f.SinceMark.Decimal
	switch own := equity.Decimal.Sub(flow); { // what equity would be without the flow
	case own.GreaterThan(m.Equity.Decimal) || (own.Equal(m.Equity.Decimal) && !flow.IsZero()):
		m.Equity = equity
	case flow.IsZero() && m.Flow.Equal(snap.Flows.Total), !own.IsPositive():
		return false
	case !flow.IsZero():
		m.Equity.Decimal = m.Equity.Decimal.Mul(equity.Decimal).DivRound(own, markDigits+2).RoundFloor(markDigits)
	}
	s.Mark = Mark{Equity: m.Equity, At: snap.ObservedAt.UTC(), Flow: snap.Flows.Total}
	return true
}

// dailyLoss is the USD that were lost since the last close, and what they are a share of: the equity then, with the
// deposits since. So neither a deposit nor a withdrawal makes the share larger. ok is false if a figure is missing.
func dailyLoss(snap account.Snapshot) (loss, base decimal.Decimal, ok bool) {
	a, f := snap.Account, FlowsOf(snap, Mark{})
	if !a.Equity.Valid || !a.LastEquity.Valid || !f.SinceClose.Valid {
		return loss, base, false
	}
	due := a.LastEquity.Decimal.Add(f.SinceClose.Decimal)
	return due.Sub(a.Equity.Decimal), decimal.Max(a.LastEquity.Decimal, due), true
}

// drawdown is the USD that were lost since the high-water mark, and the mark. MarkEquity comes first.
func (s *State) drawdown(snap account.Snapshot) (loss, base decimal.Decimal, ok bool) {
	equity, f := snap.Account.Equity, FlowsOf(snap, s.Mark)
	if !equity.Valid || !s.Mark.Equity.Valid || !f.SinceMark.Valid {
		return loss, base, false
	}
	own := equity.Decimal.Sub(f.SinceMark.Decimal) // the mark does not follow a flow where nothing is left without it
	return s.Mark.Equity.Decimal.Sub(own), s.Mark.Equity.Decimal, true
}

// Watch notes what the levels' limits of loss say of a snapshot: a limit that is passed moves trading down to Reducing, of
// the user or of the strategy whose limit it is. Only a person's Active, said later and at the same level, takes it
// back; after a drawdown the mark then begins anew. MarkEquity comes first.
func (s *State) Watch(snap account.Snapshot, levels []Level, now time.Time) (changed bool) {
	for _, l := range levels {
		changed = s.lift(snap, l, now) || changed
	}
	for _, l := range levels {
		if loss, base, ok := dailyLoss(snap); ok {
			changed = s.breach(l, MaxDailyLoss, DailyLossExceeded, loss, base, now) || changed
		}
		if loss, base, ok := s.drawdown(snap); ok {
			changed = s.breach(l, MaxDrawdown, DrawdownExceeded, loss, base, now) || changed
		}
	}
	return changed
}

// lift: a word on many users takes back no user's breach.
func (s *State) lift(snap account.Snapshot, l Level, now time.Time) (changed bool) {
	if l.Strategy == "" && l.Name != levelUser {
		return false
	}
	s.Breaches = slices.DeleteFunc(s.Breaches, func(b Breach) bool {
		if b.Strategy != l.Strategy || !l.Trading.lifts(b.At, now) {
			return false
		}
		if changed = true; b.Code == DrawdownExceeded && snap.Account.Equity.Valid {
			s.begin(snap)
		}
		return true
	})
	if at, ok := unvalued(snap, s.Mark); ok && l.Strategy == "" && l.Trading.lifts(at, now) {
		s.begin(snap)
		changed = true
	}
	return changed
}

// begin sets the mark anew: at the snapshot, or at the next one whose flows are known.
func (s *State) begin(snap account.Snapshot) {
	if s.Mark = (Mark{}); snap.Flows.KnownAt(snap.ObservedAt) && snap.Account.Equity.Valid && snap.Account.Equity.Decimal.IsPositive() {
		s.Mark = markOf(snap)
	}
}

// unvalued is when the last flow since the mark was seen whose value is not known: only a person can say that trading may go on.
func unvalued(snap account.Snapshot, m Mark) (at time.Time, ok bool) {
	for _, k := range snap.Flows.Recent {
		if !k.Amount.Valid && k.Seen.After(m.At) && !k.Seen.Before(at) {
			at, ok = k.Seen, true
		}
	}
	return at, ok && m.Equity.Valid
}

func (s *State) breach(l Level, f Figure, code string, loss, base decimal.Decimal, now time.Time) bool {
	share := l.Limits.Figures[f]
	if !share.Valid {
		return false
	}
	allowed := share.Decimal.Mul(base)
	if !loss.IsPositive() || !loss.GreaterThan(allowed) ||
		slices.ContainsFunc(s.Breaches, func(b Breach) bool { return b.Strategy == l.Strategy && b.Code == code }) {
		return false
	}
	s.Breaches = append(s.Breaches, Breach{Strategy: l.Strategy, Code: code, At: now.UTC(), Value: loss, Bound: allowed})
	return true
}
