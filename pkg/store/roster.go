package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// rosterIndex says which shards are the roster: what a build that was overtaken or died left behind is none of it.
const rosterIndex = Rosters + "/index"

func rosterPath(id string) string { return Rosters + "/" + id }

// Heads implements roster.Reader.
func (s *Store) Heads(ctx context.Context) ([]roster.Shard, error) {
	docs, err := s.db.Query(ctx, document.Query{Collection: Rosters, Select: []string{"users", "shards"}})
	if err != nil {
		return nil, fmt.Errorf("list the roster's shards: %w", err)
	}
	at := slices.IndexFunc(docs, func(d document.Document) bool { return d.Path == rosterIndex })
	if at < 0 {
		return nil, roster.ErrNone
	}
	var heads []roster.Shard
	for _, id := range texts(docs[at].Fields, "shards") {
		i := slices.IndexFunc(docs, func(d document.Document) bool { return d.ID() == id })
		if i < 0 {
			return nil, fmt.Errorf("roster shard %s is in %s, but not there: delete %s, and the next tick builds the roster anew", id, rosterIndex, rosterIndex)
		}
		heads = append(heads, parseShard(docs[i]))
	}
	if err := roster.CheckCover(heads); err != nil {
		return nil, fmt.Errorf("%s: %w: delete it, and the next tick builds the roster anew", rosterIndex, err)
	}
	slices.SortFunc(heads, func(a, b roster.Shard) int { return strings.Compare(a.Bits(), b.Bits()) })
	return heads, nil
}

// Shard implements roster.Reader.
func (s *Store) Shard(ctx context.Context, id string) (roster.Shard, error) {
	d, err := s.db.Get(ctx, rosterPath(id))
	if errors.Is(err, document.ErrNotFound) {
		return roster.Shard{}, fmt.Errorf("shard %s: %w", id, roster.ErrNoShard)
	}
	if err != nil {
		return roster.Shard{}, err
	}
	return parseShard(d), nil
}

// Build implements roster.Store.
func (s *Store) Build(ctx context.Context, shards []roster.Shard) error {
	if err := roster.CheckCover(shards); err != nil {
		return err
	}
	ids := make([]any, len(shards))
	for i, shard := range shards {
		if _, err := s.db.Create(ctx, rosterPath(shard.ID), shardDocument(shard)); err != nil {
			return fmt.Errorf("build the roster: %w", err)
		}
		ids[i] = shard.ID
	}
	_, err := s.db.Create(ctx, rosterIndex, document.Fields{"shards": ids, "updated_at": document.ServerTime})
	if errors.Is(err, document.ErrExists) {
		for _, shard := range shards {
			_ = s.db.Delete(ctx, rosterPath(shard.ID), time.Time{}) // it is in nobody's way
		}
		return roster.ErrExists
	}
	return err
}

// Replace implements roster.Store.
func (s *Store) Replace(ctx context.Context, old roster.Shard, next []roster.Shard) (err error) {
	if len(next) == 1 && next[0].ID == old.ID {
		_, err = s.db.Update(ctx, rosterPath(old.ID), shardDocument(next[0]), old.Version)
	} else {
		err = s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error { return split(ctx, tx, old, next) })
	}
	if errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrNotFound) {
		return fmt.Errorf("shard %s: %w", old.ID, roster.ErrConflict)
	}
	return err
}

func split(ctx context.Context, tx document.Tx, old roster.Shard, next []roster.Shard) error {
	d, err := tx.Get(ctx, rosterPath(old.ID))
	if err != nil {
		return err
	}
	if !d.UpdateTime.Equal(old.Version) {
		return roster.ErrConflict
	}
	index, err := tx.Get(ctx, rosterIndex)
	if err != nil {
		return err
	}
	var ids []any
	for _, id := range texts(index.Fields, "shards") {
		if id != old.ID {
			ids = append(ids, id)
		}
	}
	for _, shard := range next {
		ids = append(ids, shard.ID)
		if err := tx.Create(rosterPath(shard.ID), shardDocument(shard)); err != nil {
			return err
		}
	}
	if err := tx.Delete(rosterPath(old.ID)); err != nil {
		return err
	}
	return tx.Set(rosterIndex, document.Fields{"shards": ids, "updated_at": document.ServerTime})
}

func shardDocument(s roster.Shard) document.Fields {
	return document.Fields{"users": s.Users, "bytes": len(s.Packed), "packed": []byte(s.Packed), "updated_at": document.ServerTime}
}

func parseShard(d document.Document) roster.Shard {
	packed, _ := d.Fields["packed"].([]byte)
	return roster.Shard{ID: d.ID(), Users: int(integer(d.Fields, "users")), Packed: string(packed), Version: d.UpdateTime}
}

func texts(f document.Fields, name string) (list []string) {
	values, _ := f[name].([]any)
	for _, v := range values {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// Changes implements roster.Store.
func (s *Store) Changes(ctx context.Context, kind roster.Kind, after string, limit int) ([]roster.Change, error) {
	docs, err := s.db.Query(ctx, document.Query{Collection: RosterNotes, Where: map[string]any{"kind": string(kind)}, After: after, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("list the roster's changes: %w", err)
	}
	list := make([]roster.Change, len(docs))
	for i, d := range docs {
		list[i] = roster.Change{UserID: d.ID(), Kind: kind, Version: d.UpdateTime}
		packed, ok := d.Fields["entry"].([]byte)
		if !ok {
			continue
		}
		entries, err := roster.Unpack(string(packed))
		if err != nil || len(entries) != 1 || entries[0].UserID != d.ID() {
			return nil, fmt.Errorf("%s is damaged (%w): delete it, and the next scan finds what is true", d.Path, err)
		}
		list[i].Entry = &entries[0]
	}
	return list, nil
}

// Forget implements roster.Store.
func (s *Store) Forget(ctx context.Context, c roster.Change) error {
	err := s.db.Delete(ctx, RosterNotes+"/"+c.UserID, c.Version)
	if errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrNotFound) {
		return nil // a newer one is for the next tick
	}
	return err
}

// Refresh implements roster.Refresher. The note is read before it is written, so that of two transactions for one user
// the later one has seen what the earlier one saw, or more.
func (s *Store) Refresh(ctx context.Context, userID string, kind roster.Kind) error {
	path := RosterNotes + "/" + userID
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		waiting, err := tx.Get(ctx, path)
		if err != nil && !errors.Is(err, document.ErrNotFound) {
			return err
		}
		if text(waiting.Fields, "kind") == string(roster.OfUser) {
			kind = roster.OfUser // it does not lose its place
		}
		f := document.Fields{"kind": string(kind), "updated_at": document.ServerTime}
		e, ok, err := s.entry(ctx, tx, userID)
		if err != nil {
			return err
		}
		if ok {
			f["entry"] = []byte(roster.Pack([]roster.Entry{e}))
		}
		return tx.Set(path, f)
	})
	if err != nil {
		return fmt.Errorf("note the change of user %s for the roster: %w", userID, err)
	}
	return nil
}

// entry is what is true of a user. The strategies are read beside the transaction, after the note.
func (s *Store) entry(ctx context.Context, tx document.Tx, userID string) (e roster.Entry, ok bool, err error) {
	d, err := tx.Get(ctx, UserPath(userID))
	if errors.Is(err, document.ErrNotFound) {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	h, err := tx.Get(ctx, HealthPath(userID))
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		return e, false, err
	}
	trades, err := s.Trades(ctx, userID)
	if err != nil {
		return e, false, err
	}
	e, ok = roster.EntryOf(parseUser(d), ParseHealth(h), trades)
	return e, ok, nil
}

// RosterChange says of which user the roster may have to know after a document has changed, if of any.
func RosterChange(c document.Change) (userID string, kind roster.Kind, matters bool) {
	p := strings.Split(c.Path, "/")
	switch {
	case len(p) == 2 && p[0] == Users:
		return p[1], roster.OfUser, userEntry(c.Old) != userEntry(c.New)
	case len(p) == 4 && p[0] == Users && p[2] == Strategies:
		return p[1], roster.OfUser, tradingOf(p[1], c.Old) != tradingOf(p[1], c.New)
	case len(p) == 4 && p[0] == Users && p[2] == SyncHealth && p[3] == HealthID:
		return p[1], roster.OfHealth, healthEntry(c.Old) != healthEntry(c.New)
	}
	return "", "", false
}

// userEntry and healthEntry are the parts of an entry that one document says; zero where it says that there is none.
func userEntry(d *document.Document) roster.Entry {
	if d == nil {
		return roster.Entry{}
	}
	e, _ := roster.EntryOf(parseUser(*d), health.Health{}, roster.Trading{})
	return e
}

func healthEntry(d *document.Document) roster.Entry {
	if d == nil {
		d = &document.Document{}
	}
	e, _ := roster.EntryOf(user.User{ID: "u", Status: user.Active, BrokerEnv: "paper"}, ParseHealth(*d), roster.Trading{})
	return e
}

func tradingOf(userID string, d *document.Document) roster.Trading {
	if d == nil || d.Fields["enabled"] != true {
		return roster.Trading{}
	}
	return trading([]strategy.Definition{ParseStrategy(userID, *d)})
}

const scanPath = Rosters + "/scan"

// Bookmark implements roster.Bookmark.
func (s *Store) Bookmark(ctx context.Context) (string, error) {
	d, err := s.db.Get(ctx, scanPath)
	if errors.Is(err, document.ErrNotFound) {
		return "", nil
	}
	return text(d.Fields, "after"), err
}

// SetBookmark implements roster.Bookmark.
func (s *Store) SetBookmark(ctx context.Context, userID string) error {
	return s.db.Set(ctx, scanPath, document.Fields{"after": userID, "updated_at": document.ServerTime})
}

// Trades says what a tick has to know of a user's strategies.
func (s *Store) Trades(ctx context.Context, userID string) (roster.Trading, error) {
	enabled, err := s.Enabled(ctx, userID)
	if errors.Is(err, strategy.ErrTooMany) {
		err = nil // the signaler says so; those that run count
	}
	return trading(enabled), err
}

func trading(enabled []strategy.Definition) roster.Trading {
	if len(enabled) == 0 {
		return roster.Trading{}
	}
	return roster.Trading{Enabled: true, SlotMinutes: strategy.Slots(enabled)}
}

// Trading says the same of all users who have an enabled strategy, by id.
func (s *Store) Trading(ctx context.Context) (map[string]roster.Trading, error) {
	docs, err := s.db.Query(ctx, document.Query{Collection: Strategies, Group: true, Where: map[string]any{"enabled": true}})
	if err != nil {
		return nil, fmt.Errorf("list the enabled strategies: %w", err)
	}
	of := map[string][]strategy.Definition{}
	for _, d := range docs {
		if p := strings.Split(d.Path, "/"); len(p) == 4 && p[0] == Users && len(of[p[1]]) < strategy.MaxEnabled {
			of[p[1]] = append(of[p[1]], ParseStrategy(p[1], d))
		}
	}
	all := make(map[string]roster.Trading, len(of))
	for uid, enabled := range of {
		all[uid] = trading(enabled)
	}
	return all, nil
}
