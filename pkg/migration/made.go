package migration

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Made is what there is to be taken back of one user.
type Made struct {
	UserID  string
	Removed bool                // and gone since
	at      time.Time           // of the record: if it is written after that, a run is at work
	backups []document.Document // without their bodies
	signals []document.Document // the user's, whoever wrote them; without their fields
}

// Finder finds what the runs have made. It reads the backups and signals of many users at once, a page at a time: a query for each user
// costs more, and the emulator looks at every document for any query.
type Finder struct {
	m                *Mover
	backups, signals stream
}

// Finder is a new one.
func (m *Mover) Finder() *Finder {
	return &Finder{
		m:       m,
		backups: stream{db: m.DB, root: Records, query: document.Query{Collection: Backups, Group: true, Select: []string{"pruned"}}},
		signals: stream{db: m.DB, root: store.Users, query: document.Query{Collection: store.Signals, Group: true, Select: []string{"status"}}},
	}
}

// Find is what there is of a user, who must come after the ones before, by id.
func (f *Finder) Find(ctx context.Context, r Recorded) (made Made, err error) {
	made = Made{UserID: r.UserID, Removed: r.Removed, at: r.at}
	if r.Removed {
		return made, nil
	}
	if made.backups, err = f.backups.of(ctx, r.UserID); err != nil {
		return made, err
	}
	made.signals, err = f.signals.of(ctx, r.UserID)
	return made, err
}

// stream is one collection of all users, root/{uid}/collection, in the order of their ids.
type stream struct {
	db    DB
	root  string
	query document.Query      // of all there are
	read  []document.Document // and not yet asked for
	last  string              // path of the last one that was read
	end   bool
}

// page is how many documents are read at once.
const page = 600

// first is no id that anybody gives a document, and before all of them.
const first = " "

// of are the documents of one user. Those of users who were left out are skipped, without being read where that saves a page.
func (s *stream) of(ctx context.Context, uid string) (docs []document.Document, err error) {
	of := []string{s.root, uid, s.query.Collection}
	for {
		for len(s.read) > 0 {
			at := strings.Split(s.read[0].Path, "/")
			order := slices.Compare(at[:min(len(at), len(of))], of)
			if order > 0 {
				return docs, nil
			}
			if order == 0 && len(at) == len(of)+1 {
				docs = append(docs, s.read[0])
			}
			s.read = s.read[1:]
		}
		if s.end {
			return docs, nil
		}
		q := s.query
		q.After, q.Limit = s.last, page
		if begin := strings.Join(of, "/") + "/" + first; s.last == "" || slices.Compare(strings.Split(s.last, "/"), strings.Split(begin, "/")) < 0 {
			q.After = begin
		}
		if s.read, err = s.db.Query(ctx, q); err != nil {
			return nil, err
		}
		if s.end = len(s.read) < q.Limit; len(s.read) > 0 {
			s.last = s.read[len(s.read)-1].Path
		}
	}
}
