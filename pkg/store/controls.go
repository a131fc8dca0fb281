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
	return s.changeControl(ctx, userID, func(f document.Fields) {
		if strategyID == "" {
			for k, v := range t.Fields() {
				f[k] = v
			}
			return
		}
		all, _ := f["strategies"].(map[string]any)
		if all == nil {
			all = map[string]any{}
		}
		all[strategyID] = t.Fields()
		f["strategies"] = all
	})
}

// SetLimits implements risk.Controls.
func (s *Store) SetLimits(ctx context.Context, userID string, l risk.Limits) error {
	return s.changeControl(ctx, userID, func(f document.Fields) { f["limits"] = l.Fields() })
}

// changeControl leaves what it does not know as it is: what denies must go on denying.
func (s *Store) changeControl(ctx context.Context, userID string, change func(document.Fields)) error {
	path := controlPath(userID)
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, path)
		if err != nil && !errors.Is(err, document.ErrNotFound) {
			return err
		}
		f := document.Fields{}
		for k, v := range d.Fields {
			f[k] = v
		}
		change(f)
		f["updated_at"] = document.ServerTime
		return tx.Set(path, f)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
