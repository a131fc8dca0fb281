package strategy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// KindRebalance is the kind of the rebalance strategy.
const KindRebalance = "rebalance"

// rebalance trades each symbol back to its target share of equity once it has drifted out of a band around it
// (threshold rebalancing: Jaconetti, Kinniry, Zilbering, "Best practices for portfolio rebalancing", Vanguard 2010).
//
// Parameters:
//
//	weights           map of symbol to target share of equity, 0 to 1; together at most 1 (the rest stays cash)
//	drift_band        share of equity by which a symbol may be off its target; default 0.05
//	min_notional_usd  smaller trades are left out; default 1, Alpaca's own minimum
//	every_minutes     also run at each multiple of these minutes since midnight UTC: a multiple of 5 that divides
//	                  a day; default none
//
// Each trade goes all the way back to the target. Sells come before buys. A symbol with an open order is left
// alone until the order is done. Short positions are none of its business: they are an error.
type rebalance struct {
	weights     map[string]decimal.Decimal
	symbols     []string
	band        decimal.Decimal
	minNotional decimal.Decimal
	every       time.Duration
}

func newRebalance(d Definition) (Strategy, error) {
	p := params{in: d.Params}
	r := &rebalance{
		weights:     p.figures("weights"),
		band:        p.figure("drift_band", decimal.RequireFromString("0.05")),
		minNotional: p.figure("min_notional_usd", decimal.NewFromInt(1)),
		every:       p.minutes("every_minutes"),
	}
	p.unknown("weights", "drift_band", "min_notional_usd", "every_minutes")
	one, sum := decimal.NewFromInt(1), decimal.Decimal{}
	for symbol, w := range r.weights {
		p.check(market.CheckSymbol(symbol))
		if w.IsNegative() || w.GreaterThan(one) {
			p.check(fmt.Errorf("weights.%s is %s: want 0 to 1", symbol, w))
		}
		sum = sum.Add(w)
	}
	if len(r.weights) == 0 {
		p.check(errors.New(`weights is empty: want something like {"SPY": 0.6, "TLT": 0.4}`))
	}
	if sum.GreaterThan(one) {
		p.check(fmt.Errorf("weights add up to %s: want at most 1", sum))
	}
	if r.band.IsNegative() || r.band.GreaterThan(one) {
		p.check(fmt.Errorf("drift_band is %s: want 0 to 1", r.band))
	}
	if r.minNotional.LessThan(one) {
		p.check(fmt.Errorf("min_notional_usd is %s: the broker takes nothing under 1", r.minNotional))
	}
	if err := errors.Join(p.errs...); err != nil {
		return nil, fmt.Errorf("%w %s (%s): %w", ErrInvalid, d.ID, d.Kind, err)
	}
	r.symbols = slices.Sorted(maps.Keys(r.weights))
	return r, nil
}

func (r *rebalance) Triggers() Triggers { return Triggers{Account: true, Every: r.every} }

func (r *rebalance) Needs() Needs { return Needs{Symbols: r.symbols} }

func (r *rebalance) Decide(in Input) (Decision, error) {
	if !in.Account.Equity.Valid || !in.Account.Equity.Decimal.IsPositive() {
		return Decision{}, &Denial{Code: "EQUITY_UNAVAILABLE", Reason: "the account's equity is missing, zero or negative"}
	}
	equity := in.Account.Equity.Decimal
	var sells, buys []Intent
	for _, symbol := range r.symbols {
		if slices.ContainsFunc(in.Orders, func(o account.Order) bool { return o.Symbol == symbol }) {
			continue
		}
		held, err := Value(in, symbol)
		if err != nil {
			return Decision{}, err
		}
		if held.IsNegative() {
			return Decision{}, &Denial{Code: "POSITION_SHORT", Reason: fmt.Sprintf("%s is held short; rebalance works on long positions", symbol)}
		}
		target := equity.Mul(r.weights[symbol])
		off := held.Sub(target)
		notional := off.Abs().Truncate(2) // Alpaca takes cents; rounding down never sells more than is held
		if off.Abs().LessThanOrEqual(equity.Mul(r.band)) || notional.LessThan(r.minNotional) {
			continue
		}
		intent := Intent{Symbol: symbol, Notional: notional, Reason: fmt.Sprintf("%s is %s%% of equity, target %s%%, band %s%%",
			symbol, percent(held.Div(equity)), percent(r.weights[symbol]), percent(r.band))}
		if off.IsPositive() {
			intent.Action = signal.Sell
			sells = append(sells, intent)
		} else {
			intent.Action = signal.Buy
			buys = append(buys, intent)
		}
	}
	return Decision{Intents: append(sells, buys...)}, nil
}

func percent(share decimal.Decimal) string {
	return share.Mul(decimal.NewFromInt(100)).StringFixed(2)
}
