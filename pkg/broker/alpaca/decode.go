package alpaca

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// decode reads the answer as documents hold JSON: whole numbers as int64, others as their exact text. The SDK turns
// what is missing into 0 and false; here it stays missing.
func decode[T map[string]any | []any](c *call) (T, error) {
	if !json.Valid(c.body) {
		return nil, errors.New("the answer is no JSON")
	}
	answer := (&reader{c: c, b: c.body, redacts: c.mayHoldKeys()}).value(0)
	v, ok := answer.(T)
	if !ok {
		return nil, fmt.Errorf("the answer is a %T, want a %T", answer, v)
	}
	return v, nil
}

// mayHoldKeys says whether a text of the answer can hold a key: as it is, or escaped.
func (c *call) mayHoldKeys() bool {
	keyID, secretKey := c.creds.Reveal()
	return bytes.IndexByte(c.body, '\\') >= 0 || bytes.Contains(c.body, []byte(secretKey)) || bytes.Contains(c.body, []byte(keyID))
}

// reader reads JSON that is valid. encoding/json would take three times as long, and it is read for each user and minute.
type reader struct {
	c       *call
	b       []byte
	at      int
	redacts bool
}

// value is the next value, which stands directly in so many arrays.
func (r *reader) value(arrays int) any {
	switch r.peek() {
	case '{':
		m := make(map[string]any, 32)
		for r.at++; r.peek() != '}'; {
			k := r.text()
			r.next(':')
			m[k] = r.value(0)
			r.next(',')
		}
		r.at++
		return m
	case '[':
		list := []any{}
		for r.at++; r.peek() != ']'; {
			list = append(list, r.value(arrays+1))
			r.next(',')
		}
		r.at++
		if arrays == 1 { // the outermost of those in an array: the database takes none, so it is its text
			text, _ := json.Marshal(list)
			return r.c.redact(string(text))
		}
		return list
	case '"':
		s := r.text()
		if r.redacts {
			s = r.c.redact(s)
		}
		return s
	case 't':
		r.at += len("true")
		return true
	case 'f':
		r.at += len("false")
		return false
	case 'n':
		r.at += len("null")
		return nil
	}
	return r.number()
}

// peek is the next byte that is no space; 0 at the end.
func (r *reader) peek() byte {
	for ; r.at < len(r.b); r.at++ {
		switch r.b[r.at] {
		case ' ', '\t', '\n', '\r':
		default:
			return r.b[r.at]
		}
	}
	return 0
}

// next goes past a separator, where there is one.
func (r *reader) next(separator byte) {
	if r.peek() == separator {
		r.at++
	}
}

func (r *reader) text() string {
	r.peek()
	start, plain := r.at, true
	for r.at++; r.b[r.at] != '"'; r.at++ {
		if r.b[r.at] == '\\' {
			plain = false
			r.at++
		}
	}
	r.at++
	if quoted := r.b[start:r.at]; !plain || !utf8.Valid(quoted) {
		var s string
		_ = json.Unmarshal(quoted, &s) // it is valid
		return s
	}
	return string(r.b[start+1 : r.at-1])
}

func (r *reader) number() any {
	start := r.at
	for r.at < len(r.b) && bytes.IndexByte([]byte("+-.0123456789Ee"), r.b[r.at]) >= 0 {
		r.at++
	}
	text := string(r.b[start:r.at])
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return text
}
