package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// ticksKept is how long the record of a tick stays: a TTL policy on expire_at removes it.
const ticksKept = 7 * 24 * time.Hour

func shardPath(t tick.Tick, shard int) string {
	return Ticks + "/" + t.String() + "/" + Shards + "/" + strconv.Itoa(shard)
}

// Claim implements tick.Ledger.
func (s *Store) Claim(ctx context.Context, t tick.Tick, shard int, owner string, now, until time.Time) (tick.Claim, error) {
	c := tick.Claim{Tick: t, Shard: shard, Owner: owner}
	path := shardPath(t, shard)
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, path)
		switch {
		case errors.Is(err, document.ErrNotFound):
			c.Cursor, c.Published = "", 0
			return tx.Create(path, shardFields(c, until, false))
		case err != nil:
			return err
		case d.Fields["done"] == true:
			return tick.ErrDone
		}
		if held, _ := d.Fields["held_until"].(time.Time); now.Before(held) && text(d.Fields, "owner") != "" {
			return tick.ErrHeld
		}
		c.Cursor, c.Published = text(d.Fields, "cursor"), int(integer(d.Fields, "published"))
		return tx.Set(path, shardFields(c, until, false))
	})
	if err != nil {
		return tick.Claim{}, fmt.Errorf("claim tick %s shard %d: %w", t, shard, err)
	}
	return c, nil
}

// Advance implements tick.Ledger.
func (s *Store) Advance(ctx context.Context, c tick.Claim, next string, published int, until time.Time) (tick.Claim, error) {
	c.Cursor, c.Published = next, c.Published+published
	return c, s.progress(ctx, c, shardFields(c, until, next == ""))
}

// Release implements tick.Ledger.
func (s *Store) Release(ctx context.Context, c tick.Claim) error {
	f := shardFields(c, time.Time{}, false)
	f["owner"] = ""
	return s.progress(ctx, c, f)
}

// progress writes a shard's record if the claim still holds.
func (s *Store) progress(ctx context.Context, c tick.Claim, f document.Fields) error {
	path := shardPath(c.Tick, c.Shard)
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		d, err := tx.Get(ctx, path)
		if errors.Is(err, document.ErrNotFound) || (err == nil && text(d.Fields, "owner") != c.Owner) {
			return tick.ErrLost
		}
		if err != nil {
			return err
		}
		return tx.Set(path, f)
	})
	if err != nil {
		return fmt.Errorf("tick %s shard %d: %w", c.Tick, c.Shard, err)
	}
	return nil
}

func shardFields(c tick.Claim, until time.Time, done bool) document.Fields {
	return document.Fields{
		"owner": c.Owner, "held_until": until, "cursor": c.Cursor, "published": c.Published, "done": done,
		"updated_at": document.ServerTime, "expire_at": c.Tick.Time().Add(ticksKept),
	}
}
