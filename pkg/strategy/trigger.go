package strategy

import (
	"strconv"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// MinSlot is the finest schedule. All slots and closes of bars are multiples of it, counted from midnight UTC, so that a
// snapshot's event tells by itself whether any can lie in it. It is wider than the heartbeat (3 minutes): none is missed.
const MinSlot = 5 * time.Minute

// Triggers is what makes a strategy run, besides an edit of its document.
type Triggers struct {
	Account bool             // every material change of the account
	Every   time.Duration    // a schedule: each multiple of it since the epoch, UTC; 0 is none
	Offset  time.Duration    // so much later than those multiples; less than Every, a multiple of MinSlot
	Bar     market.Timeframe // each close of a bar of it; "" is none
}

// Trigger is the kind of a cause.
type Trigger string

// The triggers, as they stand before a cause's colon.
const (
	ByAccount  Trigger = "changed_seq"
	BySchedule Trigger = "schedule"
	ByBar      Trigger = "bar"
	ByEdit     Trigger = "edit"
	ByDemand   Trigger = "demand"
)

// Cause is what made a strategy run, once.
type Cause struct {
	Text       string    // "changed_seq:7", "schedule:20261124T0930Z", "bar:1Day:20261124T2100Z"; a signal's id is made of it
	Tick       tick.Tick // orders causes
	ChangedSeq int64     // of an account cause; 0 otherwise
}

// Trigger is the kind of the cause.
func (c Cause) Trigger() Trigger {
	kind, _, _ := strings.Cut(c.Text, ":")
	return Trigger(kind)
}

// Aside says that the cause is a person's, at any time: it neither overtakes a slot, a bar or a change of the account, whose
// event may come late, nor is overtaken by one.
func (c Cause) Aside() bool { return c.Trigger() == ByEdit || c.Trigger() == ByDemand }

func causeOf(by Trigger, what string, at tick.Tick) Cause {
	return Cause{Text: string(by) + ":" + what, Tick: at}
}

// Edit is the cause that a strategy's written document is; at is the document's update time. A strategy that is not
// enabled has none.
func Edit(d Definition, at time.Time) (Cause, bool) {
	if !d.Enabled || at.IsZero() {
		return Cause{}, false
	}
	return causeOf(ByEdit, at.UTC().Format(time.RFC3339Nano), tick.Of(at)), true
}

// Demand is the cause that somebody's asking is; id names the asking, which is done once.
func Demand(id string, at time.Time) Cause { return causeOf(ByDemand, id, tick.Of(at)) }

// Event is what one write of a snapshot can have triggered.
type Event struct {
	changed  int64
	finest   time.Duration // of the user's slots; below 0: there are none
	from, to tick.Tick     // slots in (from, to] have come; from 0: there is no telling, so none
}

// Between works out from a snapshot's old (nil: its first) and new form what happened, without reading anything.
func Between(old *account.Snapshot, now account.Snapshot) Event {
	e := Event{to: now.Tick, finest: time.Duration(now.SlotMinutes) * time.Minute}
	if now.SlotMinutes == 0 {
		e.finest = MinSlot // it may be any
	}
	if old == nil || old.ChangedSeq != now.ChangedSeq {
		e.changed = now.ChangedSeq
	}
	if old != nil {
		e.from = old.Tick
	}
	return e
}

// Any says whether any strategy at all can want this event; if not, none needs to be read.
func (e Event) Any() bool { return e.changed != 0 || e.slot(e.finest, 0) != 0 }

// Changed says whether the account changed materially.
func (e Event) Changed() bool { return e.changed != 0 }

// Cause is what makes a strategy with these triggers run, if anything does. A slot or a bar comes before a change of
// the account, since it can't be replaced by a newer change; of several missed ones the newest counts, a bar before a slot
// of the same tick.
func (e Event) Cause(t Triggers) (Cause, bool) {
	slot, bar := e.slot(t.Every, t.Offset), e.bar(t.Bar)
	switch {
	case bar != 0 && bar >= slot:
		return causeOf(ByBar, string(t.Bar)+":"+bar.String(), bar), true
	case slot != 0:
		return causeOf(BySchedule, slot.String(), slot), true
	case t.Account && e.changed != 0:
		c := causeOf(ByAccount, strconv.FormatInt(e.changed, 10), e.to)
		c.ChangedSeq = e.changed
		return c, true
	}
	return Cause{}, false
}

func (e Event) slot(every, offset time.Duration) tick.Tick {
	n, late := tick.Tick(every/time.Minute), tick.Tick(offset/time.Minute)
	if n <= 0 || e.from == 0 {
		return 0
	}
	if slot := e.to - ((e.to-late)%n+n)%n; slot > e.from {
		return slot
	}
	return 0
}

func (e Event) bar(f market.Timeframe) tick.Tick {
	if e.slot(f.Slot(), 0) == 0 { // so that most events ask no zone
		return 0
	}
	if at := tick.Of(f.LastClose(e.to.Time())); at > e.from {
		return at
	}
	return 0
}

// Slots is the finest schedule that holds all of these, their bars' closes included, minutes: their greatest common divisor;
// account.NoSlots if none of them has one. A strategy that can't run has none.
func Slots(definitions []Definition) int {
	minutes := 0
	for _, d := range definitions {
		s, err := New(d)
		if err != nil {
			continue
		}
		t := s.Triggers()
		for _, every := range []time.Duration{t.Every, t.Offset, t.Bar.Slot()} {
			minutes = divisor(int(every/time.Minute), minutes)
		}
	}
	if minutes == 0 {
		return account.NoSlots
	}
	return minutes
}

func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
