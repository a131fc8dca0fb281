package store

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Enabled implements strategy.Store.
func (s *Store) Enabled(ctx context.Context, userID string) ([]strategy.Definition, error) {
	docs, err := s.db.Query(ctx, document.Query{
		Collection: UserPath(userID) + "/" + Strategies,
		Where:      map[string]any{"enabled": true},
		Limit:      strategy.MaxEnabled + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("strategies of user %s: %w", userID, err)
	}
	if len(docs) > strategy.MaxEnabled {
		docs = docs[:strategy.MaxEnabled]
		err = fmt.Errorf("%w: user %s has more than %d, those after %.100q are left out; disable some", strategy.ErrTooMany, userID, len(docs), docs[len(docs)-1].ID())
	}
	defs := make([]strategy.Definition, len(docs))
	for i, d := range docs {
		defs[i] = ParseStrategy(userID, d)
	}
	return defs, err
}

// ParseStrategy reads a strategy's document, whatever its owner's client wrote: what can't be read makes nothing trade more
// freely.
func ParseStrategy(userID string, d document.Document) strategy.Definition {
	params, _ := d.Fields["params"].(map[string]any)
	limits, ok := d.Fields["limits"].(map[string]any)
	if v := d.Fields["limits"]; v != nil && !ok {
		limits = map[string]any{"limits": v} // no limit's name: it denies, as all do that can't be read
	}
	return strategy.Definition{
		ID: d.ID(), UserID: userID, Kind: text(d.Fields, "kind"), Params: params, Enabled: d.Fields["enabled"] == true,
		Mode: strategy.ParseMode(d.Fields["mode"]), Limits: limits,
		UpdatedAt: d.UpdateTime,
	}
}

// PutStrategy writes a strategy's document, as its owner would.
func (s *Store) PutStrategy(ctx context.Context, d strategy.Definition) error {
	f := document.Fields{"kind": d.Kind, "params": d.Params, "enabled": d.Enabled}
	if d.Mode != "" {
		f["mode"] = string(d.Mode)
	}
	if d.Limits != nil {
		f["limits"] = d.Limits
	}
	return s.db.Set(ctx, StrategyPath(d.UserID, d.ID), f)
}
