package signaler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// openSignals is risk.Book's Open, or what was read just now.
type openSignals func(ctx context.Context, userID string) ([]signal.Reservation, error)

// once asks for one event's runs, one after the other, at most once: a run's own open signals are no other's business.
func once(ask openSignals) openSignals {
	var open []signal.Reservation
	asked := false
	return func(ctx context.Context, userID string) (_ []signal.Reservation, err error) {
		if !asked {
			open, err = ask(ctx, userID)
			asked = err == nil
		}
		return open, err
	}
}

// run decides for one strategy. First on the event's snapshot: mostly nothing is wanted, and nothing has to be read. What is
// wanted is decided again by the placing transaction, on the snapshot and the risk state that it reads.
func (s *Service) run(ctx context.Context, d strategy.Definition, cause strategy.Cause, strat strategy.Strategy, snap account.Snapshot, open openSignals) error {
	c, err := s.prepare(ctx, d, cause, strat, snap)
	if err != nil {
		return err
	}
	_, err = s.decide(ctx, c, snap, open)
	if errors.Is(err, signal.ErrOutdated) {
		return nil // the newer cause's own event runs the strategy
	}
	return err
}

// prepare gathers what a run is decided on, but for a model's answer.
func (s *Service) prepare(ctx context.Context, d strategy.Definition, cause strategy.Cause, strat strategy.Strategy, snap account.Snapshot) (*decision.Case, error) {
	bars, err := s.bars(ctx, d.UserID, strat, cause)
	if err != nil {
		return nil, err
	}
	platform, err := s.platform.Get(ctx)
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	return &decision.Case{
		Definition: d, Strategy: strat, Cause: cause, Now: now, MaxSnapshotAge: s.staleAfter(snap),
		Quotes: s.quotes(ctx, d.UserID, strat.Needs().Symbols), Bars: bars,
		Platform: platform, Buffer: s.cfg.buffer(), Open: s.open(ctx, now), Life: s.cfg.SignalLife, Keep: s.cfg.DecisionTTL,
	}, nil
}

// staleAfter is the age from which a snapshot may not be traded on: it follows from how often the user is synced.
func (s *Service) staleAfter(snap account.Snapshot) time.Duration {
	return tick.StaleAfter(time.Duration(s.cfg.MaxSnapshotAge), max(1, snap.CadenceMinutes))
}

// decide asks the model, if the strategy does, and places what is wanted.
func (s *Service) decide(ctx context.Context, c *decision.Case, snap account.Snapshot, open openSignals) ([]signal.Signal, error) {
	if err := s.advise(ctx, c, snap); err != nil {
		return nil, err
	}
	if wants, withdraw := c.Wants(snap); !wants && !c.Once { // what is asked for once is noted, whatever it comes to
		own, err := own(ctx, c.Definition, withdraw, open)
		if err != nil || !own {
			return nil, err
		}
	}
	var err error
	if c.Platform, err = s.platform.Get(ctx); err != nil { // as late as can be: models and market data take their time
		return nil, err
	}
	placed, err := s.Signals.Place(ctx, c.Batch(), c.Plan)
	if errors.Is(err, signal.ErrReused) {
		c.Cause.Text += "@" + c.Cause.Tick.String()
		return s.Signals.Place(ctx, c.Batch(), c.Plan)
	}
	return placed, err
}

// own says whether the strategy has an open signal of one of these symbols.
func own(ctx context.Context, d strategy.Definition, symbols []string, open openSignals) (bool, error) {
	if len(symbols) == 0 || d.Mode == strategy.Shadow {
		return false, nil
	}
	reserved, err := open(ctx, d.UserID)
	return slices.ContainsFunc(reserved, risk.Withdrawal{StrategyID: d.ID, Symbols: symbols}.Of), err
}

// quotes are the latest. Where there are none, strategies use the broker's own valuation of what is held.
func (s *Service) quotes(ctx context.Context, userID string, symbols []string) map[string]market.Quote {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QuoteTimeout)
	defer cancel()
	quotes, err := s.Quotes.Latest(ctx, symbols)
	if err != nil {
		s.Fault(ctx, userID, fmt.Errorf("quotes of %v: %w", symbols, err))
	}
	return quotes // those that came all the same, and the last known ones as long as they count
}

// open says whether the market is, at a time, by the broker's calendar; nil where nobody knows.
func (s *Service) open(ctx context.Context, now time.Time) *decision.Hours {
	if s.Hours == nil {
		return nil
	}
	return decision.NewHours(func(h market.Hours) (open, known bool) { return s.Hours(ctx, now, h) })
}
