package sim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// buffers are the answers' bytes; a benchmark's broker answers 10,000 times a second beside what is measured.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, v any) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b, err := appendJSON((*buf)[:0], v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b = append(b, '\n')
	*buf = b
	w.Header().Set("Content-Length", strconv.Itoa(len(*buf)))
	_, _ = w.Write(*buf)
}

// appendJSON is encoding/json for what is answered most, without reflection and without an order of the keys, which JSON
// does not have either; the rest is left to it.
func appendJSON(b []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		for i := range len(v) {
			if v[i] < ' ' || v[i] > '~' || v[i] == '"' || v[i] == '\\' {
				return appendAny(b, v)
			}
		}
		b = append(b, '"')
		b = append(b, v...)
		return append(b, '"'), nil
	case map[string]any:
		b = append(b, '{')
		for k, e := range v {
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, k...) // Alpaca's words, and symbols: nothing to escape
			b = append(b, `":`...)
			if b, err = appendJSON(b, e); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	case []map[string]any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, e); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	}
	return appendAny(b, v)
}

func appendAny(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}
