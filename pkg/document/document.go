// Package document is the port to the document database (Firestore), small enough that an in-memory twin can keep
// every promise of it. The typed stores in pkg/store are written once, on this.
package document

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"
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

// Find is a document, nil if there is none.
func Find(ctx context.Context, r Reader, path string) (*Document, error) {
	d, err := r.Get(ctx, path)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// Writer writes documents. Every document is one update of its own and costs one write.
type Writer interface {
	// Create writes a document that must not exist (ErrExists), and returns its update time.
	Create(ctx context.Context, path string, f Fields) (time.Time, error)
	// Set replaces a document, or makes it.
	Set(ctx context.Context, path string, f Fields) error
	// Update replaces the named top-level fields of a document that must exist (ErrNotFound), and returns its new
	// update time. Unless at is zero, the document's update time must still be at: ErrConflict.
	Update(ctx context.Context, path string, f Fields, at time.Time) (time.Time, error)
	// Delete removes a document; one that does not exist is no error. Unless at is zero, the document's update time
	// must still be at: ErrConflict, or either of ErrConflict and ErrNotFound if it is gone.
	Delete(ctx context.Context, path string, at time.Time) error
	// UpdateAll is Update of several different documents in one commit, all or none of them. The errors are Update's; the
	// update time that it returns is every document's that it changed.
	UpdateAll(ctx context.Context, list []Patch) (time.Time, error)
}

// Patch is one document's part of UpdateAll.
type Patch struct {
	Path   string
	Fields Fields
	At     time.Time // its precondition; zero: none
}

// Tx is a transaction: all reads come before the writes, which take effect together or not at all.
type Tx interface {
	Reader
	Create(path string, f Fields) error
	Set(path string, f Fields) error
	Update(path string, f Fields) error
	Delete(path string) error
}

// Query asks for the documents of one collection, in the order of their ids, or of all collections of one name.
type Query struct {
	Collection string         // "users", "users/alice/strategies"; of a Group the name alone: "strategies"
	Group      bool           // all collections of that name, whoever's, in the order of the paths
	Where      map[string]any // fields that must be equal
	Select     []string       // the fields to read; nil is all
	After      string         // only ids after this one; of a Group only paths after this one
	Limit      int            // 0 is all
}

// Check says what is wrong with a query.
func (q Query) Check() error {
	switch {
	case q.Group && (strings.ContainsRune(q.Collection, '/') || CheckID(q.Collection) != nil):
		return fmt.Errorf("query %.200q: want the name of the collections, without a path", q.Collection)
	case q.Group && q.After != "" && (CheckPath(q.After) != nil || path.Base(path.Dir(q.After)) != q.Collection):
		return fmt.Errorf("query %.200q after %.200q: want the path of a document of such a collection", q.Collection, q.After)
	case !q.Group:
		return CheckCollection(q.Collection)
	}
	return nil
}

// CheckCollection says what is wrong with the path of a collection.
func CheckCollection(path string) error {
	if CheckPath(path+"/x") != nil {
		return fmt.Errorf("query %.200q: want the path of a collection, like users/alice/signals", path)
	}
	return nil
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

// Tree lists what lies below a document, for those who export or remove all of it.
type Tree interface {
	// Collections are the names of the collections right below a document, which itself need not be there, in order.
	Collections(ctx context.Context, path string) ([]string, error)
	// IDs are at most limit ids of a collection's documents, in order: of those too that are not there themselves, and have
	// something below them. cursor is the next of the page before, "" at the beginning; next is "" after the last page. What
	// comes before the cursor may be deleted meanwhile.
	IDs(ctx context.Context, collection, cursor string, limit int) (ids []string, next string, err error)
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
	case isReserved(id):
		return fmt.Errorf("id %.40q: names between double underscores are reserved", id)
	case !utf8.ValidString(id):
		return fmt.Errorf("id %.40q is not UTF-8", id)
	}
	return nil
}

func isReserved(name string) bool {
	return strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__")
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

// maxDepth is how many maps and arrays a value may nest.
const maxDepth = 20

// CheckFields refuses values that Fields does not allow, and names and values that Firestore refuses.
func CheckFields(f Fields) error {
	for k, v := range f {
		if err := checkName(k); err != nil {
			return err
		}
		if v == Delete || v == ServerTime {
			continue
		}
		if err := checkValue(v, 0); err != nil {
			return fmt.Errorf("field %.100s: %w", k, err)
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a field's name is empty")
	case len(name) > 1500:
		return fmt.Errorf("field name %.40q of %d bytes: at most 1500 are allowed", name, len(name))
	case isReserved(name):
		return fmt.Errorf("field name %.40q: names between double underscores are reserved", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("field name %.40q is not UTF-8", name)
	}
	return nil
}

func checkValue(v any, depth int) error {
	switch v := v.(type) {
	case nil, bool, int, int64, float64, []byte:
		return nil
	case string:
		if !utf8.ValidString(v) {
			return fmt.Errorf("text %.40q is not UTF-8", v)
		}
		return nil
	case time.Time:
		if year := v.UTC().Year(); year < 1 || year > 9999 {
			return fmt.Errorf("time of the year %d: want 1 to 9999", year)
		}
		return nil
	case map[string]any:
		if depth == maxDepth {
			return errDeep
		}
		for k, e := range v {
			if err := checkName(k); err != nil {
				return err
			}
			if err := checkValue(e, depth+1); err != nil {
				return fmt.Errorf("key %.100s: %w", k, err)
			}
		}
		return nil
	case []any:
		if depth == maxDepth {
			return errDeep
		}
		for i, e := range v {
			err := checkValue(e, depth+1)
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

var (
	errNested = errors.New("Firestore takes no array directly in an array") //nolint:staticcheck // a name
	errDeep   = fmt.Errorf("more than %d maps and arrays in one another", maxDepth)
)
