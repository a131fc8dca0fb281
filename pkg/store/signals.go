package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// Place implements risk.Book. riskState/current says what is open, and which cause was a strategy's last, so that the
// transaction needs no query.
func (s *Store) Place(ctx context.Context, b signal.Batch, decide func(risk.View) risk.Plan) (placed []signal.Signal, err error) {
	var planned []signal.Signal
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		placed = nil // the transaction may run again
		view, err := viewIn(ctx, tx, b)
		if err != nil || view == nil {
			return err
		}
		plan := decide(*view)
		if !plan.Write {
			return nil
		}
		planned = plan.Signals
		if err := writePlan(tx, b.UserID, plan, view.State); err != nil {
			return err
		}
		placed = plan.Signals
		return nil
	})
	if errors.Is(err, document.ErrExists) {
		return nil, s.reused(ctx, b, planned) // the run was placed before: its signals are written together, or none
	}
	if err != nil {
		return nil, fmt.Errorf("signals of user %s, strategy %s: %w", b.UserID, b.StrategyID, err)
	}
	return placed, nil
}

// skew is how far the clocks of instances may be apart.
const skew = time.Minute

// reused is signal.ErrReused if a change of the account bears the name of another one: what is there of it was made before the
// change's own tick.
func (s *Store) reused(ctx context.Context, b signal.Batch, planned []signal.Signal) error {
	if b.ChangedSeq == 0 {
		return nil
	}
	for _, p := range planned {
		d, err := document.Find(ctx, s.db, SignalPath(b.UserID, p.ID))
		if err != nil {
			return fmt.Errorf("signals of user %s, strategy %s: %w", b.UserID, b.StrategyID, err)
		}
		if d == nil {
			continue
		}
		if made, ok := d.Fields["created_at"].(time.Time); ok && made.Before(b.CauseTick.Time().Add(-skew)) {
			return signal.ErrReused
		}
	}
	return nil
}

// viewIn reads what a run is decided on; nil if the run was placed before.
func viewIn(ctx context.Context, tx document.Tx, b signal.Batch) (*risk.View, error) {
	d, err := tx.Get(ctx, SnapshotPath(b.UserID))
	if errors.Is(err, document.ErrNotFound) {
		return nil, signal.ErrOutdated // the user was removed
	}
	if err != nil {
		return nil, err
	}
	v := &risk.View{}
	if v.Snapshot, err = ParseSnapshot(b.UserID, d); err != nil {
		return nil, err
	}
	if b.ChangedSeq != 0 && v.Snapshot.ChangedSeq > b.ChangedSeq {
		return nil, signal.ErrOutdated
	}
	if err := currentIn(ctx, tx, b); err != nil {
		return nil, err
	}
	if v.State, err = stateIn(ctx, tx, b.UserID); err != nil {
		return nil, err
	}
	switch done, outdated := v.State.Seen(b); {
	case outdated:
		return nil, signal.ErrOutdated
	case done:
		return nil, nil
	}
	if b.Once {
		done, err := there(ctx, tx, DecisionPath(b.UserID, signal.RunID(b.UserID, b.StrategyID, b.Cause)))
		if err != nil || done {
			return nil, err
		}
	}
	if v.Control, err = controlIn(ctx, tx, userControlPath(b.UserID)); err != nil {
		return nil, err
	}
	words, err := wordsIn(ctx, tx, b.UserID, v.State.Doubtful(b.StrategyID, b.Now), b.Now)
	if err != nil {
		return nil, err
	}
	v.Ended, v.Changed, err = v.State.Refresh(words, v.Snapshot, b.Now)
	return v, err
}

// currentIn is document.ErrConflict if the strategy's document is off, gone or newer than what is run: the event comes again, and runs
// it as it stands by then.
func currentIn(ctx context.Context, tx document.Tx, b signal.Batch) error {
	if b.Definition.IsZero() {
		return nil
	}
	d, err := document.Find(ctx, tx, StrategyPath(b.UserID, b.StrategyID))
	if err == nil && (d == nil || d.Fields["enabled"] != true || d.UpdateTime.After(b.Definition)) {
		return fmt.Errorf("the strategy was edited while it ran: %w", document.ErrConflict)
	}
	return err
}

func stateIn(ctx context.Context, tx document.Reader, uid string) (*risk.State, error) {
	path := riskStatePath(uid)
	d, err := tx.Get(ctx, path)
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		return nil, err
	}
	state, err := risk.ParseState(d.Fields)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return state, nil
}

// wordsIn reads what the owner says of the signals that the run may end.
func wordsIn(ctx context.Context, tx document.Tx, userID string, ids []string, now time.Time) (map[string]risk.Word, error) {
	words := map[string]risk.Word{}
	for _, id := range ids {
		d, err := tx.Get(ctx, SignalPath(userID, id))
		switch {
		case errors.Is(err, document.ErrNotFound):
			words[id] = risk.Word{At: now}
		case err != nil:
			return nil, err
		default:
			if w, ok := word(d); ok {
				words[id] = w
			}
		}
	}
	return words, nil
}

// word is what a signal's document says, if its status is one.
func word(d document.Document) (risk.Word, bool) {
	status, ok := signal.ParseStatus(d.Fields["status"])
	return risk.Word{Status: status, At: d.UpdateTime}, ok && status != signal.Pending
}

func there(ctx context.Context, tx document.Tx, path string) (bool, error) {
	_, err := tx.Get(ctx, path)
	if errors.Is(err, document.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// denialsKept is how long a denial or a shadow signal stays where no record of its run is kept: a TTL policy on expire_at removes it,
// as it does the record.
const denialsKept = 30 * 24 * time.Hour

func writePlan(tx document.Tx, uid string, plan risk.Plan, state *risk.State) error {
	for _, c := range plan.Closed {
		f := document.Fields{"status": string(c.Status)}
		if c.By != "" {
			f["superseded_by"] = c.By
		}
		if c.Why != "" {
			f["ended_code"] = c.Why
		}
		if err := tx.Update(SignalPath(uid, c.SignalID), f); err != nil {
			return err
		}
	}
	for _, sig := range plan.Signals {
		f := signalFields(sig)
		if sig.DenialCode != "" { // it never was to be acted on: without an end there would be hundreds a day
			if f["expire_at"] = sig.CreatedAt.Add(denialsKept); plan.Record != nil {
				f["expire_at"] = plan.Record.ExpireAt
			}
		}
		if err := tx.Create(SignalPath(uid, sig.ID), f); err != nil {
			return err
		}
	}
	if plan.Record != nil {
		r := *plan.Record
		if r.Pack != nil {
			r.Body = r.Pack()
		}
		if err := tx.Set(DecisionPath(uid, r.ID), decisionFields(r)); err != nil {
			return err
		}
	}
	return setState(tx, uid, state)
}

func setState(tx document.Tx, uid string, state *risk.State) error {
	f := state.Fields()
	f["updated_at"] = document.ServerTime
	return tx.Set(riskStatePath(uid), f)
}

// Settle implements risk.Book.
func (s *Store) Settle(ctx context.Context, userID, signalID string) error {
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, SignalPath(userID, signalID))
		if errors.Is(err, document.ErrNotFound) {
			return nil // the next run sees that it is gone
		}
		if err != nil {
			return err
		}
		w, ok := word(d)
		if !ok {
			return nil
		}
		state, err := stateIn(ctx, tx, userID)
		if err != nil || !state.Settle(signalID, w) {
			return err
		}
		return setState(tx, userID, state)
	})
	if err != nil {
		return fmt.Errorf("word on signal %s of user %s: %w", signalID, userID, err)
	}
	return nil
}

// Withdraw implements risk.Book.
func (s *Store) Withdraw(ctx context.Context, userID string, w risk.Withdrawal, now time.Time) (n int, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		n = 0
		state, err := stateIn(ctx, tx, userID)
		if err != nil {
			return err
		}
		var open []string
		for _, r := range state.Reservations {
			if w.Of(r) {
				open = append(open, r.SignalID)
			}
		}
		if len(open) == 0 {
			return nil
		}
		words, err := wordsIn(ctx, tx, userID, open, now)
		if err != nil {
			return err
		}
		state.Hear(words)
		plan := risk.Plan{Closed: state.Withdraw(w)}
		n = len(plan.Closed)
		return writePlan(tx, userID, plan, state)
	})
	if err != nil {
		return 0, fmt.Errorf("open signals of user %s are not taken back: %w", userID, err)
	}
	return n, nil
}

// Open implements risk.Book.
func (s *Store) Open(ctx context.Context, userID string) ([]signal.Reservation, error) {
	state, err := s.RiskState(ctx, userID)
	if err != nil {
		return nil, err
	}
	return state.Reservations, nil
}

// Signal is one of a user's signals, without what a model said; document.ErrNotFound.
func (s *Store) Signal(ctx context.Context, userID, signalID string) (signal.Signal, error) {
	d, err := s.db.Get(ctx, SignalPath(userID, signalID))
	if err != nil {
		return signal.Signal{}, err
	}
	f := d.Fields
	status, _ := signal.ParseStatus(f["status"])
	notional, err := account.Decimal(f["notional"])
	if err != nil {
		return signal.Signal{}, fmt.Errorf("%s: notional: %w", d.Path, err)
	}
	qty, err := account.Decimal(f["qty"])
	if err != nil {
		return signal.Signal{}, fmt.Errorf("%s: qty: %w", d.Path, err)
	}
	created, _ := f["created_at"].(time.Time)
	expires, _ := f["expires_at"].(time.Time)
	return signal.Signal{
		ID: d.ID(), UserID: userID, StrategyID: text(f, "strategy_id"), Symbol: text(f, "symbol"), Action: signal.Action(text(f, "action")),
		Notional: notional.Decimal, Qty: qty, Reason: text(f, "reason"), Status: status, Cause: text(f, "cause"), SnapshotSeq: integer(f, "snapshot_seq"),
		DenialCode: text(f, "denial_code"), CreatedAt: created, ExpiresAt: expires, SupersededBy: text(f, "superseded_by"), Shadow: f["shadow"] == true,
	}, nil
}

// Watch implements risk.Book.
func (s *Store) Watch(ctx context.Context, userID string, mark func(risk.View) bool) error {
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, SnapshotPath(userID))
		if errors.Is(err, document.ErrNotFound) {
			return nil // the user was removed
		}
		if err != nil {
			return err
		}
		v := risk.View{}
		if v.Snapshot, err = ParseSnapshot(userID, d); err != nil {
			return err
		}
		if v.State, err = stateIn(ctx, tx, userID); err != nil {
			return err
		}
		if v.Control, err = controlIn(ctx, tx, userControlPath(userID)); err != nil || !mark(v) {
			return err
		}
		return setState(tx, userID, v.State)
	})
	if err != nil {
		return fmt.Errorf("watch over user %s: %w", userID, err)
	}
	return nil
}

// PutStatus writes a signal's status, as its owner's client would.
func (s *Store) PutStatus(ctx context.Context, userID, signalID string, status any) error {
	_, err := s.db.Update(ctx, SignalPath(userID, signalID), document.Fields{"status": status}, time.Time{})
	return err
}

// RiskState is a user's state as it is stored; a new user's if there is none.
func (s *Store) RiskState(ctx context.Context, userID string) (*risk.State, error) {
	return stateIn(ctx, s.db, userID)
}

func signalFields(s signal.Signal) document.Fields {
	return present(document.Fields{
		"user_id":      s.UserID,
		"strategy_id":  s.StrategyID,
		"symbol":       s.Symbol,
		"action":       string(s.Action),
		"notional_usd": s.Notional.InexactFloat64(), // a number, as the predecessor's readers expect; cents fit exactly enough
		"notional":     account.Cents(s.Notional),
		"qty":          orNil(qty(s.Qty)),
		"reason":       s.Reason,
		"status":       string(s.Status),
		"cause":        s.Cause,
		"snapshot_seq": s.SnapshotSeq,
		"denial_code":  orNil(s.DenialCode),
		"created_at":   s.CreatedAt,
		"expires_at":   s.ExpiresAt,

		"raw_model_output": orNil(s.RawModelOutput),
		"shadow":           trueOrNil(s.Shadow),
	})
}

func qty(q decimal.NullDecimal) string {
	if !q.Valid {
		return ""
	}
	return q.Decimal.String()
}

func trueOrNil(b bool) any {
	if !b {
		return nil
	}
	return b
}
