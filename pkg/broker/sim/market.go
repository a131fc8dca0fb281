package sim

import (
	"cmp"
	"sync"
	"time"
)

// DefaultVolatility of each price, a minute: so that about a third of the accounts move 10 basis points in three.
const DefaultVolatility = 0.0008

// catchUp bounds the minutes that are walked through one by one after a gap.
const catchUp = 24 * 60

var listed = [...]struct {
	symbol string
	cents  int64 // its price at the start
}{{"SPY", 612_00}, {"AAPL", 231_50}, {"MSFT", 438_20}, {"NVDA", 141_10}, {"TLT", 91_35}}

func symbolIndex(symbol string) (int, bool) {
	for i, l := range listed {
		if l.symbol == symbol {
			return i, true
		}
	}
	return 0, false
}

// prices are the market at one moment, cents a share.
type prices struct {
	at     time.Time
	minute int64
	cents  [len(listed)]int64
}

// exchange is the one market of all accounts: a geometric random walk, one step a minute, or the bars of a file.
type exchange struct {
	replay *Replay // nil: none

	mu   sync.Mutex
	walk *walk
}

func newExchange(cfg Config) *exchange {
	return &exchange{replay: cfg.Replay, walk: newWalk(cfg.Seed, cmp.Or(cfg.Volatility, DefaultVolatility), cfg.Now().Unix()/60)}
}

// at is the market at a time; it never goes back.
func (x *exchange) at(t time.Time) prices {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.walk.advance(t.Unix() / 60)
	p := prices{at: t, minute: x.walk.last()}
	p.cents, _ = x.walk.at(p.minute)
	for i, l := range listed {
		if cents, ok := x.replay.price(l.symbol, t); ok {
			p.cents[i] = int64(cents + 0.5)
		}
	}
	return p
}

// quote is a symbol's price at a moment, cents; ok is false if it is not listed.
func (x *exchange) quote(symbol string, p prices) (cents float64, ok bool) {
	if cents, ok := x.replay.price(symbol, p.at); ok {
		return cents, true
	}
	if i, ok := symbolIndex(symbol); ok {
		return float64(p.cents[i]), true
	}
	return 0, false
}
