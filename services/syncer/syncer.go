// Package syncer keeps each user's stored account snapshot fresh.
//
//	sync-requests ──▶ Handle: keys from the vault ─▶ account from the broker ─▶ write the snapshot if it changed,
//	                  or as a heartbeat ──▶ Firestore ──▶ change event
package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Outcome is how one sync ended.
type Outcome string

// The outcomes. Written, Unchanged and Superseded are successes: the stored snapshot is current.
const (
	Written    Outcome = "written"    // the snapshot was written
	Unchanged  Outcome = "unchanged"  // nothing material changed and no heartbeat was due
	Superseded Outcome = "superseded" // a newer observation was stored already
	Failed     Outcome = "failed"     // the user's own trouble: keys, broker
	Dropped    Outcome = "dropped"    // the request was too old, or the user is gone
)

// Result is told to Deps.Observe once for each delivery that came to an end.
type Result struct {
	UserID  string
	Tick    tick.Tick
	Outcome Outcome
	Err     error // of Failed and Dropped
}

// Deps are what the service stands on.
type Deps struct {
	Vault     secret.Vault
	Broker    broker.Broker
	Snapshots account.Store
	Now       func() time.Time
	Observe   func(context.Context, Result)                       // may be nil
	Fault     func(ctx context.Context, userID string, err error) // told what was gone on without; may be nil
}

// Service handles sync requests.
type Service struct {
	cfg Config
	Deps
}

// New is a service; cfg must be valid.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("syncer: %w", err)
	}
	if cfg.Project == "" {
		return nil, errors.New("syncer: Config.Project is empty: it is part of encrypted_key_path")
	}
	if deps.Observe == nil {
		deps.Observe = func(context.Context, Result) {}
	}
	if deps.Fault == nil {
		deps.Fault = func(context.Context, string, error) {}
	}
	return &Service{cfg: cfg, Deps: deps}, nil
}

// Handle syncs one user. What is the user's own trouble is acknowledged, since the next tick is the retry; what is
// ours (vault or store unavailable) is not.
func (s *Service) Handle(ctx context.Context, e event.Event) error {
	req, t, err := event.ParseSyncRequest(e)
	if err != nil {
		return err
	}
	outcome, err := s.sync(ctx, req, t)
	switch event.ClassOf(err) {
	case event.Settled:
		outcome = Failed
	case event.Dropped:
		outcome = Dropped
	case event.Retry, event.Busy, event.Poison:
		return fmt.Errorf("sync user %s at %s: %w", req.UserID, t, err)
	}
	s.Observe(ctx, Result{UserID: req.UserID, Tick: t, Outcome: outcome, Err: err})
	if err != nil {
		return fmt.Errorf("sync user %s at %s: %w", req.UserID, t, err)
	}
	return nil
}

func (s *Service) sync(ctx context.Context, req event.SyncRequest, t tick.Tick) (Outcome, error) {
	// A request older than the user's cadence is overtaken by the next one.
	if err := event.CheckAge(t, s.Now(), time.Duration(req.CadenceMinutes)*time.Minute+time.Minute); err != nil {
		return "", err
	}
	creds, version, err := s.credentials(ctx, req)
	if err != nil {
		return "", err
	}
	session, err := s.Broker.Open(broker.Env(req.BrokerEnv), creds)
	if err != nil {
		return "", event.Settle(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Deadline)
	defer cancel()
	reading, err := session.Account(ctx)
	if err != nil {
		return "", brokerFault(err)
	}
	next := account.Snapshot{
		UserID: req.UserID, Account: reading.Account, Raw: reading.Raw, ObservedAt: reading.ObservedAt, Tick: t,
		KeyVersion: version, KeyPath: secret.Name(s.cfg.Project, req.UserID), TraceParent: req.TraceParent,
	}
	return s.store(ctx, session, next, req.CadenceMinutes)
}

func (s *Service) credentials(ctx context.Context, req event.SyncRequest) (secret.Credentials, string, error) {
	creds, version, err := s.Vault.Credentials(ctx, req.UserID, req.KeyVersion)
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrMalformed), errors.Is(err, secret.ErrDenied):
		return creds, "", event.Settle(fmt.Errorf("Could not retrieve Alpaca keys for user %s: %w", req.UserID, err)) //nolint:staticcheck // the predecessor's text
	case err != nil:
		return creds, "", fmt.Errorf("vault: %w", err)
	}
	return creds, version, nil
}

// brokerFault: a broker's fault is the user's; a call that we cut off ourselves is delivered again.
func brokerFault(err error) error {
	if broker.KindOf(err) != "" {
		return event.Settle(err)
	}
	return err
}
