package porttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Committing is a database that commits several documents at once.
type Committing interface {
	document.DB
	document.Committer
}

// Committer is the contract of document.Committer. open gives an empty database.
func Committer(t *testing.T, open func(t *testing.T) Committing) {
	db := open(t)
	must(t, db.Commit(t.Context(), nil))
	must(t, db.Set(t.Context(), "c/old", document.Fields{"a": 1, "b": 2}))
	must(t, db.Set(t.Context(), "c/gone", document.Fields{}))
	d, err := db.Get(t.Context(), "c/old")
	must(t, err)
	must(t, db.Commit(t.Context(), []document.Write{
		{Op: document.ToCreate, Path: "c/new", Fields: document.Fields{"n": 1, "at": document.ServerTime}},
		{Op: document.ToUpdate, Path: "c/old", Fields: document.Fields{"a": document.Delete, "c": 3}, At: d.UpdateTime},
		{Op: document.ToSet, Path: "c/set", Fields: document.Fields{"s": true}},
		{Op: document.ToDelete, Path: "c/gone"},
		{Op: document.ToDelete, Path: "c/never"},
	}))
	want(t, db, "c/old", document.Fields{"b": int64(2), "c": int64(3)})
	want(t, db, "c/set", document.Fields{"s": true})
	made, err := db.Get(t.Context(), "c/new")
	must(t, err)
	if _, ok := made.Fields["at"].(time.Time); !ok || made.Fields["n"] != int64(1) {
		t.Errorf("made: %v", made.Fields)
	}
	if !made.CreateTime.Equal(made.UpdateTime) {
		t.Errorf("made at %s, changed at %s", made.CreateTime, made.UpdateTime)
	}
	if _, err := db.Get(t.Context(), "c/gone"); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	now, err := db.Get(t.Context(), "c/old")
	must(t, err)
	if now.UpdateTime.Before(made.CreateTime) || now.CreateTime.After(made.CreateTime) {
		t.Errorf("of one commit: created %s and %s, changed %s", now.CreateTime, made.CreateTime, now.UpdateTime)
	}
	for name, c := range map[string]struct {
		w    document.Write
		want []error
	}{
		"a document that exists": {document.Write{Op: document.ToCreate, Path: "c/old", Fields: document.Fields{}}, []error{document.ErrExists}},
		"one that doesn't":       {document.Write{Op: document.ToUpdate, Path: "c/gone", Fields: document.Fields{"x": 1}}, []error{document.ErrNotFound}},
		"one that was changed":   {document.Write{Op: document.ToUpdate, Path: "c/old", Fields: document.Fields{"x": 1}, At: d.UpdateTime}, []error{document.ErrConflict}},
		"a deletion too late":    {document.Write{Op: document.ToDelete, Path: "c/old", At: d.UpdateTime}, []error{document.ErrConflict}},
		"a deletion of nothing":  {document.Write{Op: document.ToDelete, Path: "c/gone", At: d.UpdateTime}, []error{document.ErrConflict, document.ErrNotFound}},
	} {
		err := db.Commit(t.Context(), []document.Write{{Op: document.ToSet, Path: "c/half", Fields: document.Fields{}}, c.w, {Op: document.ToDelete, Path: "c/set"}})
		ok := false
		for _, e := range c.want {
			ok = ok || errors.Is(err, e)
		}
		if !ok {
			t.Errorf("%s: %v, want one of %v", name, err, c.want)
		}
		if _, err := db.Get(t.Context(), "c/half"); !errors.Is(err, document.ErrNotFound) {
			t.Errorf("%s: half of a commit was written", name)
		}
		want(t, db, "c/set", document.Fields{"s": true})
	}
	if err := db.Commit(t.Context(), []document.Write{{Op: document.ToSet, Path: "c", Fields: document.Fields{}}}); err == nil {
		t.Error("a bad path was taken")
	}
	if err := db.Commit(t.Context(), []document.Write{{Op: document.ToSet, Path: "c/bad", Fields: document.Fields{"x": struct{}{}}}}); err == nil {
		t.Error("a struct was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Commit(ctx, []document.Write{{Op: document.ToSet, Path: "c/late", Fields: document.Fields{}}}); err == nil {
		t.Error("a commit after the context's end")
	}
}
