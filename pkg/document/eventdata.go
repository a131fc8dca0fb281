package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Change is what happened to one document, as Eventarc tells it.
type Change struct {
	Path string
	Old  *Document // nil: it was created
	New  *Document // nil: it was deleted
}

// DecodeChange reads google.events.cloud.firestore.v1.DocumentEventData in the cloud's raw protobuf form.
func DecodeChange(body []byte) (Change, error) { return decodeChange(body, nil, nil) }

// DecodeNew is DecodeChange, but of the old document's fields only those named are read.
func DecodeNew(body []byte, old ...string) (Change, error) {
	if old == nil {
		old = []string{}
	}
	return decodeChange(body, nil, old)
}

// PeekChange is DecodeChange, but of the documents' fields only those named are read: for a look that mostly ends the
// matter, and costs a tenth.
func PeekChange(body []byte, names ...string) (Change, error) {
	if names == nil {
		names = []string{}
	}
	return decodeChange(body, names, names)
}

func decodeChange(body []byte, names, old []string) (c Change, err error) {
	for b := body; len(b) > 0; {
		f, rest, ok := next(b)
		if !ok {
			return Change{}, fmt.Errorf("body is not a DocumentEventData protobuf: %w", errWire)
		}
		b = rest
		switch f.tag {
		case numValue<<3 | length:
			if c.New, err = readDocument(f.bytes, names); err != nil {
				return Change{}, fmt.Errorf("value: %w", err)
			}
		case numOld<<3 | length:
			if c.Old, err = readDocument(f.bytes, old); err != nil {
				return Change{}, fmt.Errorf("old_value: %w", err)
			}
		}
	}
	switch {
	case c.Old == nil && c.New == nil:
		return Change{}, errors.New("DocumentEventData holds neither value nor old_value")
	case c.New == nil:
		c.Path = c.Old.Path
	case c.Old != nil && c.Old.Path != c.New.Path:
		return Change{}, fmt.Errorf("old_value is of %.100q, value of %.100q", c.Old.Path, c.New.Path)
	default:
		c.Path = c.New.Path
	}
	return c, nil
}

// EncodeChange builds a DocumentEventData from two encoded documents (Encode), nil for one that is not there.
func EncodeChange(old, now []byte) []byte {
	b := make([]byte, 0, len(old)+len(now)+16)
	if now != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, numValue, protowire.BytesType), now)
	}
	if old != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, numOld, protowire.BytesType), old)
	}
	return b
}

// Encode turns a document into Firestore's own protobuf form; database is "projects/p/databases/(default)".
func Encode(database string, d Document) ([]byte, error) {
	err := CheckFields(d.Fields)
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Path, err)
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := (*buf)[:0]
	b = protowire.AppendString(protowire.AppendTag(b, numName, protowire.BytesType), database+"/documents/"+d.Path)
	if b, err = appendFields(b, numFields, d.Fields); err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Path, err)
	}
	*buf = appendTime(appendTime(b, numCreated, d.CreateTime), numUpdated, d.UpdateTime)
	return bytes.Clone(*buf), nil // no longer than it is
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Decode is the reverse of Encode.
func Decode(b []byte) (Document, error) {
	d, err := readDocument(b, nil)
	if err != nil {
		return Document{}, err
	}
	return *d, nil
}

// readDocument reads the fields named, or all if names is nil. A missing time stays zero.
func readDocument(b []byte, names []string) (*Document, error) {
	d := &Document{}
	var err error
	for left := b; len(left) > 0; {
		f, rest, ok := next(left)
		if !ok {
			return nil, errWire
		}
		left = rest
		switch f.tag {
		case numName<<3 | length:
			if d.Path, err = pathOf(f.bytes); err != nil {
				return nil, err
			}
		case numCreated<<3 | length:
			if d.CreateTime, err = readTime(f.bytes); err != nil {
				return nil, fmt.Errorf("document %.100s: create_time: %w", d.Path, err)
			}
		case numUpdated<<3 | length:
			if d.UpdateTime, err = readTime(f.bytes); err != nil {
				return nil, fmt.Errorf("document %.100s: update_time: %w", d.Path, err)
			}
		}
	}
	if d.Path == "" {
		return nil, errors.New("document without a name: want projects/…/databases/…/documents/…")
	}
	var r reader
	if names == nil {
		r = reader{b, string(b)}
	}
	if d.Fields, err = r.fields(b, numFields, -1, names); err != nil {
		return nil, fmt.Errorf("document %.100s: %w", d.Path, err)
	}
	return d, nil
}

func pathOf(name []byte) (string, error) {
	s, err := reader{}.checked(name)
	if err != nil {
		return "", err
	}
	_, path, ok := strings.Cut(s, "/documents/")
	if !ok || path == "" {
		return "", fmt.Errorf("document name %.100q: want projects/…/databases/…/documents/…", s)
	}
	return path, CheckPath(path)
}

// Merge is an encoded document after an update: of the top-level fields those of f are replaced, or removed if they are
// Delete, and the others are as they were.
func Merge(old []byte, f Fields, updated time.Time) ([]byte, error) {
	if err := CheckFields(f); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := (*buf)[:0]
	for left := old; len(left) > 0; {
		one, rest, ok := next(left)
		if !ok {
			return nil, errWire
		}
		whole := left[:len(left)-len(rest)]
		left = rest
		switch one.tag {
		case numUpdated<<3 | length:
			continue
		case numFields<<3 | length:
			key, _, _, err := entry(one.bytes)
			if err != nil {
				return nil, err
			}
			if _, replaced := f[string(key)]; replaced {
				continue
			}
		}
		b = append(b, whole...)
	}
	kept := make(Fields, len(f))
	for k, v := range f {
		if v != Delete {
			kept[k] = v
		}
	}
	b, err := appendFields(b, numFields, kept)
	if err != nil {
		return nil, err
	}
	*buf = appendTime(b, numUpdated, updated)
	return bytes.Clone(*buf), nil
}
