package document

import "context"

// walkPage is how many ids are asked for at once.
const walkPage = 300

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
