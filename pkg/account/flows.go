package account

import (
	"cmp"
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
)

const (
	// MaxFlows is how many flows a snapshot carries, and how many are asked for: more are not known.
	MaxFlows = 500
	// FlowLife is how long a snapshot carries a flow.
	FlowLife = 35 * 24 * time.Hour
	// flowOverlap is how far back flows are asked for again: those that were booked late are among them.
	flowOverlap = 7 * 24 * time.Hour
	// flowTrust is how long flows count as known after they were read: an account at rest reads them once a day.
	flowTrust = 3 * 24 * time.Hour
	// flowWait is how long cash and the broker's list may contradict each other before they are taken as they are.
	flowWait = 15 * time.Minute
)

// flowShare of equity is how much cash may move otherwise: dividends, interest and fees are mostly less.
var flowShare = decimal.New(5, -3)

// Flow is money or securities that came into the account from outside, or left it.
type Flow struct {
	ID     string              // of the broker's
	At     time.Time           // UTC: when it was booked; of a stored one, when the equity began to count it, as near as is known
	Seen   time.Time           // UTC: the first snapshot whose Total counts it, by its ObservedAt
	Amount decimal.NullDecimal // USD, negative if it left; not Valid: securities whose value is not known
	InKind bool                // securities, which change positions and no cash; of a listed one only
}

// Flows are the deposits and withdrawals as far as a snapshot's equity counts them. The zero Flows are not known.
type Flows struct {
	Recent  []Flow              // of FlowLife, in the order of At
	Total   decimal.Decimal     // USD, net, of all that were seen since the count began
	Since   time.Time           // the count's beginning: what was seen then is in Recent only
	At      time.Time           // when they were read; zero: never
	Gap     time.Time           // the last snapshot of which they are known, if they are not since; zero: they are known
	GapCash decimal.NullDecimal // USD, of that snapshot
	Kept    bool                // Recent is not here: a write leaves the stored ones
}

// KnownAt says whether they hold for a snapshot of that time.
func (f Flows) KnownAt(t time.Time) bool {
	return !f.At.IsZero() && f.Gap.IsZero() && t.Sub(f.At) <= flowTrust
}

// Due says whether they are to be read though nothing has changed.
func (f Flows) Due(now time.Time) bool { return f.At.IsZero() || now.Sub(f.At) >= 24*time.Hour }

// From is the time from which After wants the broker's list.
func (f Flows) From(now time.Time) time.Time {
	if f.counts(now) {
		return f.At.Add(-flowOverlap)
	}
	return now.Add(-FlowLife)
}

// counts says whether the next reading goes on with the count. After a long gap it begins anew.
func (f Flows) counts(now time.Time) bool {
	return !f.At.IsZero() && now.Sub(f.At) <= FlowLife-flowOverlap
}

// Seen is a snapshot as far as flows are judged by it.
type Seen struct {
	At           time.Time
	Cash, Equity decimal.NullDecimal // USD
}

// Seen is what flows are judged by.
func (s Snapshot) Seen() Seen { return Seen{s.ObservedAt, s.Account.Cash, s.Account.Equity} }

// After is f with what the broker lists for the snapshot now, before being the one that f is of. A flow counts once, by its
// id, in whatever order and however late it is listed; its amount may change, or be taken back. traded says that
// positions or orders differ between the two.
//
// The list and the account may each be ahead of the other, for seconds or minutes. So they are held against each other: a
// flow that is new and that cash shows came between the two snapshots. Where cash moved as no flow explains, or a new
// flow is not to be seen in it, flows are not known, until they agree or a quarter of an hour has passed. Then
// cash moved for another reason, and a flow that it does not show was booked late: equity has counted it before.
//
// One that was booked right after now may be in its equity, or not: until the next reading flows are not known.
func (f Flows) After(listed []Flow, before, now Seen, traded bool) Flows {
	first := !f.counts(now.At)
	if !f.Gap.IsZero() {
		before.At, before.Cash = f.Gap, f.GapCash
	}
	soon := func(l Flow) bool { d := l.At.Sub(now.At); return d > 0 && d < time.Minute }
	fresh := slices.DeleteFunc(slices.Clone(listed), func(l Flow) bool { return soon(l) || f.has(l) })
	m := moveOf(fresh, before, now, traded, !f.Gap.IsZero())
	if (first && slices.ContainsFunc(listed, soon)) || (!first && !m.explained && now.At.Sub(before.At) < flowWait) {
		return f.Unread(before)
	}
	next := Flows{Recent: slices.Clone(f.Recent), Total: f.Total, Since: f.Since, At: now.At.UTC()}
	if first {
		next = Flows{Since: now.At.UTC(), At: now.At.UTC()}
	}
	for _, l := range listed {
		i := slices.IndexFunc(next.Recent, func(k Flow) bool { return k.ID == l.ID })
		switch {
		case soon(l):
			next.Gap, next.GapCash = before.At.UTC(), before.Cash
		case i < 0:
			next.Recent = append(next.Recent, f.added(l, before.At, now.At, m))
			if !first {
				next.Total = next.Total.Add(l.Amount.Decimal)
			}
		case !first && !sameDecimal(next.Recent[i].Amount, l.Amount):
			k := &next.Recent[i]
			next.Total = next.Total.Add(l.Amount.Decimal).Sub(k.Amount.Decimal)
			k.Amount, k.Seen = l.Amount, now.At.UTC()
		}
	}
	next.forget(now.At)
	return next
}

func (f Flows) has(l Flow) bool {
	return slices.ContainsFunc(f.Recent, func(k Flow) bool { return k.ID == l.ID })
}

// move is how the account changed between two snapshots.
type move struct {
	cash      decimal.NullDecimal // USD; not Valid: not known
	detail    bool                // positions or orders may have changed
	explained bool                // by the flows that are new, as far as can be said
	all       bool                // they are all in it
}

func moveOf(fresh []Flow, before, now Seen, traded, gap bool) move {
	m := move{detail: traded || gap, explained: true, all: true}
	if !before.Cash.Valid || !now.Cash.Valid {
		return m
	}
	m.cash = decimal.NewNullDecimal(now.Cash.Decimal.Sub(before.Cash.Decimal))
	rest := m.cash.Decimal
	for _, l := range fresh {
		switch {
		case l.Amount.Valid && l.Amount.Decimal.IsZero(): // taken back before it was seen
		case l.InKind:
			m.all = m.all && traded
		default:
			rest = rest.Sub(l.Amount.Decimal)
		}
	}
	near := !rest.Abs().GreaterThan(decimal.Max(decimal.NewFromInt(1), now.Equity.Decimal.Abs().Mul(flowShare)))
	m.all = m.all && near
	m.explained = m.all || (traded && !gap && len(fresh) == 0) // a trade moves cash too
	return m
}

// shows says whether a new flow is among what moved.
func (m move) shows(l Flow) bool {
	switch {
	case m.all:
		return true
	case l.InKind:
		return m.detail
	}
	return m.cash.Decimal.Sign() == l.Amount.Decimal.Sign() && m.cash.Decimal.Abs().GreaterThanOrEqual(l.Amount.Decimal.Abs())
}

// added is a flow that is new, with its times.
func (f Flows) added(l Flow, before, now time.Time, m move) Flow {
	if l.At.After(now) { // of a day that is still to come: it is listed, so it is booked
		l.At = now
	}
	switch {
	case !f.counts(now):
		l.Seen = l.At
	case m.shows(l):
		l.Seen = now
		if l.At.Before(before) {
			l.At = before
		}
	default:
		l.Seen = now
		if l.Amount.Decimal.IsPositive() {
			l.At = l.At.Add(-flowWait) // equity may have had it before it was booked: a mark of that time has it too
		}
	}
	l.At, l.Seen, l.InKind = l.At.UTC(), l.Seen.UTC(), false
	return l
}

// forget keeps Recent within its bounds.
func (f *Flows) forget(now time.Time) {
	f.Recent = slices.DeleteFunc(f.Recent, func(k Flow) bool {
		old := now.Sub(k.Seen) > FlowLife && now.Sub(k.At) > FlowLife
		if old && !k.Amount.Valid {
			f.Since = now.UTC() // its value will never be known: what equity was before says nothing any more
		}
		return old
	})
	slices.SortFunc(f.Recent, func(a, b Flow) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	if extra := len(f.Recent) - MaxFlows; extra > 0 {
		f.Recent, f.Gap, f.GapCash, f.Since = f.Recent[extra:], now.UTC(), decimal.NullDecimal{}, now.UTC()
	}
	if len(f.Recent) == 0 {
		f.Recent = nil
	}
}

// Unread is f after a reading that failed or that says nothing yet: what was counted stays, and is not known to be all. before
// is the snapshot that f is of.
func (f Flows) Unread(before Seen) Flows {
	if f = f.WithoutRecent(); f.Gap.IsZero() && !f.At.IsZero() {
		f.Gap, f.GapCash = before.At.UTC(), before.Cash
	}
	return f
}

// WithoutRecent is f with the recent ones left where they are stored.
func (f Flows) WithoutRecent() Flows {
	f.Recent, f.Kept = nil, f.Kept || len(f.Recent) > 0
	return f
}

// Changed says whether g knows of other deposits and withdrawals than f.
func (f Flows) Changed(g Flows) bool {
	return f.At.IsZero() != g.At.IsZero() || f.Gap.IsZero() != g.Gap.IsZero() || !f.Since.Equal(g.Since) || !f.Total.Equal(g.Total)
}
