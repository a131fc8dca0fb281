package migration

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Bounds of the signals that one transaction takes: Firestore takes 10 MiB a request, and each is read first.
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
	err = m.transact(ctx, func(ctx context.Context, db document.Reader, tx document.Tx) error {
		counts, gone, odd = Matches{}, false, nil
		record, err := find(ctx, db, recordPath(uid))
		if err != nil {
			return err
		}
		owner, err := find(ctx, db, store.UserPath(uid))
		if err != nil {
			return err
		}
		if gone = (owner == nil || record == nil) && tx != nil; gone { // a dry run has made nobody
			return nil
		}
		matched, err := matchSignals(ctx, db, uid, sources, record)
		if err != nil {
			return err
		}
		for _, s := range matched {
			counts[s.match]++
			odd = errors.Join(odd, s.odd())
			if err := s.write(tx, uid); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, odd); err != nil {
		err = fmt.Errorf("signals of user %s: %w", uid, err)
	}
	return counts, gone, err
}

// matched is a legacy signal beside the user's.
type matched struct {
	source document.Document
	target string
	match  Match
	field  string // that differs
}

func matchSignals(ctx context.Context, db document.Reader, uid string, sources []document.Document, record *document.Document) ([]matched, error) {
	all := make([]matched, len(sources))
	for i, d := range sources {
		target, err := find(ctx, db, store.SignalPath(uid, d.ID()))
		if err != nil {
			return nil, err
		}
		all[i] = matched{source: d, target: store.SignalPath(uid, d.ID())}
		if all[i].match, all[i].field = compareSignals(uid, d, target); all[i].match == Behind && (record == nil || target.CreateTime.Before(record.CreateTime)) {
			all[i].match, all[i].field = Differs, "status" // it is no copy
		}
	}
	return all, nil
}

func (s matched) odd() error {
	if s.match != Differs {
		return nil
	}
	return fmt.Errorf("%s and %s differ in %s: remove the wrong one: %w", s.target, s.source.Path, s.field, ErrByHand)
}

func (s matched) write(tx document.Tx, uid string) error {
	f := copyOfSignal(uid, s.source)
	switch {
	case tx == nil:
		return nil
	case s.match == Missing:
		return tx.Create(s.target, f)
	case s.match == Behind:
		return tx.Update(s.target, document.Fields{"status": f["status"]})
	}
	return nil
}

// PruneUser takes a user's legacy snapshots away, once the user's own is as new, and keeps them in a backup. It returns how many
// there were.
func (m *Mover) PruneUser(ctx context.Context, r Row) (pruned int, err error) {
	err = m.transact(ctx, func(ctx context.Context, db document.Reader, tx document.Tx) error {
		pruned = 0
		v, err := read(ctx, db, r)
		if err != nil || v.user == nil || v.record.doc == nil {
			return err
		}
		for _, d := range v.sources {
			match, field := compareSnapshots(r.UserID, d, v.snapshot)
			if err := errors.Join(covered(d, match, field), r.mine(d)); err != nil {
				return err
			}
			if err := prune(tx, r.UserID, d); err != nil {
				return err
			}
			pruned++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune user %s: %w", r.UserID, err)
	}
	return pruned, nil
}

// PruneSignals takes a chunk of one user's legacy signals away, and keeps them in backups. What changed meanwhile stays, for the next run.
func (m *Mover) PruneSignals(ctx context.Context, uid string, sources []document.Document) (pruned int, err error) {
	err = m.transact(ctx, func(ctx context.Context, db document.Reader, tx document.Tx) error {
		pruned = 0
		rec, err := find(ctx, db, recordPath(uid))
		if err != nil || rec == nil {
			return err
		}
		var ready []document.Document
		for _, d := range sources {
			source, err := find(ctx, db, d.Path)
			if err != nil {
				return err
			}
			target, err := find(ctx, db, store.SignalPath(uid, d.ID()))
			if err != nil {
				return err
			}
			if source == nil {
				continue // another run was faster
			}
			if match, _ := compareSignals(uid, *source, target); covered(*source, match, "") == nil {
				ready = append(ready, *source)
			}
		}
		for _, d := range ready {
			if err := prune(tx, uid, d); err != nil {
				return err
			}
			pruned++
		}
		return nil
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

func prune(tx document.Tx, uid string, source document.Document) error {
	if tx == nil {
		return nil
	}
	path, f, err := newBackup(uid, source, true)
	if err != nil {
		return err
	}
	if err := tx.Set(path, f); err != nil {
		return err
	}
	return tx.Delete(source.Path)
}

// LegacySignals lists at most limit legacy signals, whoever's, in the order of their ids; next is where to go on, "" after the last.
func (m *Mover) LegacySignals(ctx context.Context, after string, limit int) (docs []document.Document, next string, err error) {
	docs, err = m.DB.Query(ctx, document.Query{Collection: GlobalSignals, After: after, Limit: limit})
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", GlobalSignals, err)
	}
	if len(docs) == limit && limit > 0 {
		next = docs[limit-1].ID()
	}
	return docs, next, nil
}
