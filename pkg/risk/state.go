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

// Bounds of a State, with strategy.MaxID, MaxEntries and MaxEntry: 775 KiB at the worst, as it is encoded, of the document's 1 MiB
// (TestStateAtItsWorst).
const (
	maxReservations = 200
	maxTraded       = 500 // the symbols that were traded last
	maxCauses       = 8   // of one strategy and tick, and as many edits and demands
)

// MaxStrategies is how many strategies of a user are remembered, with two breaches of each.
const MaxStrategies = strategy.MaxEnabled

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
	At       time.Time      // UTC, of its last run, whatever it ran for
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

// Ran notes that a strategy ran; keep is what it keeps in mind, nil: as it was. False: there is no place for it, and nothing may
// come of the run.
func (s *State) Ran(b signal.Batch, keep strategy.State) bool {
	p := s.Strategies[b.StrategyID]
	p.At = b.Now.UTC()
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
	return s.progress(b.StrategyID, p)
}

// last is the causes with one more, as many as are kept.
func last(causes []string, cause string) []string {
	causes = append(slices.Clip(causes), cause)
	return causes[max(0, len(causes)-maxCauses):]
}

// progress notes how far a strategy has come. False: there is no place for it.
func (s *State) progress(id string, p Progress) bool {
	least, ok := s.place(id)
	if !ok {
		return false
	}
	if s.Strategies == nil {
		s.Strategies = map[string]Progress{}
	}
	if least != "" {
		delete(s.Strategies, least)
	}
	s.Strategies[id] = p
	return true
}

// place says whether a strategy has a place among those that are remembered, or there is one for it: a free one, or that of least,
// which counts least. A strategy with counts of today, a mark of its own, a breach or a reservation keeps its place, since its limits
// would be looser without. Of the others those without a memory go first, and first those that ran longest ago.
func (s *State) place(id string) (least string, ok bool) {
	if len(id) > strategy.MaxID {
		return "", false
	}
	if _, has := s.Strategies[id]; has || len(s.Strategies) < MaxStrategies {
		return "", true
	}
	kept := map[string]bool{}
	for _, b := range s.Breaches {
		kept[b.Strategy] = true
	}
	for _, r := range s.Reservations {
		kept[r.StrategyID] = true
	}
	for other, p := range s.Strategies {
		if kept[other] || p.Orders != 0 || !p.Notional.IsZero() || !p.Mark.At.IsZero() {
			continue
		}
		if q := s.Strategies[least]; !ok || cmp.Or(cmp.Compare(min(len(p.State), 1), min(len(q.State), 1)), p.At.Compare(q.At), cmp.Compare(other, least)) < 0 {
			least, ok = other, true
		}
	}
	return least, ok
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
