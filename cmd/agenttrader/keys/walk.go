package keys

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const (
	pageSize = 500
	// giveUp is how many users in a row fail for the platform's own trouble before the others are spared.
	giveUp = 20
)

// report is a migration in figures. Failed users are named with the reason.
type report struct {
	To     string    `json:"to"`
	DryRun bool      `json:"dry_run"`
	Users  int       `json:"users"`
	Moved  int       `json:"moved"`
	There  int       `json:"skipped"`
	NoKeys int       `json:"without_keys"`
	Pruned int       `json:"pruned"`
	Failed []failure `json:"failed"`
	inARow int       // failed for what may be the platform's trouble
}

type failure struct {
	UserID string `json:"user_id"`
	Reason string `json:"reason"`
}

// String is the report in a line.
func (r *report) String() string {
	return fmt.Sprintf("%s: %d moved to %s, %d were there, %d have no keys, %d taken out of the source, %d failed",
		tty.Count(r.Users, "user"), r.Moved, r.To, r.There, r.NoKeys, r.Pruned, len(r.Failed))
}

// walk moves users page by page, in the order of their ids.
type walk struct {
	options
	users users
	mover *secret.Mover
	done  func() // called for each user, one after the other

	mu     sync.Mutex
	report *report
}

// run ends early if ctx does, if the users can't be listed, and when one after the other fails for the same trouble of ours.
func (w *walk) run(ctx context.Context) error {
	w.report = &report{To: w.to, DryRun: w.dry, Failed: []failure{}}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if len(w.options.users) > 0 {
		return w.named(ctx, cancel)
	}
	for after := ""; ; {
		page, err := w.users.Users(ctx, after, pageSize)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if err := w.page(ctx, cancel, page.Users); err != nil {
			return err
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

func (w *walk) named(ctx context.Context, cancel context.CancelCauseFunc) error {
	var found []user.User
	for _, id := range w.options.users {
		u, err := w.users.User(ctx, id)
		switch {
		case errors.Is(err, user.ErrNotFound):
			w.ended(user.User{ID: id}, secret.Move{}, err)
		case err != nil:
			return err
		default:
			found = append(found, u)
		}
	}
	return w.page(ctx, cancel, found)
}

func (w *walk) page(ctx context.Context, cancel context.CancelCauseFunc, users []user.User) error {
	var g errgroup.Group
	g.SetLimit(w.atOnce)
	for _, u := range users {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			m, err := secret.Move{}, user.CheckID(u.ID)
			if err == nil {
				m, err = w.mover.Move(ctx, u.ID, u.KeyVersion)
			}
			if err != nil && ctx.Err() != nil {
				return nil // cut short: it is no fault of this user
			}
			if w.ended(u, m, err) {
				cancel(fmt.Errorf("%d users in a row failed, the others were left alone: %w", giveUp, err))
			}
			return nil
		})
	}
	_ = g.Wait()
	return context.Cause(ctx)
}

// ended counts; enough says that going on is of no use.
func (w *walk) ended(u user.User, m secret.Move, err error) (enough bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.done()
	r := w.report
	r.Users++
	if m.Pruned {
		r.Pruned++
	}
	if err != nil {
		r.Failed = append(r.Failed, failure{u.ID, err.Error()})
		for _, own := range []error{secret.ErrMalformed, secret.ErrDisabled, secret.ErrByHand, user.ErrNotFound} {
			if errors.Is(err, own) {
				return false
			}
		}
		r.inARow++
		return r.inARow == giveUp
	}
	r.inARow = 0
	switch m.Outcome {
	case secret.Moved:
		r.Moved++
	case secret.NoKeys:
		r.NoKeys++
	default:
		r.There++
	}
	return false
}
