package migration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// ErrByHand is a fault of one user's documents, which the next run will not mend.
var ErrByHand = errors.New("a person has to decide")

// DB is the document database.
type DB interface {
	document.DB
	document.Committer
}

// Mover moves one user, or some signals of one user, at a time. It is safe for concurrent use, of several movers too.
type Mover struct {
	DB     DB
	DryRun bool // change nothing, and tell what would be done
}

// looks is how often somebody else may get in between before the step is left to the next run.
const looks = 10

// commit looks, and commits what look decides on, again if somebody got in between. No writes: nothing is to be done.
func (m *Mover) commit(ctx context.Context, look func(ctx context.Context) ([]document.Write, error)) error {
	for n := 1; ; n++ {
		writes, err := look(ctx)
		if err != nil || len(writes) == 0 || m.DryRun {
			return err
		}
		err = m.DB.Commit(ctx, writes)
		between := errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrExists) || errors.Is(err, document.ErrNotFound)
		if !between || n == looks {
			return err
		}
	}
}

// Outcome is what became of a user's document.
type Outcome string

// The outcomes.
const (
	Created Outcome = "created"
	Merged  Outcome = "merged" // what it did not say was added
	There   Outcome = "there"
	Removed Outcome = "removed" // the user was removed since, and stays so
)

// Done is what became of a user.
type Done struct {
	User     Outcome
	Snapshot Match // as it was found; Missing and Behind were mended. "": there is no source
}

// User makes or completes a user's document, and copies the snapshot. What somebody has set is never changed; neither is a
// snapshot that is newer than the source, or that the syncer has written; a user who was removed does not come back. ErrByHand
// if the documents contradict each other.
func (m *Mover) User(ctx context.Context, r Row) (Done, error) {
	var done Done
	err := m.commit(ctx, func(ctx context.Context) ([]document.Write, error) {
		v, err := read(ctx, m.DB, r)
		if err != nil {
			return nil, err
		}
		p, err := decide(r, v)
		if err != nil {
			return nil, err
		}
		done = p.done
		return p.writes(r.UserID, v)
	})
	if err != nil {
		return Done{}, fmt.Errorf("user %s: %w", r.UserID, err)
	}
	return done, nil
}

// plan is what is written of one user.
type plan struct {
	done     Done
	record   *record
	user     document.Fields // of a user who is created, or what is added
	snapshot document.Fields // nil: nothing is copied
	replaces *document.Document
}

func decide(r Row, v view) (p plan, err error) {
	rec := v.record
	if v.user == nil && (rec.doc != nil || r.Known) {
		return plan{done: Done{User: Removed}}, nil
	}
	if v.user != nil {
		if t, _ := v.user.Fields["tenant_id"].(string); t != "" && r.TenantID != "" && t != r.TenantID {
			return plan{}, fmt.Errorf("is of tenant %.128q, not of %.128q: %w", t, r.TenantID, ErrByHand)
		}
	}
	p.done.User, p.user = profile(r, v.user)
	source, err := newest(r, v)
	if err != nil {
		return plan{}, err
	}
	if source != nil {
		var field string
		switch p.done.Snapshot, field = compareSnapshots(r.UserID, *source, v.snapshot); p.done.Snapshot {
		case Differs:
			return plan{}, fmt.Errorf("%s and %s are of the same time and differ in %s: remove the wrong one: %w", v.snapshot.Path, source.Path, field, ErrByHand)
		case Missing, Behind:
			p.snapshot = copyOfSnapshot(r.UserID, *source)
			if v.snapshot != nil && p.snapshot[keyPath] == nil && v.snapshot.Fields[keyPath] != nil {
				p.snapshot[keyPath] = v.snapshot.Fields[keyPath] // only the user's own path has it
			}
		}
	}
	next := rec
	if rec.doc == nil || rec.user == removed {
		next.user = map[Outcome]string{Created: created, Merged: found, There: found}[p.done.User]
	}
	next.fields = maps.Clone(rec.fields)
	maps.Copy(next.fields, p.user)
	delete(next.fields, "created_at") // the database's
	if r.TenantID != "" {
		next.tenant = r.TenantID
	}
	next.legacy = rec.legacy || r.Legacy
	if p.snapshot != nil {
		if v.snapshot != nil && digest(v.snapshot.Fields) != rec.snapshot && !rec.replaced {
			next.replaced, p.replaces = true, v.snapshot
		}
		next.snapshot = digest(p.snapshot)
	}
	if next.user != rec.user || len(p.user) > 0 || p.snapshot != nil || next.tenant != rec.tenant || next.legacy != rec.legacy {
		p.record = &next
	}
	return p, nil
}

const keyPath = "encrypted_key_path"

// profile is what a user's document gets. How somebody is synced is said only where nobody was.
func profile(r Row, there *document.Document) (Outcome, document.Fields) {
	f := document.Fields{"email": r.Email, "displayName": r.DisplayName, "tenant_id": r.TenantID}
	if there == nil {
		f["status"], f["broker_env"] = string(r.Status), r.BrokerEnv
		if r.Status == "" {
			f["status"] = string(user.Pending)
		}
	}
	for name, v := range f {
		if v == "" || (there != nil && there.Fields[name] != nil) {
			delete(f, name)
		}
	}
	switch {
	case there == nil:
		f["created_at"] = document.ServerTime
		return Created, f
	case len(f) > 0:
		return Merged, f
	}
	return There, nil
}

// newest is the source that counts, nil if there is none. All of them must be the user's, and of the user's account.
func newest(r Row, v view) (source *document.Document, err error) {
	for i, d := range v.sources {
		if err := r.mine(d); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrByHand)
		}
		if source == nil || observed(d.Fields).After(observed(source.Fields)) {
			source = &v.sources[i]
		}
	}
	all := v.sources
	if v.snapshot != nil && !ours(v.snapshot.Fields) { // nothing is copied over ours, of whatever account
		all = append(slices.Clip(all), *v.snapshot)
	}
	account, path := "", ""
	for _, d := range all {
		id, _ := d.Fields["external_account_id"].(string)
		if account != "" && id != "" && id != account {
			return nil, fmt.Errorf("%s is of another account than %s: %w", d.Path, path, ErrByHand)
		}
		if id != "" {
			account, path = id, d.Path
		}
	}
	return source, nil
}

func (p plan) writes(uid string, v view) (ws []document.Write, err error) {
	if p.record == nil {
		return nil, nil
	}
	user := document.Write{Op: document.ToCreate, Path: store.UserPath(uid), Fields: maps.Clone(p.user)}
	if v.user != nil { // even if nothing is added: it must be there still, and as it was
		user.Op, user.At = document.ToUpdate, v.user.UpdateTime
	}
	if user.Fields == nil {
		user.Fields = document.Fields{}
	}
	user.Fields[migratedAt] = document.ServerTime
	record := document.Write{Op: document.ToCreate, Path: recordPath(uid), Fields: p.record.document()}
	if d := v.record.doc; d != nil { // as it was: another run may have made the user since, and that must not be forgotten
		record.Op, record.At = document.ToUpdate, d.UpdateTime
	}
	ws = append(ws, user, record)
	if p.replaces != nil {
		path, f, err := newBackup(uid, *p.replaces, false)
		if err != nil {
			return nil, err
		}
		ws = append(ws, document.Write{Op: document.ToSet, Path: path, Fields: f})
	}
	if p.snapshot != nil {
		ws = append(ws, replacing(store.SnapshotPath(uid), v.snapshot, p.snapshot))
	}
	return ws, nil
}

// migratedAt is the field of a user's document that says when something was migrated last. Each such commit writes it, which takes effect
// only while there is such a user.
const migratedAt = "migrated_at"

// replacing writes a document in place of the one that was read, nil if there was none.
func replacing(path string, was *document.Document, f document.Fields) document.Write {
	if was == nil {
		return document.Write{Op: document.ToCreate, Path: path, Fields: f}
	}
	f = maps.Clone(f)
	for name := range was.Fields {
		if _, stays := f[name]; !stays {
			f[name] = document.Delete
		}
	}
	return document.Write{Op: document.ToUpdate, Path: path, Fields: f, At: was.UpdateTime}
}
