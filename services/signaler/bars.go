package signaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// bars are what a strategy needs. Who runs at a bar's close judges by that close what is out of date, and where there is
// nothing to do (Needs.Series); the others see none that are more than one bar behind. A close whose bar is late, or can't be
// fetched, comes again for market.Patience (event.Busy), since there is no other cause for its run. After that a bar that did not
// come is told, and where bars can't be fetched the strategy sees none of a symbol that has none of the close.
func (s *Service) bars(ctx context.Context, userID string, strat strategy.Strategy, cause strategy.Cause) (map[string][]market.Bar, error) {
	needs := strat.Needs()
	if needs.Bars == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QuoteTimeout)
	defer cancel()
	now := s.Now()
	bars, err := s.Bars.Closed(ctx, needs.Symbols, needs.Bars, needs.Count, now)
	if err != nil {
		err = fmt.Errorf("%s bars of %v: %w", needs.Bars, needs.Symbols, err)
	}
	late, lost := errors.Is(err, market.ErrLate), errors.Is(err, market.ErrMissing)
	if closes := cause.Tick.Time(); err != nil && cause.Trigger() == strategy.ByBar {
		missing := s.missing(bars, needs, closes)
		if len(missing) > 0 && now.Sub(closes) < market.Patience && passing(err) {
			return nil, event.Defer(err)
		}
		if !late && !lost {
			bars = maps.Clone(bars)
			for _, symbol := range missing {
				delete(bars, symbol)
			}
		}
	}
	if err != nil && !late && (!lost || cause.Trigger() == strategy.ByBar) {
		s.Fault(ctx, userID, err)
	}
	if strat.Triggers().Bar == needs.Bars {
		return bars, nil
	}
	return s.grid.Fresh(bars, needs.Bars, now), nil
}

// missing are the symbols that have no bar of a close which should have one.
func (s *Service) missing(bars map[string][]market.Bar, needs strategy.Needs, closes time.Time) (symbols []string) {
	for _, symbol := range needs.Symbols {
		due, ok := s.grid.Due(symbol, needs.Bars, closes)
		if b := bars[symbol]; ok && (len(b) == 0 || b[len(b)-1].At.Before(due)) {
			symbols = append(symbols, symbol)
		}
	}
	return symbols
}

// passing says whether asking again may help: of several errors one is enough.
func passing(err error) bool {
	switch e := err.(type) { //nolint:errorlint // each of a tree is asked
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if passing(one) {
				return true
			}
		}
		return false
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return passing(inner)
		}
	}
	return !errors.Is(err, market.ErrRejected)
}
