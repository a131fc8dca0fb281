package document

import (
	"context"
	"iter"
)

// walkPage is how many documents or ids are asked for at once.
const walkPage = 300

// All are all documents that a query finds, however many, read in pages. It ends with the first error. What was handed out may be
// deleted meanwhile; those that are added may be left out.
func All(ctx context.Context, db DB, q Query) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for q.Limit = walkPage; ; {
			docs, err := db.Query(ctx, q)
			if err != nil {
				yield(Document{}, err)
				return
			}
			for _, d := range docs {
				if q.After = d.ID(); q.Group {
					q.After = d.Path
				}
				if !yield(d, nil) {
					return
				}
			}
			if len(docs) < walkPage {
				return
			}
		}
	}
}

// Walk calls visit with the path of each document below one, at any depth, in whatever collection: what lies below a document
// comes before it, so that nothing is left without a way to it if visit deletes and is stopped. A path may be of a document that
// is not there, and only has something below it. Those that are added meanwhile may be left out.
func Walk(ctx context.Context, t Tree, path string, visit func(path string) error) error {
	names, err := t.Collections(ctx, path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := walkCollection(ctx, t, path+"/"+name, visit); err != nil {
			return err
		}
	}
	return nil
}

func walkCollection(ctx context.Context, t Tree, collection string, visit func(string) error) error {
	for cursor := ""; ; {
		ids, next, err := t.IDs(ctx, collection, cursor, walkPage)
		if err != nil {
			return err
		}
		for _, id := range ids {
			path := collection + "/" + id
			if err := Walk(ctx, t, path, visit); err != nil {
				return err
			}
			if err := visit(path); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}
