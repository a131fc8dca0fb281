package mem_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
)

func TestDB(t *testing.T) {
	porttest.DB(t, func(*testing.T) document.DB { return mem.NewDB(time.Now) })
	t.Run("in a file", func(t *testing.T) {
		porttest.DB(t, func(t *testing.T) document.DB {
			db := mem.NewDB(time.Now)
			if err := db.InFile(t.TempDir()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db
		})
	})
}

func TestCopiesContract(t *testing.T) {
	porttest.Copies(t, func(*testing.T) document.DB { return mem.NewDB(time.Now) })
}

func TestStore(t *testing.T) {
	porttest.Store(t, func(t *testing.T) (porttest.Stores, func(string) []map[string]any) {
		db := mem.NewDB(time.Now)
		return store.New(db), func(uid string) (fields []map[string]any) {
			docs, err := db.Query(t.Context(), document.Query{Collection: store.UserPath(uid) + "/" + store.Signals})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				fields = append(fields, d.Fields)
			}
			return fields
		}
	})
}

// clockOfTest is a clock that tests set.
type clockOfTest struct{ now time.Time }

func (c *clockOfTest) Now() time.Time                      { return c.now }
func (c *clockOfTest) Advance(d time.Duration)             { c.now = c.now.Add(d) }
func (c *clockOfTest) Scale(d time.Duration) time.Duration { return d }

func TestReservationsInAnyInterleaving(t *testing.T) {
	porttest.Interleavings(t, math.MaxInt, func(*testing.T) (porttest.Stores, porttest.Clock) {
		c := &clockOfTest{now: time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)}
		return store.New(mem.NewDB(c.Now)), c
	})
}

// Two deliveries for one user, each of a strategy that wants all the buying power, a thousand times.
func TestAllBuyingPowerOnce(t *testing.T) {
	porttest.AllPowerOften(t, 1000, 4, mem.NewDB(time.Now))
}

func TestDBFailsOnDemand(t *testing.T) {
	db := mem.NewDB(time.Now)
	lost := errors.New("answer lost")
	db.SetHook(func(_ context.Context, op mem.Op) error {
		switch {
		case op.Kind == "set" && !op.Done && op.Path == "a/before":
			return document.ErrUnavailable
		case op.Kind == "set" && op.Done && op.Path == "a/after":
			return lost
		}
		return nil
	})
	if err := db.Set(t.Context(), "a/before", nil); !errors.Is(err, document.ErrUnavailable) {
		t.Errorf("Set = %v, want ErrUnavailable", err)
	}
	if _, err := db.Get(t.Context(), "a/before"); !errors.Is(err, document.ErrNotFound) {
		t.Error("a write that failed was done")
	}
	if err := db.Set(t.Context(), "a/after", nil); !errors.Is(err, lost) {
		t.Errorf("Set = %v, want the lost answer", err)
	}
	if _, err := db.Get(t.Context(), "a/after"); err != nil {
		t.Errorf("a write whose answer was lost is not there: %v", err)
	}
}

// A transaction that somebody got in between of is run again on what is there then.
func TestTransactionRunsAgain(t *testing.T) {
	db := mem.NewDB(time.Now)
	if err := db.Set(t.Context(), "a/x", document.Fields{"n": 1}); err != nil {
		t.Fatal(err)
	}
	runs := 0
	err := db.Transact(t.Context(), func(ctx context.Context, tx document.Tx) error {
		runs++
		d, err := tx.Get(ctx, "a/x")
		if err != nil {
			return err
		}
		if runs == 1 {
			if err := db.Set(ctx, "a/x", document.Fields{"n": 10}); err != nil {
				return err
			}
		}
		return tx.Update("a/x", document.Fields{"n": d.Fields["n"].(int64) + 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := db.Get(t.Context(), "a/x")
	if err != nil || runs != 2 || d.Fields["n"] != int64(11) {
		t.Errorf("after %d runs: %v, %v; want 11 after 2", runs, d.Fields, err)
	}
}

// The change events carry the old and the new document, in the order of the commits.
func TestWatch(t *testing.T) {
	db := mem.NewDB(time.Now)
	var got []document.Change
	db.Watch(func(w mem.Written) {
		c, err := document.DecodeChange(document.EncodeChange(w.Old, w.New))
		if err != nil {
			t.Error(err)
		}
		got = append(got, c)
	})
	ctx := t.Context()
	_, created := db.Create(ctx, "a/x", document.Fields{"n": 1})
	_, updated := db.Update(ctx, "a/x", document.Fields{"n": 2}, time.Time{})
	for _, err := range []error{created, updated, db.Delete(ctx, "a/x", time.Time{})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fields := func(d *document.Document) any {
		if d == nil {
			return nil
		}
		return d.Fields["n"]
	}
	var have [][2]any
	for _, c := range got {
		if c.Path != "a/x" {
			t.Errorf("path %q", c.Path)
		}
		have = append(have, [2]any{fields(c.Old), fields(c.New)})
	}
	want := [][2]any{{nil, int64(1)}, {int64(1), int64(2)}, {int64(2), nil}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error("changes (-want +got):\n" + diff)
	}
}
