package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Failing implements health.Lister.
func (s *Store) Failing(ctx context.Context) (map[string]health.Health, error) {
	docs, err := s.db.Query(ctx, document.Query{Collection: SyncHealth, Group: true, Where: map[string]any{"failing": true}})
	if err != nil {
		return nil, fmt.Errorf("list users in trouble: %w", err)
	}
	failing := make(map[string]health.Health, len(docs))
	for _, d := range docs {
		if h := ParseHealth(d); HealthPath(h.UserID) == d.Path {
			failing[h.UserID] = h
		}
	}
	return failing, nil
}

// Health is the record of a user's attempts; the zero Health if there is none.
func (s *Store) Health(ctx context.Context, userID string) (health.Health, error) {
	d, err := s.db.Get(ctx, HealthPath(userID))
	if errors.Is(err, document.ErrNotFound) {
		return health.Health{UserID: userID}, nil
	}
	if err != nil {
		return health.Health{}, err
	}
	return ParseHealth(d), nil
}

// Update implements health.Store. It reads the user only where there is no record yet.
func (s *Store) Update(ctx context.Context, userID string, change func(health.Health) health.Health) (before, after health.Health, err error) {
	path := HealthPath(userID)
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, path)
		switch {
		case errors.Is(err, document.ErrNotFound):
			if err := activeIn(ctx, tx, userID); err != nil {
				return err
			}
			before = health.Health{UserID: userID}
		case err != nil:
			return err
		default:
			before = ParseHealth(d)
		}
		if after = change(before); after == before {
			return nil
		}
		after.UserID = userID
		return tx.Set(path, healthFields(after))
	})
	if err != nil {
		return before, after, fmt.Errorf("health of user %s: %w", userID, err)
	}
	return before, after, nil
}

// activeIn is user.ErrGone unless the transaction sees the user active: one who was removed never comes back.
func activeIn(ctx context.Context, tx document.Tx, userID string) error {
	d, err := tx.Get(ctx, UserPath(userID))
	if errors.Is(err, document.ErrNotFound) || (err == nil && parseUser(d).Status != user.Active) {
		return user.ErrGone
	}
	return err
}

// ParseHealth reads users/{uid}/syncHealth/alpaca.
func ParseHealth(d document.Document) health.Health {
	h := health.Health{
		State:      health.State(text(d.Fields, "state")),
		Cause:      health.Cause(text(d.Fields, "error_code")),
		Failures:   int(integer(d.Fields, "consecutive_failures")),
		KeyVersion: text(d.Fields, "key_version"),
	}
	if parts := strings.Split(d.Path, "/"); len(parts) == 4 {
		h.UserID = parts[1]
	}
	h.Tick, _ = tick.Parse(text(d.Fields, "tick"))
	h.LastAttemptAt, _ = d.Fields["last_attempt_at"].(time.Time)
	h.NextAttemptAt, _ = d.Fields["next_attempt_at"].(time.Time)
	return h
}

func healthFields(h health.Health) document.Fields {
	f := document.Fields{
		"state": stateOf(h), "error_code": orNil(string(h.Cause)), "advice": orNil(h.Advice()), "failing": h.Failing(),
		"consecutive_failures": h.Failures, "key_version": orNil(h.KeyVersion), "tick": h.Tick.String(),
		"last_attempt_at": h.LastAttemptAt, "updated_at": document.ServerTime,
	}
	if !h.NextAttemptAt.IsZero() {
		f["next_attempt_at"] = h.NextAttemptAt
	}
	return present(f)
}

// stateOf: a mark that was undone may leave a user who was never synced.
func stateOf(h health.Health) string {
	if h.State == "" {
		return string(health.Pending)
	}
	return string(h.State)
}
