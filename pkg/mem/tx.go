package mem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// tx is optimistic: it remembers the versions that it read, and commits only if all are still there.
type tx struct {
	db     *DB
	read   map[string]time.Time // zero: not there
	writes []write
}

// Transact implements document.DB.
func (db *DB) Transact(ctx context.Context, fn func(context.Context, document.Tx) error) error {
	for range attempts {
		t := &tx{db: db, read: map[string]time.Time{}}
		if err := fn(ctx, t); err != nil {
			return err
		}
		err := db.around(ctx, "commit", "", t.commit)
		if !errors.Is(err, document.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("transaction gave up after %d attempts: %w", attempts, document.ErrConflict)
}

func (t *tx) commit() error {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	for path, at := range t.read {
		if !t.db.docs[path].updated.Equal(at) {
			return fmt.Errorf("%s: %w", path, document.ErrConflict)
		}
	}
	return t.db.commit(t.writes)
}

func (t *tx) Get(ctx context.Context, path string) (document.Document, error) {
	if len(t.writes) > 0 {
		return document.Document{}, fmt.Errorf("%s: a transaction must read before it writes", path)
	}
	d, err := t.db.Get(ctx, path)
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		return d, err
	}
	t.read[path] = d.UpdateTime
	return d, err
}

func (t *tx) Create(path string, f document.Fields) error { return t.add("create", path, f) }
func (t *tx) Set(path string, f document.Fields) error    { return t.add("set", path, f) }
func (t *tx) Update(path string, f document.Fields) error { return t.add("update", path, f) }
func (t *tx) Delete(path string) error                    { return t.add("delete", path, nil) }

func (t *tx) add(kind, path string, f document.Fields) error {
	t.writes = append(t.writes, write{kind: kind, path: path, fields: f})
	return nil
}
