package strategy

import (
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
)

// KindSMACross is the kind of the moving-average crossover.
const KindSMACross = "sma_cross"

// smaCross holds a symbol while the fast simple moving average of its closes is above the slow one, and nothing of it while
// it is below: the variable-length moving average rule (Brock, Lakonishok, LeBaron, "Simple Technical Trading Rules and the
// Stochastic Properties of Stock Returns", Journal of Finance 47, 1992; Murphy, "Technical Analysis of the Financial
// Markets", 1999, chapter 9).
//
// Parameters:
//
//	symbols    list of 1 to 20 symbols, each judged alone
//	timeframe  of the bars; default 1Day
//	at         close: runs when a bar closes (default); session: in the session after a day's bar
//	fast       closes in the fast average, 1 to 400; default 10
//	slow       closes in the slow average, 2 to 500, more than fast; default 50
//	band       share of the slow average by which the fast one has to be off it; default 0 (the paper has 0 and 0.01)
//	weight     share of equity to hold of each symbol; default 0.1
//
// It enters where the fast average is above, crossed just now or before. Within the band, and where the averages are
// equal, it stays as it is.
type smaCross struct {
	swing
	fast, slow int
	band       float64
}

func newSMACross(p *Params) Strategy {
	s := &smaCross{swing: newSwing(p), fast: p.Whole("fast", 10, 1, 400), slow: p.Whole("slow", 50, 2, 500)}
	s.band = p.Figure("band", 0, 0, 0.5).InexactFloat64()
	if s.fast >= s.slow {
		p.Fault("fast is %d and slow is %d: want fast to be less", s.fast, s.slow)
	}
	s.needs.Count = s.slow
	return s
}

func (s *smaCross) Decide(input Input) (Decision, error) {
	return s.decide(input, func(symbol string, bars Series) (stance, string, error) {
		fast, slow := indicator.SMA(bars.Close, s.fast), indicator.SMA(bars.Close, s.slow)
		off := slow * max(s.band, 1e-9) // less is a float's rounding
		switch {
		case fast > slow+off:
			return in, fmt.Sprintf("%s: SMA %d at %.4f is above SMA %d at %.4f, %s", symbol, s.fast, fast, s.slow, slow, named(s.needs.Bars, bars)), nil
		case fast < slow-off:
			return out, fmt.Sprintf("%s: SMA %d at %.4f is below SMA %d at %.4f, %s", symbol, s.fast, fast, s.slow, slow, named(s.needs.Bars, bars)), nil
		}
		return stay, "", nil
	})
}
