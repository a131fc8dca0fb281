package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
)

// Snapshot implements account.Store.
func (s *Store) Snapshot(ctx context.Context, userID string) (account.Snapshot, error) {
	d, err := s.db.Get(ctx, SnapshotPath(userID))
	if errors.Is(err, document.ErrNotFound) {
		return account.Snapshot{}, account.ErrNotFound
	}
	if err != nil {
		return account.Snapshot{}, err
	}
	return ParseSnapshot(userID, d)
}

// PutSnapshot implements account.Store.
func (s *Store) PutSnapshot(ctx context.Context, snap account.Snapshot) (time.Time, error) {
	path, f := SnapshotPath(snap.UserID), snap.Fields()
	f["updated_at"] = document.ServerTime
	if snap.Version.IsZero() {
		if snap.Kept != (account.Digest{}) || snap.Flows.Kept {
			return time.Time{}, fmt.Errorf("first snapshot of user %s: it has no positions and orders, or no flows, and there are none to keep", snap.UserID)
		}
		return time.Time{}, s.firstSnapshot(ctx, snap.UserID, path, present(f))
	}
	for k, v := range f {
		if v == nil {
			f[k] = document.Delete // what the broker no longer says must not stay behind
		}
	}
	for _, k := range []string{"account", "syncedAt"} { // the predecessor's other shape
		f[k] = document.Delete
	}
	version, err := s.db.Update(ctx, path, f, snap.Version)
	if errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrNotFound) {
		return version, account.ErrConflict
	}
	return version, err
}

// firstSnapshot sees that the user is still there: one who was removed half-way through never comes back.
func (s *Store) firstSnapshot(ctx context.Context, uid, path string, f document.Fields) error {
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		if err := activeIn(ctx, tx, uid); err != nil {
			return err
		}
		return tx.Create(path, f)
	})
	if errors.Is(err, document.ErrExists) {
		return account.ErrConflict
	}
	return err
}

// ParseSnapshot reads a snapshot's document, from the database or from a change event.
func ParseSnapshot(userID string, d document.Document) (account.Snapshot, error) {
	snap, err := account.FromFields(userID, d.Fields, d.UpdateTime)
	if err != nil {
		return account.Snapshot{}, fmt.Errorf("%s: %w", d.Path, err)
	}
	return snap, nil
}
