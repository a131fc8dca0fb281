package sim

import (
	"slices"
	"sort"
	"time"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// Replay is the bars of a file, which take the place of the random walk for the symbols that it has. Bars keep their
// times: what of them is past is a matter of Config.Now. It is immutable; a nil Replay has no bars.
type Replay struct {
	series map[string]map[market.Timeframe][]bar // sorted
	grid   market.Grid
}

func (r *Replay) has(symbol string) bool { return r != nil && r.series[symbol] != nil }

// Symbols are those that the file has, sorted.
func (r *Replay) Symbols() []string {
	var symbols []string
	for s := range r.series {
		symbols = append(symbols, s)
	}
	slices.Sort(symbols)
	return symbols
}

// Range is from the beginning of the first bar to the end of the last, UTC.
func (r *Replay) Range() (from, to time.Time) {
	for symbol, series := range r.series {
		for t, bars := range series {
			if first := bars[0].At; from.IsZero() || first.Before(from) {
				from = first
			}
			if last := r.grid.End(symbol, t, bars[len(bars)-1].At); last.After(to) {
				to = last
			}
		}
	}
	return from, to
}

// finest is a symbol's shortest timeframe.
func (r *Replay) finest(symbol string) (market.Timeframe, []bar) {
	for _, t := range market.Timeframes() {
		if bars := r.series[symbol][t]; bars != nil {
			return t, bars
		}
	}
	return "", nil
}

// price is a symbol's at a moment, cents: the close of its newest closed bar; before the first one, that one's open.
func (r *Replay) price(symbol string, now time.Time) (cents float64, ok bool) {
	if !r.has(symbol) {
		return 0, false
	}
	t, bars := r.finest(symbol)
	i := sort.Search(len(bars), func(i int) bool { return r.grid.End(symbol, t, bars[i].At).After(now) })
	if i == 0 {
		return bars[0].Open * 100, true
	}
	return bars[i-1].Close * 100, true
}

// bars are those of the file; where it lacks the timeframe, they are made of its finest. One that is still open is not
// shown: its close is the future.
func (r *Replay) bars(symbol string, t market.Timeframe, spans []span, now time.Time) []bar {
	made := make([]bar, 0, len(spans))
	source, have := r.series[symbol][t], t
	if source == nil {
		have, source = r.finest(symbol)
	}
	for _, s := range spans {
		if s.to.After(now) {
			break
		}
		from := s.from
		if have == t {
			from = s.at
		} else {
			from = from.Truncate(have.Duration()) // an hour's bar holds the open at half past nine
		}
		i := sort.Search(len(source), func(i int) bool { return !source[i].At.Before(from) })
		var b bar
		for ; i < len(source) && source[i].At.Before(s.to); i++ {
			if have == t && !source[i].At.Equal(s.at) {
				break
			}
			b = merge(b, source[i])
		}
		if b.Open != 0 {
			b.At = s.at
			made = append(made, b)
		}
	}
	return made
}

// merge is a bar and the one after it. The zero bar is none.
func merge(b, next bar) bar {
	if b.Open == 0 {
		return next
	}
	b.High, b.Low, b.Close = max(b.High, next.High), min(b.Low, next.Low), next.Close
	b.Volume, b.Trades = b.Volume+next.Volume, b.Trades+next.Trades
	b.VWAP = (b.High + b.Low) / 2
	return b
}
