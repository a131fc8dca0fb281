package document

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the fields of Firestore's protobufs.
const (
	numValue  protowire.Number = 1 // of DocumentEventData
	numOld    protowire.Number = 2
	numFields protowire.Number = 2 // of Document
	numKey    protowire.Number = 1 // of a map's entry
)

// PeekChange is DecodeChange, but of the documents' fields only those named are decoded: for a look that mostly ends the
// matter, and costs a tenth.
func PeekChange(body []byte, names ...string) (Change, error) {
	kept, ok := rewrite(body, func(num protowire.Number, v []byte) ([]byte, bool) {
		if num != numValue && num != numOld {
			return v, true
		}
		return peekDocument(v, names)
	})
	if !ok {
		return DecodeChange(body) // it says what is wrong
	}
	return DecodeChange(kept)
}

func peekDocument(b []byte, names []string) ([]byte, bool) {
	return rewrite(b, func(num protowire.Number, v []byte) ([]byte, bool) {
		if num != numFields {
			return v, true
		}
		key, ok := mapKey(v)
		if ok && !slices.Contains(names, key) {
			return nil, true
		}
		return v, ok
	})
}

// fieldNames are the names of an encoded document's top-level fields.
func fieldNames(b []byte) (names []string, ok bool) {
	_, ok = rewrite(b, func(num protowire.Number, v []byte) ([]byte, bool) {
		if num != numFields {
			return nil, true
		}
		key, ok := mapKey(v)
		names = append(names, key)
		return nil, ok
	})
	return names, ok
}

// HoldsOnly says whether an encoded document has no other top-level fields than those of f.
func HoldsOnly(body []byte, f Fields) bool {
	names, ok := fieldNames(body)
	return ok && !slices.ContainsFunc(names, func(name string) bool { _, in := f[name]; return !in })
}

// rewrite copies a message; each field of bytes is what keep makes of it, nil to leave it out. ok is false if the bytes are
// no message.
func rewrite(b []byte, keep func(num protowire.Number, v []byte) ([]byte, bool)) (out []byte, ok bool) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		if typ != protowire.BytesType {
			m := protowire.ConsumeFieldValue(num, typ, b[n:])
			if m < 0 {
				return nil, false
			}
			out, b = append(out, b[:n+m]...), b[n+m:]
			continue
		}
		v, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return nil, false
		}
		kept, ok := keep(num, v)
		if !ok {
			return nil, false
		}
		if kept != nil {
			out = protowire.AppendBytes(protowire.AppendTag(out, num, typ), kept)
		}
		b = b[n+m:]
	}
	return out, true
}

// mapKey is the key of a map's entry.
func mapKey(entry []byte) (string, bool) {
	for len(entry) > 0 {
		num, typ, n := protowire.ConsumeTag(entry)
		if n < 0 {
			return "", false
		}
		if num == numKey && typ == protowire.BytesType {
			key, m := protowire.ConsumeBytes(entry[n:])
			return string(key), m >= 0
		}
		m := protowire.ConsumeFieldValue(num, typ, entry[n:])
		if m < 0 {
			return "", false
		}
		entry = entry[n+m:]
	}
	return "", true // a missing key is the empty one
}
