package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// ErrChanged says that something of a user's was changed since the migration, so that taking it back would lose that.
var ErrChanged = errors.New("changed since")

// bookkeeping are the fields of a user's document that the platform sets by itself: they hold nobody back.
var bookkeeping = []string{"created_at", "key_version", "last_active_at", "updated_at"}

// page is how many documents are read at once.
const page = 300

// Restored is what became of a user who was taken back.
type Restored struct {
	Documents int  // that were pruned, and are back
	Removed   bool // the user was removed since: the record stays, so that the user does
	Gone      bool // the document of the user was the migration's, and is gone
}

// TakeBack puts a user's pruned documents back where they were, and removes what the migration has made: the copies of signals, then
// the snapshot and the user's document, and the record. What was changed since stays, with all else of that user (ErrChanged), unless
// force is set; the pruned documents are back all the same. A snapshot that the syncer has written since goes with its user, or
// stays with a user who was there before, unless force is set. Of a user who was removed nothing comes back.
func (m *Mover) TakeBack(ctx context.Context, uid string, force bool) (r Restored, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("user %s: %w", uid, err)
		}
	}()
	v, err := read(ctx, m.DB, Row{UserID: uid})
	if err != nil || v.record.doc == nil {
		return r, err
	}
	if v.user == nil {
		return Restored{Removed: true}, m.Forget(ctx, uid)
	}
	if r.Documents, err = m.restoreAll(ctx, uid); err != nil {
		return r, err
	}
	if _, err = takeBack(v, force); err != nil {
		return r, err
	}
	if err = m.signalsBack(ctx, uid, *v.record.doc, force); err != nil {
		return r, err
	}
	r.Gone, err = m.userBack(ctx, uid, force)
	return r, err
}

// Forget is for a user who was removed: what is kept of them is deleted, but for the fact that they must not come back.
func (m *Mover) Forget(ctx context.Context, uid string) error {
	if m.DryRun {
		return nil
	}
	err := m.eachBackup(ctx, document.Query{Collection: backups(uid), Select: []string{"path"}}, func(d document.Document) error {
		return m.DB.Delete(ctx, d.Path, time.Time{})
	})
	if err != nil {
		return err
	}
	return m.DB.Set(ctx, recordPath(uid), record{user: removed, fields: document.Fields{}}.document())
}

// restoreAll puts the pruned documents back. One that has been written since is newer, and stays.
func (m *Mover) restoreAll(ctx context.Context, uid string) (restored int, err error) {
	q := document.Query{Collection: backups(uid), Where: map[string]any{"pruned": true}}
	err = m.eachBackup(ctx, q, func(d document.Document) error {
		n, err := m.restore(ctx, d)
		restored += n
		return err
	})
	return restored, err
}

func (m *Mover) eachBackup(ctx context.Context, q document.Query, fn func(document.Document) error) error {
	for q.Limit = page; ; {
		docs, err := m.DB.Query(ctx, q)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := fn(d); err != nil {
				return err
			}
		}
		if len(docs) < page {
			return nil
		}
		q.After = docs[page-1].ID()
	}
}

func (m *Mover) restore(ctx context.Context, kept document.Document) (restored int, err error) {
	b, err := parseBackup(kept)
	if err != nil {
		return 0, err
	}
	err = m.transact(ctx, func(ctx context.Context, db document.Reader, tx document.Tx) error {
		restored = 0
		again, err := find(ctx, db, b.path)
		if err != nil || again == nil {
			return err
		}
		now, err := find(ctx, db, b.of.Path)
		if err != nil {
			return err
		}
		if now == nil {
			restored++
		}
		if tx == nil {
			return nil
		}
		if now == nil {
			if err := tx.Create(b.of.Path, b.of.Fields); err != nil {
				return err
			}
		}
		return tx.Delete(b.path)
	})
	return restored, err
}

// signalsBack removes the copies: what is no older than the record, and is at the predecessor's path too. First it looks for one
// that was changed since.
func (m *Mover) signalsBack(ctx context.Context, uid string, record document.Document, force bool) error {
	if !force {
		if err := m.eachCopy(ctx, uid, record, func(target, source document.Document) error {
			if match, _ := compareSignals(uid, source, &target); match != Same && !target.UpdateTime.Equal(target.CreateTime) {
				return fmt.Errorf("%s: %w", target.Path, ErrChanged)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if m.DryRun {
		return nil
	}
	return m.eachCopy(ctx, uid, record, func(target, _ document.Document) error {
		switch err := m.DB.Delete(ctx, target.Path, target.UpdateTime); {
		case errors.Is(err, document.ErrConflict):
			return fmt.Errorf("%s: %w", target.Path, ErrChanged)
		case !errors.Is(err, document.ErrNotFound):
			return err
		}
		return nil
	})
}

func (m *Mover) eachCopy(ctx context.Context, uid string, record document.Document, fn func(target, source document.Document) error) error {
	for after := ""; ; {
		docs, err := m.DB.Query(ctx, document.Query{Collection: store.UserPath(uid) + "/" + store.Signals, After: after, Limit: page})
		if err != nil {
			return err
		}
		for _, d := range docs {
			if d.CreateTime.Before(record.CreateTime) {
				continue
			}
			source, err := find(ctx, m.DB, GlobalSignals+"/"+d.ID())
			if err != nil {
				return err
			}
			if source == nil {
				continue // the platform's own
			}
			if err := fn(d, *source); err != nil {
				return err
			}
		}
		if len(docs) < page {
			return nil
		}
		after = docs[page-1].ID()
	}
}

func (m *Mover) userBack(ctx context.Context, uid string, force bool) (gone bool, err error) {
	err = m.transact(ctx, func(ctx context.Context, db document.Reader, tx document.Tx) error {
		v, err := read(ctx, db, Row{UserID: uid})
		if err != nil || v.user == nil || v.record.doc == nil {
			return err // removed a moment ago, or taken back by another run
		}
		kept, err := find(ctx, db, backupPath(uid, store.SnapshotPath(uid)))
		if err != nil {
			return err
		}
		b, err := takeBack(v, force)
		if gone = b.gone; err != nil || tx == nil {
			return err
		}
		return b.write(tx, uid, v, kept)
	})
	return gone, err
}

// back is what is undone of one user who is there.
type back struct {
	gone     bool            // the user's document
	user     document.Fields // to be taken out of the user's document
	snapshot bool            // the snapshot goes, or the one before comes back
}

func takeBack(v view, force bool) (b back, err error) {
	rec := v.record
	b.user = document.Fields{}
	switch rec.user {
	case created:
		if b.gone = true; !force {
			for name, has := range v.user.Fields {
				if want, ok := rec.fields[name]; !slices.Contains(bookkeeping, name) && (!ok || !equal(has, want)) {
					return b, fmt.Errorf("%s of %s: %w", name, v.user.Path, ErrChanged)
				}
			}
		}
	case found:
		for name, was := range rec.fields {
			if equal(v.user.Fields[name], was) {
				b.user[name] = document.Delete
			}
		}
	}
	if v.snapshot == nil {
		return b, nil
	}
	copied := rec.snapshot != "" && digest(v.snapshot.Fields) == rec.snapshot
	since := !v.snapshot.CreateTime.Before(rec.doc.CreateTime)
	b.snapshot = copied || (b.gone && (since || rec.snapshot != "")) || (force && rec.snapshot != "")
	return b, nil
}

func (b back) write(tx document.Tx, uid string, v view, kept *document.Document) error {
	if b.snapshot {
		if err := snapshotBack(tx, uid, kept); err != nil {
			return err
		}
	}
	if kept != nil {
		if err := tx.Delete(kept.Path); err != nil {
			return err
		}
	}
	switch {
	case b.gone:
		if err := tx.Delete(v.user.Path); err != nil {
			return err
		}
	case len(b.user) > 0:
		if err := tx.Update(v.user.Path, b.user); err != nil {
			return err
		}
	}
	return tx.Delete(recordPath(uid))
}

func snapshotBack(tx document.Tx, uid string, kept *document.Document) error {
	if kept == nil {
		return tx.Delete(store.SnapshotPath(uid))
	}
	before, err := parseBackup(*kept)
	if err != nil {
		return err
	}
	return tx.Set(store.SnapshotPath(uid), before.of.Fields)
}
