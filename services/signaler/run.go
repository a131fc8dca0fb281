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

// run is one run of one strategy, with all that has to be known for it but the account.
type run struct {
	definition strategy.Definition
	strategy   strategy.Strategy
	cause      strategy.Cause
	now        time.Time
	maxAge     time.Duration // of the snapshot
	quotes     map[string]market.Quote
	bars       map[string][]market.Bar
	told       advice
	judged     risk.Run // what does not depend on the decision
}

// run decides for one strategy. First on the event's snapshot: mostly nothing is wanted, and nothing has to be read. What is
// wanted is decided again by the placing transaction, on the snapshot and the risk state that it reads.
func (s *Service) run(ctx context.Context, d strategy.Definition, cause strategy.Cause, strat strategy.Strategy, snap account.Snapshot) error {
	platform, err := s.platform.Get(ctx)
	if err != nil {
		return err
	}
	r := &run{
		definition: d, strategy: strat, cause: cause, now: s.Now(), maxAge: tick.StaleAfter(time.Duration(s.cfg.MaxSnapshotAge), 1),
		quotes: s.quotes(ctx, d.UserID, strat.Needs().Symbols), bars: s.bars(ctx, d.UserID, strat.Needs()),
	}
	r.judged = risk.Run{
		Batch: signal.Batch{
			UserID: d.UserID, StrategyID: d.ID, ChangedSeq: cause.ChangedSeq, Cause: cause.Text, CauseTick: cause.Tick, Now: r.now,
		},
		Input: risk.Input{
			Symbols: strat.Needs().Symbols, Quotes: r.quotes, MaxSnapshotAge: r.maxAge, Buffer: s.cfg.buffer(),
			Open: s.open(ctx, r.now),
		},
		Platform: platform, Limits: d.Limits, Life: s.cfg.SignalLife, Shadow: d.Mode == strategy.Shadow,
	}
	if err := s.advise(ctx, r, snap); err != nil {
		return err
	}
	if first := r.decide(snap, &risk.State{}); len(first.Intents) == 0 && first.Denial == nil {
		return nil
	}
	_, err = s.Signals.Place(ctx, r.judged.Batch, r.plan)
	if errors.Is(err, signal.ErrOutdated) {
		return nil // the newer cause's own event runs the strategy
	}
	return err
}

// plan is for the placing transaction. It is pure.
func (r *run) plan(v risk.View) risk.Plan { return r.decide(v.Snapshot, v.State).Plan(v) }

// decide is what the strategy wants. What it may have is the risk engine's to judge.
func (r *run) decide(snap account.Snapshot, state *risk.State) risk.Run {
	out := r.judged
	out.RawModelOutput = r.told.raw
	if out.Denial = risk.Usable(snap, r.now, r.maxAge); out.Denial != nil {
		return out
	}
	decision, err := r.strategy.Decide(r.input(snap, state))
	if err != nil {
		out.Denial = denialOf(err)
		return out
	}
	out.Intents, out.Keep = decision.Intents, decision.State
	return out
}

// input is what the strategy sees.
func (r *run) input(snap account.Snapshot, state *risk.State) strategy.Input {
	return strategy.Input{
		Now: r.now, StrategyID: r.definition.ID, Cause: r.cause, Account: snap.Account, Positions: snap.Positions, Orders: snap.OpenOrders,
		Reserved: state.Reservations, State: state.Strategies[r.definition.ID].State,
		Quotes: market.Fresh(r.quotes, r.now), Bars: r.bars, Answer: r.told.answer,
	}
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

// open says whether the market is, at a time, by the broker's calendar; nil where nobody knows.
func (s *Service) open(ctx context.Context, now time.Time) func(market.Hours) (open, known bool) {
	if s.Hours == nil {
		return nil
	}
	return func(h market.Hours) (open, known bool) { return s.Hours(ctx, now, h), true }
}
