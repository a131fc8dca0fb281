package strategy

import (
	"strconv"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// MinSlot is the finest schedule. All slots are multiples of it, counted from midnight UTC, so that a snapshot's
// event tells by itself whether any slot can lie in it. It is wider than the heartbeat (3 minutes): no slot is missed.
const MinSlot = 5 * time.Minute

// Triggers is what makes a strategy run.
type Triggers struct {
	Account bool          // every material change of the account
	Every   time.Duration // a schedule: each multiple of it since the epoch, UTC; 0 is none
}

// Cause is what made a strategy run, once.
type Cause struct {
	Text       string    // "changed_seq:7", "schedule:20261124T0930Z"; a signal's id is made of it
	Tick       tick.Tick // orders causes
	ChangedSeq int64     // of an account cause; 0 otherwise
}

// Event is what one write of a snapshot can have triggered.
type Event struct {
	changed  int64
	finest   time.Duration // of the user's schedules; below 0: there is none
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
func (e Event) Any() bool { return e.changed != 0 || e.slot(e.finest) != 0 }

// Cause is what makes a strategy with these triggers run, if anything does. A slot comes before a change of the
// account, since it can't be replaced by a newer change; of several missed slots the newest counts.
func (e Event) Cause(t Triggers) (Cause, bool) {
	if slot := e.slot(t.Every); slot != 0 {
		return Cause{Text: "schedule:" + slot.String(), Tick: slot}, true
	}
	if t.Account && e.changed != 0 {
		return Cause{Text: "changed_seq:" + strconv.FormatInt(e.changed, 10), Tick: e.to, ChangedSeq: e.changed}, true
	}
	return Cause{}, false
}

func (e Event) slot(every time.Duration) tick.Tick {
	n := tick.Tick(every / time.Minute)
	if n <= 0 || e.from == 0 {
		return 0
	}
	if slot := e.to - e.to%n; slot > e.from {
		return slot
	}
	return 0
}

// Slots is the finest schedule that holds all of these, minutes: their greatest common divisor; account.NoSlots if none of
// them has one. A strategy that can't run has none.
func Slots(definitions []Definition) int {
	minutes := 0
	for _, d := range definitions {
		s, err := New(d)
		if err != nil {
			continue
		}
		for every := int(s.Triggers().Every / time.Minute); every != 0; {
			minutes, every = every, minutes%every
		}
	}
	if minutes == 0 {
		return account.NoSlots
	}
	return minutes
}
