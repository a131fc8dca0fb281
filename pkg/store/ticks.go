package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// ticksKept is how long the record of a tick stays: a TTL policy on expire_at removes it.
const ticksKept = 7 * 24 * time.Hour

// wholeTick is the id of the record of a tick that is not published by shards, or of what hands it out to them.
const wholeTick = "0"

func shardPath(t tick.Tick, shard string) string {
	return Ticks + "/" + t.String() + "/" + Shards + "/" + cmp.Or(shard, wholeTick)
}

// Claim implements tick.Ledger. The first claim of a shard reads nothing.
func (s *Store) Claim(ctx context.Context, t tick.Tick, shard, owner string, now, until time.Time) (tick.Claim, error) {
	c := tick.Claim{Tick: t, Shard: shard, Owner: owner}
	var err error
	c.Version, err = s.db.Create(ctx, shardPath(t, shard), shardFields(c, until, false))
	if errors.Is(err, document.ErrExists) {
		c, err = s.takeOver(ctx, c, now, until)
	}
	if err != nil {
		return tick.Claim{}, fmt.Errorf("claim tick %s shard %q: %w", t, shard, err)
	}
	return c, nil
}

// takeOver goes on where another delivery was, if that one is gone.
func (s *Store) takeOver(ctx context.Context, c tick.Claim, now, until time.Time) (tick.Claim, error) {
	d, err := s.db.Get(ctx, shardPath(c.Tick, c.Shard))
	switch {
	case err != nil:
		return c, err
	case d.Fields["done"] == true:
		return c, tick.ErrDone
	}
	if held, _ := d.Fields["held_until"].(time.Time); now.Before(held) && text(d.Fields, "owner") != "" && text(d.Fields, "owner") != c.Owner {
		return c, tick.ErrHeld
	}
	c.Cursor, c.Published = text(d.Fields, "cursor"), int(integer(d.Fields, "published"))
	c.Version, err = s.db.Update(ctx, d.Path, shardFields(c, until, false), d.UpdateTime)
	if errors.Is(err, document.ErrConflict) {
		return c, tick.ErrHeld // somebody was faster
	}
	return c, err
}

// Advance implements tick.Ledger. It reads nothing: the claim's version is the precondition.
func (s *Store) Advance(ctx context.Context, c tick.Claim, next string, published int, until time.Time) (tick.Claim, error) {
	c.Cursor, c.Published = next, c.Published+published
	return s.progress(ctx, c, shardFields(c, until, next == ""))
}

// Release implements tick.Ledger.
func (s *Store) Release(ctx context.Context, c tick.Claim) error {
	f := shardFields(c, time.Time{}, false)
	f["owner"] = ""
	_, err := s.progress(ctx, c, f)
	return err
}

// progress writes a shard's record if the claim still holds.
func (s *Store) progress(ctx context.Context, c tick.Claim, f document.Fields) (tick.Claim, error) {
	path := shardPath(c.Tick, c.Shard)
	version, err := s.db.Update(ctx, path, f, c.Version)
	if errors.Is(err, document.ErrConflict) { // or only the answer to our own last write was lost
		if version, err = s.claimed(ctx, c); err == nil {
			version, err = s.db.Update(ctx, path, f, version)
		}
	}
	if errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrNotFound) {
		err = tick.ErrLost
	}
	if err != nil {
		return c, fmt.Errorf("tick %s shard %q: %w", c.Tick, c.Shard, err)
	}
	c.Version = version
	return c, nil
}

// claimed is the version of the record, if it is still the claim's.
func (s *Store) claimed(ctx context.Context, c tick.Claim) (time.Time, error) {
	d, err := s.db.Get(ctx, shardPath(c.Tick, c.Shard))
	if err == nil && text(d.Fields, "owner") != c.Owner {
		err = tick.ErrLost
	}
	return d.UpdateTime, err
}

func shardFields(c tick.Claim, until time.Time, done bool) document.Fields {
	return document.Fields{
		"owner": c.Owner, "held_until": until, "cursor": c.Cursor, "published": c.Published, "done": done,
		"updated_at": document.ServerTime, "expire_at": c.Tick.Time().Add(ticksKept),
	}
}
