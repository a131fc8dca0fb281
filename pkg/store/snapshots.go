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
	if snap.Version.IsZero() {
		_, err := s.putIn(ctx, snap, nil)
		return time.Time{}, err
	}
	version, err := s.db.Update(ctx, SnapshotPath(snap.UserID), update(snapshotFields(snap)), snap.Version)
	if errors.Is(err, document.ErrNotFound) {
		return version, account.ErrConflict
	}
	return version, conflict(err)
}

// snapshotFields have nil for what the broker no longer says, which must not stay behind, and for the predecessor's other
// shape.
func snapshotFields(snap account.Snapshot) document.Fields {
	f := snap.Fields()
	f["updated_at"], f["account"], f["syncedAt"] = document.ServerTime, nil, nil
	return f
}

// conflict gives the database's word for it the port's.
func conflict(err error) error {
	if errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrExists) {
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
