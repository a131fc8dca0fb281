package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
)

// PlatformControl implements risk.Controls.
func (s *Store) PlatformControl(ctx context.Context) (risk.Control, error) {
	return controlIn(ctx, s.db, controlPath(""))
}

// UserControl implements risk.Controls.
func (s *Store) UserControl(ctx context.Context, userID string) (risk.Control, error) {
	return controlIn(ctx, s.db, controlPath(userID))
}

func controlIn(ctx context.Context, r document.Reader, path string) (risk.Control, error) {
	d, err := r.Get(ctx, path)
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		return risk.Control{}, fmt.Errorf("controls: %w", err)
	}
	return risk.ParseControl(d.Fields), nil
}

// SetTrading implements risk.Controls.
func (s *Store) SetTrading(ctx context.Context, userID, strategyID string, t risk.Trading) error {
	if userID == "" && strategyID != "" {
		return fmt.Errorf("trading state of strategy %s: whose? a user is missing", strategyID)
	}
	return s.changeControl(ctx, userID, func(f document.Fields) error {
		if strategyID == "" {
			for k, v := range t.Fields() {
				f[k] = v
			}
			return nil
		}
		all, _ := f["strategies"].(map[string]any)
		if all == nil {
			all = map[string]any{}
		}
		all[strategyID] = t.Fields()
		f["strategies"] = all
		return nil
	})
}

// SetLimits implements risk.Controls.
func (s *Store) SetLimits(ctx context.Context, userID string, l risk.Limits) error {
	return s.ChangeLimits(ctx, userID, func(risk.Limits) (risk.Limits, error) { return l, nil })
}

// ChangeLimits implements risk.Controls.
func (s *Store) ChangeLimits(ctx context.Context, userID string, change func(risk.Limits) (risk.Limits, error)) error {
	return s.changeControl(ctx, userID, func(f document.Fields) error {
		l, err := change(risk.ParseControl(f).Limits)
		if err == nil {
			f["limits"] = l.Fields()
		}
		return err
	})
}

// changeControl leaves what it does not know as it is: what denies must go on denying. An error of change is returned as it is.
func (s *Store) changeControl(ctx context.Context, userID string, change func(document.Fields) error) error {
	path := controlPath(userID)
	var refused error
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, path)
		if err != nil && !errors.Is(err, document.ErrNotFound) {
			return err
		}
		f := document.Fields{}
		for k, v := range d.Fields {
			f[k] = v
		}
		if refused = change(f); refused != nil {
			return refused
		}
		f["updated_at"] = document.ServerTime
		return tx.Set(path, f)
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
