package fanout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/roster"
)

const (
	userChanges = 20_000 // of people's changes at a tick, at most: far more than a minute has
	foldTries   = 3
	parallel    = 16 // calls to the store at once
)

// fold brings the roster up to date: its shards as they are now, and the changes that are in them.
//
// The order makes it safe against another tick that does the same: the versions are read before the changes, and a shard
// is written only while it has the version read. Who finds another has perhaps seen changes that are older than what that
// one folded in, and begins again.
func (s *Service) fold(ctx context.Context) (shards []roster.Shard, folded []roster.Change, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	for range foldTries {
		shards, folded, err = s.foldOnce(ctx)
		if !errors.Is(err, roster.ErrConflict) && !errors.Is(err, roster.ErrNoShard) {
			return shards, folded, err
		}
	}
	return nil, nil, fmt.Errorf("fold the changes into the roster: another tick got in between %d times: %w", foldTries, err)
}

func (s *Service) foldOnce(ctx context.Context) ([]roster.Shard, []roster.Change, error) {
	heads, err := s.Roster.Heads(ctx)
	if err != nil {
		return nil, nil, err
	}
	s.drop(heads)
	changes, err := s.changes(ctx)
	if err != nil || len(changes) == 0 {
		return heads, nil, err
	}
	touched := make([][]roster.Change, len(heads))
	for _, c := range changes {
		i := roster.Find(heads, roster.Hash(c.UserID))
		touched[i] = append(touched[i], c)
	}
	next := make([][]roster.Shard, len(heads))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, head := range heads {
		g.Go(func() (err error) {
			next[i], err = s.foldShard(gctx, head, touched[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	var shards []roster.Shard
	for _, list := range next {
		shards = append(shards, list...)
	}
	return shards, changes, nil
}

// changes are people's first: a pause counts at the next tick. Of the platform's own, an outage can make thousands at
// once: a bounded number at each tick, from where the last one ended, so that a flood without end keeps nobody waiting.
func (s *Service) changes(ctx context.Context) ([]roster.Change, error) {
	users, err := s.Roster.Changes(ctx, roster.OfUser, "", userChanges)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	after := s.healthAfter
	s.mu.Unlock()
	healths, err := s.Roster.Changes(ctx, roster.OfHealth, after, s.cfg.HealthChanges)
	if left := s.cfg.HealthChanges - len(healths); err == nil && left > 0 && after != "" {
		var first []roster.Change
		first, err = s.Roster.Changes(ctx, roster.OfHealth, "", left)
		for _, c := range first {
			if c.UserID <= after {
				healths = append(healths, c)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	after = ""
	if len(healths) == s.cfg.HealthChanges {
		after = healths[len(healths)-1].UserID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healthAfter = after
	return append(users, healths...), nil
}

func (s *Service) foldShard(ctx context.Context, head roster.Shard, changes []roster.Change) ([]roster.Shard, error) {
	if len(changes) == 0 {
		return []roster.Shard{head}, nil
	}
	shard, err := s.load(ctx, head)
	if err != nil {
		return nil, err
	}
	next, err := roster.Fold(shard, changes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: delete rosters/index, and the next tick builds the roster anew", shard, err)
	}
	return next, s.Roster.Replace(ctx, shard, next) // their versions are not known: they are read again
}

// load reads a shard's entries, unless it has not changed since they were read last.
func (s *Service) load(ctx context.Context, head roster.Shard) (roster.Shard, error) {
	s.mu.Lock()
	known, ok := s.shards[head.ID]
	s.mu.Unlock()
	if ok && !head.Version.IsZero() && known.Version.Equal(head.Version) {
		return known, nil
	}
	shard, err := s.Roster.Shard(ctx, head.ID)
	if err != nil {
		return shard, err
	}
	if !head.Version.IsZero() && !shard.Version.Equal(head.Version) {
		return shard, fmt.Errorf("%s: %w", shard, roster.ErrConflict)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards[shard.ID] = shard
	return shard, nil
}

// drop forgets shards that are no more.
func (s *Service) drop(heads []roster.Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.shards, func(id string, _ roster.Shard) bool {
		return !slices.ContainsFunc(heads, func(h roster.Shard) bool { return h.ID == id })
	})
}

// find is the shard of an id, or what it was split into.
func (s *Service) find(ctx context.Context, id string) ([]roster.Shard, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	shard, err := s.load(ctx, roster.Shard{ID: id})
	if err == nil {
		return []roster.Shard{shard}, nil
	}
	if !errors.Is(err, roster.ErrNoShard) {
		return nil, err
	}
	heads, err := s.Roster.Heads(ctx)
	return roster.Under(heads, roster.Shard{ID: id}.Bits()), err
}

// forget removes changes that are in the roster. What stays behind is folded in once more, which changes nothing.
func (s *Service) forget(ctx context.Context, folded []roster.Change) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/2)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, c := range folded {
		g.Go(func() error { return s.Roster.Forget(ctx, c) })
	}
	if err := g.Wait(); err != nil {
		s.Fault(ctx, fmt.Errorf("remove changes that are in the roster: %w", err))
	}
}
