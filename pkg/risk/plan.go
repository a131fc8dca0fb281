package risk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// View is what a transaction read of one user: the truth at its commit.
type View struct {
	Snapshot account.Snapshot
	State    *State // refreshed; a Plan changes it in place
	Control  Control
	Ended    []Closing // signals that came to their end by now
	Changed  bool      // the state was refreshed in a way that is worth writing
}

// Plan is what a transaction is to write, beside the view's state.
type Plan struct {
	Signals []signal.Signal
	Judged  []Judged
	Closed  []Closing
	Write   bool    // false: nothing is worth a write
	Record  *Record // nil: none is kept
}

// Judged is an intent and what the engine said of it.
type Judged struct {
	Intent strategy.Intent
	Verdict
}

// Record is what is kept of a run that came to signals, or of a demand: pkg/decision explains it by that, and can decide it again.
type Record struct {
	ID         string // signal.RunID
	StrategyID string
	Cause      string
	At         time.Time // UTC, of the decision
	ExpireAt   time.Time // UTC
	Signals    []string  // ids
	Outcome    []string  // of each signal, in short: "buy SPY 500.00", "flat SPY BUYING_POWER_EXCEEDED"
	Body       []byte    // compressed; nil: it could not be kept, or was not asked for

	Pack func() []byte // makes the Body of a Plan's record: it is called when the plan stands, since it costs as much as the planning
}

// Records gives what is kept of decisions.
type Records interface {
	// Decision is what is kept of one run, by its signal.RunID; ErrNoRecord if nothing is, or no longer.
	Decision(ctx context.Context, userID, id string) (Record, error)
	// DecisionsOn is what is kept of a user's runs on one day (UTC), without the bodies, in the order of time.
	DecisionsOn(ctx context.Context, userID string, day time.Time) ([]Record, error)
}

// ErrNoRecord is Records' answer where nothing is kept.
var ErrNoRecord = errors.New("no record of this decision")

// Book keeps the users' signals, and what is reserved for them.
type Book interface {
	// Place runs decide on a fresh view of the user, in a transaction, and writes its plan: signals, the ends of others
	// and the state, together or not at all. decide must be pure: it may be called again. A run whose cause was
	// placed before places nothing. Nothing is written on signal.ErrOutdated (a newer account change or a later cause
	// of the strategy is there, or the user is gone), on signal.ErrReused, and on document.ErrConflict, which the strategy's own
	// document is cause for too (Batch.Definition).
	Place(ctx context.Context, b signal.Batch, decide func(View) Plan) (placed []signal.Signal, err error)
	// Settle takes the owner's word that a signal's document has, whatever its client wrote. It may come twice, late, in
	// any order, and for any document; without a word, or without a reservation, it does nothing.
	Settle(ctx context.Context, userID, signalID string) error
	// Withdraw takes open signals of a user's back, and says how many came to their end. What the owner spoke of by then, and what
	// the broker shows, stands. now is UTC.
	Withdraw(ctx context.Context, userID string, w Withdrawal, now time.Time) (n int, err error)
	// Open is what a user's open signals reserve, as it is stored, those of it included whose owner has spoken.
	Open(ctx context.Context, userID string) ([]signal.Reservation, error)
	// Watch shows mark a view of the user, in a transaction, and writes the state if it says so. The view's state is as it
	// is stored, its snapshot the newest. mark must be pure: it may be called again. Without a snapshot it is not called.
	Watch(ctx context.Context, userID string, mark func(View) bool) error
}

// Refresh brings a state up to a time and to the newest snapshot: words is what the documents of Doubtful say.
func (s *State) Refresh(words map[string]Word, snap account.Snapshot, now time.Time) (ended []Closing, changed bool, err error) {
	if _, err := s.Turn(now); err != nil {
		return nil, false, err
	}
	changed = s.Hear(words)
	changed = s.Observe(snap) || changed
	before := len(s.Reservations)
	ended = s.Release(snap, now)
	return ended, changed || len(s.Reservations) != before, nil
}

// Run is one run of a strategy: what it wants, and all that it is judged by but the view.
type Run struct {
	Batch    signal.Batch
	Input    Input // all but Now, StrategyID, Snapshot, State and Levels, which follow from the rest
	Platform Control
	Limits   map[string]any // the strategy document's
	Life     time.Duration  // of a signal
	Intents  []strategy.Intent
	Withdraw []string         // symbols that need no trade: the strategy's open signals of these are taken back
	Keep     strategy.State   // what the strategy keeps in mind; nil: as it was
	Denial   *strategy.Denial // of the whole run: no intent is looked at
	Shadow   bool             // judged as if it were live, and nothing comes of it

	RawModelOutput string // of a strategy that asked a model
}

// ShadowMode is the code of a signal that would have been, had its strategy been live.
const ShadowMode = "SHADOW_MODE"

// Plan judges the run's intents in their order, each on what the ones before it left. It is for Book.Place. The strategy's
// open signals of the same symbols are superseded, by denials too, and what they reserved is free again. Reservations that are
// full are one cause: their first denial is for all symbols of the run that find no room. A fault of ours, a panic included,
// denies the run, and leaves the rest of the state as it was.
func (r Run) Plan(v View) (p Plan) {
	was := v.State.Clone()
	defer func() {
		if fault := recover(); fault != nil {
			*v.State = *was
			v.State.Ran(r.Batch, nil)
			d := &strategy.Denial{Code: EngineFault, Reason: fmt.Sprintf("fault=%.200q", fmt.Sprint(fault))}
			p = Plan{Closed: v.Ended, Signals: []signal.Signal{r.deny(v, signal.AllSymbols, d)}, Write: true}
		}
	}()
	in := r.input(v)
	p = Plan{Closed: v.Ended}
	marks := v.State.marks()
	v.State.MarkEquity(v.Snapshot)
	watched := v.State.Watch(v.Snapshot, in.Levels, in.Now)
	before := v.State.Strategies[r.Batch.StrategyID].State
	v.State.Ran(r.Batch, r.Keep)
	if len(r.Withdraw) > 0 && !r.Shadow {
		p.Closed = append(p.Closed, v.State.Withdraw(Withdrawal{StrategyID: r.Batch.StrategyID, Symbols: r.Withdraw, Why: Withdrawn})...)
	}
	if r.Denial != nil {
		p.Signals = []signal.Signal{r.deny(v, signal.AllSymbols, r.Denial)}
	} else {
		r.judge(v, in, &p)
	}
	p.Write = len(p.Signals) > 0 || len(p.Closed) > 0 || v.Changed || watched || v.State.marksMoved(marks) || (r.Keep != nil && !maps.Equal(before, r.Keep))
	return p
}

func (r Run) input(v View) Input {
	in := r.Input
	in.Now, in.StrategyID, in.Snapshot, in.State = r.Batch.Now, r.Batch.StrategyID, v.Snapshot, v.State
	in.Levels = Levels(r.Platform, v.Control, r.Batch.StrategyID, r.Limits)
	return in
}

// Refused is why no intent of the run's could become a signal, whatever it were: nil if one could. What holds for opening
// trades only counts where nothing of the run's symbols is held. It marks the view's equity, as Plan does.
func (r Run) Refused(v View) *strategy.Denial {
	v.State.MarkEquity(v.Snapshot)
	return New(r.input(v)).refused()
}

// Lookout watches a user's losses where no strategy may want anything.
type Lookout struct {
	Now        time.Time
	Platform   Control
	Strategies map[string]map[string]any // the limits of the documents of all that are enabled, by id
	Fault      func(error)               // told of a fault of ours, a panic included; may be nil
}

// Mark brings high-water mark, breaches and what is known of orders up to the view, as each Plan does, and says whether that is
// worth a write. It is for Book.Watch. After a fault nothing is.
func (l Lookout) Mark(v View) (changed bool) {
	defer func() {
		if fault := recover(); fault != nil {
			if changed = false; l.Fault != nil {
				l.Fault(fmt.Errorf("losses can't be watched: %v", fault))
			}
		}
	}()
	marks := v.State.marks()
	changed = v.State.Observe(v.Snapshot)
	v.State.MarkEquity(v.Snapshot)
	changed = v.State.liftIdle(v.Snapshot, v.Control, l.Strategies, l.Now) || changed
	for _, id := range slices.Sorted(maps.Keys(l.Strategies)) {
		changed = v.State.Watch(v.Snapshot, Levels(l.Platform, v.Control, id, l.Strategies[id]), l.Now) || changed
	}
	return changed || v.State.marksMoved(marks)
}

func (r Run) judge(v View, in Input, p *Plan) {
	times := map[string]int{}
	for _, i := range r.Intents {
		if times[i.Symbol]++; times[i.Symbol] > 1 || r.Shadow {
			continue
		}
		if c, ok := v.State.Supersede(r.Batch.StrategyID, i.Symbol, r.id(i.Symbol)); ok {
			p.Closed = append(p.Closed, c)
		}
	}
	e := New(in)
	full, others := -1, 0 // the signal that says that reservations are full, and for how many more symbols it does
	for _, i := range r.Intents {
		n := times[i.Symbol]
		if times[i.Symbol] = 0; n == 0 {
			continue
		}
		i.Notional = i.Notional.Truncate(2) // the broker takes cents
		verdict := e.Check(i)
		if n > 1 {
			verdict.Denial = &strategy.Denial{Code: IntentInvalid, Reason: fmt.Sprintf("symbol=%.20q intents=%d want=1", i.Symbol, n)}
		}
		sig := r.sign(v, i.Symbol)
		sig.Action, sig.Notional, sig.Qty, sig.Reason = i.Action, i.Notional, e.shares(i), i.Reason
		if verdict.Denial == nil && r.Shadow {
			sig.Shadow, sig.Status, sig.DenialCode = true, signal.Rejected, ShadowMode
			e.Take(i, verdict.Opens)
			p.Signals, p.Judged = append(p.Signals, sig), append(p.Judged, Judged{i, verdict})
			continue
		}
		if verdict.Denial == nil && !v.State.Reserve(sig, verdict.Opens, v.Snapshot) {
			verdict.Denial = &strategy.Denial{Code: ReservationsExceeded, Reason: fmt.Sprintf("symbol=%s reservations=%d", i.Symbol, len(v.State.Reservations))}
		}
		p.Judged = append(p.Judged, Judged{i, verdict})
		switch d := verdict.Denial; {
		case d == nil:
			e.Take(i, verdict.Opens)
			p.Signals = append(p.Signals, sig)
		case d.Code == ReservationsExceeded && full >= 0:
			others++
			for c := range p.Closed {
				if p.Closed[c].By == sig.ID {
					p.Closed[c].By = p.Signals[full].ID
				}
			}
		default:
			if d.Code == ReservationsExceeded {
				full = len(p.Signals)
			}
			p.Signals = append(p.Signals, r.deny(v, i.Symbol, d))
		}
	}
	if others > 0 {
		p.Signals[full].Reason += fmt.Sprintf(" other_symbols=%d", others)
	}
}

func (r Run) id(symbol string) string {
	return signal.ID(r.Batch.UserID, r.Batch.StrategyID, symbol, r.Batch.Cause)
}

func (r Run) sign(v View, symbol string) signal.Signal {
	return signal.Signal{
		ID: r.id(symbol), UserID: r.Batch.UserID, StrategyID: r.Batch.StrategyID, Symbol: symbol, Cause: r.Batch.Cause,
		SnapshotSeq: v.Snapshot.Seq, Status: signal.Pending, CreatedAt: r.Batch.Now, ExpiresAt: r.Batch.Now.Add(r.Life),
		RawModelOutput: r.RawModelOutput,
	}
}

func (r Run) deny(v View, symbol string, d *strategy.Denial) signal.Signal {
	sig := r.sign(v, symbol)
	sig.Action, sig.Status, sig.DenialCode, sig.Reason, sig.Shadow = signal.Flat, signal.Rejected, d.Code, d.Reason, r.Shadow
	return sig
}

// marks are the user's, under "", and the strategies' own.
func (s *State) marks() map[string]Mark {
	marks := map[string]Mark{"": s.Mark}
	for id, p := range s.Strategies {
		if !p.Mark.At.IsZero() {
			marks[id] = p.Mark
		}
	}
	return marks
}

// marksMoved says whether one differs so much that it is worth a write of its own.
func (s *State) marksMoved(from map[string]Mark) bool {
	return !maps.EqualFunc(from, s.marks(), func(a, b Mark) bool { return !markMoved(a, b) })
}

// markMoved: a tenth of a percent counts, and so does a deposit or a withdrawal.
func markMoved(a, b Mark) bool {
	if a.Equity.Valid != b.Equity.Valid || !a.Flow.Equal(b.Flow) {
		return true
	}
	return b.Equity.Decimal.Sub(a.Equity.Decimal).Abs().Mul(decimal.NewFromInt(1000)).GreaterThan(a.Equity.Decimal)
}
