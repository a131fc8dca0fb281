package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const (
	believed = 5 * time.Minute  // by so much an observation may be newer than the one that is to be written: requests take a minute
	live     = 10 * time.Minute // a document that nobody has written for longer is nobody's any more
)

// SnapshotAt implements account.Source.
func (s *Store) SnapshotAt(ctx context.Context, path string) (account.Snapshot, error) {
	d, err := s.db.Get(ctx, path)
	if errors.Is(err, document.ErrNotFound) {
		return account.Snapshot{}, account.ErrNotFound
	}
	if err != nil {
		return account.Snapshot{}, err
	}
	snap, err := ParseSnapshot(ownerOf(d), d)
	if err != nil {
		return account.Snapshot{}, fmt.Errorf("%w: %w", account.ErrUnreadable, err)
	}
	return snap, nil
}

func ownerOf(d document.Document) string { return text(d.Fields, "user_id") }

// PutWithCopies implements account.CopyStore. All that one commit changes has one update time, and updated_at is always changed: so the snapshot's version is
// the copies' too, unless somebody got in between. Then the copies are read.
func (s *Store) PutWithCopies(ctx context.Context, snap account.Snapshot, copies []account.Copy) (version time.Time, left, err error) {
	if !snap.Version.IsZero() {
		list := []document.Patch{{Path: SnapshotPath(snap.UserID), Fields: update(snapshotFields(snap)), At: snap.Version}}
		for _, c := range copies {
			list = append(list, document.Patch{Path: c.Path, Fields: update(copyFields(snap, c)), At: snap.Version})
		}
		version, err = s.db.UpdateAll(ctx, list)
		if !errors.Is(err, document.ErrConflict) && !errors.Is(err, document.ErrNotFound) {
			return version, nil, err
		}
	}
	left, err = s.putIn(ctx, snap, copies)
	return time.Time{}, left, err
}

// PutCopies implements account.CopyStore.
func (s *Store) PutCopies(ctx context.Context, snap account.Snapshot, copies []account.Copy) (left, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) (err error) {
		var write func() error
		if write, left, err = judged(ctx, tx, snap, copies); err != nil {
			return err
		}
		return write()
	})
	return left, err
}

// putIn writes in a transaction: over the version that the snapshot names, or the first one of a user who is seen active,
// since one who was removed half-way through never comes back.
func (s *Store) putIn(ctx context.Context, snap account.Snapshot, copies []account.Copy) (left, err error) {
	path, first := SnapshotPath(snap.UserID), snap.Version.IsZero()
	if first && (snap.Kept != (account.Digest{}) || snap.Flows.Kept) {
		return nil, fmt.Errorf("first snapshot of user %s: it has no positions and orders, or no flows, and there are none to keep", snap.UserID)
	}
	err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) (err error) {
		if first {
			err = activeIn(ctx, tx, snap.UserID)
		} else {
			err = unchanged(ctx, tx, path, snap.Version)
		}
		if err != nil {
			return err
		}
		var write func() error
		if write, left, err = judged(ctx, tx, snap, copies); err != nil {
			return err
		}
		if first {
			err = tx.Create(path, present(snapshotFields(snap)))
		} else {
			err = tx.Update(path, update(snapshotFields(snap)))
		}
		return errors.Join(err, write())
	})
	return left, conflict(err)
}

func unchanged(ctx context.Context, tx document.Tx, path string, version time.Time) error {
	d, err := tx.Get(ctx, path)
	if errors.Is(err, document.ErrNotFound) || (err == nil && !d.UpdateTime.Equal(version)) {
		return account.ErrConflict
	}
	return err
}

// judged reads the copies: write is for when all reading is done.
func judged(ctx context.Context, tx document.Tx, snap account.Snapshot, copies []account.Copy) (write func() error, left, err error) {
	var writes []func() error
	for _, c := range copies {
		d, err := tx.Get(ctx, c.Path)
		switch {
		case errors.Is(err, document.ErrNotFound):
			writes = append(writes, func() error { return tx.Create(c.Path, present(copyFields(snap, c))) })
			continue
		case err != nil:
			return nil, nil, err
		}
		others, err := ofOthers(ctx, tx, snap, c, d)
		switch {
		case err != nil:
			return nil, nil, err
		case others != nil:
			left = errors.Join(left, others)
		case !newer(d, snap):
			writes = append(writes, func() error { return tx.Update(c.Path, update(copyFields(snap, c))) })
		}
	}
	return func() error {
		var errs []error
		for _, w := range writes {
			errs = append(errs, w())
		}
		return errors.Join(errs...)
	}, left, nil
}

// newer says that the document holds a later observation, by a clock that is to be believed.
func newer(d document.Document, snap account.Snapshot) bool {
	stored, err := ParseSnapshot(ownerOf(d), d)
	ahead := stored.ObservedAt.Sub(snap.ObservedAt)
	return err == nil && !stored.ObservedAt.IsZero() && ahead > 0 && ahead <= believed
}

// ofOthers says whose copy it is, if it is not the snapshot's. The predecessor's own document is whose the configuration
// says; a tenant's is the user's who has it, as long as there is such a user with that tenant.
func ofOthers(ctx context.Context, tx document.Tx, snap account.Snapshot, c account.Copy, d document.Document) (others, err error) {
	owner := ownerOf(d)
	switch {
	case owner == "" || owner == snap.UserID || user.CheckID(owner) != nil:
		return nil, nil
	case snap.UserID == "":
		stored, err := ParseSnapshot(owner, d)
		if age := snap.ObservedAt.Sub(stored.ObservedAt); err != nil || age > live || age < -live {
			return nil, nil //nolint:nilerr // nobody writes it, or not so that it could be read
		}
		return fmt.Errorf("%s %w, user %s of the platform: end MODE=legacy, or there LEGACY_PHASE", c.Path, account.ErrOthers, owner), nil
	case c.Path == account.GlobalPath:
		return nil, nil
	}
	o, err := tx.Get(ctx, UserPath(owner))
	if errors.Is(err, document.ErrNotFound) {
		return nil, nil
	}
	if err != nil || parseUser(o).TenantID != c.TenantID {
		return nil, err
	}
	return fmt.Errorf("%s %w, user %s, who has the same tenant_id as user %s: take it from one of them", c.Path, account.ErrOthers, owner, snap.UserID), nil
}

func copyFields(snap account.Snapshot, c account.Copy) document.Fields {
	f := snap.CopyFields(c.TenantID)
	f["updated_at"] = document.ServerTime
	return f
}
