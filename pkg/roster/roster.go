// Package roster is the active users in a form that a tick can read at once: packed into a few documents, shards, by a
// hash of their ids. What changes of a user is noted beside them, and folded in by the next tick.
//
//	user, health, strategies change ──▶ Refresh: rosterChanges/{uid} ──▶ next tick: Fold ──▶ rosters/{shard} ──▶ requests
package roster

import (
	"context"
	"errors"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Entry is what a tick has to know of an active user.
type Entry struct {
	UserID         string
	CadenceMinutes int          // as the user's document says; 0 if it says nothing
	Trades         bool         // has an enabled strategy
	SlotMinutes    int          // meets each slot and bar's close of the enabled strategies; account.NoSlots if there are none
	BrokerEnv      string       // "paper", "live"
	SyncHours      market.Hours // as the user's document says
	KeyVersion     string       // of the secret; "" while none is known
	TenantID       string       // as the user's document says; "" if it says nothing

	Health      health.State // of a user in trouble; "" for one who is well
	NextAttempt tick.Tick    // not asked before; 0: at the next tick
	FailedWith  string       // the version of the keys that failed: other ones make the user due
}

// Trading is what a tick has to know of a user's strategies.
type Trading struct {
	Enabled     bool
	SlotMinutes int // see Entry
}

// EntryOf is the entry of an active user; ok is false for any other.
func EntryOf(u user.User, h health.Health, t Trading) (e Entry, ok bool) {
	if u.Status != user.Active || u.Check() != nil {
		return Entry{}, false
	}
	e = Entry{UserID: u.ID, CadenceMinutes: u.CadenceMinutes, Trades: t.Enabled, SlotMinutes: account.NoSlots, BrokerEnv: u.BrokerEnv, SyncHours: u.SyncHours, KeyVersion: u.KeyVersion}
	if e.TenantID = u.TenantID; len(e.TenantID) > user.MaxTenant {
		e.TenantID = e.TenantID[:user.MaxTenant+1] // still none that can be used, which the syncer tells
	}
	if t.Enabled && t.SlotMinutes != 0 {
		e.SlotMinutes = t.SlotMinutes
	}
	if h.Failing() {
		e.Health = h.State
		if h.State != health.Degraded { // who is asked at each of the cadence's ticks anyway
			e.NextAttempt, e.FailedWith = ceil(h.NextAttemptAt), h.KeyVersion
		}
	}
	return e, true
}

// ceil is the first tick that does not begin before t.
func ceil(t time.Time) tick.Tick {
	if t.IsZero() {
		return 0
	}
	return tick.Of(t.Add(time.Minute - time.Nanosecond))
}

// Rested says that the user's trouble allows to ask again at a tick.
func (e Entry) Rested(t tick.Tick) bool {
	return e.NextAttempt <= t || (e.Health != "" && e.KeyVersion != e.FailedWith)
}

// Shard is one document of the roster.
type Shard struct {
	ID      string // "{build}-{bits}"
	Users   int
	Packed  string    // the entries, see Pack; "" if only the head was read
	Version time.Time // of the document: the precondition of the next write
}

// Kind is what a change is of: a person's word goes before the platform's.
type Kind string

// The kinds of changes.
const (
	OfUser   Kind = "user"   // the user's document or strategies: all of them are folded in at the next tick
	OfHealth Kind = "health" // so many at a tick, the rest later
)

// Change says what is true of one user now.
type Change struct {
	UserID  string
	Kind    Kind
	Entry   *Entry    // nil: not in the roster any more
	Version time.Time // of the document that notes it
}

// The answers of a Store that are no faults of it.
var (
	// ErrNone says that there is no roster yet.
	ErrNone = errors.New("no roster was built yet")
	// ErrExists says that somebody else built the roster.
	ErrExists = errors.New("the roster is built already")
	// ErrConflict says that a shard was written by somebody else.
	ErrConflict = errors.New("roster shard was written by somebody else")
	// ErrNoShard says that there is no such shard, any more.
	ErrNoShard = errors.New("no such roster shard")
)

// Reader reads the roster.
type Reader interface {
	// Heads are all shards without their entries, in the order of the hash: one read a shard. ErrNone.
	Heads(ctx context.Context) ([]Shard, error)
	// Shard is one shard with its entries: ErrNoShard.
	Shard(ctx context.Context, id string) (Shard, error)
}

// Store keeps the roster and the changes to it. Of all writers only the tick handler writes shards.
type Store interface {
	Reader
	// Build makes the first roster, all of it or nothing: ErrExists.
	Build(ctx context.Context, shards []Shard) error
	// Replace puts shards in the place of one that must be unchanged (ErrConflict): one of the same id, or its halves.
	Replace(ctx context.Context, old Shard, next []Shard) error
	// Changes are at most limit changes of a kind that wait to be folded in, of the users after one, in the order of their
	// ids.
	Changes(ctx context.Context, kind Kind, after string, limit int) ([]Change, error)
	// Forget removes a change that was folded in, unless there is a newer one by now.
	Forget(ctx context.Context, c Change) error
}

// Bookmark keeps how far the comparison of the users with the roster has come.
type Bookmark interface {
	// Bookmark is the id of the last user who was looked at; "" is the beginning.
	Bookmark(ctx context.Context) (userID string, err error)
	SetBookmark(ctx context.Context, userID string) error
}

// Refresher notes changes.
type Refresher interface {
	// Refresh notes what is true of a user now, all of it read in the transaction that writes the note: whatever order
	// events come in, the last note is right.
	Refresh(ctx context.Context, userID string, kind Kind) error
}
