package risk

import (
	"cmp"
	"maps"
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Bounds of a State: about 350 KB at the worst, of the document's 1 MiB.
const (
	maxReservations = 200
	maxStrategies   = strategy.MaxEnabled // the ones that ran last
	maxTraded       = 500                 // the symbols that were traded last
	maxBreaches     = 2 * maxStrategies   // the last ones, and the user's own
	maxCauses       = 8                   // of one strategy and tick, and as many edits and demands
)

// State is what the signaler remembers of one user. The zero State is a new user's. Its methods change it in place.
type State struct {
	Reservations []signal.Reservation // in the order of their making
	Day          Day
	Mark         Mark
	Traded       map[string]time.Time // symbol → when its last trade was known, for a day
	Breaches     []Breach
	Strategies   map[string]Progress // by strategy id
}

// Day counts the signals of one trading day, closing ones too. What is superseded or expires was never traded and is
// taken back; what is rejected was an order all the same.
type Day struct {
	Start, End time.Time // UTC instants: midnights in New York
	Notional   decimal.Decimal
	Orders     int64
}

// Progress is how far a strategy has come.
type Progress struct {
	Tick     tick.Tick      // of its last cause
	Causes   []string       // of that tick
	Asides   []string       // edits and demands, the last ones
	State    strategy.State // what it keeps in mind
	Notional decimal.Decimal
	Orders   int64 // of the day, as Notional
	Mark     Mark  // its own, since a person took back its breach; zero: the user's holds
}

// Breach is a limit that was passed and that moved trading down to Reducing, until a person says Active.
type Breach struct {
	Strategy string // "" is all of the user's
	Code     string
	At       time.Time
	Value    decimal.Decimal // USD lost
	Bound    decimal.Decimal // USD allowed
}

// Clone is a state that changes no more with s.
func (s *State) Clone() *State {
	c := *s
	c.Reservations, c.Breaches, c.Traded, c.Strategies = slices.Clone(s.Reservations), slices.Clone(s.Breaches), maps.Clone(s.Traded), maps.Clone(s.Strategies)
	return &c
}

// Seen says whether a strategy ran for this cause already, and whether it has gone on to a later one.
func (s *State) Seen(b signal.Batch) (done, outdated bool) {
	p := s.Strategies[b.StrategyID]
	if b.Aside {
		return slices.Contains(p.Asides, b.Cause), false
	}
	return p.Tick == b.CauseTick && slices.Contains(p.Causes, b.Cause), p.Tick > b.CauseTick
}

// Ran notes that a strategy ran; keep is what it keeps in mind, nil: as it was.
func (s *State) Ran(b signal.Batch, keep strategy.State) {
	p := s.Strategies[b.StrategyID]
	switch {
	case b.Aside:
		p.Asides = last(p.Asides, b.Cause)
	case p.Tick != b.CauseTick:
		p.Tick, p.Causes = b.CauseTick, []string{b.Cause}
	default:
		p.Causes = last(p.Causes, b.Cause)
	}
	if keep != nil {
		p.State = keep
	}
	s.progress(b.StrategyID, p)
}

// last is the causes with one more, as many as are kept.
func last(causes []string, cause string) []string {
	causes = append(slices.Clip(causes), cause)
	return causes[max(0, len(causes)-maxCauses):]
}

func (s *State) progress(id string, p Progress) {
	if s.Strategies == nil {
		s.Strategies = map[string]Progress{}
	}
	s.Strategies[id] = p
	if len(s.Strategies) <= maxStrategies {
		return
	}
	ids := slices.SortedFunc(maps.Keys(s.Strategies), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Strategies[a].Tick, s.Strategies[b].Tick), cmp.Compare(a, b))
	})
	for _, old := range ids[:len(ids)-maxStrategies] {
		delete(s.Strategies, old)
	}
}

// find is the place of a signal's reservation, -1 if there is none.
func (s *State) find(signalID string) int {
	return slices.IndexFunc(s.Reservations, func(r signal.Reservation) bool { return r.SignalID == signalID })
}

// open is the places of a strategy's reservations that nobody spoke of yet.
func (s *State) open(strategyID, symbol string) int {
	return slices.IndexFunc(s.Reservations, func(r signal.Reservation) bool {
		return r.StrategyID == strategyID && r.Symbol == symbol && r.SettledAt.IsZero()
	})
}

// Reserved is the buying power that a snapshot's does not count yet, in USD.
func (s *State) Reserved(snap account.Snapshot) (sum decimal.Decimal) {
	for _, r := range s.Reservations {
		if !counted(r, snap) {
			sum = sum.Add(r.Reserved)
		}
	}
	return sum
}

// Doubtful is the signals whose documents have to be read before a strategy is run at a time: those that it may
// supersede, and those that expired. Their owners may have spoken by now.
func (s *State) Doubtful(strategyID string, now time.Time) (ids []string) {
	for _, r := range s.Reservations {
		if r.SettledAt.IsZero() && (r.StrategyID == strategyID || !now.Before(r.ExpiresAt)) {
			ids = append(ids, r.SignalID)
		}
	}
	return ids
}

// traded notes a trade of a symbol. Times older than a day, the longest cool-down, are forgotten.
func (s *State) traded(symbol string, at time.Time) {
	if s.Traded == nil {
		s.Traded = map[string]time.Time{}
	}
	if at.After(s.Traded[symbol]) {
		s.Traded[symbol] = at.UTC()
	}
	maps.DeleteFunc(s.Traded, func(_ string, t time.Time) bool { return at.Sub(t) > 24*time.Hour })
	for len(s.Traded) > maxTraded {
		oldest := ""
		for sym, t := range s.Traded {
			if o := s.Traded[oldest]; oldest == "" || t.Before(o) || (t.Equal(o) && sym < oldest) {
				oldest = sym
			}
		}
		delete(s.Traded, oldest)
	}
}

// shares is what is held of a symbol, negative if short.
func shares(positions []account.Position, symbol string) (q decimal.Decimal) {
	for _, p := range positions {
		if p.Symbol == symbol {
			q = q.Add(p.Qty)
		}
	}
	return q
}
