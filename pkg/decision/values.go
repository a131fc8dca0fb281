package decision

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// values are a document's fields (document.Fields) as JSON that keeps their types: whole numbers stay apart from floats,
// and what JSON lacks is an object with one name that begins with "!".
type values map[string]any

// The names of what JSON lacks.
const (
	bangTime  = "!time"
	bangBytes = "!bytes"
	bangFloat = "!float" // NaN and the infinities
	bangMap   = "!map"   // a map whose only name begins with "!"
)

// MarshalJSON implements json.Marshaler.
func (v values) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	return appendMap(make([]byte, 0, 256), v)
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *values) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var in map[string]any
	if err := d.Decode(&in); err != nil {
		return err
	}
	if in == nil {
		*v = nil
		return nil
	}
	*v = make(values, len(in))
	for k, e := range in {
		u, err := unpack(e)
		if err != nil {
			return err
		}
		(*v)[k] = u
	}
	return nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendText(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return appendBang(b, bangFloat, strconv.FormatFloat(v, 'g', -1, 64)), nil
		}
		begin := len(b)
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
		if !bytes.ContainsAny(b[begin:], ".e") {
			b = append(b, ".0"...)
		}
		return b, nil
	case time.Time:
		return appendBang(b, bangTime, v.UTC().Format(time.RFC3339Nano)), nil
	case []byte:
		return appendBang(b, bangBytes, base64.StdEncoding.EncodeToString(v)), nil
	case []any:
		b = append(b, '[')
		for _, e := range v {
			var err error
			if b, err = appendValue(comma(b), e); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		if _, _, ok := single(v); !ok {
			return appendMap(b, v)
		}
		b, err := appendMap(append(b, `{"`+bangMap+`":`...), v)
		return append(b, '}'), err
	}
	return nil, fmt.Errorf("a document can't hold a %T", v)
}

func appendBang(b []byte, name, v string) []byte {
	return append(appendText(append(append(append(b, `{"`...), name...), `":`...), v), '}')
}

// appendMap is a map in the order of its names.
func appendMap(b []byte, m map[string]any) ([]byte, error) {
	b = append(b, '{')
	for _, name := range sorted(m) {
		var err error
		if b, err = appendValue(append(appendText(comma(b), name), ':'), m[name]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func sorted[T any](m map[string]T) []string {
	names := make([]string, 0, 16) // mostly no more, and on the stack then
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// single is a map's only entry, if its name begins with "!".
func single(m map[string]any) (name string, v any, ok bool) {
	if len(m) != 1 {
		return "", nil, false
	}
	for name, v = range m {
	}
	return name, v, strings.HasPrefix(name, "!")
}

func unpack(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return v.Float64()
		}
		return v.Int64()
	case []any:
		for i, e := range v {
			u, err := unpack(e)
			if err != nil {
				return nil, err
			}
			v[i] = u
		}
		return v, nil
	case map[string]any:
		if name, e, ok := single(v); ok {
			return unbang(name, e)
		}
		return unpackMap(v)
	}
	return v, nil
}

func unpackMap(m map[string]any) (any, error) {
	for k, e := range m {
		u, err := unpack(e)
		if err != nil {
			return nil, err
		}
		m[k] = u
	}
	return m, nil
}

func unbang(name string, v any) (any, error) {
	s, _ := v.(string)
	switch name {
	case bangTime:
		return time.Parse(time.RFC3339Nano, s)
	case bangBytes:
		return base64.StdEncoding.DecodeString(s)
	case bangFloat:
		return strconv.ParseFloat(s, 64)
	case bangMap:
		if m, ok := v.(map[string]any); ok {
			return unpackMap(m)
		}
	}
	return nil, errors.New("a value of a kind that is not known")
}
