package account

import (
	"cmp"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

const (
	// MaxFlows is how many flows a snapshot carries, and how many are asked for at once: more are not known.
	MaxFlows = 100
	// FlowLife is how long a snapshot carries a flow.
	FlowLife = 35 * 24 * time.Hour
	// flowOverlap is how far back flows are asked for again: those that were booked late are among them.
	flowOverlap = 7 * 24 * time.Hour
	// flowTrust is how long flows count as known after they were read: an account at rest reads them once a day.
	flowTrust = 3 * 24 * time.Hour
)

// Flow is money or securities that came into the account from outside, or left it.
type Flow struct {
	ID     string              // of the broker's
	At     time.Time           // UTC: when it was booked; of a stored one, when the equity began to count it, as near as is known
	Seen   time.Time           // UTC: the first snapshot whose Total counts it, by its ObservedAt
	Amount decimal.NullDecimal // USD, negative if it left; not Valid: securities whose value is not known
}

// Flows are the deposits and withdrawals as far as a snapshot's equity counts them. The zero Flows are not known.
type Flows struct {
	Recent []Flow          // of FlowLife, in the order of At
	Total  decimal.Decimal // USD, net, of all that were seen since the count began
	Since  time.Time       // the count's beginning: what was seen then is in Recent only
	At     time.Time       // when they were read; zero: never
	Gap    time.Time       // the last snapshot of which they are known, if they could not be read since; zero: they are known
	Kept   bool            // Recent is not here: a write leaves the stored ones
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

// After is f with what the broker lists for a snapshot observed now, before being the time of the one that f is of. A flow
// counts once, by its id, in whatever order and however late it is listed; its amount may change, or be taken back.
//
// moved says that the account changed between the two in a way in which flows change it: one that is new then came
// between them. Otherwise it was booked late, and equity has counted it since some time before.
//
// One that was booked right after now may be in its equity, or not: until the next reading flows are not known.
func (f Flows) After(listed []Flow, before, now time.Time, moved bool) Flows {
	next, first := Flows{Recent: slices.Clone(f.Recent), Total: f.Total, Since: f.Since, At: now.UTC()}, !f.counts(now)
	if first {
		next = Flows{Since: now.UTC(), At: now.UTC()}
	}
	if !f.Gap.IsZero() {
		before, moved = f.Gap, true
	}
	for _, l := range listed {
		if soon := l.At.Sub(now); soon > 0 && soon < time.Minute {
			next.Gap = before.UTC()
			if first {
				return f.Unread(before)
			}
			continue
		}
		i := slices.IndexFunc(next.Recent, func(k Flow) bool { return k.ID == l.ID })
		switch {
		case i < 0:
			next.Recent = append(next.Recent, f.added(l, before, now, moved))
			if !first {
				next.Total = next.Total.Add(l.Amount.Decimal)
			}
		case !first && !sameDecimal(next.Recent[i].Amount, l.Amount):
			k := &next.Recent[i]
			next.Total = next.Total.Add(l.Amount.Decimal).Sub(k.Amount.Decimal)
			k.Amount, k.Seen = l.Amount, now.UTC()
		}
	}
	next.forget(now)
	return next
}

// added is a flow that is new, with its times.
func (f Flows) added(l Flow, before, now time.Time, moved bool) Flow {
	if l.At.After(now) { // of a day that is still to come: it is listed, so it is booked
		l.At = now
	}
	switch {
	case !f.counts(now):
		l.Seen = l.At
	case moved && l.At.Before(before):
		l.At, l.Seen = before, now
	default:
		l.Seen = now
	}
	l.At, l.Seen = l.At.UTC(), l.Seen.UTC()
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
		f.Recent, f.Gap, f.Since = f.Recent[extra:], now.UTC(), now.UTC()
	}
	if len(f.Recent) == 0 {
		f.Recent = nil
	}
}

// Unread is f after a reading that failed: what was counted stays, and is not known to be all. before is the time of the
// snapshot that f is of.
func (f Flows) Unread(before time.Time) Flows {
	if f = f.WithoutRecent(); f.Gap.IsZero() && !f.At.IsZero() {
		f.Gap = before.UTC()
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
