package account

import (
	"context"
	"errors"
	"time"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Bounds of what a snapshot carries, so that an event with the old and the new document stays under Eventarc's
// 512 KB. Past them the snapshot says Incomplete, and strategies fail closed.
const (
	MaxPositions = 250
	MaxOrders    = 250
)

// NoSlots says that no strategy of the user's has a schedule or wants bars.
const NoSlots = -1

// Snapshot is what is stored of a user's account, with where it came from.
type Snapshot struct {
	UserID  string
	Account Account
	Raw     map[string]any // the broker's object, decimals as the exact strings that it sent

	Positions  []Position
	OpenOrders []Order
	DetailAt   time.Time // when positions and orders were read; they change with cash, or are re-read at a heartbeat
	Incomplete bool      // positions or orders are missing, past the bound or out of date
	Kept       Digest    // if set, it stands for positions and orders, which are not here: a write leaves the stored ones
	Flows      Flows     // deposits and withdrawals

	LastEquityAt time.Time // the ObservedAt of the first snapshot with this Account.LastEquity; zero: not known

	SlotMinutes int // meets each slot and bar's close of the user's enabled strategies; NoSlots if there are none; 0: not known

	CadenceMinutes int // between two syncs of the user, as the request for it says; 0: not known

	Tick       tick.Tick
	Seq        int64     // 1, 2, 3 … one for each write
	ChangedSeq int64     // the Seq of the last material change
	Changed    Figures   // of the account at that change: what its moves are measured from
	ObservedAt time.Time // the start of the broker call; an older observation never replaces a newer one

	KeyVersion  string // the secret's version that was used
	KeyPath     string // where the keys are: the secret's resource name, or the path of the envelope
	ContentHash string // over all that is material, exactly
	TraceParent string

	Version time.Time // the stored document's update time: the precondition of the next write
}

// Older says whether s must give way to t: it was observed earlier, or at the same time for an earlier tick.
func (s Snapshot) Older(t Snapshot) bool {
	if !s.ObservedAt.Equal(t.ObservedAt) {
		return s.ObservedAt.Before(t.ObservedAt)
	}
	return s.Tick < t.Tick
}

// Stale says whether the snapshot is too old to trade on. One that does not say when it was observed is, and so is one
// from the future, a minute of difference between clocks aside: nothing is known of its age.
func (s Snapshot) Stale(now time.Time, limit time.Duration) bool {
	age := now.Sub(s.ObservedAt)
	return s.ObservedAt.IsZero() || age > limit || age < -time.Minute
}

// LastEquitySeen is the LastEquityAt of the snapshot that follows s.
func (s Snapshot) LastEquitySeen(next Snapshot) time.Time {
	switch {
	case s.ObservedAt.IsZero(): // it is the first
		return time.Time{}
	case s.Account.ID == next.Account.ID && sameDecimal(s.Account.LastEquity, next.Account.LastEquity):
		return s.LastEquityAt
	}
	return next.ObservedAt
}

// WithoutDetail is the snapshot with a digest in place of its positions and orders, and without the recent flows.
func (s Snapshot) WithoutDetail() Snapshot {
	s.Kept, s.Positions, s.OpenOrders, s.Flows = s.Detail(), nil, nil, s.Flows.WithoutRecent()
	return s
}

// The answers of a Store that are no faults of it.
var (
	// ErrNotFound: the user has no snapshot yet.
	ErrNotFound = errors.New("no snapshot")
	// ErrConflict: the stored snapshot is not the one that this write was decided on; read and compare again.
	ErrConflict = errors.New("snapshot was written by somebody else")
)

// Store keeps the users' snapshots.
type Store interface {
	// Snapshot returns a user's stored snapshot, or ErrNotFound.
	Snapshot(ctx context.Context, userID string) (Snapshot, error)
	// PutSnapshot writes s in place of the one with s.Version, or as the user's first if that is zero: ErrConflict
	// if there is another by now. The first is written only in a transaction that sees the user active: user.ErrGone.
	// With s.Kept the stored positions and orders stay, with s.Flows.Kept the recent flows; a first one must have them.
	// It returns the new version; zero where that is not known (a first one).
	PutSnapshot(ctx context.Context, s Snapshot) (version time.Time, err error)
}
