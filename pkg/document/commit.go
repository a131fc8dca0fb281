package document

import (
	"context"
	"time"
)

// Op is what a Write does.
type Op int

// The operations, with the errors that a commit ends with if one does not apply.
const (
	ToCreate Op = iota + 1 // a document that must not exist: ErrExists
	ToSet                  // a document as a whole, whether it exists or not
	ToUpdate               // the named top-level fields of a document that must exist: ErrNotFound
	ToDelete               // a document
)

// Write is one document's part of a commit.
type Write struct {
	Op     Op
	Path   string
	Fields Fields
	At     time.Time // of an update or a deletion: the document's update time must still be this, as Writer says; zero: it may be any
}

// Committer writes several documents at once.
type Committer interface {
	// Commit does all the writes, which are of different documents, or none. Unlike a transaction it holds no lock on what was read
	// before: whoever dies on the way holds up nobody.
	Commit(ctx context.Context, writes []Write) error
}
