package migration

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Bounds of the signals that one commit takes: Firestore takes 10 MiB a request.
const (
	MaxSignals     = 100
	maxSignalBytes = 4 << 20
)

// Matches counts documents by how they compared.
type Matches map[Match]int

// Chunks cuts one user's signals into what one call of Signals takes.
func Chunks(docs []document.Document) (chunks [][]document.Document) {
	size := 0
	for i, d := range docs {
		n := len(canonical(d.Fields))
		if i == 0 || len(chunks[len(chunks)-1]) == MaxSignals || size+n > maxSignalBytes {
			chunks, size = append(chunks, nil), 0
		}
		last := len(chunks) - 1
		chunks[last] = append(chunks[last], d)
		size += n
	}
	return chunks
}

// Signals copies a chunk of one user's legacy signals, and passes an owner's word on the legacy signal on to its copy. A signal that
// differs in anything else, or was there before, stays as it is: ErrByHand, after the others were copied. gone: the user is not
// there, or was not migrated, and gets none.
func (m *Mover) Signals(ctx context.Context, uid string, sources []document.Document) (counts Matches, gone bool, err error) {
	var odd error
	err = m.commit(ctx, func(ctx context.Context) (ws []document.Write, err error) {
		counts, gone, odd = Matches{}, false, nil
		record, err := document.Find(ctx, m.DB, recordPath(uid))
		if err != nil {
			return nil, err
		}
		of, err := owner(ctx, m.DB, uid)
		if err != nil {
			return nil, err
		}
		if gone = (of == nil || record == nil) && !m.DryRun; gone { // a dry run has made nobody
			return nil, nil
		}
		all, err := matchSignals(ctx, m.DB, uid, sources, record)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			counts[s.match]++
			odd = errors.Join(odd, s.odd())
			ws = append(ws, s.writes(uid)...)
		}
		if len(ws) > 0 && of != nil {
			ws = append(ws, document.Write{Op: document.ToUpdate, Path: store.UserPath(uid), Fields: document.Fields{migratedAt: document.ServerTime}, At: of.UpdateTime})
		}
		return ws, nil
	})
	if err = errors.Join(err, odd); err != nil {
		err = fmt.Errorf("signals of user %s: %w", uid, err)
	}
	return counts, gone, err
}

// matched is a legacy signal beside the user's.
type matched struct {
	source document.Document
	path   string             // of the user's
	target *document.Document // nil: there is none
	match  Match
	field  string // that differs
}

func matchSignals(ctx context.Context, db document.Reader, uid string, sources []document.Document, record *document.Document) ([]matched, error) {
	all := make([]matched, len(sources))
	for i, d := range sources {
		s := matched{source: d, path: store.SignalPath(uid, d.ID())}
		var err error
		if s.target, err = document.Find(ctx, db, s.path); err != nil {
			return nil, err
		}
		if s.match, s.field = compareSignals(uid, d, s.target); s.match == Behind && (record == nil || s.target.CreateTime.Before(record.CreateTime)) {
			s.match, s.field = Differs, "status" // it is no copy
		}
		all[i] = s
	}
	return all, nil
}

func (s matched) odd() error {
	if s.match != Differs {
		return nil
	}
	return fmt.Errorf("%s and %s differ in %s: remove the wrong one: %w", s.path, s.source.Path, s.field, ErrByHand)
}

func (s matched) writes(uid string) []document.Write {
	f := copyOfSignal(uid, s.source)
	switch s.match {
	case Missing:
		return []document.Write{{Op: document.ToCreate, Path: s.path, Fields: f}}
	case Behind:
		return []document.Write{{Op: document.ToUpdate, Path: s.path, Fields: document.Fields{"status": f["status"]}, At: s.target.UpdateTime}}
	}
	return nil
}

// PruneUser takes a user's legacy snapshots away, once the user's own is as new, and keeps them in a backup. It returns how many
// there were.
func (m *Mover) PruneUser(ctx context.Context, r Row) (pruned int, err error) {
	err = m.commit(ctx, func(ctx context.Context) (ws []document.Write, err error) {
		pruned = 0
		v, err := read(ctx, m.DB, r)
		if err != nil || v.user == nil || v.record.doc == nil {
			return nil, err
		}
		for _, d := range v.sources {
			match, field := compareSnapshots(r.UserID, d, v.snapshot)
			if err := errors.Join(covered(d, match, field), r.mine(d)); err != nil {
				return nil, err
			}
			pruned++
		}
		return prune(v.user, r.UserID, v.sources)
	})
	if err != nil {
		return 0, fmt.Errorf("prune user %s: %w", r.UserID, err)
	}
	return pruned, nil
}

// PruneSignals takes a chunk of one user's legacy signals away, and keeps them in backups. What changed meanwhile stays, for the next run.
func (m *Mover) PruneSignals(ctx context.Context, uid string, sources []document.Document) (pruned int, err error) {
	err = m.commit(ctx, func(ctx context.Context) ([]document.Write, error) {
		pruned = 0
		record, err := document.Find(ctx, m.DB, recordPath(uid))
		if err != nil || record == nil {
			return nil, err
		}
		of, err := owner(ctx, m.DB, uid)
		if err != nil || of == nil {
			return nil, err
		}
		var ready []document.Document
		for _, d := range sources {
			source, err := document.Find(ctx, m.DB, d.Path)
			if err != nil {
				return nil, err
			}
			if source == nil {
				continue // another run was faster
			}
			target, err := document.Find(ctx, m.DB, store.SignalPath(uid, d.ID()))
			if err != nil {
				return nil, err
			}
			if match, _ := compareSignals(uid, *source, target); covered(*source, match, "") == nil {
				ready = append(ready, *source)
			}
		}
		pruned = len(ready)
		return prune(of, uid, ready)
	})
	if err != nil {
		return 0, fmt.Errorf("prune the signals of user %s: %w", uid, err)
	}
	return pruned, nil
}

func covered(source document.Document, match Match, field string) error {
	switch match {
	case Same, Newer:
		return nil
	case Differs:
		return fmt.Errorf("%s differs in %s from what the user has: it stays: %w", source.Path, field, ErrByHand)
	}
	return fmt.Errorf("%s is not copied (%s): it stays: run it again", source.Path, match)
}

// prune keeps and deletes the sources as they were read, while the user is as they were read too, and has a record: of one whose removal
// has begun since, nothing is kept any more. If the copy goes meanwhile, the backup is there.
func prune(of *document.Document, uid string, sources []document.Document) (ws []document.Write, err error) {
	if len(sources) == 0 {
		return nil, nil
	}
	ws = append(ws,
		document.Write{Op: document.ToUpdate, Path: of.Path, Fields: document.Fields{migratedAt: document.ServerTime}, At: of.UpdateTime},
		document.Write{Op: document.ToUpdate, Path: recordPath(uid), Fields: document.Fields{"updated_at": document.ServerTime}})
	for _, d := range sources {
		path, f, err := newBackup(uid, d, true)
		if err != nil {
			return nil, err
		}
		ws = append(ws, document.Write{Op: document.ToSet, Path: path, Fields: f}, document.Write{Op: document.ToDelete, Path: d.Path, At: d.UpdateTime})
	}
	return ws, nil
}

// LegacySignals lists at most limit legacy signals, whoever's, in the order of their ids; next is where to go on, "" after the last.
func (m *Mover) LegacySignals(ctx context.Context, after string, limit int) (docs []document.Document, next string, err error) {
	docs, err = m.DB.Query(ctx, document.Query{Collection: store.Signals, After: after, Limit: limit})
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", GlobalSignals, err)
	}
	if len(docs) == limit && limit > 0 {
		next = docs[limit-1].ID()
	}
	return docs, next, nil
}
