package mem

import (
	"context"
	"slices"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Collections implements document.Tree.
func (db *DB) Collections(ctx context.Context, path string) (names []string, err error) {
	err = db.around(ctx, "collections", path, func() error {
		if err := document.CheckPath(path); err != nil {
			return err
		}
		names = db.below(path + "/")
		return nil
	})
	return names, err
}

// IDs implements document.Tree.
func (db *DB) IDs(ctx context.Context, collection, cursor string, limit int) (ids []string, next string, err error) {
	err = db.around(ctx, "ids", collection, func() error {
		if err := document.CheckCollection(collection); err != nil {
			return err
		}
		ids = slices.DeleteFunc(db.below(collection+"/"), func(id string) bool { return id <= cursor })
		if len(ids) > limit {
			ids, next = ids[:limit], ids[limit-1]
		}
		return nil
	})
	return ids, next, err
}

// below are the different segments that follow a prefix in the paths of documents, in order.
func (db *DB) below(prefix string) (names []string) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for path := range db.docs {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// All calls fn with each document, in no order. fn must not call the database.
func (db *DB) All(fn func(path string, body []byte)) error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for path, s := range db.docs {
		body, err := db.load(s.body)
		if err != nil {
			return err
		}
		fn(path, body)
	}
	return nil
}
