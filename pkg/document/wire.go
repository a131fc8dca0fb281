package document

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Documents are read and written in protobuf's wire format directly, without the generated types between: an event of two
// snapshots would be some hundred objects of theirs before it is one of ours.
// https://protobuf.dev/programming-guides/encoding/

// The numbers of the fields: google/events/cloud/firestore/v1/data.proto, google/protobuf/timestamp.proto and
// google/type/latlng.proto.
const (
	numValue protowire.Number = 1 // of DocumentEventData
	numOld   protowire.Number = 2

	numName    protowire.Number = 1 // of Document
	numFields  protowire.Number = 2
	numCreated protowire.Number = 3
	numUpdated protowire.Number = 4

	numKey     protowire.Number = 1 // of a map's entry
	numOfKey   protowire.Number = 2
	numEntries protowire.Number = 1 // of MapValue
	numValues  protowire.Number = 1 // of ArrayValue

	numBool      protowire.Number = 1 // of Value
	numInteger   protowire.Number = 2
	numDouble    protowire.Number = 3
	numReference protowire.Number = 5
	numMap       protowire.Number = 6
	numGeoPoint  protowire.Number = 8
	numArray     protowire.Number = 9
	numTimestamp protowire.Number = 10
	numNull      protowire.Number = 11
	numString    protowire.Number = 17
	numBytes     protowire.Number = 18

	numSeconds protowire.Number = 1 // of Timestamp
	numNanos   protowire.Number = 2

	numLatitude  protowire.Number = 1 // of LatLng
	numLongitude protowire.Number = 2
)

// A tag is a field's number and type, as the wire has it.
const (
	varint  = protowire.Number(protowire.VarintType)
	fixed64 = protowire.Number(protowire.Fixed64Type)
	length  = protowire.Number(protowire.BytesType)
)

var (
	errWire = errors.New("the bytes are no protobuf message")
	errUTF8 = errors.New("text is not UTF-8")
)

// field is one field of a message. A known number of another type is skipped by all who read one, as unknown ones are.
type field struct {
	tag   protowire.Number // its number<<3 | its type
	value uint64           // of a varint or fixed64
	bytes []byte           // of a field with a length; they lie in the message
}

// next takes the first field off a message that is not empty. It is false, which is errWire, where the bytes are none. (All that it
// gives fits into registers, which is half of a reading's time.)
func next(b []byte) (f field, rest []byte, ok bool) {
	if len(b) > 1 && b[0] >= 1<<3 && b[0] < 0x80 && b[0]&7 == byte(length) && b[1] < 0x80 { // one byte of tag, one of length: most are
		n := 2 + int(b[1])
		if n > len(b) {
			return f, nil, false
		}
		return field{tag: protowire.Number(b[0]), bytes: b[2:n]}, b[n:], true
	}
	return nextLong(b)
}

func nextLong(b []byte) (f field, rest []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, false
	}
	b = b[n:]
	switch f.tag = num<<3 | protowire.Number(typ); typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

// reader reads a document. Where all of it is read, its texts are parts of one string: a snapshot has some two hundred.
type reader struct {
	message []byte
	copy    string // of the message, or ""
}

// text is a part of the message: how far both are from the end of what they lie in tells where.
func (r reader) text(b []byte) string {
	if r.copy == "" || len(b) == 0 { // a text that is left out lies nowhere
		return string(b)
	}
	at := cap(r.message) - cap(b)
	return r.copy[at : at+len(b)]
}

// checked is a text that is UTF-8.
func (r reader) checked(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errUTF8
	}
	return r.text(b), nil
}

// entries counts the entries of a map, so that it is made in one piece. What is wrong is said by whoever reads them.
func entries(b []byte, num protowire.Number) (n int) {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return n
		}
		if b = rest; f.tag == num<<3|length {
			n++
		}
	}
	return n
}

// entry is a map's key, which is UTF-8, and the bytes of its value; known is false where there are none.
func entry(b []byte) (key, value []byte, known bool, err error) {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return nil, nil, false, errWire
		}
		b = rest
		switch f.tag {
		case numKey<<3 | length:
			key = f.bytes
		case numOfKey<<3 | length:
			value, known = f.bytes, true
		}
	}
	if !utf8.Valid(key) {
		return nil, nil, false, errUTF8
	}
	return key, value, known, nil
}

// value reads one Value, depth maps and arrays deep.
func (r reader) value(b []byte, depth int) (v any, err error) {
	known := false
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return nil, errWire
		}
		b = rest
		set := true
		switch f.tag {
		case numNull<<3 | varint:
			v = nil
		case numBool<<3 | varint:
			v = f.value != 0
		case numInteger<<3 | varint:
			v = int64(f.value) //nolint:gosec // two's complement is the format
		case numDouble<<3 | fixed64:
			v = math.Float64frombits(f.value)
		case numString<<3 | length, numReference<<3 | length:
			v, err = r.checked(f.bytes)
		case numBytes<<3 | length:
			v = append([]byte{}, f.bytes...)
		case numTimestamp<<3 | length:
			var at time.Time
			at, err = readTime(f.bytes)
			v = at.Truncate(time.Microsecond)
		case numGeoPoint<<3 | length:
			v, err = readGeoPoint(f.bytes)
		case numArray<<3 | length:
			v, err = r.array(f.bytes, depth)
		case numMap<<3 | length:
			if depth == maxDepth {
				return nil, errDeep
			}
			v, err = r.fields(f.bytes, numEntries, depth, nil)
		default:
			set = false
		}
		if err != nil {
			return nil, err
		}
		known = known || set
	}
	if !known {
		return nil, errors.New("value of unknown type")
	}
	return v, nil
}

// fields reads the entries under one number: a document's fields at depth -1, of them those that are named, or a map's.
func (r reader) fields(b []byte, num protowire.Number, depth int, names []string) (Fields, error) {
	n := len(names)
	if names == nil {
		n = entries(b, num)
	}
	m := make(Fields, n)
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return nil, errWire
		}
		if b = rest; f.tag != num<<3|length {
			continue
		}
		key, value, known, err := entry(f.bytes)
		if err != nil {
			return nil, err
		}
		if names != nil && !slices.ContainsFunc(names, func(name string) bool { return name == string(key) }) {
			continue
		}
		if !known {
			return nil, fmt.Errorf("field %.100s has no value", key)
		}
		if m[r.text(key)], err = r.value(value, depth+1); err != nil {
			return nil, fmt.Errorf("field %.100s: %w", key, err)
		}
	}
	return m, nil
}

func (r reader) array(b []byte, depth int) ([]any, error) {
	if depth == maxDepth {
		return nil, errDeep
	}
	vs := make([]any, 0, entries(b, numValues))
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return nil, errWire
		}
		if b = rest; f.tag != numValues<<3|length {
			continue
		}
		v, err := r.value(f.bytes, depth+1)
		if _, nested := v.([]any); nested {
			err = errNested
		}
		if err != nil {
			return nil, fmt.Errorf("index %d: %w", len(vs), err)
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// The bounds of a Timestamp: the years 1 to 9999.
const minSeconds, maxSeconds = -62135596800, 253402300799

// readTime: seconds since 1970 and nanoseconds.
func readTime(b []byte) (time.Time, error) {
	var seconds, nanos int64
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return time.Time{}, errWire
		}
		b = rest
		switch f.tag {
		case numSeconds<<3 | varint:
			seconds = int64(f.value) //nolint:gosec // two's complement is the format
		case numNanos<<3 | varint:
			nanos = int64(int32(f.value)) //nolint:gosec // the same, of 32 bits
		}
	}
	if seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos >= 1e9 {
		return time.Time{}, fmt.Errorf("timestamp of %d seconds and %d nanoseconds: want one of the years 1 to 9999", seconds, nanos)
	}
	return time.Unix(seconds, nanos).UTC(), nil
}

func readGeoPoint(b []byte) (map[string]any, error) {
	p := map[string]any{"latitude": 0.0, "longitude": 0.0}
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return nil, errWire
		}
		b = rest
		switch f.tag {
		case numLatitude<<3 | fixed64:
			p["latitude"] = math.Float64frombits(f.value)
		case numLongitude<<3 | fixed64:
			p["longitude"] = math.Float64frombits(f.value)
		}
	}
	return p, nil
}

// appendMessage appends a field whose content fill appends: its length is known only then, so a byte is left for it, and
// the content moved on where that is too short.
func appendMessage(b []byte, num protowire.Number, fill func([]byte) ([]byte, error)) ([]byte, error) {
	b = append(protowire.AppendTag(b, num, protowire.BytesType), 0)
	start := len(b)
	b, err := fill(b)
	if err != nil {
		return nil, err
	}
	n := len(b) - start
	var head [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(head[:], uint64(n))
	b = append(b, head[:size-1]...) // room
	copy(b[start+size-1:], b[start:start+n])
	copy(b[start-1:], head[:size])
	return b, nil
}

func appendFields(b []byte, num protowire.Number, f Fields) ([]byte, error) {
	var err error
	for k, v := range f {
		b, err = appendMessage(b, num, func(b []byte) ([]byte, error) {
			b = protowire.AppendString(protowire.AppendTag(b, numKey, protowire.BytesType), k)
			return appendMessage(b, numOfKey, func(b []byte) ([]byte, error) { return appendValue(b, v) })
		})
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", k, err)
		}
	}
	return b, nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	number := func(num protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
	}
	switch v := v.(type) {
	case nil:
		return number(numNull, 0), nil
	case bool:
		return number(numBool, protowire.EncodeBool(v)), nil
	case int:
		return number(numInteger, uint64(v)), nil //nolint:gosec // two's complement is the format
	case int64:
		return number(numInteger, uint64(v)), nil //nolint:gosec // two's complement is the format
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(b, numDouble, protowire.Fixed64Type), math.Float64bits(v)), nil
	case string:
		return protowire.AppendString(protowire.AppendTag(b, numString, protowire.BytesType), v), nil
	case []byte:
		return protowire.AppendBytes(protowire.AppendTag(b, numBytes, protowire.BytesType), v), nil
	case time.Time:
		return appendTime(b, numTimestamp, v.Truncate(time.Microsecond)), nil // what Firestore keeps
	case []any:
		return appendMessage(b, numArray, func(b []byte) ([]byte, error) {
			var err error
			for i, e := range v {
				if b, err = appendMessage(b, numValues, func(b []byte) ([]byte, error) { return appendValue(b, e) }); err != nil {
					return nil, fmt.Errorf("index %d: %w", i, err)
				}
			}
			return b, nil
		})
	case map[string]any:
		return appendMessage(b, numMap, func(b []byte) ([]byte, error) { return appendFields(b, numEntries, v) })
	}
	return nil, fmt.Errorf("a document can't hold a %T", v)
}

func appendTime(b []byte, num protowire.Number, at time.Time) []byte {
	b, _ = appendMessage(b, num, func(b []byte) ([]byte, error) {
		if s := at.Unix(); s != 0 {
			b = protowire.AppendVarint(protowire.AppendTag(b, numSeconds, protowire.VarintType), uint64(s)) //nolint:gosec // two's complement is the format
		}
		if n := at.Nanosecond(); n != 0 {
			b = protowire.AppendVarint(protowire.AppendTag(b, numNanos, protowire.VarintType), uint64(n)) //nolint:gosec // below 1e9
		}
		return b, nil
	})
	return b
}
