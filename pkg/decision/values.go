package decision

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
	out := make(map[string]any, len(v))
	for k, e := range v {
		p, err := pack(e)
		if err != nil {
			return nil, err
		}
		out[k] = p
	}
	return json.Marshal(out)
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

func pack(v any) (any, error) {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]any{bangFloat: strconv.FormatFloat(v, 'g', -1, 64)}, nil
		}
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return json.RawMessage(s), nil
	case int:
		return int64(v), nil
	case time.Time:
		return map[string]any{bangTime: v.UTC().Format(time.RFC3339Nano)}, nil
	case []byte:
		return map[string]any{bangBytes: base64.StdEncoding.EncodeToString(v)}, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			p, err := pack(e)
			if err != nil {
				return nil, err
			}
			out[i] = p
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			p, err := pack(e)
			if err != nil {
				return nil, err
			}
			out[k] = p
		}
		if _, _, ok := single(out); ok {
			return map[string]any{bangMap: out}, nil
		}
		return out, nil
	case nil, bool, int64, string:
		return v, nil
	}
	return nil, fmt.Errorf("a document can't hold a %T", v)
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
