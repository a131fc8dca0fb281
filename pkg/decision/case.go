// Package decision is a strategy's run as a whole: what it is decided on, how, and what is kept of it, so that the
// same decision can be explained, and made again, later.
//
//	case.go    what a run is decided on, and the deciding
//	record.go  what is kept of it
//	replay.go  the same decision again, from what was kept
package decision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Case is all that a run of a strategy is decided on, but for the view that its transaction reads.
type Case struct {
	Definition strategy.Definition
	Strategy   strategy.Strategy // the definition's
	Cause      strategy.Cause
	Now        time.Time // UTC
	Symbol     string    // what else the strategy wants is left out; "": nothing is
	Once       bool      // signal.Batch's

	Quotes         map[string]market.Quote
	Bars           map[string][]market.Bar
	Answer         *strategy.Answer
	RawModelOutput string

	Platform       risk.Control
	MaxSnapshotAge time.Duration
	Buffer         decimal.Decimal
	Open           *Hours        // nil: nobody knows
	Life           time.Duration // of a signal
	Keep           time.Duration // of the record; 0: none is made
}

// Hours asks whether the market is open, once for each kind of hours, and remembers what was said.
type Hours struct {
	ask  func(market.Hours) (open, known bool)
	mu   sync.Mutex
	said map[market.Hours]Said
}

// Said is an answer.
type Said struct {
	Open  bool `json:"open"`
	Known bool `json:"known"`
}

// NewHours remembers what ask says.
func NewHours(ask func(market.Hours) (open, known bool)) *Hours {
	return &Hours{ask: ask, said: map[market.Hours]Said{}}
}

// Open is risk.Input's.
func (h *Hours) Open(hours market.Hours) (open, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.said[hours]
	if !ok {
		s.Open, s.Known = h.ask(hours)
		h.said[hours] = s
	}
	return s.Open, s.Known
}

// Batch is the run's.
func (c *Case) Batch() signal.Batch {
	return signal.Batch{
		UserID: c.Definition.UserID, StrategyID: c.Definition.ID, ChangedSeq: c.Cause.ChangedSeq, Cause: c.Cause.Text, CauseTick: c.Cause.Tick,
		Now: c.Now, Once: c.Once, Aside: c.Cause.Aside(), Definition: c.Definition.UpdatedAt,
	}
}

// Input is what the strategy sees.
func (c *Case) Input(snap account.Snapshot, state *risk.State) strategy.Input {
	return strategy.Input{
		Now: c.Now, StrategyID: c.Definition.ID, Cause: c.Cause, Account: snap.Account, Positions: snap.Positions, Orders: snap.OpenOrders,
		Reserved: state.Coming(snap), State: state.Strategies[c.Definition.ID].State,
		Quotes: market.Fresh(c.Quotes, c.Now), Bars: c.Bars, Answer: c.Answer,
	}
}

// Decide is what the strategy wants. What it may have is the risk engine's to judge.
func (c *Case) Decide(snap account.Snapshot, state *risk.State) risk.Run {
	out := c.run()
	if out.Denial = risk.Usable(snap, c.Now, c.MaxSnapshotAge); out.Denial != nil {
		return out
	}
	decision, err := c.ask(c.Input(snap, state))
	out.Withdraw = decision.Withdraw
	if c.Symbol != "" {
		out.Withdraw = slices.DeleteFunc(slices.Clone(out.Withdraw), func(symbol string) bool { return symbol != c.Symbol })
	}
	if err != nil {
		out.Denial = denialOf(err)
		return out
	}
	out.Intents, out.Keep = decision.Intents, decision.State
	if c.Symbol != "" {
		only := slices.DeleteFunc(slices.Clone(out.Intents), func(i strategy.Intent) bool { return i.Symbol != c.Symbol })
		if len(only) < len(out.Intents) {
			out.Intents, out.Keep = only, nil // its state would tell of trades that it was not given
		}
	}
	return out
}

// strategyFailed is the denial of a strategy that fails.
const strategyFailed = "STRATEGY_FAILED"

// Question is what the strategy asks a model; nil: nothing. Where it panics, that is the Answer, and its run is denied.
func (c *Case) Question(snap account.Snapshot) (q *strategy.Question) {
	asker, ok := c.Strategy.(strategy.Asker)
	if !ok {
		return nil
	}
	defer func() {
		if fault := recover(); fault != nil {
			q, c.Answer = nil, &strategy.Answer{Failure: strategyFailed, Detail: fmt.Sprintf("panic: %v", fault)}
		}
	}()
	return asker.Ask(c.Input(snap, &risk.State{}))
}

// ask asks the strategy. A panic of it is its failure, and nobody else's.
func (c *Case) ask(in strategy.Input) (d strategy.Decision, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	if a := c.Answer; a != nil && a.Failure == strategyFailed {
		return d, errors.New(a.Detail)
	}
	if d, err = c.Strategy.Decide(in); err == nil {
		err = d.State.Check()
	}
	return d, err
}

// run is what is decided, but for the strategy's part.
func (c *Case) run() risk.Run {
	r := risk.Run{
		Batch:    c.Batch(),
		Input:    risk.Input{Symbols: c.Strategy.Needs().Symbols, Quotes: c.Quotes, MaxSnapshotAge: c.MaxSnapshotAge, Buffer: c.Buffer},
		Platform: c.Platform, Limits: c.Definition.Limits, Life: c.Life, Shadow: c.Definition.Mode == strategy.Shadow, RawModelOutput: c.RawModelOutput,
	}
	if c.Open != nil {
		r.Input.Open = c.Open.Open
	}
	return r
}

// Refused is why nothing can come of the run, whatever the strategy wants: nil if something can.
func (c *Case) Refused(v risk.View) *strategy.Denial { return c.run().Refused(v) }

// Wants says whether a decision can come to anything that is to be written, on a snapshot: mostly it does not. A strategy with
// a memory is asked without it here; that it keeps something says that it has one, and has to be asked again with it. withdraw is
// what else there is to write, if the strategy has an open signal of one of these symbols.
func (c *Case) Wants(snap account.Snapshot) (wants bool, withdraw []string) {
	run := c.Decide(snap, &risk.State{})
	return len(run.Intents) > 0 || run.Denial != nil || run.Keep != nil, run.Withdraw
}

// Plan decides and judges in the placing transaction. It is pure. What comes to signals leaves a record, and what is decided once
// leaves one whatever it comes to.
func (c *Case) Plan(v risk.View) risk.Plan {
	before := v.State
	if c.Keep > 0 {
		before = v.State.Clone() // planning changes it
	}
	run := c.Decide(v.Snapshot, v.State)
	plan := run.Plan(v)
	plan.Write = plan.Write || c.Once
	if c.Keep > 0 && (len(plan.Signals) > 0 || c.Once) {
		plan.Record = c.keep(v, before, run, plan)
	}
	return plan
}

// keep makes the record, and its body when it is written. One whose body can't be made says at least what came of the run.
func (c *Case) keep(v risk.View, before *risk.State, run risk.Run, plan risk.Plan) *risk.Record {
	r := &risk.Record{
		ID: signal.RunID(c.Definition.UserID, c.Definition.ID, c.Cause.Text), StrategyID: c.Definition.ID, Cause: c.Cause.Text,
		At: c.Now.UTC(), ExpireAt: c.Now.UTC().Add(c.Keep),
	}
	for _, s := range plan.Signals {
		r.Signals, r.Outcome = append(r.Signals, s.ID), append(r.Outcome, outcome(s))
	}
	r.Pack = func() []byte {
		body, err := newRecord(c, v, before.Fields(), run, plan).Encode()
		if err != nil {
			return nil
		}
		return body
	}
	return r
}

// outcome is a signal in short.
func outcome(s signal.Signal) string {
	parts := []string{string(s.Action), s.Symbol}
	if s.Action != signal.Flat {
		parts = append(parts, account.Cents(s.Notional))
	}
	if s.DenialCode != "" {
		parts = append(parts, s.DenialCode)
	}
	return strings.Join(parts, " ")
}

func denialOf(err error) *strategy.Denial {
	if d, ok := errors.AsType[*strategy.Denial](err); ok {
		return d
	}
	return &strategy.Denial{Code: strategyFailed, Reason: fmt.Sprintf("the strategy failed: %v", err)}
}
