package strategy

import (
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
)

// KindBreakout is the kind of the channel breakout.
const KindBreakout = "breakout"

// breakout buys a symbol that closes above the highest high of the bars before, and sells it when it closes below their
// lowest low: Donchian's channel, as the Turtles traded it (Curtis Faith, "Way of the Turtle", 2007: System 1 enters at
// 20 days and leaves at 10, with a stop of two average true ranges over 20 days below the entry).
//
// Parameters:
//
//	symbols     list of 1 to 20 symbols, each judged alone
//	timeframe   of the bars; default 1Day
//	at          close: runs when a bar closes (default); session: in the session after a day's bar
//	entry       bars before the newest whose highest high is to be passed, 2 to 400; default 20
//	exit        bars before the newest whose lowest low is to be passed, 2 to 400; default 10
//	atr_stop    also sells at a close so many average true ranges below the position's average entry price, 0 to 20;
//	            default 0: no stop
//	atr_period  bars in the average true range, 2 to 50; default 20
//	weight      share of equity to hold of each symbol; default 0.1
//
// Other than the Turtles it acts on closes, takes today's range for the stop and not the entry's, holds a fixed share, and
// is never short.
type breakout struct {
	swing
	entry, exit int
	stop        float64
	atr         int
}

func newBreakout(p *Params) Strategy {
	s := &breakout{swing: newSwing(p), entry: p.Whole("entry", 20, 2, 400), exit: p.Whole("exit", 10, 2, 400)}
	s.stop, s.atr = p.Figure("atr_stop", 0, 0, 20).InexactFloat64(), p.Whole("atr_period", 20, 2, 50)
	s.needs.Count = max(s.entry, s.exit) + 1
	if s.stop > 0 {
		s.needs.Count = max(s.needs.Count, settled(s.atr))
	}
	return s
}

func (s *breakout) Decide(input Input) (Decision, error) {
	return s.decide(input, func(symbol string, bars Series) (stance, string, error) {
		last, before := bars.Last(), len(bars.Close)-1
		high, low := indicator.Highest(bars.High[:before], s.entry), indicator.Lowest(bars.Low[:before], s.exit)
		if last < low {
			return out, fmt.Sprintf("%s: %s is below the low of %d bars, %.2f", symbol, named(s.needs.Bars, bars), s.exit, low), nil
		}
		if entered, held := entryPrice(input.Positions, symbol); s.stop > 0 && held {
			if !entered.AvgEntryPrice.Valid {
				return stay, "", &Denial{Code: "PRICE_UNAVAILABLE", Reason: fmt.Sprintf("there is no entry price of the held %s for its stop", symbol)}
			}
			if stop := float(entered.AvgEntryPrice.Decimal) - s.stop*indicator.ATR(bars.High, bars.Low, bars.Close, s.atr); last < stop {
				return out, fmt.Sprintf("%s: %s is below the stop at %.2f", symbol, named(s.needs.Bars, bars), stop), nil
			}
		}
		if last > high {
			return in, fmt.Sprintf("%s: %s is above the high of %d bars, %.2f", symbol, named(s.needs.Bars, bars), s.entry, high), nil
		}
		return stay, "", nil
	})
}

// entryPrice is the position of a symbol, if there is one.
func entryPrice(positions []account.Position, symbol string) (account.Position, bool) {
	for _, p := range positions {
		if p.Symbol == symbol {
			return p, true
		}
	}
	return account.Position{}, false
}
