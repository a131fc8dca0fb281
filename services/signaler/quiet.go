package signaler

import (
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// quiet says of an event, by a few small fields of each document, that no strategy can want it: most are heartbeats. What
// can't be told this way is looked at as a whole.
func (s *Service) quiet(e event.Event) bool {
	if e.Type() != event.TypeDocument {
		return false
	}
	c, err := document.PeekChange(e.Data(), "tick", "changed_seq", "slot_minutes", "observed_at", "cadence_minutes")
	if err != nil || c.Old == nil || c.New == nil {
		return false
	}
	if placeOf(c.Path).collection != store.Accounts {
		return false
	}
	old, ok := marks(c.Old)
	now, ok2 := marks(c.New)
	return ok && ok2 && !strategy.Between(&old, now).Any() && !s.silent(&old, now)
}

// marks are the fields that say what was triggered, and how old the snapshot was.
func marks(d *document.Document) (s account.Snapshot, ok bool) {
	text, ok := d.Fields["tick"].(string)
	changed, ok2 := d.Fields["changed_seq"].(int64)
	slots, ok3 := d.Fields["slot_minutes"].(int64)
	observed, _ := d.Fields["observed_at"].(time.Time)
	cadence, _ := d.Fields["cadence_minutes"].(int64)
	at, err := tick.Parse(text)
	return account.Snapshot{
		Tick: at, ChangedSeq: changed, SlotMinutes: int(slots), ObservedAt: observed, CadenceMinutes: int(cadence), Version: d.UpdateTime,
	}, ok && ok2 && ok3 && err == nil
}
