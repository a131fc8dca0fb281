package porttest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Tree is the contract of document.Tree, of an empty database.
func Tree(t *testing.T, db document.DB) {
	tree, ok := db.(document.Tree)
	if !ok {
		t.Fatalf("a %T is no document.Tree", db)
	}
	paths := []string{"users/a", "users/a/x/1", "users/a/x/1/deep/2", "users/a/y/gone/z/3", "users/a/y/gone/z/4", "users/ab/x/1", "users/b"}
	for _, p := range paths {
		must(t, db.Set(t.Context(), p, document.Fields{"n": 1}))
	}
	names := func(path string, want ...string) {
		t.Helper()
		got, err := tree.Collections(t.Context(), path)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("collections below %s: %v, %v; want %v", path, got, err, want)
		}
	}
	names("users/a", "x", "y")
	names("users/a/y/gone", "z")
	names("users/ab", "x")
	names("users/b")
	names("users/nobody")
	ids, next, err := tree.IDs(t.Context(), "users", "", 2)
	if err != nil || !slices.Equal(ids, []string{"a", "ab"}) || next == "" {
		t.Fatalf("the first two users: %v, %q, %v; want a, and ab, who has something below and is not there", ids, next, err)
	}
	must(t, db.Delete(t.Context(), "users/a", time.Time{}))
	ids, next, err = tree.IDs(t.Context(), "users", next, 2)
	if err != nil || !slices.Equal(ids, []string{"b"}) || next != "" {
		t.Errorf("the rest: %v, %q, %v; want b, and no other page", ids, next, err)
	}
	if ids, next, err := tree.IDs(t.Context(), "nothing", "", 2); err != nil || len(ids) != 0 || next != "" {
		t.Errorf("an empty collection: %v, %q, %v", ids, next, err)
	}
	for _, bad := range []string{"", "users", "users/a/x", "users//x/1"} {
		if _, err := tree.Collections(t.Context(), bad); err == nil {
			t.Errorf("collections below %q: no error", bad)
		}
	}
	for _, bad := range []string{"", "users/a", "users//x"} {
		if _, _, err := tree.IDs(t.Context(), bad, "", 2); err == nil {
			t.Errorf("ids of %q: no error", bad)
		}
	}

	// A walk meets all of one user's, whatever lies above it, and nobody else's; also when it deletes as it goes, in pages.
	for i := range 310 {
		must(t, db.Set(t.Context(), fmt.Sprintf("users/a/x/n%03d", i), document.Fields{"n": i}))
	}
	walk := func() (met []string) {
		must(t, document.Walk(t.Context(), tree, "users/a", func(path string) error {
			met = append(met, path)
			return db.Delete(t.Context(), path, time.Time{})
		}))
		return met
	}
	met := walk()
	if len(met) != 310+5 {
		t.Errorf("a walk met %d paths, want 315", len(met))
	}
	rest := slices.DeleteFunc(met, func(p string) bool { return len(p) == len("users/a/x/n000") && p[10] == 'n' })
	if d := cmp.Diff([]string{"users/a/x/1/deep/2", "users/a/x/1", "users/a/y/gone/z/3", "users/a/y/gone/z/4", "users/a/y/gone"}, rest); d != "" {
		t.Errorf("a walk (-want +got):\n%s", d)
	}
	if met := walk(); len(met) > 0 {
		t.Errorf("after it: %v", met)
	}
	want(t, db, "users/ab/x/1", document.Fields{"n": int64(1)})
}
