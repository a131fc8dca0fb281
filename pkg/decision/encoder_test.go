package decision

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"pgregory.net/rapid"
)

// TestEncoder holds the encoder to encoding/json, for records of which each field is set or not.
func TestEncoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Record{}
		fill(t, reflect.ValueOf(r).Elem())
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var e encoder
		if e.record(r); e.err != nil {
			t.Fatal(e.err)
		}
		if string(e.b) != string(want) {
			t.Fatalf("got  %s\nwant %s", e.b, want)
		}
	})
}

// fill sets about half of what can be set.
func fill(t *rapid.T, v reflect.Value) {
	set := rapid.Bool().Draw(t, "set")
	switch x := v.Addr().Interface().(type) {
	case *decimal.Decimal:
		*x = decimal.New(rapid.Int64().Draw(t, "n"), -rapid.Int32Range(0, 9).Draw(t, "scale"))
		return
	case *decimal.NullDecimal:
		if x.Valid = set; set {
			fill(t, v.Field(0))
		}
		return
	case *time.Time:
		if set {
			*x = time.UnixMicro(rapid.Int64Range(0, 1<<51).Draw(t, "micros")).UTC()
		}
		return
	case *values:
		if set {
			*x = values{"a": int64(7), "b": []any{1.5, "x", nil, time.UnixMilli(5).UTC()}, "<": map[string]any{"!c": true}}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if set {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 2).Draw(t, "n")
		if set {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Map:
		if set {
			v.Set(reflect.MakeMap(v.Type()))
			for _, k := range []string{"S", "é&"} {
				e := reflect.New(v.Type().Elem()).Elem()
				fill(t, e)
				v.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), e)
			}
		}
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{"", "x", "a \"b\"\n", "<é>"}).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(set)
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64Range(-9, 1<<50).Draw(t, "n") * int64(rapid.IntRange(0, 1).Draw(t, "is")))
	default:
		t.Fatalf("a record has a %s, which is not filled here", v.Type())
	}
}
