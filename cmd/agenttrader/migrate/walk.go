package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const (
	pageSize = 500
	// giveUp is how many in a row fail for the platform's own trouble before the others are spared.
	giveUp = 20
)

// bar shows how far a stage is.
type bar interface {
	Add(n int) error
	Clear() error
}

// walk does the stages of a command, one after the other, and each of them some at a time.
type walk struct {
	options
	mover   *migration.Mover
	report  *tally
	refused faults // rows that contradict the users who are there
	pace    *rate.Limiter
	bar     func(total int, what string) bar
}

func newWalk(o options, r *tally, db migration.DB, bar func(int, string) bar) *walk {
	pace := rate.NewLimiter(rate.Inf, 1)
	if o.rate > 0 {
		pace = rate.NewLimiter(rate.Limit(o.rate), 1)
	}
	return &walk{options: o, mover: &migration.Mover{DB: db, DryRun: o.dry}, report: r, pace: pace, bar: bar}
}

// do ends early if ctx does, if documents can't be listed, and when one after the other fails for the same trouble of ours.
func (w *walk) do(ctx context.Context, command string, l *list) error {
	switch command {
	case "rollback":
		return w.rollback(ctx)
	case "verify":
		return w.verify(ctx, l)
	}
	rows, err := w.rows(ctx, l)
	if err != nil || w.refused.n > 0 {
		return err
	}
	return w.run(ctx, rows)
}

// rows are who is to migrate. What contradicts the users who are there is refused before the first write.
func (w *walk) rows(ctx context.Context, l *list) (rows []migration.Row, err error) {
	people, err := w.mover.People(ctx)
	if err != nil {
		return nil, err
	}
	var left []migration.Unclaimed
	switch {
	case w.found:
		rows, left, err = w.mover.Found(ctx, people)
		rows = migration.WithLegacy(rows, w.legacy)
	default:
		if l == nil {
			l = &list{}
		}
		rows = migration.WithLegacy(l.rows, w.legacy)
		if w.refused.addAll("", people.Match(rows, l.rowName)); w.refused.n > 0 {
			return nil, nil
		}
		left, err = w.mover.TenantsLeft(ctx, rows)
	}
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if rows[i].Status == "" {
			rows[i].Status = user.Status(w.status)
		}
	}
	global, err := w.mover.GlobalLeft(ctx, rows)
	for _, u := range append(left, global...) {
		w.report.unclaimed(u.Path, u.Why)
	}
	return rows, err
}

func (w *walk) run(ctx context.Context, rows []migration.Row) error {
	err := each(ctx, w, "migrating users", rows, func(ctx context.Context, r migration.Row) (string, error) {
		done, err := w.mover.User(ctx, r)
		if err == nil {
			w.report.user(done)
		}
		return r.UserID, err
	})
	if err != nil {
		return err
	}
	err = w.signals(ctx, "copying signals", rows, w.report.unclaimed, func(ctx context.Context, b batch) error {
		counts, gone, err := w.mover.Signals(ctx, b.uid, b.docs)
		w.report.signals(counts, gone, len(b.docs))
		return err
	})
	if err != nil || !w.prune {
		return err
	}
	err = each(ctx, w, "pruning snapshots", rows, func(ctx context.Context, r migration.Row) (string, error) {
		n, err := w.mover.PruneUser(ctx, r)
		w.report.pruned(n)
		return r.UserID, err
	})
	if err != nil {
		return err
	}
	return w.signals(ctx, "pruning signals", rows, func(string, string) {}, func(ctx context.Context, b batch) error {
		n, err := w.mover.PruneSignals(ctx, b.uid, b.docs)
		w.report.pruned(n)
		return err
	})
}

// batch is some signals of one user.
type batch struct {
	uid  string
	docs []document.Document
}

// signals walks through all legacy signals, a page at a time.
func (w *walk) signals(ctx context.Context, what string, rows []migration.Row, left func(path, why string), do func(context.Context, batch) error) error {
	owners := migration.NewOwners(rows)
	b := w.bar(-1, what)
	defer func() { _ = b.Clear() }()
	for after := ""; ; {
		docs, next, err := w.mover.LegacySignals(ctx, after, pageSize)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		of := map[string][]document.Document{}
		for _, d := range docs {
			if uid, why := owners.Of(d); uid == "" {
				left(d.Path, why)
			} else {
				of[uid] = append(of[uid], d)
			}
		}
		err = atOnce(ctx, w, b, slices.Sorted(maps.Keys(of)), func(ctx context.Context, uid string) (string, error) {
			for _, chunk := range migration.Chunks(of[uid]) { // one after the other: each is a write of the user's document
				if err := do(ctx, batch{uid, chunk}); err != nil {
					return uid, err
				}
			}
			return uid, nil
		})
		if after = next; err != nil || after == "" {
			return err
		}
	}
}

func (w *walk) verify(ctx context.Context, l *list) error {
	var rows []migration.Row
	if l != nil || w.found || w.legacy != "" {
		var err error
		if rows, err = w.rows(ctx, l); err != nil || w.refused.n > 0 {
			return err
		}
	}
	recorded, err := w.recorded(ctx)
	if err != nil {
		return err
	}
	listed := make(map[string]bool, len(rows))
	for _, r := range rows {
		listed[r.UserID] = true
	}
	for _, r := range recorded {
		if !listed[r.UserID] {
			rows = append(rows, r.Row)
		}
	}
	if len(rows) == 0 {
		return errors.New("nobody was migrated, and no list is given: there is nothing to compare; name a --users-file, or say --tenants")
	}
	tell := func(uid string, list []migration.Difference, err error) (string, error) {
		w.report.differ(list)
		return uid, err
	}
	err = each(ctx, w, "comparing users", rows, func(ctx context.Context, r migration.Row) (string, error) {
		list, gone, err := w.mover.VerifyUser(ctx, r)
		if err == nil {
			w.report.compared(gone)
		}
		return tell(r.UserID, list, err)
	})
	if err != nil {
		return err
	}
	err = w.signals(ctx, "comparing signals", rows, w.report.unclaimed, func(ctx context.Context, b batch) error {
		list, gone, err := w.mover.VerifySignals(ctx, b.uid, b.docs)
		w.report.comparedSignals(len(b.docs), gone)
		_, err = tell(b.uid, list, err)
		return err
	})
	if err != nil {
		return err
	}
	b := w.bar(-1, "comparing what was pruned")
	defer func() { _ = b.Clear() }()
	for after := ""; ; {
		pruned, next, err := w.mover.Prunes(ctx, after, pageSize)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		err = atOnce(ctx, w, b, pruned, func(ctx context.Context, p migration.Pruned) (string, error) {
			list, _, err := w.mover.VerifyPruned(ctx, p)
			w.report.pruned(1)
			return tell(p.UserID, list, err)
		})
		if after = next; err != nil || after == "" {
			return err
		}
	}
}

func (w *walk) recorded(ctx context.Context) (all []migration.Recorded, err error) {
	for after := ""; ; {
		users, next, err := w.mover.Recorded(ctx, after, pageSize)
		if err != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
		all = append(all, users...)
		if after = next; after == "" {
			return all, nil
		}
	}
}

func (w *walk) rollback(ctx context.Context) error {
	all, err := w.recorded(ctx)
	if err != nil {
		return err
	}
	b := w.bar(len(all), "taking users back")
	defer func() { _ = b.Clear() }()
	find := w.mover.Finder()
	for some := range slices.Chunk(all, pageSize) {
		made := make([]migration.Made, len(some))
		for i, r := range some {
			if made[i], err = find.Find(ctx, r); err != nil {
				return errors.Join(context.Cause(ctx), err)
			}
		}
		if err := atOnce(ctx, w, b, made, w.takeBack); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) takeBack(ctx context.Context, made migration.Made) (string, error) {
	if made.Removed {
		w.report.back(migration.Restored{Removed: true}, nil)
		return made.UserID, nil
	}
	back, err := w.mover.TakeBack(ctx, made, w.force)
	w.report.back(back, err)
	return made.UserID, err
}

// each is a stage over a whole list.
func each[T any](ctx context.Context, w *walk, what string, list []T, do func(context.Context, T) (uid string, err error)) error {
	b := w.bar(len(list), what)
	defer func() { _ = b.Clear() }()
	return atOnce(ctx, w, b, list, do)
}

// atOnce calls do for all of a list, some at a time. One user's fault is reported, and holds up nobody.
func atOnce[T any](ctx context.Context, w *walk, b bar, list []T, do func(context.Context, T) (uid string, err error)) error {
	g, going := errgroup.WithContext(ctx)
	g.SetLimit(w.atOnce)
	for _, item := range list {
		if w.pace.Wait(going) != nil {
			break
		}
		g.Go(func() error {
			uid, err := do(going, item)
			if err != nil && going.Err() != nil {
				return going.Err() // cut short: it is no fault of this user
			}
			_ = b.Add(1)
			if w.report.ended(uid, err) {
				return fmt.Errorf("%d in a row failed, the others were left alone: %w", giveUp, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
