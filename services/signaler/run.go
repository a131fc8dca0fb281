package signaler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

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
	quotes := s.prices(ctx, d.UserID, strat.Needs().Symbols)
	var told advice
	for range rounds {
		if told, err = s.advise(ctx, d, strat, cause, snap, quotes, told); err != nil {
			break
		}
		signals := s.decide(d, strat, cause, snap, quotes, told)
		if len(signals) == 0 {
			return nil
		}
		_, err = s.Signals.Place(ctx, signal.Batch{
			UserID: d.UserID, StrategyID: d.ID, Signals: signals,
			SnapshotSeq: snap.Seq, ChangedSeq: cause.ChangedSeq, CauseTick: cause.Tick,
		})
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

// decide is pure but for the clock: what the strategy wants, less what it may not have.
func (s *Service) decide(d strategy.Definition, strat strategy.Strategy, cause strategy.Cause, snap account.Snapshot, quotes market.Prices, told advice) []signal.Signal {
	now := s.Now()
	sign := func(symbol string) signal.Signal {
		return signal.Signal{
			ID:     signal.ID(d.UserID, d.ID, symbol, cause.Text),
			UserID: d.UserID, StrategyID: d.ID, Symbol: symbol, Cause: cause.Text, SnapshotSeq: snap.Seq,
			Status: signal.Pending, CreatedAt: now, ExpiresAt: now.Add(s.cfg.SignalLife), RawModelOutput: told.raw,
		}
	}
	deny := func(symbol string, denial *strategy.Denial) signal.Signal {
		sig := sign(symbol)
		sig.Action, sig.Notional, sig.Status = signal.Flat, decimal.Decimal{}, signal.Rejected
		sig.DenialCode, sig.Reason = denial.Code, denial.Reason
		return sig
	}
	if denial := risk.Usable(snap, now, tick.StaleAfter(time.Duration(s.cfg.MaxSnapshotAge), 1)); denial != nil {
		return []signal.Signal{deny(signal.AllSymbols, denial)}
	}
	in := input(now, cause, snap, quotes)
	in.Answer = told.answer
	decision, err := strat.Decide(in)
	if err != nil {
		return []signal.Signal{deny(signal.AllSymbols, denialOf(err))}
	}
	purse := risk.NewPurse(snap)
	signals := make([]signal.Signal, 0, len(decision.Intents))
	for _, i := range decision.Intents {
		if denial := purse.Afford(in, i); denial != nil {
			signals = append(signals, deny(i.Symbol, denial))
			continue
		}
		sig := sign(i.Symbol)
		sig.Action, sig.Notional, sig.Reason = i.Action, i.Notional, i.Reason
		signals = append(signals, sig)
	}
	return signals
}

// input is what a strategy sees of a snapshot.
func input(now time.Time, cause strategy.Cause, snap account.Snapshot, quotes market.Prices) strategy.Input {
	return strategy.Input{Now: now, Cause: cause, Account: snap.Account, Positions: snap.Positions, Orders: snap.OpenOrders, Quotes: quotes}
}

func denialOf(err error) *strategy.Denial {
	if d, ok := errors.AsType[*strategy.Denial](err); ok {
		return d
	}
	return &strategy.Denial{Code: "STRATEGY_FAILED", Reason: fmt.Sprintf("the strategy failed: %v", err)}
}

// prices are the fresh quotes. Where there are none, strategies use the broker's own valuation of what is held.
func (s *Service) prices(ctx context.Context, userID string, symbols []string) market.Prices {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QuoteTimeout)
	defer cancel()
	quotes, err := s.Quotes.Latest(ctx, symbols)
	if err != nil {
		s.Fault(ctx, userID, fmt.Errorf("quotes of %v: %w", symbols, err))
		return nil
	}
	return market.Fresh(quotes, s.Now())
}
