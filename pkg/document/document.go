// Package document is the port to the document database (Firestore), small enough that an in-memory twin can keep
// every promise of it. The typed stores in pkg/store are written once, on this.
package document

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Fields are a document's fields. Values are nil, bool, int64, float64, string, []byte, time.Time (UTC, whole
// microseconds), []any and map[string]any; int is taken as int64.
type Fields = map[string]any

// Document is one stored document.
type Document struct {
	Path       string // "users/alice/alpacaAccounts/snapshot"
	Fields     Fields
	CreateTime time.Time
	UpdateTime time.Time // the precondition of the next Update
}

// ID is the last segment of the document's path.
func (d Document) ID() string { return d.Path[strings.LastIndexByte(d.Path, '/')+1:] }

type sentinel int

// Values with a meaning of their own, at the top level of the fields that are written.
const (
	Delete     sentinel = iota + 1 // Update removes the field
	ServerTime                     // the database's commit time
)

// The errors of a DB, told apart with errors.Is. Any other error is a fault of ours.
var (
	ErrNotFound    = errors.New("document not found")
	ErrExists      = errors.New("document exists already")
	ErrConflict    = errors.New("document was changed by somebody else")
	ErrUnavailable = errors.New("database unavailable")
	ErrDenied      = errors.New("database access denied")
)

// Reader reads documents.
type Reader interface {
	// Get returns a document, or ErrNotFound.
	Get(ctx context.Context, path string) (Document, error)
}

// Writer writes documents. Every document is one update of its own and costs one write.
type Writer interface {
	// Create writes a document that must not exist: ErrExists.
	Create(ctx context.Context, path string, f Fields) error
	// Set replaces a document, or makes it.
	Set(ctx context.Context, path string, f Fields) error
	// Update replaces the named top-level fields of a document that must exist (ErrNotFound). Unless at is zero,
	// the document's update time must still be at: ErrConflict.
	Update(ctx context.Context, path string, f Fields, at time.Time) error
	// Delete removes a document; one that does not exist is no error.
	Delete(ctx context.Context, path string) error
}

// Tx is a transaction: all reads come before the writes, which take effect together or not at all.
type Tx interface {
	Reader
	Create(path string, f Fields) error
	Set(path string, f Fields) error
	Update(path string, f Fields) error
}

// Query asks for the documents of one collection, in the order of their ids.
type Query struct {
	Collection string         // "users", "users/alice/strategies"
	Where      map[string]any // fields that must be equal
	Select     []string       // the fields to read; nil is all
	After      string         // only ids after this one
	Limit      int            // 0 is all
}

// DB is the document database.
type DB interface {
	Reader
	Writer
	// Query returns the documents that match; none is no error.
	Query(ctx context.Context, q Query) ([]Document, error)
	// Transact runs fn in a transaction, again if somebody else got in between, a bounded number of times
	// (ErrConflict after that). fn must have no effect outside tx. An error of fn rolls back and is returned.
	Transact(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

// CheckID says what is wrong with a document id: Firestore refuses some of these, and the others would lead a
// path somewhere else.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("id is empty")
	case len(id) > 1500:
		return fmt.Errorf("id of %d bytes: at most 1500 are allowed", len(id))
	case id == "." || id == ".." || strings.ContainsRune(id, '/'):
		return fmt.Errorf("id %.40q: must not be . or .. or hold a /", id)
	case strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__"):
		return fmt.Errorf("id %.40q: names between double underscores are reserved", id)
	}
	return nil
}

// CheckPath says what is wrong with a document's path: collection/id, any number of times.
func CheckPath(path string) error {
	if strings.Count(path, "/")%2 != 1 {
		return fmt.Errorf("%.200q is no document path: want collection/id, any number of times", path)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if err := CheckID(segment); err != nil {
			return fmt.Errorf("%.200q is no document path: %w", path, err)
		}
	}
	return nil
}

// CheckFields refuses values that Fields does not allow.
func CheckFields(f Fields) error {
	for k, v := range f {
		if v == Delete || v == ServerTime {
			continue
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("field %s: %w", k, err)
		}
	}
	return nil
}

func checkValue(v any) error {
	switch v := v.(type) {
	case nil, bool, int, int64, float64, string, []byte, time.Time:
		return nil
	case map[string]any:
		for k, e := range v {
			if err := checkValue(e); err != nil {
				return fmt.Errorf("key %s: %w", k, err)
			}
		}
		return nil
	case []any:
		for i, e := range v {
			err := checkValue(e)
			if _, nested := e.([]any); nested {
				err = errNested
			}
			if err != nil {
				return fmt.Errorf("index %d: %w", i, err)
			}
		}
		return nil
	default:
		return fmt.Errorf("a document can't hold a %T", v)
	}
}

var errNested = errors.New("Firestore takes no array directly in an array") //nolint:staticcheck // a name
