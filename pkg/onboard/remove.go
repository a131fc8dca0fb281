package onboard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const (
	atOnce = 16 // deletions
	passes = 10 // over a user's documents, until there is nothing left
)

// Documents is the database as a removal needs it.
type Documents interface {
	document.DB
	document.Tree
	document.Committer
}

// Remover takes users out of the platform.
type Remover struct {
	DB      Documents
	Users   user.Registry
	Roster  roster.Refresher
	Custody secret.Custody

	LegacyUser string // whose the account is that was there before there were users, where it does not say; "": nobody's
}

// Copies are what a migration keeps of a user, in Removal.Documents.
const Copies = migration.Records + "/{uid}/" + migration.Backups

// Removal is what was done.
type Removal struct {
	Documents map[string]int // deleted, by collection: "tradingSignals", "notes/{id}/pages"; "" is the user's own, Copies a migration's
	Vaults    int            // that had keys
	Legacy    []string       // the predecessor's documents that were deleted, by path
	Shared    []string       // those that are others' too, and stay
	Unnamed   string         // a signal of the predecessor's that names nobody, and stays, as do others like it: nobody has said whose they are
}

// Total is how many documents were deleted.
func (r Removal) Total() (n int) {
	for _, m := range r.Documents {
		n += m
	}
	return n + len(r.Legacy)
}

// Begin stops all work for a user for good. Before a Remove it leaves time for an export. user.ErrNotFound.
func (r *Remover) Begin(ctx context.Context, userID string) (user.Profile, error) {
	if _, err := r.Users.BeginRemoval(ctx, userID); err != nil {
		return user.Profile{}, err
	}
	if err := r.Roster.Refresh(ctx, userID, roster.OfUser); err != nil {
		return user.Profile{}, err
	}
	return r.Users.Profile(ctx, userID)
}

// Remove deletes all of a user's, the user's own document last: stopped before, the same call goes on. Also after that, for what
// somebody wrote in that very moment. user.ErrNotFound says that there was nothing at all.
func (r *Remover) Remove(ctx context.Context, userID string) (done Removal, err error) {
	done.Documents = map[string]int{}
	p, err := r.Begin(ctx, userID)
	there := err == nil
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		return done, err
	}
	if err := user.CheckID(userID); err != nil {
		return done, err
	}
	if !there {
		p.ID = userID
	}
	if err := r.delete(ctx, store.SnapshotPath(userID), "alpacaAccounts", &done); err != nil { // without it nothing is signaled
		return done, err
	}
	if err := r.sweep(ctx, userID, &done); err != nil {
		return done, err
	}
	if err := r.legacy(ctx, p, &done); err != nil {
		return done, err
	}
	if there {
		if err := r.forget(ctx, userID, &done); err != nil { // before, so that a user whose document is gone is known to be removed
			return done, err
		}
		if err := r.delete(ctx, store.UserPath(userID), "", &done); err != nil {
			return done, err
		}
		if err := r.sweep(ctx, userID, &done); err != nil {
			return done, err
		}
	}
	if err := r.forget(ctx, userID, &done); err != nil { // after it, so that no migration keeps anything more
		return done, err
	}
	if !there && done.Total() == 0 && done.Vaults == 0 {
		return done, fmt.Errorf("user %s: %w", userID, user.ErrNotFound)
	}
	return done, r.Roster.Refresh(ctx, userID, roster.OfUser)
}

func (r *Remover) mover() *migration.Mover { return &migration.Mover{DB: r.DB} }

func (r *Remover) forget(ctx context.Context, userID string, done *Removal) error {
	n, err := r.mover().Forget(ctx, userID)
	if n > 0 {
		done.Documents[Copies] += n
	}
	if err != nil {
		return fmt.Errorf("what a migration kept of user %s: %w", userID, err)
	}
	return nil
}

// sweep deletes keys and documents until there are none.
func (r *Remover) sweep(ctx context.Context, userID string, done *Removal) error {
	for range passes {
		before := done.Total() + done.Vaults
		for _, k := range r.Custody.Keepers {
			n, err := k.Newest(ctx, userID)
			if err == nil && n > 0 {
				done.Vaults++
				err = k.Remove(ctx, userID, "")
			}
			if err != nil {
				return fmt.Errorf("keys of user %s: %w", userID, err)
			}
		}
		if err := r.delete(ctx, envelope.Path(userID), envelope.Envelopes, done); err != nil { // if no vault of envelopes is at hand
			return err
		}
		if err := r.below(ctx, userID, done); err != nil {
			return err
		}
		if done.Total()+done.Vaults == before {
			return nil
		}
	}
	return fmt.Errorf("documents or keys of user %s came back %d times: somebody goes on writing them. Stop that, and try again", userID, passes)
}

// below deletes what is below the user's document, in collections that the platform does not know too.
func (r *Remover) below(ctx context.Context, userID string, done *Removal) error {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(atOnce)
	walked := document.Walk(ctx, r.DB, store.UserPath(userID), func(path string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.Go(func() error {
			mine := Removal{Documents: map[string]int{}}
			err := r.delete(ctx, path, collectionOf(path), &mine)
			mu.Lock()
			defer mu.Unlock()
			for name, n := range mine.Documents {
				done.Documents[name] += n
			}
			return err
		})
		return nil
	})
	return errors.Join(walked, g.Wait())
}

// collectionOf is the collection of a document below users/{uid}, without ids.
func collectionOf(path string) string {
	parts := strings.Split(path, "/")[2:]
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "{id}"
	}
	return strings.Join(parts[:len(parts)-1], "/")
}

// delete counts a document that was there.
func (r *Remover) delete(ctx context.Context, path, collection string, done *Removal) error {
	switch _, err := r.DB.Get(ctx, path); {
	case errors.Is(err, document.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	if err := r.DB.Delete(ctx, path, time.Time{}); err != nil {
		return err
	}
	done.Documents[collection]++
	return nil
}

// legacy deletes the predecessor's documents that are this user's.
func (r *Remover) legacy(ctx context.Context, p user.Profile, done *Removal) error {
	of, err := r.legacyOf(ctx, p)
	if done.Shared, done.Unnamed = of.shared, of.unnamed; err != nil {
		return err
	}
	for _, d := range of.theirs {
		if err := r.DB.Delete(ctx, d.Path, d.UpdateTime); err != nil && !errors.Is(err, document.ErrNotFound) {
			return err // somebody wrote it meanwhile: the next call looks again
		}
		done.Legacy = append(done.Legacy, d.Path)
	}
	return nil
}
