package gcp

import (
	"context"
	"errors"
	"slices"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/iterator"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Collections implements document.Tree.
func (f *Firestore) Collections(ctx context.Context, path string) (names []string, err error) {
	ref, err := f.ref(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	all, err := ref.Collections(ctx).GetAll()
	if err != nil {
		return nil, fault("collections below", path, err)
	}
	for _, c := range all {
		names = append(names, c.ID)
	}
	slices.Sort(names)
	return names, nil
}

// IDs implements document.Tree.
func (f *Firestore) IDs(ctx context.Context, collection, cursor string, limit int) (ids []string, next string, err error) {
	if err := document.CheckCollection(collection); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	var refs []*firestore.DocumentRef
	if next, err = iterator.NewPager(f.client.Collection(collection).DocumentRefs(ctx), limit, cursor).NextPage(&refs); err != nil && !errors.Is(err, iterator.Done) {
		return nil, "", fault("list", collection, err)
	}
	for _, ref := range refs {
		ids = append(ids, ref.ID)
	}
	return ids, next, nil
}
