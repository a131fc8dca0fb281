package document_test

import (
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/document"
)

const database = "projects/p/databases/(default)"

var at = time.Date(2026, 11, 24, 9, 30, 15, 123456000, time.UTC)

// times are of the years that Firestore keeps, in whole microseconds.
var times = rapid.Custom(func(t *rapid.T) time.Time {
	first, end := time.Time{}.UnixMicro(), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	return time.UnixMicro(rapid.Int64Range(first, end-1).Draw(t, "µs")).UTC()
})

var names = rapid.StringN(1, 20, 1500).Filter(func(s string) bool { return !strings.HasPrefix(s, "__") })

// value draws any value that Fields allows, of at most depth maps and arrays in one another; in an array directly
// there is no other.
func value(depth int, inArray bool) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		last := 10
		if depth == 0 {
			last = 7
		}
		switch rapid.IntRange(0, last).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Int64().Draw(t, "int64")
		case 3:
			return rapid.Float64().Draw(t, "float64")
		case 4:
			return rapid.SampledFrom([]any{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1), int64(math.MinInt64), "", []byte{}, time.Time{}}).Draw(t, "edge")
		case 5:
			return rapid.String().Draw(t, "string")
		case 6:
			return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		case 7:
			return times.Draw(t, "time")
		case 8:
			if !inArray {
				return rapid.SliceOfN(value(depth-1, true), 0, 4).Draw(t, "array")
			}
		}
		return rapid.MapOfN(names, value(depth-1, false), 0, 4).Draw(t, "map")
	})
}

var fields = rapid.Custom(func(t *rapid.T) document.Fields {
	return rapid.MapOfN(names, value(4, false), 0, 6).Draw(t, "fields")
})

var paths = rapid.Custom(func(t *rapid.T) string {
	id := rapid.String().Filter(func(s string) bool { return document.CheckID(s) == nil })
	n := 2 * rapid.IntRange(1, 3).Draw(t, "pairs")
	return strings.Join(rapid.SliceOfN(id, n, n).Draw(t, "ids"), "/")
})

var documents = rapid.Custom(func(t *rapid.T) document.Document {
	return document.Document{Path: paths.Draw(t, "path"), Fields: fields.Draw(t, "fields"), CreateTime: times.Draw(t, "created"), UpdateTime: times.Draw(t, "updated")}
})

var same = cmp.Options{cmpopts.EquateNaNs()}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := documents.Draw(t, "document")
		if err := document.CheckFields(d.Fields); err != nil {
			t.Fatal(err)
		}
		b, err := document.Encode(database, d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := document.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got, same); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if id := d.Path[strings.LastIndexByte(d.Path, '/')+1:]; got.ID() != id {
			t.Fatalf("ID = %q, want %q", got.ID(), id)
		}
	})
}

func TestChangeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, now := documents.Draw(t, "old"), documents.Draw(t, "new")
		if rapid.IntRange(0, 4).Draw(t, "same path") > 0 {
			old.Path = now.Path
		}
		encode := func(d *document.Document) []byte {
			if d == nil {
				return nil
			}
			b, err := document.Encode(database, *d)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		want := rapid.SampledFrom([]document.Change{{Path: now.Path, New: &now}, {Path: now.Path, Old: &old, New: &now}, {Path: old.Path, Old: &old}, {}}).Draw(t, "change")
		got, err := document.DecodeChange(document.EncodeChange(encode(want.Old), encode(want.New)))
		if want.Path == "" || want.Old != nil && want.New != nil && old.Path != now.Path {
			if err == nil {
				t.Fatalf("taken: %+v", got)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// Encode and CheckFields refuse the same, so that the twin holds what Firestore does.
func TestCheckFields(t *testing.T) {
	nested := func(n int) any {
		var v any = int64(1)
		for range n / 2 {
			v = map[string]any{"a": []any{v}}
		}
		if n%2 == 1 {
			v = map[string]any{"a": v}
		}
		return v
	}
	long := strings.Repeat("x", 1501)
	for name, c := range map[string]struct {
		v    any
		want string // a part of the error; "" is none
	}{
		"nil": {nil, ""}, "int": {1, ""}, "array of maps": {[]any{map[string]any{"a": []any{}}}, ""}, "empty text": {"", ""},
		"the first time": {time.Time{}, ""}, "the last time": {time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), ""},
		"twenty deep": {nested(20), ""}, "long name": {map[string]any{long[1:]: 1}, ""}, "a name with dots": {map[string]any{"a.b/c`d": 1}, ""},
		"one underscore": {map[string]any{"_a_": 1}, ""}, "half reserved": {map[string]any{"__a": 1, "b__": 2}, ""},

		"int32": {int32(1), "int32"}, "float32": {float32(1), "float32"}, "a struct": {struct{}{}, "struct"}, "a pointer": {new(string), "*string"},
		"strings": {[]string{"a"}, "[]string"}, "an odd map": {map[string]string{}, "map[string]string"}, "uint8 in an array": {[]any{"a", uint8(1)}, "index 1"},
		"deep inside":    {map[string]any{"k": []any{map[string]any{"j": int8(1)}}}, "key k: index 0: key j"},
		"array in array": {[]any{[]any{}}, "directly"}, "array in array in a map": {map[string]any{"k": []any{"x", []any{1}}}, "directly"},
		"twenty-one deep": {nested(21), "more than 20"}, "very deep": {nested(100_000), "more than 20"},
		"no UTF-8": {"a\xff", "UTF-8"}, "no UTF-8 deep": {[]any{map[string]any{"k": "\xff"}}, "UTF-8"}, "name of no UTF-8": {map[string]any{"\xff": 1}, "UTF-8"},
		"no name": {map[string]any{"": 1}, "empty"}, "too long a name": {map[string]any{long: 1}, "1501"}, "a reserved name": {map[string]any{"__a__": 1}, "reserved"},
		"year 0": {time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "year"}, "year 10000": {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "year"},
		"year 10000 in UTC": {time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)), "year"},
		"Delete inside":     {map[string]any{"a": document.Delete}, "sentinel"}, "ServerTime in an array": {[]any{document.ServerTime}, "sentinel"},
	} {
		f := document.Fields{"field": c.v}
		_, encode := document.Encode(database, document.Document{Path: "a/b", Fields: f})
		for what, err := range map[string]error{"CheckFields": document.CheckFields(f), "Encode": encode} {
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || len(err.Error()) > 300) {
				t.Errorf("%s: %s: %.500v, want one with %q", name, what, err, c.want)
			}
		}
	}
	for name, want := range map[string]string{"": "empty", "__x__": "reserved", long: "1501", "\xff": "UTF-8"} {
		if err := document.CheckFields(document.Fields{name: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("field %.40q: %v, want an error with %q", name, err, want)
		}
	}
	top := document.Fields{"a": document.Delete, "b": document.ServerTime}
	if err := document.CheckFields(top); err != nil {
		t.Error(err)
	}
	if _, err := document.Encode(database, document.Document{Path: "a/b", Fields: top}); err == nil {
		t.Error("Encode took a sentinel for a value")
	}
}

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"users/alice": true, "users/alice/alpacaAccounts/snapshot": true, "a/b c/d.e/_f": true, "a/é": true, "a/" + strings.Repeat("x", 1500): true, "a/__b": true, "a/.b": true,
		"": false, "users": false, "users/": false, "/alice": false, "users/alice/": false, "users//x/y": false, "/users/alice": false, "users/alice/alpacaAccounts": false,
		"users/.": false, "users/../secrets/x": false, "users/__a__": false, "users/" + strings.Repeat("x", 1501): false, "users/\xff": false, "__users__/a": false,
	} {
		if err := document.CheckPath(path); (err == nil) != ok || err != nil && len(err.Error()) > 2000 {
			t.Errorf("CheckPath(%.40q) = %v, want ok %t", path, err, ok)
		}
	}
	for id, ok := range map[string]bool{"alice": true, "a/b": false, "": false, "..": false, "__": false, "\xc3": false} {
		if err := document.CheckID(id); (err == nil) != ok {
			t.Errorf("CheckID(%q) = %v, want ok %t", id, err, ok)
		}
	}
}

// testdata holds events as the Firestore emulator sent them.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".pb")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRealEvents(t *testing.T) {
	created := time.Date(2026, 11, 24, 10, 53, 31, 834243000, time.UTC)
	first := &document.Document{Path: "users/u/alpacaAccounts/snapshot", CreateTime: created, UpdateTime: created, Fields: document.Fields{
		"null": nil, "yes": true, "no": false, "int": int64(-7), "double": 103820.56, "text": "ACTIVE", "bytes": []byte{0, 1, 0xff}, "at": at,
		"geo": map[string]any{"latitude": 47.37, "longitude": 8.54}, "ref": "projects/seeds/databases/(default)/documents/users/u",
		"list": []any{int64(1), "two", map[string]any{"three": 3.0}, nil},
		"map":  map[string]any{"a": map[string]any{"b": map[string]any{"c": []any{map[string]any{"d": at}}}}, "empty": map[string]any{}, "none": []any{}},
	}}
	second := *first
	second.UpdateTime = time.Date(2026, 11, 24, 10, 53, 31, 892648000, time.UTC)
	second.Fields = maps.Clone(first.Fields)
	second.Fields["double"], second.Fields["geo"] = 103821.0, nil
	second.Fields["map"] = map[string]any{"a": map[string]any{"b": map[string]any{}}, "empty": map[string]any{}, "none": []any{}}
	for name, want := range map[string]document.Change{
		"created": {Path: first.Path, New: first}, "updated": {Path: first.Path, Old: first, New: &second}, "deleted": {Path: first.Path, Old: &second},
	} {
		got, err := document.DecodeChange(read(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := read(t, "created")
	event := func(d []byte) []byte { return document.EncodeChange(nil, d) }
	for name, c := range map[string]struct {
		body []byte
		want string // a part of the error
	}{
		"empty":                      {nil, "neither"},
		"text":                       {[]byte("{}"), "protobuf"},
		"cut":                        {good[:len(good)/2], "protobuf"},
		"a document alone":           {encodeDeep(1), ""},
		"a collection's path":        {named("users"), "no document path"},
		"no path":                    {named(""), "document name"},
		"an id that is reserved":     {named("users/__a__"), "reserved"},
		"a hole in the path":         {named("users//a/b"), "empty"},
		"twenty-one deep":            {event(encodeDeep(21)), "more than 20"},
		"very deep":                  {event(encodeDeep(3000)), "more than 20"},
		"deeper than protobuf goes":  {event(encodeDeep(6000)), "more than 20"},
		"array in array":             {event(withField(arrayValue(bytesField(9, nil)))), "directly"},
		"a time of year 10000":       {event(withField(timeValue(253402300800, 0))), "field f"},
		"two seconds in nanoseconds": {event(withField(timeValue(1, 2_000_000_000))), "field f"},
		"a value of no kind":         {event(withField(nil)), "unknown type"},
		"a bad create time":          {event(append(withField(bytesField(17, nil)), bytesField(3, varintField(2, -1))...)), "create_time"},
		"a bad update time":          {event(append(withField(bytesField(17, nil)), bytesField(4, varintField(2, -1))...)), "update_time"},
	} {
		got, err := document.DecodeChange(c.body)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 5000 {
			t.Errorf("%s: %+v, %.300v: want an error with %q", name, got, err, c.want)
		}
	}
	if _, err := document.DecodeChange(document.EncodeChange(nil, encodeDeep(20))); err != nil {
		t.Errorf("twenty deep: %v", err)
	}
}

// A time that the event does not have stays zero, and finer ones are cut to what Firestore keeps.
func TestDecodeTimes(t *testing.T) {
	d, err := document.Decode(withField(timeValue(at.Unix(), 123456789)))
	if err != nil {
		t.Fatal(err)
	}
	if !d.CreateTime.IsZero() || !d.UpdateTime.IsZero() || !d.Fields["f"].(time.Time).Equal(at) {
		t.Errorf("created %v, updated %v, f %v; want none, none, %v", d.CreateTime, d.UpdateTime, d.Fields["f"], at)
	}
	b, err := document.Encode(database, document.Document{Path: "a/b", Fields: document.Fields{"f": at.Add(789).In(time.FixedZone("CET", 3600)), "i": 7}})
	if err != nil {
		t.Fatal(err)
	}
	if d, err = document.Decode(b); err != nil || d.Fields["f"] != at || d.Fields["i"] != int64(7) {
		t.Errorf("%v, %v: want %v in UTC and int64(7)", d.Fields, err, at)
	}
}

// What is decoded or encoded shares no bytes with its origin.
func TestNothingIsShared(t *testing.T) {
	in := []byte("abc")
	b, err := document.Encode(database, document.Document{Path: "a/b", Fields: document.Fields{"f": in}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range [][]byte{in, b} {
		for i := range s {
			s[i] = 'x'
		}
	}
	if got := d.Fields["f"].([]byte); !slices.Equal(got, []byte("abc")) {
		t.Errorf("f = %q", got)
	}
}

func TestErrorsDiffer(t *testing.T) {
	all := []error{document.ErrNotFound, document.ErrExists, document.ErrConflict, document.ErrUnavailable, document.ErrDenied}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) = %t", a, b, i != j)
			}
		}
	}
}
