package strategy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// KindRebalance is the kind of the rebalance strategy.
const KindRebalance = "rebalance"

// rebalance trades each symbol back to its target share of equity once it has drifted out of a band around it
// (threshold rebalancing: Jaconetti, Kinniry, Zilbering, "Best practices for portfolio rebalancing", Vanguard 2010).
//
// Parameters:
//
//	weights           map of 1 to 50 symbols to target shares of equity, 0 to 1; together at most 1 (the rest stays cash)
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

func newRebalance(p *Params) Strategy {
	r := &rebalance{
		weights:     p.Weights("weights"),
		band:        p.Figure("drift_band", 0.05, 0, 1),
		minNotional: p.Figure("min_notional_usd", MinNotional, MinNotional, 1e9),
		every:       p.Minutes("every_minutes", 0),
	}
	r.symbols = slices.Sorted(maps.Keys(r.weights))
	return r
}

func (r *rebalance) Triggers() Triggers { return Triggers{Account: true, Every: r.every} }

func (r *rebalance) Needs() Needs { return Needs{Symbols: r.symbols} }

func (r *rebalance) Decide(in Input) (Decision, error) {
	equity, err := Equity(in)
	if err != nil {
		return Decision{}, err
	}
	var intents []Intent
	var reached []string
	var denied error
	for _, symbol := range r.symbols {
		if slices.ContainsFunc(in.Orders, func(o account.Order) bool { return o.Symbol == symbol }) {
			continue
		}
		held, err := long(in, symbol)
		if err != nil {
			denied = cmp.Or(denied, err) // of this symbol only
			continue
		}
		target := equity.Mul(r.weights[symbol])
		if held.Sub(target).Abs().LessThanOrEqual(equity.Mul(r.band)) {
			if e, err := Exposed(in, symbol); err != nil || e.Own.IsZero() || e.Coming().Sub(target).Abs().GreaterThan(equity.Mul(r.band)) {
				reached = append(reached, symbol) // else its own open signal may stand
			}
			continue
		}
		intents = append(intents, Intent{Symbol: symbol, Target: decimal.NewNullDecimal(target), Reason: fmt.Sprintf("%s is %s%% of equity, target %s%%, band %s%%",
			symbol, percent(held.Div(equity)), percent(r.weights[symbol]), percent(r.band))})
	}
	d, err := Size(in, intents...)
	d.Intents = slices.DeleteFunc(d.Intents, func(i Intent) bool {
		small := i.Notional.LessThan(r.minNotional)
		if small {
			reached = append(reached, i.Symbol)
		}
		return small
	})
	d.Withdraw = append(d.Withdraw, reached...)
	if len(d.Intents) == 0 && err == nil {
		err = denied
	}
	return d, err
}

func percent(share decimal.Decimal) string {
	return account.Cents(share.Mul(decimal.NewFromInt(100)))
}
