package signaler_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// sessions is a broker's calendar of one day; nil: the broker is down.
type sessions []market.Day

func (s sessions) Calendar(_ context.Context, from, to time.Time) (market.Calendar, error) {
	if s == nil {
		return market.Calendar{}, errors.New("the broker is down")
	}
	return market.NewCalendar(from, to, s)
}

// A limit on hours, by a real timetable: what opens is denied where the market is closed, and where nobody knows.
func TestHours(t *testing.T) {
	zone, err := market.Zone()
	must(t, err)
	day, err := market.NewDay(zone, "2026-11-24", "09:30", "16:00", "", "")
	must(t, err)
	for name, c := range map[string]struct {
		sessions sessions
		minute   int // from noon, UTC
		code     any
	}{
		"at night":                        {sessions{day}, -4 * 60, risk.MarketClosed},
		"open":                            {sessions{day}, 3 * 60, nil},
		"just open":                       {sessions{day}, 8*60 + 59, nil},
		"at the close":                    {sessions{day}, 9 * 60, risk.MarketClosed},
		"at night, and nobody knows":      {nil, -4 * 60, risk.MarketUnknown},
		"in the day, and nobody knows it": {nil, 3 * 60, risk.MarketUnknown},
	} {
		w := newWorld(t)
		now := func() time.Time { return w.now }
		w.svc, err = signaler.New(signaler.DefaultConfig(), signaler.Deps{
			Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Records: w.store, Quotes: market.None{}, Now: now,
			Hours: market.NewTimetable(market.TimetableConfig{Sessions: c.sessions, Now: now}).Trading,
		})
		must(t, err)
		must(t, w.store.SetLimits(t.Context(), "u", risk.ParseLimits(map[string]any{"hours": "regular"})))
		w.write(t, c.minute, true, "1000", nil)
		w.deliver(t, 0)
		if f := w.signals(t)["changed_seq:1"]; f["denial_code"] != c.code {
			t.Errorf("%s, at %s: %v %v, want %v", name, w.now, f["status"], f["denial_code"], c.code)
		}
	}
}
