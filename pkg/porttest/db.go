// Package porttest holds one contract suite for each port. Every adapter, in memory or in the cloud, passes the
// same one.
package porttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// DB is the contract of document.DB. open gives an empty database.
func DB(t *testing.T, open func(t *testing.T) document.DB) {
	for name, test := range map[string]func(*testing.T, document.DB){
		"get": dbGet, "types": dbTypes, "create once": dbCreate, "update": dbUpdate, "precondition": dbPrecondition, "update of several": dbUpdateAll,
		"delete": dbDelete, "delete in a transaction": dbTxDelete, "query in pages": dbQuery, "query by field": dbWhere, "query of a group": dbGroup, "rollback": dbRollback,
		"reads before writes": dbReadsFirst, "create of what was written": dbTxCreate, "concurrent transactions": dbContention, "concurrent creates": dbCreateRace,
		"bad paths": dbPaths,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func dbGet(t *testing.T, db document.DB) {
	if _, err := db.Get(t.Context(), "users/nobody"); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("Get of nothing: %v, want ErrNotFound", err)
	}
	must(t, db.Set(t.Context(), "users/a", document.Fields{"x": 1}))
	d, err := db.Get(t.Context(), "users/a")
	must(t, err)
	if d.Path != "users/a" || d.ID() != "a" || d.UpdateTime.IsZero() || d.CreateTime.IsZero() {
		t.Errorf("Get = %+v, want path, id and times", d)
	}
}

func dbTypes(t *testing.T, db document.DB) {
	at := time.Date(2026, 11, 24, 9, 30, 1, 123456789, time.UTC)
	f := document.Fields{
		"nil": nil, "bool": true, "int": int64(-7), "float": 0.25, "text": "ü", "bytes": []byte{0, 1}, "time": at,
		"list": []any{int64(1), "two", map[string]any{"k": 1.5}}, "map": map[string]any{"a": map[string]any{"b": false}}, "server": document.ServerTime,
	}
	must(t, db.Set(t.Context(), "t/a", f))
	d, err := db.Get(t.Context(), "t/a")
	must(t, err)
	if _, ok := d.Fields["server"].(time.Time); !ok {
		t.Errorf("ServerTime became a %T", d.Fields["server"])
	}
	delete(d.Fields, "server")
	delete(f, "server")
	f["time"] = at.Truncate(time.Microsecond)
	if diff := cmp.Diff(f, d.Fields); diff != "" {
		t.Error("fields came back changed (-want +got):\n" + diff)
	}
	if err := db.Set(t.Context(), "t/b", document.Fields{"x": struct{}{}}); err == nil {
		t.Error("a struct was taken")
	}
	if err := db.Set(t.Context(), "t/b", document.Fields{"x": []any{[]any{}}}); err == nil {
		t.Error("an array in an array was taken")
	}
}

func dbCreate(t *testing.T, db document.DB) {
	created, err := db.Create(t.Context(), "c/a", document.Fields{"n": 1})
	must(t, err)
	if d, err := db.Get(t.Context(), "c/a"); err != nil || !d.UpdateTime.Equal(created) {
		t.Errorf("Create said %s, the document says %s (%v)", created, d.UpdateTime, err)
	}
	if _, err := db.Create(t.Context(), "c/a", document.Fields{"n": 2}); !errors.Is(err, document.ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
	want(t, db, "c/a", document.Fields{"n": int64(1)})
}

func dbUpdate(t *testing.T, db document.DB) {
	if _, err := db.Update(t.Context(), "u/a", document.Fields{"n": 1}, time.Time{}); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("Update of nothing: %v, want ErrNotFound", err)
	}
	must(t, db.Set(t.Context(), "u/a", document.Fields{"keep": 1, "gone": 2, "map": map[string]any{"old": 1}}))
	_, err := db.Update(t.Context(), "u/a", document.Fields{"gone": document.Delete, "map": map[string]any{"new": 2}}, time.Time{})
	must(t, err)
	want(t, db, "u/a", document.Fields{"keep": int64(1), "map": map[string]any{"new": int64(2)}})
}

func dbPrecondition(t *testing.T, db document.DB) {
	must(t, db.Set(t.Context(), "p/a", document.Fields{"n": 1}))
	first, err := db.Get(t.Context(), "p/a")
	must(t, err)
	second, err := db.Update(t.Context(), "p/a", document.Fields{"n": 2}, first.UpdateTime)
	must(t, err)
	if _, err := db.Update(t.Context(), "p/a", document.Fields{"n": 3}, first.UpdateTime); !errors.Is(err, document.ErrConflict) {
		t.Errorf("Update on an overtaken version: %v, want ErrConflict", err)
	}
	want(t, db, "p/a", document.Fields{"n": int64(2)})
	_, err = db.Update(t.Context(), "p/a", document.Fields{"n": 4}, second)
	must(t, err) // the time that Update returned is the document's
	if err := db.Delete(t.Context(), "p/a", second); !errors.Is(err, document.ErrConflict) {
		t.Errorf("Delete of an overtaken version: %v, want ErrConflict", err)
	}
	now, err := db.Get(t.Context(), "p/a")
	must(t, err)
	must(t, db.Delete(t.Context(), "p/a", now.UpdateTime))
	if err := db.Delete(t.Context(), "p/a", now.UpdateTime); !errors.Is(err, document.ErrNotFound) && !errors.Is(err, document.ErrConflict) {
		t.Errorf("Delete of a version that is gone: %v, want ErrNotFound or ErrConflict", err)
	}
}

// dbUpdateAll: all or none, each under its own precondition, and all with one update time.
func dbUpdateAll(t *testing.T, db document.DB) {
	list := []document.Patch{{Path: "m/a", Fields: document.Fields{"n": 2, "old": document.Delete, "at": document.ServerTime}}, {Path: "k/b/m/b", Fields: document.Fields{"n": 2, "map": map[string]any{"new": true}}}}
	must(t, db.Set(t.Context(), "m/a", document.Fields{"n": 1, "old": true, "kept": "x"}))
	if _, err := db.UpdateAll(t.Context(), list); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("one is missing: %v, want ErrNotFound", err)
	}
	want(t, db, "m/a", document.Fields{"n": int64(1), "old": true, "kept": "x"})
	must(t, db.Set(t.Context(), "k/b/m/b", document.Fields{"n": 1, "map": map[string]any{"was": true}}))
	first, err := db.UpdateAll(t.Context(), list)
	must(t, err)
	for i, p := range list {
		d, err := db.Get(t.Context(), p.Path)
		must(t, err)
		if !d.UpdateTime.Equal(first) || d.Fields["n"] != int64(2) {
			t.Errorf("%s = %+v; want n 2, and the update time %s that was returned", p.Path, d, first)
		}
		if _, ok := d.Fields["at"].(time.Time); i == 0 && (!ok || d.Fields["kept"] != "x" || d.Fields["old"] != nil) {
			t.Errorf("%s = %v; want kept x, no old, and a time", p.Path, d.Fields)
		}
		list[i].At = first
	}
	want(t, db, "k/b/m/b", document.Fields{"n": int64(2), "map": map[string]any{"new": true}})
	list[0].Fields["n"], list[1].Fields["n"] = 3, 3
	second, err := db.UpdateAll(t.Context(), list)
	must(t, err)
	if !second.After(first) {
		t.Errorf("update time went from %s to %s", first, second)
	}
	list[0].At, list[0].Fields["n"] = second, 4
	if _, err := db.UpdateAll(t.Context(), list); !errors.Is(err, document.ErrConflict) {
		t.Errorf("one on an overtaken version: %v, want ErrConflict", err)
	}
	if d, err := db.Get(t.Context(), "m/a"); err != nil || d.Fields["n"] != int64(3) || !d.UpdateTime.Equal(second) {
		t.Errorf("m/a = %+v, %v; want it as it was", d, err)
	}
	list[0].Path = "m"
	if _, err := db.UpdateAll(t.Context(), list); err == nil {
		t.Error("a bad path was taken")
	}
}

func dbTxDelete(t *testing.T, db document.DB) {
	must(t, db.Set(t.Context(), "x/a", document.Fields{"n": 1}))
	must(t, db.Transact(t.Context(), func(ctx context.Context, tx document.Tx) error {
		if _, err := tx.Get(ctx, "x/a"); err != nil {
			return err
		}
		return errors.Join(tx.Create("x/b", document.Fields{"n": 2}), tx.Delete("x/a"))
	}))
	if _, err := db.Get(t.Context(), "x/a"); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("Get of what a transaction deleted: %v, want ErrNotFound", err)
	}
	want(t, db, "x/b", document.Fields{"n": int64(2)})
}

func dbDelete(t *testing.T, db document.DB) {
	must(t, db.Delete(t.Context(), "d/a", time.Time{}))
	must(t, db.Set(t.Context(), "d/a", document.Fields{"n": 1}))
	must(t, db.Delete(t.Context(), "d/a", time.Time{}))
	if _, err := db.Get(t.Context(), "d/a"); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
}

func dbQuery(t *testing.T, db document.DB) {
	for i := range 25 {
		must(t, db.Set(t.Context(), fmt.Sprintf("q/%02d", i), document.Fields{"n": i, "secret": "x"}))
	}
	must(t, db.Set(t.Context(), "q/03/sub/x", document.Fields{"n": 1})) // of another collection
	var ids []string
	for after := ""; ; {
		docs, err := db.Query(t.Context(), document.Query{Collection: "q", After: after, Limit: 10, Select: []string{"n"}})
		must(t, err)
		for _, d := range docs {
			ids = append(ids, d.ID())
			if _, ok := d.Fields["secret"]; ok {
				t.Fatalf("%s came with a field that was not selected", d.Path)
			}
		}
		if len(docs) < 10 {
			break
		}
		after = docs[len(docs)-1].ID()
	}
	var all []string
	for i := range 25 {
		all = append(all, fmt.Sprintf("%02d", i))
	}
	if diff := cmp.Diff(all, ids); diff != "" {
		t.Error("ids (-want +got):\n" + diff)
	}
	docs, err := db.Query(t.Context(), document.Query{Collection: "nothing/here/sub"})
	if err != nil || len(docs) != 0 {
		t.Errorf("Query of nothing = %v, %v; want none and no error", docs, err)
	}
}

func dbWhere(t *testing.T, db document.DB) {
	must(t, db.Set(t.Context(), "w/a", document.Fields{"on": true}))
	must(t, db.Set(t.Context(), "w/b", document.Fields{"on": false}))
	must(t, db.Set(t.Context(), "w/c", document.Fields{}))
	docs, err := db.Query(t.Context(), document.Query{Collection: "w", Where: map[string]any{"on": true}})
	must(t, err)
	if len(docs) != 1 || docs[0].ID() != "a" {
		t.Errorf("Where on = true: %v, want a alone", docs)
	}
}

func dbRollback(t *testing.T, db document.DB) {
	must(t, db.Set(t.Context(), "r/a", document.Fields{"n": 1}))
	mine := errors.New("mine")
	err := db.Transact(t.Context(), func(_ context.Context, tx document.Tx) error {
		must(t, tx.Set("r/a", document.Fields{"n": 2}))
		return mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("Transact = %v, want the function's own error", err)
	}
	err = db.Transact(t.Context(), func(_ context.Context, tx document.Tx) error {
		return errors.Join(tx.Set("r/new", document.Fields{"n": 1}), tx.Create("r/a", document.Fields{"n": 3}))
	})
	if !errors.Is(err, document.ErrExists) {
		t.Errorf("Create of what exists: %v, want ErrExists", err)
	}
	want(t, db, "r/a", document.Fields{"n": int64(1)})
	if _, err := db.Get(t.Context(), "r/new"); !errors.Is(err, document.ErrNotFound) {
		t.Error("half of a transaction was written")
	}
}

func dbTxCreate(t *testing.T, db document.DB) {
	must(t, db.Set(t.Context(), "tc/a", document.Fields{"n": 1}))
	for name, write := range map[string]func(document.Tx) error{
		"update": func(tx document.Tx) error { return tx.Update("tc/a", document.Fields{"n": 2}) },
		"set":    func(tx document.Tx) error { return tx.Set("tc/a", document.Fields{"n": 2}) },
	} {
		err := db.Transact(t.Context(), func(_ context.Context, tx document.Tx) error {
			return errors.Join(write(tx), tx.Create("tc/a", document.Fields{"n": 3}))
		})
		if !errors.Is(err, document.ErrExists) {
			t.Errorf("%s, then create: %v, want ErrExists", name, err)
		}
		want(t, db, "tc/a", document.Fields{"n": int64(1)})
	}
}

func dbGroup(t *testing.T, db document.DB) {
	for _, path := range []string{"g/b/notes/x", "g/a/notes/y", "g/a-b/notes/z", "g/a/other/y", "notes/top", "g/c/notes/off"} {
		must(t, db.Set(t.Context(), path, document.Fields{"on": path != "g/c/notes/off", "n": 1}))
	}
	docs, err := db.Query(t.Context(), document.Query{Collection: "notes", Group: true, Where: map[string]any{"on": true}, Select: []string{"n"}})
	must(t, err)
	var got []string
	for _, d := range docs {
		got = append(got, d.Path)
		if diff := cmp.Diff(document.Fields{"n": int64(1)}, d.Fields); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d.Path, diff)
		}
	}
	if diff := cmp.Diff([]string{"g/a/notes/y", "g/a-b/notes/z", "g/b/notes/x", "notes/top"}, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	must(t, db.Set(t.Context(), "g/b/notes/w", document.Fields{}))
	docs, err = db.Query(t.Context(), document.Query{Collection: "notes", Group: true, Limit: 2})
	if must(t, err); len(docs) != 2 {
		t.Errorf("%d documents, want 2", len(docs))
	}
	got = nil
	for after := ""; ; { // in pages, from collection to collection
		page, err := db.Query(t.Context(), document.Query{Collection: "notes", Group: true, After: after, Limit: 2})
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			got, after = append(got, d.Path), d.Path
		}
	}
	if diff := cmp.Diff([]string{"g/a/notes/y", "g/a-b/notes/z", "g/b/notes/w", "g/b/notes/x", "g/c/notes/off", "notes/top"}, got); diff != "" {
		t.Errorf("paths in pages (-want +got):\n%s", diff)
	}
	for _, q := range []document.Query{{Collection: "g/a/notes", Group: true}, {Collection: "notes", Group: true, After: "x"}, {Collection: "notes", Group: true, After: "g/a/other/y"}, {Group: true}, {Collection: "g/a"}, {}} {
		if _, err := db.Query(t.Context(), q); err == nil {
			t.Errorf("Query(%+v) was taken", q)
		}
	}
}

func dbReadsFirst(t *testing.T, db document.DB) {
	err := db.Transact(t.Context(), func(ctx context.Context, tx document.Tx) error {
		must(t, tx.Set("rf/a", document.Fields{}))
		_, err := tx.Get(ctx, "rf/a")
		return err
	})
	if err == nil || errors.Is(err, document.ErrNotFound) {
		t.Errorf("a read after a write in a transaction: %v, want a refusal", err)
	}
}

func dbContention(t *testing.T, db document.DB) {
	must(t, db.Set(t.Context(), "n/a", document.Fields{"n": 0}))
	const workers, each = 4, 5
	var done int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := db.Transact(t.Context(), func(ctx context.Context, tx document.Tx) error {
					d, err := tx.Get(ctx, "n/a")
					if err != nil {
						return err
					}
					return tx.Update("n/a", document.Fields{"n": d.Fields["n"].(int64) + 1})
				})
				if err != nil && !errors.Is(err, document.ErrConflict) {
					t.Errorf("Transact: %v, want nil or ErrConflict", err)
				}
				if err == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if done == 0 {
		t.Error("no transaction went through")
	}
	want(t, db, "n/a", document.Fields{"n": done})
}

func dbCreateRace(t *testing.T, db document.DB) {
	var mu sync.Mutex
	created := 0
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := db.Create(t.Context(), "race/a", document.Fields{"by": i})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				created++
			} else if !errors.Is(err, document.ErrExists) {
				t.Errorf("Create: %v, want nil or ErrExists", err)
			}
		})
	}
	wg.Wait()
	if created != 1 {
		t.Errorf("%d creates went through, want 1", created)
	}
}

func dbPaths(t *testing.T, db document.DB) {
	for _, path := range []string{"", "users", "users/", "users/a/b", "users/..", "users/__x__"} {
		if err := db.Set(t.Context(), path, document.Fields{}); err == nil {
			t.Errorf("Set(%q) was taken", path)
		}
	}
}

func want(t *testing.T, db document.DB, path string, f document.Fields) {
	t.Helper()
	d, err := db.Get(t.Context(), path)
	must(t, err)
	if diff := cmp.Diff(f, d.Fields); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
