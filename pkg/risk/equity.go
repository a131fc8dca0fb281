package risk

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// Flows is the net money that came into the account from outside, deposits less withdrawals, in USD, as far as the
// snapshot's equity counts it. Not valid: not known; a limit that needs it then lets nothing open.
type Flows struct {
	SinceClose decimal.NullDecimal // since the close that the broker's last_equity is of
	SinceMark  decimal.NullDecimal // since State.Mark.At
}

// NoFlows is what holds where neither deposits nor withdrawals are to be expected.
func NoFlows() Flows {
	zero := decimal.NewNullDecimal(decimal.Decimal{})
	return Flows{SinceClose: zero, SinceMark: zero}
}

// Mark is a user's high-water mark: the highest equity, in the money that is in the account now.
type Mark struct {
	Equity decimal.NullDecimal // USD
	At     time.Time           // UTC, of the snapshot that set it
}

// markDigits is to how many places a mark is cut: downwards, so that a flow never adds to a drawdown.
const markDigits = 8

// MarkEquity raises the mark to a snapshot's equity, if that is higher. A deposit or withdrawal since moves the mark so that
// the drawdown, as a share, stays what it was without it: mark × equity / (equity - flow). Without equity or flows
// nothing changes. A snapshot that is older than the mark says nothing.
func (s *State) MarkEquity(snap account.Snapshot, f Flows) (changed bool) {
	equity, m := snap.Account.Equity, s.Mark
	if !equity.Valid || !equity.Decimal.IsPositive() || snap.ObservedAt.Before(m.At) {
		return false
	}
	if !m.Equity.Valid {
		s.Mark = Mark{Equity: equity, At: snap.ObservedAt.UTC()}
		return true
	}
	if !f.SinceMark.Valid {
		return false
	}
	flow := f.SinceMark.Decimal
	switch own := equity.Decimal.Sub(flow); { // what equity would be without the flow
	case own.GreaterThan(m.Equity.Decimal) || (own.Equal(m.Equity.Decimal) && !flow.IsZero()):
		m.Equity = equity
	case flow.IsZero() || !own.IsPositive():
		return false
	default:
		m.Equity.Decimal = m.Equity.Decimal.Mul(equity.Decimal).DivRound(own, markDigits+2).RoundFloor(markDigits)
	}
	s.Mark = Mark{Equity: m.Equity, At: snap.ObservedAt.UTC()}
	return true
}

// dailyLoss is the USD that were lost since the last close, and what they are a share of: the equity then, with the
// deposits since. So neither a deposit nor a withdrawal makes the share larger. ok is false if a figure is missing.
func dailyLoss(a account.Account, f Flows) (loss, base decimal.Decimal, ok bool) {
	if !a.Equity.Valid || !a.LastEquity.Valid || !f.SinceClose.Valid {
		return loss, base, false
	}
	due := a.LastEquity.Decimal.Add(f.SinceClose.Decimal)
	return due.Sub(a.Equity.Decimal), decimal.Max(a.LastEquity.Decimal, due), true
}

// drawdown is the USD that were lost since the high-water mark, and the mark. MarkEquity comes first.
func (s *State) drawdown(a account.Account, f Flows) (loss, base decimal.Decimal, ok bool) {
	if !a.Equity.Valid || !s.Mark.Equity.Valid || !f.SinceMark.Valid {
		return loss, base, false
	}
	return s.Mark.Equity.Decimal.Sub(a.Equity.Decimal), s.Mark.Equity.Decimal, true
}

// Watch notes what the levels' limits of loss say of a snapshot: a limit that is passed moves trading down to Reducing, of
// the user or of the strategy whose limit it is. Only a person's Active, said later and at the same level, takes it
// back; after a drawdown the mark then begins anew. MarkEquity comes first.
func (s *State) Watch(snap account.Snapshot, f Flows, levels []Level, now time.Time) (changed bool) {
	for _, l := range levels {
		changed = s.lift(snap, l, now) || changed
	}
	for _, l := range levels {
		if loss, base, ok := dailyLoss(snap.Account, f); ok {
			changed = s.breach(l, MaxDailyLoss, DailyLossExceeded, loss, base, now) || changed
		}
		if loss, base, ok := s.drawdown(snap.Account, f); ok {
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
			s.Mark = Mark{Equity: snap.Account.Equity, At: snap.ObservedAt.UTC()}
		}
		return true
	})
	return changed
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
