package sim

import (
	"math"
	"math/rand/v2"
)

// maxHistory is how far back the walk is known, minutes: 400 days, 23 MB once somebody asks for all of it.
const maxHistory = 400 * 24 * 60

// walk is the market's prices by the minute, cents a share: p(m) = p(m-1) * e^step(m). It begins at the listed prices,
// and goes on in both directions by the same steps, so that there are bars of the time before anybody looked.
type walk struct {
	seed       uint64
	volatility float64
	future     [][len(listed)]int64 // from the first minute on
	past       [][len(listed)]int64 // from the minute before it backwards
	first      int64                // minute, from the Unix epoch
	made       map[stretch]bar      // bars of an hour and more that are closed
}

// stretch is where a made bar lies.
type stretch struct {
	symbol   int
	from, to int64 // minutes
}

const maxMade = 50_000

func newWalk(seed uint64, volatility float64, minute int64) *walk {
	w := &walk{seed: seed, volatility: volatility, first: minute, made: map[stretch]bar{}}
	var start [len(listed)]int64
	for i, l := range listed {
		start[i] = l.cents
	}
	w.future = append(w.future, start)
	return w
}

// step is the logarithm of what the prices are multiplied with at a minute.
func (w *walk) step(minute int64) (by [len(listed)]float64) {
	r := rand.New(rand.NewPCG(w.seed, uint64(minute)))
	for i := range by {
		by[i] = w.volatility * r.NormFloat64()
	}
	return by
}

func moved(from [len(listed)]int64, by [len(listed)]float64, sign float64) (to [len(listed)]int64) {
	for i := range to {
		to[i] = max(1_00, int64(math.Round(float64(from[i])*math.Exp(sign*by[i]))))
	}
	return to
}

// last is the newest minute that is known.
func (w *walk) last() int64 { return w.first + int64(len(w.future)) - 1 }

// advance walks up to a minute. Of a gap of more than a day, in which nobody looked, all but the last day is flat.
func (w *walk) advance(minute int64) {
	if minute-w.last() > maxHistory {
		now := w.future[len(w.future)-1]
		w.first, w.past, w.future = minute-catchUp, nil, append(w.future[:0], now)
		clear(w.made)
	}
	for w.last() < minute-catchUp {
		w.future = append(w.future, w.future[len(w.future)-1])
	}
	for w.last() < minute {
		w.future = append(w.future, moved(w.future[len(w.future)-1], w.step(w.last()+1), 1))
	}
	if n := len(w.future); n > 2*maxHistory {
		w.future, w.first, w.past = append(w.future[:0:0], w.future[n-maxHistory:]...), w.last()-maxHistory+1, nil
		clear(w.made)
	}
}

// at are the prices of a minute up to the newest that is known; ok is false further back than the history goes.
func (w *walk) at(minute int64) (cents [len(listed)]int64, ok bool) {
	if minute >= w.first {
		return w.future[min(minute-w.first, int64(len(w.future))-1)], true
	}
	back := w.first - minute
	if back > maxHistory {
		return cents, false
	}
	for int64(len(w.past)) < back {
		from, m := w.future[0], w.first-int64(len(w.past))
		if n := len(w.past); n > 0 {
			from = w.past[n-1]
		}
		w.past = append(w.past, moved(from, w.step(m), -1))
	}
	return w.past[back-1], true
}

// bar is what a symbol did in the minutes [from, to), up to the newest that is known; ok is false if some lie before the
// history.
func (w *walk) bar(symbol int, from, to int64) (b bar, ok bool) {
	key := stretch{symbol, from, to}
	if b, ok := w.made[key]; ok {
		return b, true
	}
	var open, high, low, last int64
	for m := from; m < to && m <= w.last(); m++ {
		all, known := w.at(m)
		if !known {
			return b, false
		}
		price := all[symbol]
		if open == 0 {
			open, high, low = price, price, price
		}
		high, low, last = max(high, price), min(low, price), price
		b.Volume += w.volume(m)
	}
	b.Open, b.High, b.Low, b.Close = float64(open)/100, float64(high)/100, float64(low)/100, float64(last)/100
	b.Trades, b.VWAP = b.Volume/10, float64(high+low)/200
	if to <= w.last() && to-from >= 60 {
		if len(w.made) >= maxMade {
			clear(w.made)
		}
		w.made[key] = b
	}
	return b, open != 0
}

// volume is how many shares change hands in a minute.
func (w *walk) volume(minute int64) int64 {
	x := w.seed ^ uint64(minute)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	return 100 + int64((x^x>>27)%900)
}
