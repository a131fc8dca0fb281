package document_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/document"
)

func TestPeekChange(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	encode := func(f document.Fields) []byte {
		b, err := document.Encode("projects/p/databases/(default)", document.Document{Path: "users/u/alpacaAccounts/snapshot", Fields: f, CreateTime: at, UpdateTime: at})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := encode(document.Fields{"tick": "a", "raw": map[string]any{"tick": "inner", "x": []any{int64(1)}}})
	now := encode(document.Fields{"tick": "b", "seq": 2, "raw": map[string]any{"tick": "inner"}})
	got, err := document.PeekChange(document.EncodeChange(old, now), "tick", "seq")
	if err != nil {
		t.Fatal(err)
	}
	want := document.Change{
		Path: "users/u/alpacaAccounts/snapshot",
		Old:  &document.Document{Path: "users/u/alpacaAccounts/snapshot", Fields: document.Fields{"tick": "a"}, CreateTime: at, UpdateTime: at},
		New:  &document.Document{Path: "users/u/alpacaAccounts/snapshot", Fields: document.Fields{"tick": "b", "seq": int64(2)}, CreateTime: at, UpdateTime: at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("peek (-want +got):\n%s", diff)
	}
}

// An update of some fields leaves the others, the path and the time of creation.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, f := documents.Draw(t, "document"), fields.Draw(t, "fields")
		if len(d.Fields) > 0 { // of the same names too
			for k := range d.Fields {
				if rapid.Bool().Draw(t, "replace") {
					f[k] = value(2, false).Draw(t, "value")
				}
			}
		}
		old, err := document.Encode(database, d)
		if err != nil {
			t.Fatal(err)
		}
		want := d
		want.Fields, want.UpdateTime = maps.Clone(d.Fields), times.Draw(t, "updated")
		update := document.Fields{}
		for k, v := range f {
			if want.Fields[k], update[k] = v, v; rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
				delete(want.Fields, k)
				update[k] = document.Delete
			}
		}
		b, err := document.Merge(old, update, want.UpdateTime)
		if err != nil {
			t.Fatal(err)
		}
		got, err := document.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
	if _, err := document.Merge(nil, document.Fields{"x": struct{}{}}, at); err == nil {
		t.Error("a value that no document can hold was taken")
	}
	if _, err := document.Merge([]byte("{}"), document.Fields{}, at); err == nil {
		t.Error("bytes that are no document were taken")
	}
}

// A look takes what a whole reading takes, and sees the same.
func FuzzPeekChange(f *testing.F) {
	for _, name := range []string{"created", "updated", "deleted", "snapshot"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := document.DecodeChange(b)
		if err != nil {
			return // a look may take more: it reads less
		}
		peeked, err := document.PeekChange(b, "tick")
		if err != nil {
			t.Fatalf("a look fails where the whole is read: %v", err)
		}
		for _, d := range []*document.Document{whole.Old, whole.New} {
			if d != nil {
				for k := range d.Fields {
					if k != "tick" {
						delete(d.Fields, k)
					}
				}
			}
		}
		if diff := cmp.Diff(whole, peeked); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkChange(b *testing.B) {
	body := read(b, "snapshot")
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			_, _ = document.DecodeChange(body)
		}
	})
	b.Run("peek", func(b *testing.B) {
		for b.Loop() {
			_, _ = document.PeekChange(body, "tick", "changed_seq", "slot_minutes")
		}
	})
}
