package signaler

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// bars are what a strategy needs. Who runs at a bar's close judges by that close what is out of date, and where there is
// nothing to do (Needs.Series); the others see none that are more than one bar behind.
func (s *Service) bars(ctx context.Context, userID string, strat strategy.Strategy) map[string][]market.Bar {
	needs := strat.Needs()
	if needs.Bars == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QuoteTimeout)
	defer cancel()
	now := s.Now()
	bars, err := s.Bars.Closed(ctx, needs.Symbols, needs.Bars, needs.Count, now)
	if err != nil {
		s.Fault(ctx, userID, fmt.Errorf("%s bars of %v: %w", needs.Bars, needs.Symbols, err))
	}
	if strat.Triggers().Bar == needs.Bars {
		return bars
	}
	return s.grid.Fresh(bars, needs.Bars, now)
}
