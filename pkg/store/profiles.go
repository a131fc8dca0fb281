package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// removedAt marks a user whose removal has begun: until the document goes, everybody who would write keeps off.
const removedAt = "removed_at"

// Profile implements user.Registry.
func (s *Store) Profile(ctx context.Context, id string) (user.Profile, error) {
	return profileIn(ctx, s.db, id)
}

func profileIn(ctx context.Context, r document.Reader, id string) (user.Profile, error) {
	if err := user.CheckID(id); err != nil {
		return user.Profile{}, fmt.Errorf("%w: %w", user.ErrNotFound, err)
	}
	d, err := r.Get(ctx, UserPath(id))
	switch {
	case errors.Is(err, document.ErrNotFound):
		return user.Profile{}, fmt.Errorf("user %s: %w", id, user.ErrNotFound)
	case err != nil:
		return user.Profile{}, err
	}
	return parseProfile(d), nil
}

// Profiles implements user.Registry.
func (s *Store) Profiles(ctx context.Context, after string, limit int) (user.ProfilePage, error) {
	docs, err := s.db.Query(ctx, document.Query{Collection: Users, After: after, Limit: limit})
	if err != nil {
		return user.ProfilePage{}, fmt.Errorf("list users after %q: %w", after, err)
	}
	var p user.ProfilePage
	for _, d := range docs {
		p.Users = append(p.Users, parseProfile(d))
	}
	if len(docs) == limit && limit > 0 {
		p.Next = docs[limit-1].ID()
	}
	return p, nil
}

// Add implements user.Registry.
func (s *Store) Add(ctx context.Context, p user.Profile) error {
	if err := p.CheckNew(); err != nil {
		return err
	}
	_, err := s.db.Create(ctx, UserPath(p.ID), present(document.Fields{
		"email": orNil(p.Email), "displayName": orNil(p.DisplayName), "status": string(user.Pending), "cadence_minutes": positive(p.CadenceMinutes),
		"sync_hours": orNil(string(p.SyncHours)), "tenant_id": orNil(p.TenantID), "created_at": document.ServerTime,
	}))
	if errors.Is(err, document.ErrExists) {
		return fmt.Errorf("user %s: %w", p.ID, user.ErrExists)
	}
	return err
}

// SetStatus implements user.Registry.
func (s *Store) SetStatus(ctx context.Context, id string, change func(user.Profile) (user.Status, error)) (before, after user.Profile, err error) {
	err = s.changeProfile(ctx, id, func(p user.Profile) (document.Fields, error) {
		before = p
		next, err := change(p)
		after = p
		if after.Status = next; err != nil || next == p.Status {
			return nil, err
		}
		return document.Fields{"status": string(next)}, nil
	})
	return before, after, err
}

// UseKeys implements user.Registry.
func (s *Store) UseKeys(ctx context.Context, id, version, brokerEnv string) (used user.Profile, err error) {
	if secret.Number(version) == 0 {
		return used, fmt.Errorf("user %s: key version %.40q is no number from 1 on", id, version)
	}
	err = s.changeProfile(ctx, id, func(p user.Profile) (document.Fields, error) {
		f := document.Fields{"last_active_at": document.ServerTime}
		if secret.Number(p.KeyVersion) <= secret.Number(version) {
			p.KeyVersion, p.BrokerEnv = version, brokerEnv
			f["key_version"], f["broker_env"] = version, brokerEnv
		}
		if p.Status == user.Pending {
			p.Status = user.Active
			f["status"] = string(user.Active)
		}
		used = p
		return f, nil
	})
	return used, err
}

// BeginRemoval implements user.Registry.
func (s *Store) BeginRemoval(ctx context.Context, id string) (p user.Profile, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		if p, err = profileIn(ctx, tx, id); err != nil || !p.RemovedAt.IsZero() {
			return err
		}
		return tx.Update(UserPath(id), document.Fields{"status": string(user.Disabled), removedAt: document.ServerTime})
	})
	return p, err
}

// changeProfile updates a user who is there, and not being removed. No fields: nothing is written.
func (s *Store) changeProfile(ctx context.Context, id string, change func(user.Profile) (document.Fields, error)) error {
	return s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		p, err := profileIn(ctx, tx, id)
		if err != nil {
			return err
		}
		if !p.RemovedAt.IsZero() {
			return fmt.Errorf("user %s: %w", id, user.ErrRemoving)
		}
		f, err := change(p)
		if err != nil || len(f) == 0 {
			return err
		}
		return tx.Update(UserPath(id), f)
	})
}

func parseProfile(d document.Document) user.Profile {
	p := user.Profile{User: parseUser(d), Email: text(d.Fields, "email"), DisplayName: text(d.Fields, "displayName")}
	p.CreatedAt, _ = d.Fields["created_at"].(time.Time)
	p.LastActiveAt, _ = d.Fields["last_active_at"].(time.Time)
	p.RemovedAt, _ = d.Fields[removedAt].(time.Time)
	return p
}
