package signaler

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// bars are what a strategy needs, without those that are out of date: it sees fewer, and says itself that it can't decide.
func (s *Service) bars(ctx context.Context, userID string, needs strategy.Needs) map[string][]market.Bar {
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
	return s.grid.Fresh(bars, needs.Bars, now)
}
