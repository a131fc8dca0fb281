package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
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

// exchange is the one market of all accounts: a geometric random walk, one step a minute.
type exchange struct {
	seed       uint64
	volatility float64
	mu         sync.Mutex
	now        prices
}

func newExchange(cfg Config) *exchange {
	x := &exchange{seed: cfg.Seed, volatility: cmp.Or(cfg.Volatility, DefaultVolatility), now: prices{minute: cfg.Now().Unix() / 60}}
	for i, l := range listed {
		x.now.cents[i] = l.cents
	}
	return x
}

// at is the market at a time; it never goes back.
func (x *exchange) at(t time.Time) prices {
	x.mu.Lock()
	defer x.mu.Unlock()
	minute := t.Unix() / 60
	x.now.minute = max(x.now.minute, minute-catchUp)
	for x.now.minute < minute {
		x.now.minute++
		r := rand.New(rand.NewPCG(x.seed, uint64(x.now.minute)))
		for i := range x.now.cents {
			moved := float64(x.now.cents[i]) * math.Exp(x.volatility*r.NormFloat64())
			x.now.cents[i] = max(1_00, int64(math.Round(moved)))
		}
	}
	p := x.now
	p.at = t
	return p
}
