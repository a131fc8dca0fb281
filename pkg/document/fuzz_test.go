package document_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// The wire format by hand, for what Encode refuses to make.

func bytesField(n protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
}

func varintField(n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), uint64(v))
}

func mapEntry(key string, value []byte) []byte {
	return append(bytesField(1, []byte(key)), bytesField(2, value)...)
}

func mapValue(value []byte) []byte   { return bytesField(6, bytesField(1, mapEntry("m", value))) }
func arrayValue(value []byte) []byte { return bytesField(9, bytesField(1, value)) }

func timeValue(seconds, nanos int64) []byte {
	return bytesField(10, append(varintField(1, seconds), varintField(2, nanos)...))
}

func withField(value []byte) []byte {
	return append(bytesField(1, []byte(database+"/documents/a/b")), bytesField(2, mapEntry("f", value))...)
}

func encodeDeep(n int) []byte {
	value := bytesField(17, []byte("x"))
	for range n {
		value = mapValue(value)
	}
	return withField(value)
}

func named(path string) []byte {
	return document.EncodeChange(nil, bytesField(1, []byte(database+"/documents/"+path)))
}

// check says that what was decoded is what Fields allows, and comes back the same.
func check(t *testing.T, d *document.Document) {
	if d == nil {
		return
	}
	if err := document.CheckPath(d.Path); err != nil {
		t.Fatalf("decoded: %v", err)
	}
	b, err := document.Encode(database, *d)
	if err != nil && (strings.Contains(err.Error(), "name") || strings.Contains(err.Error(), "reserved")) {
		return // Firestore's own, such as __type__ of a vector: read, never written
	}
	if err != nil {
		t.Fatalf("decoded, but does not encode: %v", err)
	}
	again, err := document.Decode(b)
	if err != nil {
		t.Fatalf("decoded, encoded, but does not decode: %v", err)
	}
	if diff := cmp.Diff(*d, again, same); diff != "" {
		t.Fatalf("(-first +again):\n%s", diff)
	}
	if d.CreateTime.Location() != time.UTC || d.UpdateTime.Location() != time.UTC {
		t.Fatalf("times in %v, %v", d.CreateTime.Location(), d.UpdateTime.Location())
	}
}

func bounded(t *testing.T, err error) {
	if err != nil && len(err.Error()) > 5000 {
		t.Fatalf("error of %d bytes: %.200s", len(err.Error()), err)
	}
}

func FuzzDecodeChange(f *testing.F) {
	for _, name := range []string{"created", "updated", "deleted", "snapshot"} {
		f.Add(read(f, name))
	}
	for _, b := range [][]byte{nil, named("users"), named("users/u"), document.EncodeChange(encodeDeep(1), encodeDeep(2)), document.EncodeChange(nil, encodeDeep(21)), document.EncodeChange(nil, encodeDeep(100))} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := document.DecodeChange(body)
		if err != nil {
			bounded(t, err)
			return
		}
		if c.Old == nil && c.New == nil || c.Old != nil && c.Old.Path != c.Path || c.New != nil && c.New.Path != c.Path {
			t.Fatalf("change = %+v", c)
		}
		check(t, c.Old)
		check(t, c.New)
	})
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"created", "updated", "deleted", "snapshot"} {
		c, err := document.DecodeChange(read(f, name))
		if err != nil {
			f.Fatal(err)
		}
		for _, d := range []*document.Document{c.Old, c.New} {
			if d != nil {
				b, err := document.Encode(database, *d)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(b)
			}
		}
	}
	for _, b := range [][]byte{
		nil, encodeDeep(20), encodeDeep(21), encodeDeep(100), withField(arrayValue(bytesField(9, nil))), withField(timeValue(-62135596800, 0)), withField(timeValue(1, 1)),
		withField(bytesField(8, append(protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 0x7ff8000000000001), 0))), // a geo point
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := document.Decode(b)
		if err != nil {
			bounded(t, err)
			return
		}
		check(t, &d)
	})
}
