package tick

import (
	"context"
	"errors"
	"time"
)

// The answers of a Ledger that are no faults of the store.
var (
	// ErrDone: the shard of this tick is published; there is nothing left to do.
	ErrDone = errors.New("tick shard is published already")
	// ErrHeld: another delivery is publishing it now; come back later.
	ErrHeld = errors.New("tick shard is held by another delivery")
	// ErrLost: the claim ran out and another delivery went on; stop here.
	ErrLost = errors.New("tick shard was taken over by another delivery")
)

// Scan in place of a shard is the comparison of the users with the roster, which publishes nothing.
const Scan = "scan"

// Claim is the right to publish one shard of one tick, from Cursor on.
type Claim struct {
	Tick      Tick
	Shard     string // "" is the whole tick
	Owner     string // who holds it, unique per delivery
	Cursor    string // how far it is published; "" is the beginning
	Published int    // requests published so far, by all holders
	Version   time.Time
}

// Ledger remembers what each tick has published, so that a second delivery of it publishes nothing and a crash
// half-way repeats at most one page.
type Ledger interface {
	// Claim takes a shard for owner until the given time: ErrDone, ErrHeld, or the place to go on from.
	Claim(ctx context.Context, t Tick, shard, owner string, now, until time.Time) (Claim, error)
	// Advance records a published page and prolongs the claim; next "" says that the shard is done. ErrLost if
	// somebody else took over.
	Advance(ctx context.Context, c Claim, next string, published int, until time.Time) (Claim, error)
	// Release gives an unfinished claim back, so that the redelivery need not wait for it to run out.
	Release(ctx context.Context, c Claim) error
}
