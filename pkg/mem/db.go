// Package mem holds the in-memory twins of what the platform stands on in the cloud: the document database with
// its change events, the secret vault, Pub/Sub's push and the clock. They serve the local runtime and the tests,
// and they fail, delay, redeliver and reorder when told to: a twin that never does hides the bugs that matter.
package mem

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Database is the resource name under which the twin's change events go out.
const Database = "projects/local/databases/(default)"

// Op is one operation on the database, as a Hook sees it.
type Op struct {
	Kind string // "get", "query", "create", "set", "update", "delete", "commit"
	Path string // the document's or collection's; "" for a commit
	Done bool   // false: before it; true: it took effect, and an error now loses only the answer
}

// Hook is called before and after each operation. An error of it is the operation's; a hook that sleeps delays.
type Hook func(ctx context.Context, op Op) error

// Written is one document's write: its encoded forms, before (nil: created) and after (nil: deleted).
type Written struct {
	Path     string
	Old, New []byte // document.Encode's form
	At       time.Time
}

// DB is a document.DB in memory. Documents are kept encoded, so what Firestore could not hold is refused here
// too. Reads and writes are counted as Firestore bills them.
type DB struct {
	now  func() time.Time
	hook Hook

	mu          sync.RWMutex
	docs        map[string]stored // by path
	collections map[string]*collection
	last        time.Time
	watchers    []func(Written)
	file        *file // nil: the documents are in memory

	reads, writes atomic.Int64
}

// collection is the ids of its documents. Most have one document or two, so they must be small.
type collection struct {
	ids    []string // of all there are, and perhaps of some that are gone or named twice unless it is sorted
	sorted bool
}

type stored struct {
	body             body
	created, updated time.Time
}

const attempts = 5 // of a transaction, as Firestore's own client makes

// NewDB makes an empty database. now gives the commit times.
func NewDB(now func() time.Time) *DB {
	return &DB{now: now, docs: map[string]stored{}, collections: map[string]*collection{}}
}

// SetHook makes the database call h around each operation; nil for none. Not while it is in use.
func (db *DB) SetHook(h Hook) { db.hook = h }

// Watch calls fn with every write, in the order of the commits. fn must be quick and must not call the database.
func (db *DB) Watch(fn func(Written)) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.watchers = append(db.watchers, fn)
}

// Counts are the documents read and written so far; a read of nothing counts as one.
func (db *DB) Counts() (reads, writes int64) { return db.reads.Load(), db.writes.Load() }

func (db *DB) around(ctx context.Context, kind, path string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.hook != nil {
		if err := db.hook(ctx, Op{Kind: kind, Path: path}); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if db.hook != nil {
		return db.hook(ctx, Op{Kind: kind, Path: path, Done: true})
	}
	return nil
}

// Get implements document.DB.
func (db *DB) Get(ctx context.Context, path string) (d document.Document, err error) {
	err = db.around(ctx, "get", path, func() error {
		p, err := db.read(path)
		db.reads.Add(1)
		if err == nil && p == nil {
			err = document.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		d, err = document.Decode(p)
		return err
	})
	return d, err
}

// Create implements document.DB.
func (db *DB) Create(ctx context.Context, path string, f document.Fields) (time.Time, error) {
	return db.write(ctx, "create", path, write{kind: "create", path: path, fields: f})
}

// Set implements document.DB.
func (db *DB) Set(ctx context.Context, path string, f document.Fields) error {
	_, err := db.write(ctx, "set", path, write{kind: "set", path: path, fields: f})
	return err
}

// Update implements document.DB.
func (db *DB) Update(ctx context.Context, path string, f document.Fields, at time.Time) (time.Time, error) {
	return db.write(ctx, "update", path, write{kind: "update", path: path, fields: f, at: at})
}

// Delete implements document.DB.
func (db *DB) Delete(ctx context.Context, path string, at time.Time) error {
	_, err := db.write(ctx, "delete", path, write{kind: "delete", path: path, at: at})
	return err
}

// UpdateAll implements document.DB.
func (db *DB) UpdateAll(ctx context.Context, list []document.Patch) (time.Time, error) {
	ws := make([]write, len(list))
	for i, p := range list {
		ws[i] = write{kind: "update", path: p.Path, fields: p.Fields, at: p.At}
	}
	return db.write(ctx, "commit", "", ws...)
}

// write returns the commit time.
func (db *DB) write(ctx context.Context, kind, path string, ws ...write) (at time.Time, err error) {
	err = db.around(ctx, kind, path, func() error {
		db.mu.Lock()
		defer db.mu.Unlock()
		err := db.commit(ws)
		at = db.last
		return err
	})
	return at, err
}

// Query implements document.DB.
func (db *DB) Query(ctx context.Context, q document.Query) (found []document.Document, err error) {
	err = db.around(ctx, "query", q.Collection, func() error {
		found = nil // a hook may make the caller ask again
		if err := q.Check(); err != nil {
			return err
		}
		for body, err := range db.asked(q) {
			if err != nil {
				return err
			}
			d, err := document.Decode(body)
			if err != nil {
				return err
			}
			if !matches(d.Fields, q.Where) {
				continue
			}
			if q.Select != nil {
				maps.DeleteFunc(d.Fields, func(k string, _ any) bool { return !slices.Contains(q.Select, k) })
			}
			found = append(found, d)
			if q.Limit > 0 && len(found) == q.Limit {
				break
			}
		}
		db.reads.Add(int64(max(1, len(found))))
		return nil
	})
	return found, err
}

// asked iterates over a query's collections, without holding the lock while the caller works.
func (db *DB) asked(q document.Query) iter.Seq2[[]byte, error] {
	if !q.Group {
		return db.bodies(q.Collection, q.After)
	}
	return func(yield func([]byte, error) bool) {
		for _, path := range db.group(q.Collection) {
			for body, err := range db.bodies(path, "") {
				if !yield(body, err) {
					return
				}
			}
		}
	}
}

// group is the paths of the collections of one name.
func (db *DB) group(name string) (paths []string) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for path := range db.collections {
		if path == name || strings.HasSuffix(path, "/"+name) {
			paths = append(paths, path)
		}
	}
	// By segments, as Firestore orders paths: a plain comparison would put "a-b" before "a/b".
	slices.SortFunc(paths, func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
	return paths
}

// bodies iterates over a collection in the order of the ids.
func (db *DB) bodies(path, after string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ids := db.sortedIDs(path)
		start := sort.Search(len(ids), func(i int) bool { return ids[i] > after })
		for _, id := range ids[start:] {
			if p, err := db.read(path + "/" + id); (p != nil || err != nil) && !yield(p, err) {
				return
			}
		}
	}
}

func (db *DB) sortedIDs(path string) []string {
	db.mu.Lock()
	defer db.mu.Unlock()
	c := db.collections[path]
	if c == nil {
		return nil
	}
	if !c.sorted {
		ids := make([]string, 0, len(c.ids))
		for _, id := range c.ids {
			if _, ok := db.docs[path+"/"+id]; ok {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		c.ids, c.sorted = slices.Compact(ids), true
	}
	return c.ids // replaced, never changed in place
}

func matches(f document.Fields, where map[string]any) bool {
	for k, want := range where {
		if got, ok := f[k]; !ok || got != want {
			return false
		}
	}
	return true
}

// write is one document's part of a commit.
type write struct {
	kind   string
	path   string
	fields document.Fields
	at     time.Time // precondition of an update; zero for none
}

// commit applies all writes or none. The caller holds the lock.
func (db *DB) commit(ws []write) error {
	now := db.now().UTC().Truncate(time.Microsecond)
	if !now.After(db.last) {
		now = db.last.Add(time.Microsecond) // update times must differ to be a precondition
	}
	staged := make([]change, len(ws))
	pending := map[string]revision{} // several writes of one document in one commit
	for i, w := range ws {
		if err := document.CheckPath(w.path); err != nil {
			return err
		}
		old, ok := pending[w.path]
		if !ok {
			s := db.docs[w.path]
			p, err := db.load(s.body)
			if err != nil {
				return fmt.Errorf("%s: %w", w.path, err)
			}
			old = revision{p, s.created, s.updated}
		}
		next, err := w.apply(old, now)
		if err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		staged[i] = change{old.body, next}
		pending[w.path] = next
	}
	db.last = now
	for i, w := range ws {
		if err := db.put(w.path, staged[i].next); err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		db.writes.Add(1)
		for _, fn := range db.watchers {
			fn(Written{Path: w.path, Old: staged[i].old, New: staged[i].next.body, At: now})
		}
	}
	return nil
}

// revision is a document as a commit sees it; without a body there is none.
type revision struct {
	body             []byte
	created, updated time.Time
}

type change struct {
	old  []byte
	next revision
}

func (w write) apply(old revision, now time.Time) (revision, error) {
	exists := old.body != nil
	switch {
	case w.kind == "delete" && !w.at.IsZero() && !exists:
		return revision{}, document.ErrNotFound
	case w.kind == "delete" && !w.at.IsZero() && !w.at.Equal(old.updated):
		return revision{}, document.ErrConflict
	case w.kind == "delete":
		return revision{}, nil
	case w.kind == "create" && exists:
		return revision{}, document.ErrExists
	case w.kind == "update" && !exists:
		return revision{}, document.ErrNotFound
	case w.kind == "update" && !w.at.IsZero() && !w.at.Equal(old.updated):
		return revision{}, document.ErrConflict
	}
	fields := make(document.Fields, len(w.fields))
	for k, v := range w.fields {
		switch {
		case v == document.ServerTime:
			fields[k] = now
		case v != document.Delete || w.kind == "update":
			fields[k] = v
		}
	}
	if w.kind == "update" {
		body, err := document.Merge(old.body, fields, now)
		return revision{body: body, created: old.created, updated: now}, err
	}
	d := document.Document{Path: w.path, Fields: fields, CreateTime: now, UpdateTime: now}
	if exists {
		d.CreateTime = old.created
	}
	body, err := document.Encode(Database, d)
	return revision{body: body, created: d.CreateTime, updated: now}, err
}

// read is a document's body; nil if there is none.
func (db *DB) read(path string) ([]byte, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.load(db.docs[path].body)
}

func (db *DB) put(path string, v revision) error {
	old, existed := db.docs[path]
	b, err := db.keep(v.body, old.body)
	if err != nil {
		return err
	}
	if v.body == nil {
		delete(db.docs, path)
	} else {
		db.docs[path] = stored{b, v.created, v.updated}
	}
	if existed == (v.body != nil) {
		return nil
	}
	parent, id := split(path)
	c := db.collections[parent]
	if c == nil {
		c = &collection{}
		db.collections[parent] = c
	}
	if c.sorted = false; !existed {
		c.ids = append(c.ids, id)
	}
	return nil
}

func split(path string) (parent, id string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
