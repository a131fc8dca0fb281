package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// ModeLegacy is the MODE of a deployment of one account, as the predecessor was: see Single.
const ModeLegacy = "legacy"

const singleMaxAge = 2 * time.Minute // an older tick is not replayed

// SingleConfig is what an operator can set of a Single, besides Config.
type SingleConfig struct {
	Tenant string `env:"LEGACY_TENANT"` // whose tenants/{tid}/accounts/primary is written too; "": none
	User   string `env:"LEGACY_USER"`   // nobody: it is for the platform
}

// Validate names every fault.
func (c *SingleConfig) Validate() error {
	var errs []error
	if c.Tenant != "" {
		if err := user.CheckTenant(c.Tenant); err != nil {
			errs = append(errs, fmt.Errorf("LEGACY_TENANT: %w", err))
		}
	}
	if c.User != "" {
		errs = append(errs, fmt.Errorf("LEGACY_USER is %.80q: MODE=%s has no users, unset it", c.User, ModeLegacy))
	}
	return errors.Join(errs...)
}

// SingleDeps are what a Single stands on.
type SingleDeps struct {
	Session broker.Session // of the one account
	Copies  account.CopyStore
	Now     func() time.Time
	Fault   func(context.Context, error) // told of each sync that failed, and of each document that was left alone; may be nil
}

// Single keeps the predecessor's documents of one account, which belongs to no user: alpacaAccounts/snapshot, and those of
// a tenant that is named. Each tick is a sync and a write. It knows no users, no vault and no other document.
type Single struct {
	SingleDeps
	asking *Service // its budgets and retries
	copies []account.Copy
}

// NewSingle is for valid configurations; of cfg the deadline and the budgets count.
func NewSingle(cfg Config, one SingleConfig, deps SingleDeps) (*Single, error) {
	if err := one.Validate(); err != nil {
		return nil, fmt.Errorf("syncer: %w", err)
	}
	asking, err := New(cfg, Deps{Now: deps.Now})
	if err != nil {
		return nil, err
	}
	if deps.Fault == nil {
		deps.Fault = func(context.Context, error) {}
	}
	s := &Single{SingleDeps: deps, asking: asking, copies: []account.Copy{{Path: account.GlobalPath, TenantID: one.Tenant}}}
	if one.Tenant != "" {
		s.copies = append(s.copies, account.Copy{Path: account.TenantPath(one.Tenant), TenantID: one.Tenant})
	}
	return s, nil
}

// Handle syncs the account at a tick. What is the broker's trouble is told and acknowledged: the next tick is the retry.
func (s *Single) Handle(ctx context.Context, e event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, handleLimit)
	defer cancel()
	if e.Type() != event.TypeTick {
		return event.Reject(fmt.Errorf("event type %.100q: with MODE=%s this endpoint takes %s", e.Type(), ModeLegacy, event.TypeTick))
	}
	at, err := event.PublishTime(e)
	if err != nil {
		return event.Reject(err)
	}
	t := tick.Of(at)
	if err := event.CheckAge(t, s.Now(), singleMaxAge); err != nil {
		return err
	}
	reading, err := s.asking.reader(event.SyncRequest{}, s.Session).account(ctx)
	if err != nil {
		err = fmt.Errorf("sync of the account at %s: %w", t, err)
		if health.CauseOf(err) != "" {
			s.Fault(ctx, err)
			return event.Settle(err)
		}
		return err
	}
	left, err := s.Copies.PutCopies(ctx, account.Snapshot{Account: reading.Account, Raw: reading.Raw, ObservedAt: reading.ObservedAt, Tick: t}, s.copies)
	if err != nil {
		return fmt.Errorf("sync of the account at %s: %w", t, err)
	}
	if left != nil {
		s.Fault(ctx, left)
	}
	return nil
}
