package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// userFields is the projection that the pipeline reads; profile fields stay in the database.
var userFields = []string{"status", "cadence_minutes", "broker_env", "sync_hours", "key_version", "tenant_id"}

// Users implements user.Lister.
func (s *Store) Users(ctx context.Context, after string, limit int) (user.Page, error) {
	docs, err := s.db.Query(ctx, document.Query{Collection: Users, Select: userFields, After: after, Limit: limit})
	if err != nil {
		return user.Page{}, fmt.Errorf("list users after %q: %w", after, err)
	}
	var p user.Page
	for _, d := range docs {
		p.Users = append(p.Users, parseUser(d))
	}
	if len(docs) == limit && limit > 0 {
		p.Next = docs[limit-1].ID()
	}
	return p, nil
}

// User implements user.Finder.
func (s *Store) User(ctx context.Context, id string) (user.User, error) {
	if err := user.CheckID(id); err != nil {
		return user.User{}, fmt.Errorf("%w: %w", user.ErrNotFound, err)
	}
	d, err := s.db.Get(ctx, UserPath(id))
	if errors.Is(err, document.ErrNotFound) {
		return user.User{}, fmt.Errorf("user %s: %w", id, user.ErrNotFound)
	}
	if err != nil {
		return user.User{}, err
	}
	return parseUser(d), nil
}

// PutUser writes a user's document. It is for seeding and tests; onboarding comes with the console and the CLI.
func (s *Store) PutUser(ctx context.Context, u user.User) error {
	return s.db.Set(ctx, UserPath(u.ID), present(document.Fields{
		"status": orNil(string(u.Status)), "cadence_minutes": positive(u.CadenceMinutes), "broker_env": orNil(u.BrokerEnv),
		"sync_hours": orNil(string(u.SyncHours)), "key_version": orNil(u.KeyVersion), "tenant_id": orNil(u.TenantID), "created_at": document.ServerTime,
	}))
}

// RaiseKeyVersion implements user.Keys.
func (s *Store) RaiseKeyVersion(ctx context.Context, userID, version string) error {
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, UserPath(userID))
		switch {
		case errors.Is(err, document.ErrNotFound):
			return user.ErrGone
		case err != nil:
			return err
		case secret.Number(parseUser(d).KeyVersion) >= secret.Number(version):
			return nil
		}
		return tx.Update(UserPath(userID), document.Fields{"key_version": version})
	})
	if err != nil {
		return fmt.Errorf("key version of user %s: %w", userID, err)
	}
	return nil
}

func parseUser(d document.Document) user.User {
	u := user.User{
		ID:             d.ID(),
		Status:         user.Active,
		CadenceMinutes: int(min(max(0, integer(d.Fields, "cadence_minutes")), maxCadence)),
		BrokerEnv:      text(d.Fields, "broker_env"),
		SyncHours:      market.Always,
		KeyVersion:     text(d.Fields, "key_version"),
		TenantID:       text(d.Fields, "tenant_id"),
	}
	if v, ok := d.Fields["status"]; ok {
		s, _ := v.(string) // anything else is not active
		u.Status = user.Status(s)
	}
	if h, err := market.ParseHours(text(d.Fields, "sync_hours")); err == nil { // anything else must not stop the syncing
		u.SyncHours = h
	}
	if u.BrokerEnv == "" {
		u.BrokerEnv = "paper"
	}
	return u
}

// maxCadence, a day, is the slowest: a larger number is a mistake, and would never be due.
const maxCadence = user.MaxCadence

func positive(n int) any {
	if n <= 0 {
		return nil
	}
	return n
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
