package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Place implements signal.Book. riskState/current says which signal is open for each strategy and symbol, and
// which cause was a strategy's last, so that the transaction needs no query.
func (s *Store) Place(ctx context.Context, b signal.Batch) (placed int, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		placed = 0 // the transaction may run again
		stored, err := snapshotIn(ctx, tx, b.UserID)
		if err != nil {
			return err
		}
		switch seq, changed := integer(stored, "seq"), integer(stored, "changed_seq"); {
		case b.ChangedSeq != 0 && changed > b.ChangedSeq:
			return signal.ErrOutdated
		case seq > b.SnapshotSeq:
			return signal.ErrNewerSnapshot
		}
		state, err := riskStateIn(ctx, tx, b)
		if err != nil {
			return err
		}
		fresh, expired, err := newSignals(ctx, tx, b, state)
		if err != nil || len(fresh) == 0 {
			return err
		}
		for id, by := range expired {
			if err := tx.Update(SignalPath(b.UserID, id), document.Fields{"status": string(signal.Expired), "superseded_by": by}); err != nil {
				return err
			}
		}
		for _, sig := range fresh {
			if err := tx.Create(SignalPath(b.UserID, sig.ID), signalFields(sig)); err != nil {
				return err
			}
		}
		placed = len(fresh)
		return tx.Set(riskStatePath(b.UserID), state.fields())
	})
	if err != nil {
		return 0, fmt.Errorf("signals of user %s, strategy %s: %w", b.UserID, b.StrategyID, err)
	}
	return placed, nil
}

// newSignals are those of the batch that are not there yet, with the open ones that they supersede, by id.
func newSignals(ctx context.Context, tx document.Tx, b signal.Batch, state riskState) (fresh []signal.Signal, expired map[string]string, err error) {
	expired = map[string]string{}
	for _, sig := range b.Signals {
		_, err := tx.Get(ctx, SignalPath(b.UserID, sig.ID))
		if err == nil {
			continue // a repeated delivery
		}
		if !errors.Is(err, document.ErrNotFound) {
			return nil, nil, err
		}
		fresh = append(fresh, sig)
		key := b.StrategyID + "|" + sig.Symbol
		if open, _ := state.open[key].(string); open != "" {
			was, err := tx.Get(ctx, SignalPath(b.UserID, open))
			if err != nil && !errors.Is(err, document.ErrNotFound) {
				return nil, nil, err
			}
			if err == nil && text(was.Fields, "status") == string(signal.Pending) {
				expired[open] = sig.ID
			}
		}
		if delete(state.open, key); sig.Status == signal.Pending {
			state.open[key] = sig.ID
		}
	}
	return fresh, expired, nil
}

// riskState is users/{uid}/riskState/current.
type riskState struct {
	open      map[string]any // strategy|symbol → the open signal's id
	lastCause map[string]any // strategy → tick of its last cause
}

func riskStateIn(ctx context.Context, tx document.Tx, b signal.Batch) (riskState, error) {
	d, err := tx.Get(ctx, riskStatePath(b.UserID))
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		return riskState{}, err
	}
	r := riskState{open: map[string]any{}, lastCause: map[string]any{}}
	if m, ok := d.Fields["open"].(map[string]any); ok {
		r.open = m
	}
	if m, ok := d.Fields["last_cause"].(map[string]any); ok {
		r.lastCause = m
	}
	if tick.Tick(integer(r.lastCause, b.StrategyID)) > b.CauseTick {
		return riskState{}, signal.ErrOutdated
	}
	r.lastCause[b.StrategyID] = int64(b.CauseTick)
	return r, nil
}

func (r riskState) fields() document.Fields {
	return document.Fields{"open": r.open, "last_cause": r.lastCause, "updated_at": document.ServerTime}
}

func snapshotIn(ctx context.Context, tx document.Tx, uid string) (document.Fields, error) {
	d, err := tx.Get(ctx, SnapshotPath(uid))
	if errors.Is(err, document.ErrNotFound) {
		return nil, signal.ErrOutdated // the user was removed
	}
	return d.Fields, err
}

func signalFields(s signal.Signal) document.Fields {
	return present(document.Fields{
		"user_id":      s.UserID,
		"strategy_id":  s.StrategyID,
		"symbol":       s.Symbol,
		"action":       string(s.Action),
		"notional_usd": s.Notional.InexactFloat64(), // a number, as the predecessor's readers expect; cents fit exactly enough
		"notional":     s.Notional.StringFixed(2),
		"reason":       s.Reason,
		"status":       string(s.Status),
		"cause":        s.Cause,
		"snapshot_seq": s.SnapshotSeq,
		"denial_code":  orNil(s.DenialCode),
		"created_at":   s.CreatedAt,
		"expires_at":   s.ExpiresAt,

		"raw_model_output": orNil(s.RawModelOutput),
	})
}
