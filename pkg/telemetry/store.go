package telemetry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// The kinds of operations that Firestore bills.
const (
	read   = "read"
	write  = "write"
	remove = "delete"
)

// DB counts the documents that are read, written and deleted, as Firestore bills them, by collection; the operations of
// a traced request have spans.
func (t *Telemetry) DB(next document.DB) document.DB {
	if t == nil {
		return next
	}
	return &db{t: t, next: next}
}

type db struct {
	t    *Telemetry
	next document.DB
}

// span begins one of an operation, if it gets one. ended is told how it went.
func (d *db) span(ctx context.Context, op, collection string) (context.Context, func(error)) {
	ctx, span := d.t.call(ctx, strings.TrimSpace("firestore "+op+" "+collection),
		attribute.String("db.system.name", "gcp.firestore"), attribute.String("db.operation.name", op), attribute.String("db.collection.name", collection))
	if span == nil {
		return ctx, func(error) {}
	}
	return ctx, func(err error) {
		if what := outcome(err); what != "" {
			span.SetAttributes(attribute.String("agenttrader.outcome", what))
		}
		failed := ""
		if fault(err) {
			failed = "store"
		}
		end(span, failed)
	}
}

// outcome is an answer of the database's that is no fault of it, in a word.
func outcome(err error) string {
	switch {
	case errors.Is(err, document.ErrNotFound):
		return "not_found"
	case errors.Is(err, document.ErrExists):
		return "exists"
	case errors.Is(err, document.ErrConflict):
		return "conflict"
	}
	return ""
}

// fault tells the database's trouble from its answers. In a transaction the error may be the caller's own, which is none.
func fault(err error) bool {
	return errors.Is(err, document.ErrUnavailable) || errors.Is(err, document.ErrDenied)
}

func (d *db) done(ctx context.Context, op, collection string, n int, err error) {
	if fault(err) {
		d.t.meters.storeFault(ctx, op)
	} else if err == nil || op == read { // a document that is not there is billed as a read
		d.t.meters.stored(ctx, op, collection, n)
	}
}

// Get implements document.DB.
func (d *db) Get(ctx context.Context, path string) (document.Document, error) {
	c := collectionOf(path)
	ctx, ended := d.span(ctx, "get", c)
	doc, err := d.next.Get(ctx, path)
	ended(err)
	d.done(ctx, read, c, 1, err)
	return doc, err
}

// Query implements document.DB.
func (d *db) Query(ctx context.Context, q document.Query) ([]document.Document, error) {
	c := q.Collection[strings.LastIndexByte(q.Collection, '/')+1:]
	ctx, ended := d.span(ctx, "query", c)
	docs, err := d.next.Query(ctx, q)
	ended(err)
	d.done(ctx, read, c, max(1, len(docs)), err) // one without results is billed as one
	return docs, err
}

// Create implements document.DB.
func (d *db) Create(ctx context.Context, path string, f document.Fields) (at time.Time, err error) {
	err = d.write(ctx, "create", write, path, func(ctx context.Context) (err error) {
		at, err = d.next.Create(ctx, path, f)
		return err
	})
	return at, err
}

// Set implements document.DB.
func (d *db) Set(ctx context.Context, path string, f document.Fields) error {
	return d.write(ctx, "set", write, path, func(ctx context.Context) error { return d.next.Set(ctx, path, f) })
}

// Update implements document.DB.
func (d *db) Update(ctx context.Context, path string, f document.Fields, at time.Time) (updated time.Time, err error) {
	err = d.write(ctx, "update", write, path, func(ctx context.Context) (err error) {
		updated, err = d.next.Update(ctx, path, f, at)
		return err
	})
	return updated, err
}

// UpdateAll implements document.DB. Its span is named by the first document.
func (d *db) UpdateAll(ctx context.Context, list []document.Patch) (updated time.Time, err error) {
	first := ""
	if len(list) > 0 {
		first = collectionOf(list[0].Path)
	}
	ctx, ended := d.span(ctx, "update", first)
	updated, err = d.next.UpdateAll(ctx, list)
	ended(err)
	for _, p := range list {
		d.done(ctx, write, collectionOf(p.Path), 1, err)
	}
	return updated, err
}

// Delete implements document.DB.
func (d *db) Delete(ctx context.Context, path string, at time.Time) error {
	return d.write(ctx, "delete", remove, path, func(ctx context.Context) error { return d.next.Delete(ctx, path, at) })
}

func (d *db) write(ctx context.Context, name, op, path string, do func(context.Context) error) error {
	c := collectionOf(path)
	ctx, ended := d.span(ctx, name, c)
	err := do(ctx)
	ended(err)
	d.done(ctx, op, c, 1, err)
	return err
}

// Transact implements document.DB. The writes of the attempt that was committed count, and the reads of all.
func (d *db) Transact(ctx context.Context, fn func(context.Context, document.Tx) error) error {
	ctx, ended := d.span(ctx, "transact", "")
	var last *tx
	err := d.next.Transact(ctx, func(ctx context.Context, next document.Tx) error {
		last = &tx{Tx: next, db: d}
		return fn(ctx, last)
	})
	ended(err)
	if fault(err) {
		d.t.meters.storeFault(ctx, write)
	}
	if err == nil && last != nil {
		for _, w := range last.writes {
			d.t.meters.stored(ctx, w.op, w.collection, 1)
		}
	}
	return err
}

// tx notes what one attempt writes.
type tx struct {
	document.Tx
	db     *db
	mu     sync.Mutex
	writes []written
}

type written struct{ op, collection string }

// Get implements document.Tx.
func (t *tx) Get(ctx context.Context, path string) (document.Document, error) {
	doc, err := t.Tx.Get(ctx, path)
	t.db.done(ctx, read, collectionOf(path), 1, err)
	return doc, err
}

// Create implements document.Tx.
func (t *tx) Create(path string, f document.Fields) error {
	return t.note(write, path, t.Tx.Create(path, f))
}

// Set implements document.Tx.
func (t *tx) Set(path string, f document.Fields) error {
	return t.note(write, path, t.Tx.Set(path, f))
}

// Update implements document.Tx.
func (t *tx) Update(path string, f document.Fields) error {
	return t.note(write, path, t.Tx.Update(path, f))
}

// Delete implements document.Tx.
func (t *tx) Delete(path string) error { return t.note(remove, path, t.Tx.Delete(path)) }

func (t *tx) note(op, path string, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.writes = append(t.writes, written{op, collectionOf(path)})
	}
	return err
}

// collectionOf is the name of a document's collection: the paths are the platform's own, so there are few.
func collectionOf(path string) string {
	end := strings.LastIndexByte(path, '/')
	if end < 0 {
		return ""
	}
	return path[strings.LastIndexByte(path[:end], '/')+1 : end]
}
