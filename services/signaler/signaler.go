// Package signaler turns changes of account snapshots into trading signals.
//
//	snapshot ──▶ Handle: what was triggered (no read) ─▶ the user's strategies ─▶ watch the losses ─▶ quotes, bars, a model's answer ─▶ decide
//	strategy edited ──▶ Handle: run it, or leave it  ─▶ judge and reserve in one transaction ──▶ users/{uid}/tradingSignals
//	owner's word on a signal ──▶ Handle: settle what it reserved
package signaler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Deps are what the service stands on.
type Deps struct {
	Snapshots  account.Store
	Strategies strategy.Store
	Signals    risk.Book
	Controls   risk.Controls
	Records    risk.Records // nil: a demand that comes again is not told what came of the first
	Quotes     market.Quotes
	Bars       market.Bars      // nil: none
	Hours      Hours            // nil: nobody knows, and limits on hours deny what opens
	Advisor    strategy.Advisor // nil: strategies that ask a model deny
	Now        func() time.Time
	Clock      func(ctx context.Context) (time.Time, error)        // the database's, which a demand's must be near; nil: it is not compared
	Fault      func(ctx context.Context, userID string, err error) // told what was gone on without; may be nil
}

// Hours says whether orders are taken at a time, if that is known: market.Timetable's Trading.
type Hours func(ctx context.Context, at time.Time, hours market.Hours) (open, known bool)

// ControlLife is how long the platform's word is remembered: a halt takes effect everywhere within it.
const ControlLife = 10 * time.Second

// Service handles change events of account snapshots, strategies and signals.
type Service struct {
	cfg      Config
	grid     market.Grid
	platform *risk.Cached
	made     made
	Deps
}

// New is a service; cfg must be valid.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("signaler: %w", err)
	}
	if deps.Fault == nil {
		deps.Fault = func(context.Context, string, error) {}
	}
	if deps.Bars == nil {
		deps.Bars = market.NoBars{}
	}
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		return nil, fmt.Errorf("signaler: %w", err)
	}
	return &Service{cfg: cfg, grid: grid, platform: risk.NewCached(deps.Controls.PlatformControl, ControlLife, deps.Now), Deps: deps}, nil
}

// Handle does what one write of a document calls for. Repeated, late or reordered events do no harm: a signal's id is its
// cause's, and the placing transaction refuses what is overtaken.
func (s *Service) Handle(ctx context.Context, e event.Event) error {
	if s.quiet(e) {
		return nil
	}
	err := s.handle(ctx, e)
	if errors.Is(err, document.ErrConflict) {
		return event.Defer(err) // other events of the user are at work: this one comes again
	}
	return err
}

func (s *Service) handle(ctx context.Context, e event.Event) error {
	c, p, err := change(e)
	if err != nil {
		return err
	}
	switch p.collection {
	case store.Accounts:
		if c.New != nil {
			return s.account(ctx, p.userID, c)
		}
	case store.Strategies:
		return s.edited(ctx, p.userID, p.id, c.New)
	case store.Signals:
		if spoken(c) {
			return s.Signals.Settle(ctx, p.userID, p.id)
		}
	}
	return nil
}

// account runs what one write of a snapshot triggered, and the edits that waited for it.
func (s *Service) account(ctx context.Context, userID string, c document.Change) error {
	now, err := parse(userID, c.New)
	if err != nil {
		return event.Reject(err)
	}
	old, err := parse(userID, c.Old)
	if err != nil {
		return event.Reject(err)
	}
	triggered := strategy.Between(old, *now)
	if !triggered.Any() && !s.silent(old, *now) {
		return nil
	}
	definitions, err := s.enabled(ctx, userID)
	if err != nil {
		return err
	}
	var errs []error
	open := once(s.Signals.Open)
	if triggered.Changed() && len(definitions) > 0 {
		reserved, err := s.watch(ctx, userID, definitions)
		if errs = append(errs, err); err == nil { // read just now
			open = func(context.Context, string) ([]signal.Reservation, error) { return reserved, nil } //nolint:unparam // Open's form
		}
	}
	var asking []func() error
	for _, d := range definitions {
		strat, err := s.made.of(d)
		if err != nil {
			s.Fault(ctx, userID, err) // its owner's to mend; the other strategies run
			strat = broken{err}
		}
		cause, ok := triggered.Cause(strat.Triggers())
		if !ok {
			cause, ok = s.waited(d, old, *now)
		}
		if !ok {
			continue
		}
		if _, asks := strat.(strategy.Asker); asks { // a model takes its time: the others don't wait for it
			asking = append(asking, func() error { return s.run(ctx, d, cause, strat, *now, open) })
			continue
		}
		errs = append(errs, s.run(ctx, d, cause, strat, *now, open))
	}
	for _, run := range asking {
		errs = append(errs, run())
	}
	return errors.Join(errs...)
}

// watch brings the user's high-water mark and breaches up to the account, whether or not a strategy wants anything. It gives the
// reservations that it sees.
func (s *Service) watch(ctx context.Context, userID string, definitions []strategy.Definition) (reserved []signal.Reservation, err error) {
	platform, err := s.platform.Get(ctx)
	if err != nil {
		return nil, err
	}
	l := risk.Lookout{
		Now: s.Now(), Platform: platform, Strategies: make(map[string]map[string]any, len(definitions)),
		Fault: func(err error) { s.Fault(ctx, userID, err) },
	}
	for _, d := range definitions {
		l.Strategies[d.ID] = d.Limits
	}
	var breaches []risk.Breach
	err = s.Signals.Watch(ctx, userID, func(v risk.View) bool {
		changed := l.Mark(v)
		reserved, breaches = slices.Clone(v.State.Reservations), slices.Clone(v.State.Breaches)
		return changed
	})
	for _, b := range breaches { // what was signalled before one must not open exposure after it
		w := risk.Withdrawal{StrategyID: b.Strategy, Opening: true, Why: risk.TradingReducing}
		if err == nil && slices.ContainsFunc(reserved, w.Of) {
			_, err = s.Signals.Withdraw(ctx, userID, w, s.Now().UTC())
		}
	}
	return reserved, err
}

// enabled are the user's strategies that run. Those that are too many are told and left out.
func (s *Service) enabled(ctx context.Context, userID string) ([]strategy.Definition, error) {
	definitions, err := s.Strategies.Enabled(ctx, userID)
	if errors.Is(err, strategy.ErrTooMany) {
		s.Fault(ctx, userID, err)
		err = nil
	}
	return definitions, err
}

// edited runs a strategy that its owner wrote, as it stands by now, unless it has to wait for a snapshot. The open signals of one
// that is off, in shadow, broken or gone (nil) are taken back, and those of symbols that it trades no more.
func (s *Service) edited(ctx context.Context, userID, strategyID string, written *document.Document) error {
	definitions, err := s.Strategies.Enabled(ctx, userID)
	tooMany := errors.Is(err, strategy.ErrTooMany)
	if err != nil && !tooMany {
		return err
	}
	at := slices.IndexFunc(definitions, func(d strategy.Definition) bool { return d.ID == strategyID })
	w := risk.Withdrawal{StrategyID: strategyID, Why: risk.Stopped}
	if at >= 0 && definitions[at].Mode != strategy.Shadow {
		if strat, err := s.made.of(definitions[at]); err == nil { // what it trades no more
			w.But, w.Why = slices.Concat([]string{}, strat.Needs().Symbols), risk.Withdrawn
		}
	}
	if _, err := s.Signals.Withdraw(ctx, userID, w, s.Now().UTC()); err != nil {
		return err
	}
	if written == nil {
		return nil
	}
	leftOut := tooMany && at < 0
	if leftOut {
		definitions = []strategy.Definition{store.ParseStrategy(userID, *written)}
	}
	for _, d := range definitions {
		cause, ok := strategy.Edit(d, written.UpdateTime)
		if d.ID != strategyID || !ok {
			continue
		}
		if d.UpdatedAt.After(written.UpdateTime) {
			return nil // the newer edit's own event runs it
		}
		strat, invalid := s.made.of(d)
		if leftOut {
			invalid = err
		}
		if invalid != nil {
			s.Fault(ctx, userID, invalid)
			strat = broken{invalid} // which says it once, where its owner sees it
		}
		now := s.Now() // before the snapshot is read: what is written later was not there yet
		snap, err := s.Snapshots.Snapshot(ctx, userID)
		if errors.Is(err, account.ErrNotFound) {
			return nil // the first one runs it
		}
		if err != nil {
			return err
		}
		if !leftOut && s.waits(d, snap, now) {
			return nil // the next one runs it
		}
		return s.run(ctx, d, cause, strat, snap, s.Signals.Open)
	}
	return nil
}

// spoken says whether a signal's write is its owner's word, and not one of ours.
func spoken(c document.Change) bool {
	if c.Old == nil || c.New == nil {
		return false
	}
	before, _ := signal.ParseStatus(c.Old.Fields["status"])
	after, ok := signal.ParseStatus(c.New.Fields["status"])
	return ok && after != before && (after == signal.Executed || after == signal.Rejected)
}

// place is where a document is: users/{userID}/{collection}/{id}.
type place struct{ userID, collection, id string }

// change reads the event. The zero place is of a document that is not the service's.
func change(e event.Event) (c document.Change, p place, err error) {
	if e.Type() != event.TypeDocument {
		return c, p, event.Reject(fmt.Errorf("event type %.100q: this endpoint takes %s", e.Type(), event.TypeDocument))
	}
	if t := e.DataMediaType(); t != "application/protobuf" {
		return c, p, event.Reject(fmt.Errorf("content type %.100q: this endpoint takes application/protobuf (set the trigger's event_data_content_type)", t))
	}
	if c, err = document.DecodeNew(e.Data(), "tick", "changed_seq", "observed_at", "cadence_minutes", "status"); err != nil { // all that is asked of the old one
		return c, p, event.Reject(err)
	}
	p = placeOf(c.Path)
	if p.collection == "" {
		return c, p, nil
	}
	if err := user.CheckID(p.userID); err != nil {
		return c, p, event.Reject(err)
	}
	return c, p, nil
}

func placeOf(path string) place {
	p := strings.Split(path, "/")
	if len(p) != 4 || p[0] != store.Users {
		return place{}
	}
	return place{userID: p[1], collection: p[2], id: p[3]}
}

func parse(userID string, d *document.Document) (*account.Snapshot, error) {
	if d == nil {
		return nil, nil
	}
	s, err := store.ParseSnapshot(userID, *d)
	return &s, err
}
