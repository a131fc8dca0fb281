package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// What a record says of the user's document.
const (
	created = "created" // the migration made it
	found   = "found"   // it was there
	removed = "removed" // it is gone, and must not come back
	leaving = "leaving" // a rollback has deleted it, and deletes the rest
)

// record is migrations/{uid}: what was done, as far as taking it back needs to know.
type record struct {
	doc      *document.Document // nil: there is none yet
	user     string
	fields   document.Fields // that the migration set in the user's document
	tenant   string
	legacy   bool
	snapshot string // digest of the copy; "": none was made
	replaced bool   // the copy took the place of an older one, which is among the backups
}

func parseRecord(d *document.Document) record {
	r := record{doc: d, fields: document.Fields{}}
	if d == nil {
		return r
	}
	text := func(name string) string { s, _ := d.Fields[name].(string); return s }
	r.user, r.tenant, r.snapshot = text("user"), text("tenant_id"), text("snapshot")
	r.legacy, _ = d.Fields["legacy"].(bool)
	r.replaced, _ = d.Fields["replaced"].(bool)
	if f, ok := d.Fields["fields"].(map[string]any); ok {
		r.fields = f
	}
	return r
}

func (r record) document() document.Fields {
	return document.Fields{
		"user": r.user, "fields": r.fields, "tenant_id": r.tenant, "legacy": r.legacy, "snapshot": r.snapshot, "replaced": r.replaced,
		"updated_at": document.ServerTime,
	}
}

// backup is a document as it was before it was pruned or replaced.
type backup struct {
	path   string // where it is kept
	of     document.Document
	pruned bool // it was a source; else the target that a copy replaced
}

// database is what Encode wants; the name is of no meaning in a backup.
const database = "projects/p/databases/(default)"

// The documents are kept encoded: nested in another they could be too deep, or have too many fields for the index.
func newBackup(uid string, of document.Document, pruned bool) (path string, f document.Fields, err error) {
	body, err := document.Encode(database, of)
	if err != nil {
		return "", nil, fmt.Errorf("keep a copy of %s: %w", of.Path, err)
	}
	return backupPath(uid, of.Path), document.Fields{"path": of.Path, "pruned": pruned, "body": body, "updated_at": document.ServerTime}, nil
}

func backupPath(uid, path string) string {
	sum := sha256.Sum256([]byte(path))
	return recordPath(uid) + "/" + Backups + "/" + hex.EncodeToString(sum[:])
}

var errDamaged = errors.New("is damaged")

func parseBackup(d document.Document) (backup, error) {
	body, _ := d.Fields["body"].([]byte)
	of, err := document.Decode(body)
	if err == nil && of.Path != d.Fields["path"] {
		err = errors.New("its path and its body don't agree")
	}
	if err != nil {
		return backup{}, fmt.Errorf("%s %w: %w", d.Path, errDamaged, err)
	}
	pruned, _ := d.Fields["pruned"].(bool)
	return backup{path: d.Path, of: of, pruned: pruned}, nil
}

// Recorded is a user with a record, as it was migrated.
type Recorded struct {
	Row
	Removed bool // and gone since
	at      time.Time
}

// Recorded lists at most limit users who have a record, in the order of their ids; next is where to go on, "" after the last.
func (m *Mover) Recorded(ctx context.Context, after string, limit int) (users []Recorded, next string, err error) {
	docs, err := m.DB.Query(ctx, document.Query{Collection: Records, Select: []string{"user", "tenant_id", "legacy"}, After: after, Limit: limit})
	if err != nil {
		return nil, "", fmt.Errorf("list what was migrated: %w", err)
	}
	for _, d := range docs {
		r := parseRecord(&d)
		users = append(users, Recorded{Row{UserID: d.ID(), TenantID: r.tenant, Legacy: r.legacy, Known: true}, r.user == removed, d.UpdateTime})
	}
	if len(docs) == limit && limit > 0 {
		next = docs[limit-1].ID()
	}
	return users, next, nil
}

// owner is a user's document, nil if there is none, or the user is being removed: then nothing is written any more.
func owner(ctx context.Context, r document.Reader, uid string) (*document.Document, error) {
	d, err := document.Find(ctx, r, store.UserPath(uid))
	if leaves(d) {
		d = nil
	}
	return d, err
}

func leaves(user *document.Document) bool { return user != nil && user.Fields["removed_at"] != nil }

// view is all that there is of one user's migration, without the signals.
type view struct {
	record   record
	user     *document.Document // nil: there is none, or the user is being removed
	removing bool
	snapshot *document.Document
	sources  []document.Document // those that are there
}

func read(ctx context.Context, db document.Reader, r Row) (v view, err error) {
	d, err := document.Find(ctx, db, recordPath(r.UserID))
	if err != nil {
		return v, err
	}
	v.record = parseRecord(d)
	if v.user, err = document.Find(ctx, db, store.UserPath(r.UserID)); err != nil {
		return v, err
	}
	if v.removing = leaves(v.user); v.removing {
		v.user = nil
	}
	if v.snapshot, err = document.Find(ctx, db, store.SnapshotPath(r.UserID)); err != nil {
		return v, err
	}
	for _, path := range r.sources() {
		d, err := document.Find(ctx, db, path)
		if err != nil {
			return v, err
		}
		if d != nil {
			v.sources = append(v.sources, *d)
		}
	}
	return v, nil
}
