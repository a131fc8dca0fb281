package strategy

import (
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
)

// KindRSIReversion is the kind of the reversion to the mean by RSI.
const KindRSIReversion = "rsi_reversion"

// rsiReversion buys a symbol that is oversold by Wilder's relative strength index and sells it when the index has come back
// (J. Welles Wilder, "New Concepts in Technical Trading Systems", 1978, section VI: bottoms below 30, tops above 70).
//
// Parameters:
//
//	symbols    list of 1 to 20 symbols, each judged alone
//	timeframe  of the bars; default 1Day
//	at         close: runs when a bar closes (default); session: in the session after a day's bar
//	period     changes in the index, 2 to 50; default 14
//	entry      it buys at an index below this, 1 to 99; default 30
//	exit       it sells at an index above this, 1 to 99, more than entry; default 50 (Wilder's top is 70)
//	weight     share of equity to hold of each symbol; default 0.1
//
// The index is of the newest 10 × period + 1 closes, of which the first averages no longer count.
type rsiReversion struct {
	swing
	period      int
	entry, exit float64
}

func newRSIReversion(p *Params) Strategy {
	s := &rsiReversion{swing: newSwing(p), period: p.Whole("period", 14, 2, 50)}
	s.entry, s.exit = p.Figure("entry", 30, 1, 99).InexactFloat64(), p.Figure("exit", 50, 1, 99).InexactFloat64()
	if s.entry >= s.exit {
		p.Fault("entry is %g and exit is %g: want entry to be less", s.entry, s.exit)
	}
	s.needs.Count = settled(s.period)
	return s
}

func (s *rsiReversion) Decide(input Input) (Decision, error) {
	return s.decide(input, func(symbol string, bars Series) (stance, string, error) {
		switch rsi := indicator.RSI(bars.Close, s.period); {
		case rsi < s.entry:
			return in, fmt.Sprintf("%s: RSI %d at %.2f is below %g, %s", symbol, s.period, rsi, s.entry, named(s.needs.Bars, bars)), nil
		case rsi > s.exit:
			return out, fmt.Sprintf("%s: RSI %d at %.2f is above %g, %s", symbol, s.period, rsi, s.exit, named(s.needs.Bars, bars)), nil
		}
		return stay, "", nil
	})
}
