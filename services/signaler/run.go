package signaler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// rounds is how often a run may be overtaken by a newer snapshot before it is left to the event's redelivery.
const rounds = 3

// run decides for one strategy, on the event's snapshot or, if that is overtaken, on the stored one.
func (s *Service) run(ctx context.Context, d strategy.Definition, triggered strategy.Event, snap account.Snapshot) error {
	strat, err := strategy.New(d)
	if err != nil {
		s.Fault(ctx, d.UserID, err) // its owner's to mend; the other strategies run
		return nil
	}
	cause, ok := triggered.Cause(strat.Triggers())
	if !ok {
		return nil
	}
	quotes := s.quotes(ctx, d.UserID, strat.Needs().Symbols)
	bars := s.bars(ctx, d.UserID, strat.Needs())
	for range rounds {
		r := s.decide(d, strat, cause, snap, quotes, bars)
		if len(r.Intents) == 0 && r.Denial == nil {
			return nil
		}
		_, err = s.Signals.Place(ctx, r.Batch, r.Plan)
		if !errors.Is(err, signal.ErrNewerSnapshot) {
			break
		}
		if snap, err = s.Snapshots.Snapshot(ctx, d.UserID); err != nil {
			return err
		}
	}
	if errors.Is(err, signal.ErrOutdated) {
		return nil // the newer cause's own event runs the strategy
	}
	return err
}

// decide is pure but for the clock: what the strategy wants. What it may have is the transaction's to judge.
func (s *Service) decide(d strategy.Definition, strat strategy.Strategy, cause strategy.Cause, snap account.Snapshot, quotes map[string]market.Quote, bars map[string][]market.Bar) risk.Run {
	now := s.Now()
	age := tick.StaleAfter(time.Duration(s.cfg.MaxSnapshotAge), 1)
	r := risk.Run{
		Batch: signal.Batch{
			UserID: d.UserID, StrategyID: d.ID, SnapshotSeq: snap.Seq, ChangedSeq: cause.ChangedSeq, Cause: cause.Text, CauseTick: cause.Tick, Now: now,
		},
		Input:  risk.Input{Quotes: quotes, MaxSnapshotAge: age},
		Limits: d.Limits, Life: s.cfg.SignalLife,
	}
	if r.Denial = risk.Usable(snap, now, age); r.Denial != nil {
		return r
	}
	decision, err := strat.Decide(strategy.Input{
		Now: now, StrategyID: d.ID, Cause: cause, Account: snap.Account, Positions: snap.Positions, Orders: snap.OpenOrders, Quotes: market.Fresh(quotes, now), Bars: bars,
	})
	if err != nil {
		r.Denial = denialOf(err)
		return r
	}
	r.Intents, r.Keep = decision.Intents, decision.State
	return r
}

func denialOf(err error) *strategy.Denial {
	if d, ok := errors.AsType[*strategy.Denial](err); ok {
		return d
	}
	return &strategy.Denial{Code: "STRATEGY_FAILED", Reason: fmt.Sprintf("the strategy failed: %v", err)}
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
