package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
)

// Decision implements risk.Records.
func (s *Store) Decision(ctx context.Context, userID, id string) (risk.Record, error) {
	d, err := s.db.Get(ctx, DecisionPath(userID, id))
	if errors.Is(err, document.ErrNotFound) {
		return risk.Record{}, risk.ErrNoRecord
	}
	if err != nil {
		return risk.Record{}, fmt.Errorf("decision %s of user %s: %w", id, userID, err)
	}
	return record(d), nil
}

// DecisionsOn implements risk.Records.
func (s *Store) DecisionsOn(ctx context.Context, userID string, day time.Time) ([]risk.Record, error) {
	docs, err := s.db.Query(ctx, document.Query{
		Collection: UserPath(userID) + "/" + Decisions, Where: map[string]any{"day": day.UTC().Format(time.DateOnly)},
		Select: []string{"strategy_id", "cause", "decided_at", "expire_at", "signals", "outcome"},
	})
	if err != nil {
		return nil, fmt.Errorf("decisions of user %s: %w", userID, err)
	}
	records := make([]risk.Record, len(docs))
	for i, d := range docs {
		records[i] = record(d)
	}
	slices.SortFunc(records, func(a, b risk.Record) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return records, nil
}

func decisionFields(r risk.Record) document.Fields {
	f := document.Fields{
		"strategy_id": r.StrategyID, "cause": r.Cause, "decided_at": r.At, "day": r.At.UTC().Format(time.DateOnly), "expire_at": r.ExpireAt,
		"signals": listOf(r.Signals), "outcome": listOf(r.Outcome),
	}
	if r.Body != nil {
		f["body"] = r.Body
	}
	return f
}

func record(d document.Document) risk.Record {
	r := risk.Record{ID: d.ID(), StrategyID: text(d.Fields, "strategy_id"), Cause: text(d.Fields, "cause"), Signals: texts(d.Fields, "signals"), Outcome: texts(d.Fields, "outcome")}
	r.At, _ = d.Fields["decided_at"].(time.Time)
	r.ExpireAt, _ = d.Fields["expire_at"].(time.Time)
	r.Body, _ = d.Fields["body"].([]byte)
	return r
}

func listOf(s []string) []any {
	list := make([]any, len(s))
	for i, v := range s {
		list[i] = v
	}
	return list
}
