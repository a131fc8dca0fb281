package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/mem"
)

// After a rotation of the KMS key, and after a change to another one, rewrapping makes the old version of no use: stopped at
// any write, it goes on where it was, and at every moment all keys can be read.
func TestRewrap(t *testing.T) {
	w := newWorld(t)
	const users = 20
	all := func(what string, v *envelope.Vault) {
		t.Helper()
		for i := range users {
			if err := w.get(v, fmt.Sprintf("u%d", i), "1"); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	ids := map[string]bool{}
	for i := range users {
		w.put(fmt.Sprintf("u%d", i), "1")
		ids[w.DataKeyOf(fmt.Sprintf("u%d", i))] = true
	}
	run := func(r envelope.Rewrapper) (done, left, failed int) {
		t.Helper()
		r.DB = w.db
		err := r.All(t.Context(), func(_ string, ok bool, err error) {
			switch {
			case err != nil:
				failed++
			case ok:
				done++
			default:
				left++
			}
		})
		if err != nil {
			t.Error(err)
		}
		return done, left, failed
	}
	want := func(what string, r envelope.Rewrapper, done, left, failed int) {
		t.Helper()
		if d, l, f := run(r); d != done || l != left || f != failed {
			t.Errorf("%s: %d done, %d left, %d failed; want %d, %d, %d", what, d, l, f, done, left, failed)
		}
	}
	n := len(ids)
	want("nothing to do", envelope.Rewrapper{To: w.kms}, 0, n, 0)
	if err := w.kms.Rotate(); err != nil {
		t.Fatal(err)
	}
	want("a dry run", envelope.Rewrapper{To: w.kms, DryRun: true}, n, 0, 0)
	writes := 0
	w.db.SetHook(func(_ context.Context, op mem.Op) error {
		if op.Kind == "update" && strings.HasPrefix(op.Path, envelope.DataKeys+"/") && !op.Done {
			if writes++; writes > 5 {
				return errors.New("stopped")
			}
		}
		return nil
	})
	want("stopped", envelope.Rewrapper{To: w.kms}, 5, 0, n-5)
	all("stopped", w.another())
	w.db.SetHook(nil)
	want("begun anew", envelope.Rewrapper{To: w.kms}, n-5, 5, 0)
	want("again", envelope.Rewrapper{To: w.kms}, 0, n, 0)
	w.kms.Destroy(1)
	all("the old version is destroyed", w.another())

	// Another key.
	next, err := mem.NewKMS(mem.KMSKey + "-next")
	if err != nil {
		t.Fatal(err)
	}
	want("a key that nobody named", envelope.Rewrapper{To: next}, 0, 0, n)
	both, err := envelope.New(w.db, next, envelope.DefaultConfig(), w.kms)
	if err != nil {
		t.Fatal(err)
	}
	all("before", both)
	want("another key", envelope.Rewrapper{To: next, From: w.kms}, n, 0, 0)
	w.kms.Destroy(2)
	only, err := envelope.New(w.db, next, envelope.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	all("the new key alone", only)

	// Somebody writes in between.
	if err := next.Rotate(); err != nil {
		t.Fatal(err)
	}
	met := false
	w.db.SetHook(func(_ context.Context, op mem.Op) error {
		if op.Kind == "update" && !op.Done && !met {
			met = true
			return document.ErrConflict
		}
		return nil
	})
	want("a conflict", envelope.Rewrapper{To: next}, n, 0, 0)
}
