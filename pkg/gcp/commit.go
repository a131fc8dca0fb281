package gcp

import (
	"context"
	"fmt"

	"cloud.google.com/go/firestore"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Commit implements document.Committer, as a transaction that reads nothing.
func (f *Firestore) Commit(ctx context.Context, writes []document.Write) error {
	refs := make([]*firestore.DocumentRef, len(writes))
	for i, w := range writes {
		var err error
		if refs[i], err = f.checked(w.Path, w.Fields); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	err := f.client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		for i, w := range writes {
			if err := put(tx, refs[i], w); err != nil {
				return err
			}
		}
		return nil
	}, firestore.MaxAttempts(attempts))
	if err == nil || len(writes) == 0 {
		return err
	}
	return fault("commit", fmt.Sprintf("%s and %d more", writes[0].Path, len(writes)-1), err)
}

func put(tx *firestore.Transaction, ref *firestore.DocumentRef, w document.Write) error {
	var at []firestore.Precondition
	if !w.At.IsZero() {
		at = append(at, firestore.LastUpdateTime(w.At))
	}
	switch w.Op {
	case document.ToCreate:
		return tx.Create(ref, native(w.Fields))
	case document.ToSet:
		return tx.Set(ref, native(w.Fields))
	case document.ToUpdate:
		return tx.Update(ref, updates(w.Fields), at...)
	default:
		return tx.Delete(ref, at...)
	}
}
