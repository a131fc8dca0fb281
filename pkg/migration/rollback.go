package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// ErrChanged says that something of a user's was changed since the migration, so that taking it back would lose that.
var ErrChanged = errors.New("changed since")

// ErrVanished says that a user's document is gone, and that no removal is noted: somebody has deleted it by hand, and nobody knows
// what that was for.
var ErrVanished = errors.New("is gone, and no removal is noted")

// bookkeeping are the fields of a user's document that the platform sets by itself: they hold nobody back.
var bookkeeping = []string{"created_at", "key_version", "broker_env", "last_active_at", "updated_at", migratedAt}

// activated says that a user who waited for keys has got them.
func activated(name string, was, has any) bool {
	return name == "status" && was == string(user.Pending) && has == string(user.Active)
}

// Restored is what became of a user who was taken back.
type Restored struct {
	Documents int  // that were pruned, and are back
	Removed   bool // the user was removed since: the record stays, so that the user does
	Gone      bool // the document of the user was the migration's, and is gone
}

// TakeBack puts a user's pruned documents back where they were, and removes what the migration has made: the copies of signals, then
// the snapshot and the user's document, and the record. What was changed since stays, with all else of that user (ErrChanged), unless
// force is set; the pruned documents are back all the same. A snapshot that the syncer has written since goes with its user, or
// stays with a user who was there before, unless force is set. Of a user who was removed, or is being removed, nothing comes back, and
// nothing is touched. One whose document is merely gone is left alone too (ErrVanished), unless force is set: what was pruned is in
// the backups alone. Where a run has written since they were found, nothing of the user's is removed.
func (m *Mover) TakeBack(ctx context.Context, made Made, force bool) (r Restored, err error) {
	uid := made.UserID
	defer func() {
		if err != nil {
			err = fmt.Errorf("user %s: %w", uid, err)
		}
	}()
	v, err := m.made(ctx, uid)
	if err != nil || v.record.doc == nil {
		return r, err
	}
	switch {
	case v.removing || v.record.user == removed:
		return Restored{Removed: true}, nil
	case v.user == nil && v.record.user != leaving && !force:
		return r, fmt.Errorf("%s %w: all stays as it is, with %d backups in %s; 'agenttrader users remove %s' deletes them too, if the user was to go, and --force takes the user back: what was pruned returns to where it was",
			store.UserPath(uid), ErrVanished, len(made.backups), recordPath(uid)+"/"+Backups, uid)
	}
	if r.Documents, err = m.restoreAll(ctx, made.backups); err != nil {
		return r, err
	}
	if _, err = takeBack(v, force); err != nil {
		return r, err
	}
	if err = m.signalsBack(ctx, made, *v.record.doc, force); err != nil {
		return r, err
	}
	r.Gone, err = m.userBack(ctx, made, force)
	return r, err
}

// made is what there is of a migrated user. Where the user's document is missing it looks twice: another rollback may have deleted it,
// and marked the record, after the record was read.
func (m *Mover) made(ctx context.Context, uid string) (view, error) {
	v, err := read(ctx, m.DB, Row{UserID: uid})
	if err != nil || v.record.doc == nil || v.user != nil {
		return v, err
	}
	return read(ctx, m.DB, Row{UserID: uid})
}

// Forget is for a user who was removed: what is kept of them is deleted, but for the fact that they must not come back. Of a user who
// was never migrated nothing is noted. It returns how many copies there were.
func (m *Mover) Forget(ctx context.Context, uid string) (copies int, err error) {
	for d, err := range document.All(ctx, m.DB, document.Query{Collection: recordPath(uid) + "/" + Backups, Select: []string{"path"}}) {
		if err != nil {
			return copies, err
		}
		if copies++; m.DryRun {
			continue
		}
		if err := m.DB.Delete(ctx, d.Path, time.Time{}); err != nil {
			return copies, err
		}
	}
	d, err := document.Find(ctx, m.DB, recordPath(uid))
	if err != nil || d == nil || m.DryRun {
		return copies, err
	}
	return copies, m.DB.Set(ctx, recordPath(uid), record{user: removed, fields: document.Fields{}}.document())
}

// Kept calls fn with each backup of a user, and the document that it keeps, as it was. damaged says why that can't be read.
func (m *Mover) Kept(ctx context.Context, uid string, fn func(backup, of document.Document, damaged error) error) error {
	for d, err := range document.All(ctx, m.DB, document.Query{Collection: recordPath(uid) + "/" + Backups}) {
		if err != nil {
			return err
		}
		b, damaged := parseBackup(d)
		if err := fn(d, b.of, damaged); err != nil {
			return err
		}
	}
	return nil
}

// restoreAll puts the pruned documents back. One that has been written since is newer, and stays. A backup that can't be read holds up
// the user, whose copies are then all there is, and not the other backups.
func (m *Mover) restoreAll(ctx context.Context, backups []document.Document) (restored int, err error) {
	var damaged error
	for _, d := range backups {
		if d.Fields["pruned"] != true {
			continue
		}
		n, err := m.restore(ctx, d.Path)
		switch restored += n; {
		case errors.Is(err, errDamaged):
			damaged = errors.Join(damaged, fmt.Errorf("%w: the other backups are back, and the user's copies stay", err))
		case err != nil:
			return restored, err
		}
	}
	return restored, damaged
}

func (m *Mover) restore(ctx context.Context, path string) (restored int, err error) {
	err = m.commit(ctx, func(ctx context.Context) (ws []document.Write, err error) {
		restored = 0
		kept, err := document.Find(ctx, m.DB, path)
		if err != nil || kept == nil {
			return nil, err
		}
		b, err := parseBackup(*kept)
		if err != nil {
			return nil, err
		}
		now, err := document.Find(ctx, m.DB, b.of.Path)
		if err != nil {
			return nil, err
		}
		if now == nil {
			restored++
			ws = append(ws, document.Write{Op: document.ToCreate, Path: b.of.Path, Fields: b.of.Fields})
		}
		return append(ws, document.Write{Op: document.ToDelete, Path: path, At: kept.UpdateTime}), nil
	})
	return restored, err
}

// signalsBack removes the copies: what is no older than the record, and is at the predecessor's path too. First it looks for one
// that was changed since.
func (m *Mover) signalsBack(ctx context.Context, made Made, record document.Document, force bool) error {
	if !force {
		if err := m.eachCopy(ctx, made, record, func(target, source document.Document) error {
			if match, _ := compareSignals(made.UserID, source, &target); match != Same && !target.UpdateTime.Equal(target.CreateTime) {
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
	return m.eachCopy(ctx, made, record, func(target, _ document.Document) error {
		switch err := m.DB.Delete(ctx, target.Path, target.UpdateTime); {
		case errors.Is(err, document.ErrConflict):
			return fmt.Errorf("%s: %w", target.Path, ErrChanged)
		case !errors.Is(err, document.ErrNotFound):
			return err
		}
		return nil
	})
}

func (m *Mover) eachCopy(ctx context.Context, made Made, record document.Document, fn func(target, source document.Document) error) error {
	for _, d := range made.signals {
		if d.CreateTime.Before(record.CreateTime) {
			continue
		}
		source, err := document.Find(ctx, m.DB, GlobalSignals+"/"+d.ID())
		if err != nil {
			return err
		}
		if source == nil {
			continue // the platform's own
		}
		target, err := document.Find(ctx, m.DB, d.Path)
		if err != nil {
			return err
		}
		if target == nil {
			continue // another rollback was faster
		}
		if err := fn(*target, *source); err != nil {
			return err
		}
	}
	return nil
}

// userBack is one commit for a user who was there before. One whom the migration has made goes first, so that no syncer begins a snapshot
// any more, and what is left of them after that.
func (m *Mover) userBack(ctx context.Context, made Made, force bool) (gone bool, err error) {
	uid := made.UserID
	for left := true; left && err == nil; {
		err = m.commit(ctx, func(ctx context.Context) ([]document.Write, error) {
			left = false
			v, err := m.made(ctx, uid)
			if err != nil || v.record.doc == nil || v.removing || v.record.user == removed {
				return nil, err // taken back by another run, or removed a moment ago
			}
			if v.record.user != leaving && !v.record.doc.UpdateTime.Equal(made.at) {
				return nil, fmt.Errorf("a run has written %s meanwhile: what was pruned before is back, and the rest stays; end the run, and try again", recordPath(uid))
			}
			if v.user == nil && v.record.user != leaving && !force {
				return nil, fmt.Errorf("%s %w", store.UserPath(uid), ErrVanished)
			}
			b, err := takeBack(v, force)
			if err != nil {
				return nil, err
			}
			gone = gone || b.gone
			if left = v.user != nil && b.gone && !m.DryRun; left {
				return []document.Write{
					{Op: document.ToDelete, Path: v.user.Path, At: v.user.UpdateTime},
					{Op: document.ToUpdate, Path: v.record.doc.Path, Fields: document.Fields{"user": leaving}, At: v.record.doc.UpdateTime},
				}, nil
			}
			kept, err := document.Find(ctx, m.DB, backupPath(uid, store.SnapshotPath(uid)))
			if err != nil {
				return nil, err
			}
			return b.writes(uid, v, kept)
		})
	}
	return gone, err
}

// back is what is undone of one user.
type back struct {
	gone     bool            // the user's document
	user     document.Fields // to be taken out of the user's document
	snapshot bool            // the snapshot goes, or the one before comes back
}

func takeBack(v view, force bool) (b back, err error) {
	rec := v.record
	b.gone = rec.user == created || rec.user == leaving
	if v.user != nil && b.gone && !force {
		for name, has := range v.user.Fields {
			if want, ok := rec.fields[name]; !slices.Contains(bookkeeping, name) && (!ok || !equal(has, want)) && !activated(name, want, has) {
				return b, fmt.Errorf("%s of %s: %w", name, v.user.Path, ErrChanged)
			}
		}
	}
	if !b.gone && v.user != nil {
		b.user = document.Fields{migratedAt: document.Delete}
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

func (b back) writes(uid string, v view, kept *document.Document) (ws []document.Write, err error) {
	if len(b.user) > 0 {
		ws = append(ws, document.Write{Op: document.ToUpdate, Path: v.user.Path, Fields: b.user, At: v.user.UpdateTime})
	}
	switch {
	case b.snapshot && kept != nil:
		before, err := parseBackup(*kept)
		if err != nil {
			return nil, err
		}
		ws = append(ws, replacing(v.snapshot.Path, v.snapshot, before.of.Fields))
	case b.snapshot:
		ws = append(ws, document.Write{Op: document.ToDelete, Path: v.snapshot.Path, At: v.snapshot.UpdateTime})
	}
	if kept != nil {
		ws = append(ws, document.Write{Op: document.ToDelete, Path: kept.Path})
	}
	return append(ws, document.Write{Op: document.ToDelete, Path: recordPath(uid), At: v.record.doc.UpdateTime}), nil
}
