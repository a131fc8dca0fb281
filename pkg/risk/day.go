package risk

import (
	"fmt"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// NewDay is the trading day in which a time lies: from midnight to midnight in New York, the exchanges' time.
func NewDay(now time.Time) (Day, error) {
	zone, err := market.Zone()
	if err != nil {
		return Day{}, fmt.Errorf("trading day: %w", err)
	}
	y, m, d := now.In(zone).Date()
	return Day{Start: time.Date(y, m, d, 0, 0, 0, 0, zone).UTC(), End: time.Date(y, m, d+1, 0, 0, 0, 0, zone).UTC()}, nil
}

// Turn begins a new day's counts, unless it is begun already. A clock that is behind stays in the later day.
func (s *State) Turn(now time.Time) (changed bool, err error) {
	if now.Before(s.Day.End) {
		return false, nil
	}
	if s.Day, err = NewDay(now); err != nil {
		return false, err
	}
	for id, p := range s.Strategies {
		p.Notional, p.Orders = decimal.Decimal{}, 0
		s.Strategies[id] = p
	}
	return true, nil
}
