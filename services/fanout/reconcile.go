package fanout

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// reconcile compares a part of the users with the roster, where it is time, and notes those about whom the roster is
// wrong: the next tick puts them right. Events are delivered at least once, so it should find nobody.
func (s *Service) reconcile(ctx context.Context, t tick.Tick) {
	if s.cfg.ScanEvery == 0 || int64(t)%int64(s.cfg.ScanEvery) != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*s.cfg.Hold)
	defer cancel()
	claim, err := s.claim(ctx, t, tick.Scan)
	if err != nil {
		return // somebody else does it, or the next hour
	}
	if err := s.scan(ctx); err != nil && !errors.Is(err, roster.ErrNone) {
		s.Fault(ctx, fmt.Errorf("compare the users with the roster: %w", err))
	}
	_, _ = s.Ledger.Advance(ctx, claim, "", 0, s.heldUntil())
}

// scan looks at one part of the users, in the order of their ids, from where the last scan ended.
func (s *Service) scan(ctx context.Context) error {
	heads, err := s.Roster.Heads(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, h := range heads {
		total += h.Users
	}
	after, err := s.Scan.Bookmark(ctx)
	if err != nil {
		return err
	}
	users, last, err := s.usersAfter(ctx, after, max(1, (total+s.cfg.ScanParts-1)/s.cfg.ScanParts))
	if err != nil {
		return err
	}
	have, err := s.inRoster(ctx, heads, after, last)
	if err != nil {
		return err
	}
	if err := s.repair(ctx, users, have); err != nil {
		return err
	}
	return s.Scan.SetBookmark(ctx, last)
}

// usersAfter are so many users; last is the id of the last one, "" at the end of all.
func (s *Service) usersAfter(ctx context.Context, after string, count int) (users []user.User, last string, err error) {
	for last = after; ; {
		page, err := s.Users.Users(ctx, last, min(s.cfg.PageSize, count-len(users)))
		if err != nil {
			return nil, "", err
		}
		users, last = append(users, page.Users...), page.Next
		if last == "" || len(users) >= count {
			return users, last, nil
		}
	}
}

// inRoster are the entries with ids after one and up to another; "" is no bound.
func (s *Service) inRoster(ctx context.Context, heads []roster.Shard, after, last string) (map[string]roster.Entry, error) {
	have := map[string]roster.Entry{}
	for _, head := range heads {
		shard, err := s.reload(ctx, head)
		if err != nil {
			return nil, err
		}
		for e, err := range roster.Entries(shard.Packed) {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", shard, err)
			}
			if e.UserID > after && (last == "" || e.UserID <= last) {
				have[e.UserID] = e
			}
		}
	}
	return have, nil
}

// repair notes the users about whom the roster is wrong, but for those whose change waits to be folded in.
func (s *Service) repair(ctx context.Context, users []user.User, have map[string]roster.Entry) error {
	waiting, err := s.Roster.Changes(ctx, roster.OfUser, "", userChanges)
	if err != nil {
		return err
	}
	healths, err := s.Roster.Changes(ctx, roster.OfHealth, "", s.cfg.HealthChanges)
	if err != nil {
		return err
	}
	failing, err := s.Health.Failing(ctx)
	if err != nil {
		return err
	}
	waits := map[string]bool{}
	for _, c := range append(waiting, healths...) {
		waits[c.UserID] = true
	}
	var mu sync.Mutex
	wrong := map[string]string{}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, u := range users {
		h, known := have[u.ID]
		delete(have, u.ID)
		if waits[u.ID] {
			continue
		}
		g.Go(func() error {
			trades, err := s.Trading.Trades(ctx, u.ID)
			if err != nil {
				return err
			}
			want, active := roster.EntryOf(u, failing[u.ID], trades)
			if !active {
				s.invalid(ctx, u)
			}
			if what := difference(want, active, h, known); what != "" {
				mu.Lock()
				defer mu.Unlock()
				wrong[u.ID] = what
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for id := range have {
		if !waits[id] {
			wrong[id] = "is in the roster, but has no document"
		}
	}
	for id, what := range wrong {
		if err := s.Notes.Refresh(ctx, id, roster.OfUser); err != nil {
			return err
		}
		s.Repaired(ctx, id, what)
	}
	return nil
}

func difference(want roster.Entry, active bool, have roster.Entry, known bool) string {
	switch {
	case active && !known:
		return "is active, but was not in the roster"
	case !active && known:
		return "is not active, but was in the roster"
	case active && want != have:
		return "was in the roster with other settings or another health"
	}
	return ""
}

// invalid tells of an active user who can't be synced.
func (s *Service) invalid(ctx context.Context, u user.User) {
	if err := u.Check(); u.Status == user.Active && err != nil {
		s.Invalid(ctx, u.ID, err)
	}
}
