// Package fanout turns each minute's tick into one sync request for every active user who is due.
//
//	changes of users, health, strategies ──▶ Handle: note what is true of the user ──▶ Firestore rosterChanges
//	sync-ticks ──▶ Handle: claim the tick ─▶ fold the changes into the roster ─▶ publish the users who are due, page by
//	               page ──▶ sync-requests        (no roster yet: list the users themselves, and build it)
//	               └ many shards: one event each ──▶ sync-ticks ──▶ Handle: claim the shard ─▶ publish ──▶ sync-requests
//	               └ now and then: compare a part of the users with the roster, and note what differs
package fanout

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Deps are what the service stands on. The functions after NewOwner may be nil.
type Deps struct {
	Users    user.Lister
	Health   health.Lister
	Trading  Trading
	Roster   roster.Store
	Notes    roster.Refresher
	Scan     roster.Bookmark
	Ledger   tick.Ledger
	Requests event.Publisher
	Shards   event.Publisher // to this service itself
	Now      func() time.Time
	NewOwner func() string                                          // a name for one delivery's claim, never the same twice
	Open     Open                                                   // nil: the market never closes
	Invalid  func(ctx context.Context, userID string, err error)    // told of users who can't be synced as they stand
	Repaired func(ctx context.Context, userID string, wrong string) // told of each user about whom the roster was wrong
	Fault    func(ctx context.Context, err error)                   // told what was gone on without
}

// Open says whether accounts of these hours are synced at a time.
type Open func(ctx context.Context, at time.Time, hours market.Hours) bool

// Trading lists who has an enabled strategy.
type Trading interface {
	// Trading is what a tick has to know of all users who have one, by id.
	Trading(ctx context.Context) (map[string]roster.Trading, error)
	// Trades is the same of one user.
	Trades(ctx context.Context, userID string) (roster.Trading, error)
}

// Service handles ticks, shards of ticks, and changes of users.
type Service struct {
	cfg Config
	Deps

	mu          sync.Mutex
	shards      map[string]roster.Shard // as last read; good while the version is
	healthAfter string                  // the user with whom the last tick's changes of health ended; "" if those were all
}

// New is a service; cfg must be valid.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("fanout: %w", err)
	}
	deps.complete()
	return &Service{cfg: cfg, Deps: deps, shards: map[string]roster.Shard{}}, nil
}

func (d *Deps) complete() {
	if d.Open == nil {
		d.Open = func(context.Context, time.Time, market.Hours) bool { return true }
	}
	if d.Invalid == nil {
		d.Invalid = func(context.Context, string, error) {}
	}
	if d.Repaired == nil {
		d.Repaired = func(context.Context, string, string) {}
	}
	if d.Fault == nil {
		d.Fault = func(context.Context, error) {}
	}
}

// Handle publishes a tick or a shard of one, or notes a change. A repeated delivery publishes nothing; one that comes
// while the first is at work is nacked, so that it can go on from the last recorded page should the first die.
func (s *Service) Handle(ctx context.Context, e event.Event) error {
	switch e.Type() {
	case event.TypeDocument:
		return s.note(ctx, e)
	case event.TypeTickShard:
		return s.shard(ctx, e)
	case event.TypeTick:
		return s.tick(ctx, e)
	}
	return event.Reject(fmt.Errorf("event type %.100q: this endpoint takes %s, %s and %s", e.Type(), event.TypeTick, event.TypeTickShard, event.TypeDocument))
}
