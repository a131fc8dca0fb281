// Package fanout turns each minute's tick into one sync request for every active user who is due.
//
//	sync-ticks ──▶ Handle: claim the tick ─▶ users in trouble ─▶ page of users ─▶ publish those due ─▶ record the page
//	               ─▶ … ──▶ sync-requests
package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Deps are what the service stands on.
type Deps struct {
	Users    user.Lister
	Health   health.Lister
	Ledger   tick.Ledger
	Requests event.Publisher
	Now      func() time.Time
	NewOwner func() string             // a name for one delivery's claim, never the same twice
	Invalid  func(u string, err error) // told of users who can't be synced as they stand; may be nil
}

// Service handles ticks.
type Service struct {
	cfg Config
	Deps
}

// New is a service; cfg must be valid.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("fanout: %w", err)
	}
	if deps.Invalid == nil {
		deps.Invalid = func(string, error) {}
	}
	return &Service{cfg: cfg, Deps: deps}, nil
}

// Handle publishes one tick. A repeated delivery publishes nothing; one that comes while the first is at work is
// nacked, so that it can go on from the last recorded page should the first die.
func (s *Service) Handle(ctx context.Context, e event.Event) error {
	t, err := s.tickOf(e)
	if err != nil {
		return err
	}
	claim, err := s.claim(ctx, t)
	switch {
	case errors.Is(err, tick.ErrDone):
		return nil
	case errors.Is(err, tick.ErrHeld):
		return event.Defer(err)
	case err != nil:
		return err
	}
	failing, err := s.failing(ctx)
	if err != nil {
		return s.giveBack(ctx, claim, err)
	}
	for done := false; !done; done = claim.Cursor == "" {
		if claim, err = s.publishPage(ctx, claim, failing); err != nil {
			return s.giveBack(ctx, claim, err)
		}
	}
	return nil
}

// Claiming, listing and the first page together end before the claim does, and so does each further page: whoever
// takes over then finds nobody at work.
func (s *Service) claim(ctx context.Context, t tick.Tick) (tick.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	return s.Ledger.Claim(ctx, t, 0, s.NewOwner(), s.Now(), s.heldUntil())
}

// failing are the users in trouble: each request says so, and some are not due yet.
func (s *Service) failing(ctx context.Context) (map[string]health.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	return s.Health.Failing(ctx)
}

// tickOf is the minute in which Pub/Sub took the message: it is the same for every delivery of it.
func (s *Service) tickOf(e event.Event) (tick.Tick, error) {
	if e.Type() != event.TypeTick {
		return 0, event.Reject(fmt.Errorf("event type %.100q: this endpoint takes %s", e.Type(), event.TypeTick))
	}
	at, err := event.PublishTime(e)
	if err != nil {
		return 0, event.Reject(err)
	}
	t := tick.Of(at)
	return t, event.CheckAge(t, s.Now(), s.cfg.MaxAge)
}

func (s *Service) publishPage(ctx context.Context, claim tick.Claim, failing map[string]health.Health) (tick.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/2)
	defer cancel()
	page, err := s.Users.Users(ctx, claim.Cursor, s.cfg.PageSize)
	if err != nil {
		return claim, err
	}
	requests, err := s.requests(claim.Tick, page.Users, failing)
	if err != nil {
		return claim, err
	}
	if len(requests) > 0 {
		if err := s.Requests.Publish(ctx, requests...); err != nil {
			return claim, fmt.Errorf("publish tick %s after user %q: %w", claim.Tick, claim.Cursor, err)
		}
	}
	next, err := s.Ledger.Advance(ctx, claim, page.Next, len(requests), s.heldUntil())
	if err != nil {
		return claim, err
	}
	return next, nil
}

// requests are those of the active users who are due.
func (s *Service) requests(t tick.Tick, users []user.User, failing map[string]health.Health) ([]event.Event, error) {
	requests := make([]event.Event, 0, len(users))
	for _, u := range users {
		h := failing[u.ID]
		if u.Status != user.Active || !t.Due(u.ID, u.CadenceMinutes) || !h.Due(t, u.KeyVersion) {
			continue
		}
		if err := user.CheckID(u.ID); err != nil {
			s.Invalid(u.ID, err)
			continue
		}
		r, err := event.NewSyncRequest(t, u, h)
		if err != nil {
			return nil, fmt.Errorf("sync request of user %s: %w", u.ID, err)
		}
		requests = append(requests, r)
	}
	return requests, nil
}

// giveBack lets the redelivery start at once instead of when the claim runs out.
func (s *Service) giveBack(ctx context.Context, claim tick.Claim, cause error) error {
	if errors.Is(cause, tick.ErrLost) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(cause, s.Ledger.Release(ctx, claim))
}

func (s *Service) heldUntil() time.Time { return s.Now().Add(s.cfg.Hold) }
