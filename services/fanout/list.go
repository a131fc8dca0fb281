package fanout

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// byUser begins a cursor that is a user's id; the others are places in the roster.
const byUser = "user:"

func listing(cursor string) bool { return strings.HasPrefix(cursor, byUser) }

// list publishes a tick without a roster, page by page of the users themselves, and builds the roster of what it saw:
// what changes meanwhile is noted, and folded in by the next tick. On an error it gives the claim back.
func (s *Service) list(ctx context.Context, claim tick.Claim) error {
	resumed := claim.Cursor != ""
	failing, trading, err := s.troubledAndTrading(ctx)
	if err != nil {
		return s.giveBack(ctx, claim, err)
	}
	var all []roster.Entry
	for done := false; !done; done = claim.Cursor == "" {
		var seen []roster.Entry
		if claim, seen, err = s.listPage(ctx, claim, failing, trading); err != nil {
			return s.giveBack(ctx, claim, err)
		}
		all = append(all, seen...)
	}
	if !resumed {
		s.build(ctx, claim.Tick, all)
	}
	return nil
}

func (s *Service) troubledAndTrading(ctx context.Context) (map[string]health.Health, map[string]roster.Trading, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	failing, err := s.Health.Failing(ctx)
	if err != nil {
		return nil, nil, err
	}
	trading, err := s.Trading.Trading(ctx)
	return failing, trading, err
}

func (s *Service) listPage(ctx context.Context, claim tick.Claim, failing map[string]health.Health, trading map[string]roster.Trading) (tick.Claim, []roster.Entry, error) {
	work, cancel := context.WithTimeout(ctx, s.cfg.Hold/2)
	defer cancel()
	page, err := s.Users.Users(work, strings.TrimPrefix(claim.Cursor, byUser), s.cfg.PageSize)
	if err != nil {
		return claim, nil, err
	}
	var seen []roster.Entry
	for _, u := range page.Users {
		if e, ok := roster.EntryOf(u, failing[u.ID], trading[u.ID]); ok {
			seen = append(seen, e)
		} else {
			s.invalid(ctx, u)
		}
	}
	due, err := s.dueOf(work, tick.Claim{Tick: claim.Tick}, roster.Shard{Users: len(seen), Packed: roster.Pack(seen)})
	if err != nil {
		return claim, nil, err
	}
	requests := make([]roster.Entry, len(due))
	for i, w := range due {
		requests[i] = w.entry
	}
	next := ""
	if page.Next != "" {
		next = byUser + page.Next
	}
	claim, err = s.publishPage(ctx, claim, requests, next)
	return claim, seen, err
}

func (s *Service) build(ctx context.Context, t tick.Tick, all []roster.Entry) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.cfg.Hold) // nobody waits for it
	defer cancel()
	shards := roster.Split(t.String()+"-"+s.NewOwner(), "", all, roster.MaxPacked/2)
	if err := s.Roster.Build(ctx, shards); err != nil && !errors.Is(err, roster.ErrExists) {
		s.Fault(ctx, fmt.Errorf("build the roster of %d users, which the next tick tries again: %w", len(all), err))
	}
}
