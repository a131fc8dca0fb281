package strategy

import (
	"fmt"
	"math"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// Series is a symbol's newest bars as indicators take them, in the order of time: USD a share, for comparisons only.
type Series struct {
	High, Low, Close []float64
}

// Last is the newest close.
func (s Series) Last() float64 { return s.Close[len(s.Close)-1] }

// The bounds of what is believed of bars. The exchanges were closed for two weekdays in a row in October 2012; for more in
// September 2001.
const (
	maxSkipped = 2                // weekdays between two bars
	maxBehind  = 2                // weekdays that have begun since the newest one
	lateDay    = 30 * time.Minute // after a day's close, in which its bar may be missing to another cause than a bar or a slot
	maxLate    = 3                // lengths of an intraday bar since the newest one, where another cause than a bar runs the strategy
)

// Series are as many of a symbol's bars as n says. ok is false where there is nothing to be done: the bar whose close is
// the cause is not there, since the market was closed or the symbol was not traded; or a schedule's slot of daily bars lies on a
// day without a session. A *Denial says what else is wrong:
// no bars or too few, a trading day's bar that did not come, a gap, disorder, or bars that are old.
func (n Needs) Series(in Input, symbol string) (s Series, ok bool, err error) {
	bars := in.Bars[symbol]
	deny := func(code, format string, args ...any) (Series, bool, error) {
		return Series{}, false, &Denial{Code: code, Reason: fmt.Sprintf(format, args...)}
	}
	if at := in.Cause.Tick.Time(); in.Cause.Trigger() == BySchedule && n.Bars == market.OneDay && !market.IsCrypto(symbol) && market.Holiday(at) {
		return Series{}, false, nil // no session (Params.At)
	}
	if len(bars) == 0 {
		return deny("BARS_UNAVAILABLE", "there are no bars (%s) of %s: they can't be had, or there are none", n.Bars, symbol)
	}
	if len(bars) < max(n.Count, 1) {
		return deny("BARS_INSUFFICIENT", "there are %d bars (%s) of %s: want %d", len(bars), n.Bars, symbol, max(n.Count, 1))
	}
	bars = bars[len(bars)-max(n.Count, 1):]
	newest := bars[len(bars)-1].At
	end, due, daily := n.Bars.End(newest), in.Cause.Tick.Time(), n.Bars == market.OneDay
	if daily && strings.Contains(symbol, "/") { // a currency pair's day has 24 hours and ends at its source's
		end, due, daily = newest.Add(24*time.Hour), due.Add(-24*time.Hour), false
	}
	if behind := n.Bars.Behind(newest, in.Now); behind > maxBehind {
		return deny("BARS_STALE", "the newest bar (%s) of %s is of %s, %d weekdays ago", n.Bars, symbol, newest.UTC().Format(time.RFC3339), behind)
	}
	if end.After(in.Now.Add(time.Minute)) { // a minute of difference between clocks
		return deny("BARS_INVALID", "the newest bar (%s) of %s, of %s, has not closed yet", n.Bars, symbol, newest.UTC().Format(time.RFC3339))
	}
	switch by := in.Cause.Trigger(); {
	case by == ByBar:
		if late := end.Before(due); late && daily && !market.Holiday(due) { // its date is New York's too
			return deny("BARS_LATE", "the bar (%s) of %s that closed at %s has not come", n.Bars, symbol, due.UTC().Format(time.RFC3339))
		} else if late {
			return Series{}, false, nil
		}
	case by == BySchedule && n.Bars == market.OneDay:
		if daily {
			if due, err = market.LastClose(due); err != nil {
				return Series{}, false, err
			}
		}
		if end.Before(due) {
			return deny("BARS_LATE", "the bar (%s) of %s that closed at %s has not come", n.Bars, symbol, due.UTC().Format(time.RFC3339))
		}
	case daily: // for a while after the close the bar before it is the newest there can be
		if due, err = market.LastClose(in.Now.Add(-lateDay)); err != nil {
			return Series{}, false, err
		}
		if end.Before(due) {
			return deny("BARS_LATE", "the bar (%s) of %s that closed at %s has not come", n.Bars, symbol, due.UTC().Format(time.RFC3339))
		}
	default:
		if age := in.Now.Sub(end); n.Bars != market.OneDay && age > maxLate*n.Bars.Duration() {
			return deny("BARS_STALE", "the newest bar (%s) of %s closed %s ago", n.Bars, symbol, age.Truncate(time.Second))
		}
	}
	all := make([]float64, 3*len(bars))
	s = Series{High: all[:len(bars)], Low: all[len(bars) : 2*len(bars)], Close: all[2*len(bars):]}
	for i, b := range bars {
		if i > 0 && !bars[i-1].At.Before(b.At) {
			return deny("BARS_INVALID", "the bars (%s) of %s are out of order at %s", n.Bars, symbol, b.At.UTC().Format(time.RFC3339))
		}
		if i > 0 && n.Bars.Skipped(bars[i-1].At, b.At) > maxSkipped {
			return deny("BARS_GAP", "there are no bars (%s) of %s between %s and %s", n.Bars, symbol, bars[i-1].At.UTC().Format(time.RFC3339), b.At.UTC().Format(time.RFC3339))
		}
		s.High[i], s.Low[i], s.Close[i] = float(b.High), float(b.Low), float(b.Close)
		if !(s.Low[i] > 0 && s.Low[i] <= s.Close[i] && s.Close[i] <= s.High[i] && s.High[i] <= math.MaxFloat32) {
			return deny("BARS_INVALID", "the bar (%s) of %s at %s has prices that can't be: high %s, low %s, close %s", n.Bars, symbol, b.At.UTC().Format(time.RFC3339), b.High, b.Low, b.Close)
		}
	}
	return s, true, nil
}

// float is exact to the last bit, and makes nothing for figures that a float holds whole, which InexactFloat64 does.
func float(d decimal.Decimal) float64 {
	n, e := d.CoefficientInt64(), d.Exponent()
	for ; e < 0 && n%10 == 0; e++ {
		n /= 10
	}
	if !d.IsOptimized() || n > 1<<53 || n < -1<<53 {
		return d.InexactFloat64()
	}
	return float64(n) / math.Pow10(int(-e))
}
