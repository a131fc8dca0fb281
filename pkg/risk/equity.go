package risk

import (
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
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
	if closed, or, err := lastEquityOf(snap); err == nil {
		f.SinceClose = decimal.NewNullDecimal(decimal.Decimal{})
		for _, k := range snap.Flows.Recent {
			switch {
			case k.At.After(closed):
				f.SinceClose.Decimal = f.SinceClose.Decimal.Add(k.Amount.Decimal)
				f.SinceClose.Valid = f.SinceClose.Valid && k.Amount.Valid
			case k.At.After(or): // last_equity has it, or not
				f.SinceClose.Valid = false
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

// lastEquityOf is the close that the broker's last_equity is of, and the one that it may be of instead. The broker moves it on
// some time in the night, and was seen hours late: it is of the new close once it was seen to change since, and at the
// latest when the exchanges have opened again.
func lastEquityOf(snap account.Snapshot) (closed, or time.Time, err error) {
	at, changed := snap.ObservedAt, snap.LastEquityAt
	today, err := market.LastClose(at)
	if err != nil || !changed.Before(today) {
		return today, today, err
	}
	if closed, err = market.PreviousClose(at); err != nil {
		return closed, closed, err
	}
	if opened, err := market.Opened(closed, at); err != nil || opened || !changed.Before(closed) {
		return closed, closed, err
	}
	or, err = market.PreviousClose(closed)
	return closed, or, err
}

// Mark is a high-water mark: the highest equity, in the money that is in the account now.
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

// MarkEquity raises the user's mark, and those of strategies, to a snapshot's equity, if that is higher. A deposit or withdrawal since moves the mark so that
// the drawdown, as a share, stays what it was without it: mark × equity / (equity - flow). Without equity or flows
// nothing changes. A snapshot that is older than the mark says nothing. A mark that is older than the count of the flows
// begins anew.
func (s *State) MarkEquity(snap account.Snapshot) (changed bool) {
	s.Mark, changed = s.Mark.raised(snap)
	for id, p := range s.Strategies {
		if m, ok := p.Mark.raised(snap); ok && !p.Mark.At.IsZero() {
			if m.At.Equal(s.Mark.At) && m.Equity.Decimal.Equal(s.Mark.Equity.Decimal) { // all that was lost is made up for
				m = Mark{}
			}
			p.Mark, changed = m, true
			s.Strategies[id] = p
		}
	}
	return changed
}

// raised is the mark after a snapshot.
func (m Mark) raised(snap account.Snapshot) (Mark, bool) {
	equity := snap.Account.Equity
	if !equity.Valid || !equity.Decimal.IsPositive() || snap.ObservedAt.Before(m.At) || !snap.Flows.KnownAt(snap.ObservedAt) {
		return m, false
	}
	if m.before(snap.Flows) {
		return markOf(snap), true
	}
	f := FlowsOf(snap, m)
	if !f.SinceMark.Valid {
		return m, false
	}
	high, flow := m.Equity, f.SinceMark.Decimal
	switch own := equity.Decimal.Sub(flow); { // what equity would be without the flow
	case own.GreaterThan(high.Decimal) || (own.Equal(high.Decimal) && !flow.IsZero()):
		high = equity
	case flow.IsZero() && m.Flow.Equal(snap.Flows.Total), !own.IsPositive():
		return m, false
	case !flow.IsZero():
		high.Decimal = high.Decimal.Mul(equity.Decimal).DivRound(own, markDigits+2).RoundFloor(markDigits)
	}
	return Mark{Equity: high, At: snap.ObservedAt.UTC(), Flow: snap.Flows.Total}, true
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

// drawdown is the USD that were lost since the high-water mark of a strategy, which is the user's unless a person's word began
// one of its own, and that mark. MarkEquity comes first.
func (s *State) drawdown(snap account.Snapshot, strategyID string) (loss, base decimal.Decimal, ok bool) {
	m := s.Mark
	if own := s.Strategies[strategyID].Mark; strategyID != "" && !own.At.IsZero() {
		m = own
	}
	equity, f := snap.Account.Equity, FlowsOf(snap, m)
	if !equity.Valid || !m.Equity.Valid || !f.SinceMark.Valid {
		return loss, base, false
	}
	own := equity.Decimal.Sub(f.SinceMark.Decimal) // the mark does not follow a flow where nothing is left without it
	return m.Equity.Decimal.Sub(own), m.Equity.Decimal, true
}

// Watch notes what the levels' limits of loss say of a snapshot: a limit that is passed moves trading down to Reducing, of
// the user or of the strategy whose limit it is. Only a person's Active, said later and at the same level, takes it
// back; after a drawdown that level's mark then begins anew. MarkEquity comes first.
func (s *State) Watch(snap account.Snapshot, levels []Level, now time.Time) (changed bool) {
	for _, l := range levels {
		changed = s.lift(snap, l, now) || changed
	}
	for _, l := range levels {
		if loss, base, ok := dailyLoss(snap); ok {
			changed = s.breach(l, MaxDailyLoss, DailyLossExceeded, loss, base, now) || changed
		}
		if loss, base, ok := s.drawdown(snap, l.Strategy); ok {
			changed = s.breach(l, MaxDrawdown, DrawdownExceeded, loss, base, now) || changed
		}
	}
	return changed
}

// lift: a word on many users takes back no user's breach.
func (s *State) lift(snap account.Snapshot, l Level, now time.Time) (changed bool) {
	if l.Trading.State != Active || (l.Strategy == "" && l.Name != levelUser) {
		return false
	}
	said := func(b Breach) bool { return b.Strategy == l.Strategy && l.Trading.lifts(b.At, now) }
	for i := slices.IndexFunc(s.Breaches, said); i >= 0; i = slices.IndexFunc(s.Breaches, said) {
		if s.Breaches[i].Code == DrawdownExceeded && snap.Account.Equity.Valid {
			s.begin(snap, l.Strategy)
		}
		s.Breaches, changed = slices.Delete(s.Breaches, i, i+1), true
	}
	for id, m := range s.marks() { // a user's word holds for the marks of all strategies
		if at, ok := unvalued(snap, m); ok && (l.Strategy == "" || l.Strategy == id) && l.Trading.lifts(at, now) {
			s.begin(snap, id)
			changed = true
		}
	}
	return changed
}

// liftIdle takes back the breaches of strategies that do not run, which no level of a run's is about: by a word on the strategy, as if
// it ran, or by the user's. After the user's the strategy gets no mark of its own: where what was lost is not made up for, and the
// strategy comes back, it is a breach again.
func (s *State) liftIdle(snap account.Snapshot, words Control, runs map[string]map[string]any, now time.Time) (changed bool) {
	for _, b := range slices.Clone(s.Breaches) {
		if _, ok := runs[b.Strategy]; !ok && b.Strategy != "" {
			changed = s.lift(snap, Level{Strategy: b.Strategy, Trading: words.Strategies[b.Strategy]}, now) || changed
		}
	}
	before := len(s.Breaches)
	s.Breaches = slices.DeleteFunc(s.Breaches, func(b Breach) bool {
		_, ok := runs[b.Strategy]
		return !ok && b.Strategy != "" && words.Trading.lifts(b.At, now)
	})
	return changed || len(s.Breaches) != before
}

// begin sets the mark anew, the user's or a strategy's own: at the snapshot, or at the next one whose flows are known.
func (s *State) begin(snap account.Snapshot, strategyID string) {
	m := Mark{At: snap.ObservedAt.UTC()}
	if snap.Flows.KnownAt(snap.ObservedAt) && snap.Account.Equity.Valid && snap.Account.Equity.Decimal.IsPositive() {
		m = markOf(snap)
	}
	if strategyID == "" {
		s.Mark = m
		return
	}
	p := s.Strategies[strategyID]
	p.Mark = m
	s.progress(strategyID, p) // what was breached has a place
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

// breach notes a limit that is passed. A strategy that has a breach has a place, and keeps it; where there is none, the breach is the
// user's. One that can't run for its id has none.
func (s *State) breach(l Level, f Figure, code string, loss, base decimal.Decimal, now time.Time) bool {
	share := l.Limits.Figures[f]
	if !share.Valid || len(l.Strategy) > strategy.MaxID {
		return false
	}
	allowed := share.Decimal.Mul(base)
	has := func(b Breach) bool { return b.Strategy == l.Strategy && b.Code == code }
	if !loss.IsPositive() || !loss.GreaterThan(allowed) || slices.ContainsFunc(s.Breaches, has) {
		return false
	}
	if l.Strategy != "" && !s.progress(l.Strategy, s.Strategies[l.Strategy]) {
		if l.Strategy = ""; slices.ContainsFunc(s.Breaches, has) {
			return false
		}
	}
	s.Breaches = append(s.Breaches, Breach{Strategy: l.Strategy, Code: code, At: now.UTC(), Value: cents(loss), Bound: cents(allowed)})
	return true
}
