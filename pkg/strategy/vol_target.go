package strategy

import (
	"fmt"
	"math"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
)

// KindVolTarget is the kind of the volatility target.
const KindVolTarget = "vol_target"

// How many days make a year: of the exchanges, and of currency pairs, which trade on all of them.
const (
	yearly       = 252
	yearlyCrypto = 365
)

// volTarget holds so much of a symbol that its volatility, as it was of late, comes to a target: weight = target /
// realised volatility, at most max_weight (Moreira, Muir, "Volatility-Managed Portfolios", Journal of Finance 72, 2017, who
// scale by the variance; by the volatility as here: Harvey et al., "The Impact of Volatility Targeting", Journal of
// Portfolio Management 45, 2018).
//
// Parameters:
//
//	symbol      to hold
//	target_vol  volatility a year, 0.01 to 1; default 0.1
//	estimator   window: the standard deviation of the daily logarithmic returns of the lookback (default); ewma: their
//	            exponentially weighted one (J.P. Morgan/Reuters, "RiskMetrics Technical Document", 1996)
//	lookback    days of the window, 5 to 400; default 20
//	lambda      of ewma, 0.8 to 0.99; default 0.94, RiskMetrics' own for days
//	max_weight  share of equity that is never passed, 0.01 to 2 (more than 1 needs margin); default 1
//	drift_band  share of equity by which the position may be off its target; default 0.05
//	at          close: runs at each day's close (default); session: in the session after it
//
// A year is 252 days, a currency pair's 365. Prices that do not move at all are a denial, since no weight follows.
type volTarget struct {
	symbol          string
	target, maximum float64
	ewma            bool
	runs            Triggers
	lookback        int
	lambda          float64
	band            decimal.Decimal
}

func newVolTarget(p *Params) Strategy {
	s := &volTarget{
		symbol: p.Symbol("symbol"), target: p.Figure("target_vol", 0.1, 0.01, 1).InexactFloat64(), ewma: p.Choice("estimator", "window", "ewma") == "ewma",
		lookback: p.Whole("lookback", 20, 5, 400), lambda: p.Figure("lambda", 0.94, 0.8, 0.99).InexactFloat64(),
		maximum: p.Figure("max_weight", 1, 0.01, 2).InexactFloat64(), band: p.Figure("drift_band", 0.05, 0, 1),
	}
	s.runs = p.At("at", market.OneDay)
	return s
}

func (s *volTarget) Triggers() Triggers { return s.runs }

func (s *volTarget) Needs() Needs {
	returns := s.lookback
	if s.ewma { // so many that 1 % of the weight is left out, as RiskMetrics has it
		returns = int(math.Ceil(math.Log(0.01) / math.Log(s.lambda)))
	}
	return Needs{Symbols: []string{s.symbol}, Bars: market.OneDay, Count: returns + 1}
}

func (s *volTarget) Decide(in Input) (Decision, error) {
	equity, err := Equity(in)
	if err != nil {
		return Decision{}, err
	}
	bars, ok, err := s.Needs().Series(in, s.symbol)
	if err != nil || !ok {
		return Decision{}, err
	}
	var vol float64
	if s.ewma {
		vol = indicator.EWMAVolatility(bars.Close, s.lambda)
	} else {
		vol = indicator.Volatility(bars.Close, s.lookback)
	}
	days := yearly
	if market.IsCrypto(s.symbol) {
		days = yearlyCrypto
	}
	vol *= math.Sqrt(float64(days))
	if !(vol > 1e-6) {
		return Decision{}, &Denial{Code: "VOLATILITY_ZERO", Reason: fmt.Sprintf("the price of %s has not moved in %d days", s.symbol, len(bars.Close)-1)}
	}
	weight := decimal.NewFromFloat(min(s.target/vol, s.maximum)).Round(6)
	e, err := Exposed(in, s.symbol)
	if err != nil {
		return Decision{}, err
	}
	target := equity.Mul(weight)
	if e.Coming().Sub(target).Abs().LessThanOrEqual(equity.Mul(s.band)) {
		if !e.Own.IsZero() { // its own open signal is what gets it there
			return Decision{}, nil
		}
		return Decision{Withdraw: []string{s.symbol}}, nil
	}
	return Size(in, Intent{Symbol: s.symbol, Target: decimal.NewNullDecimal(target), Reason: fmt.Sprintf("%s: volatility %.2f%% a year, target %.2f%%: %s%% of equity", s.symbol, 100*vol, 100*s.target, percent(weight))})
}
