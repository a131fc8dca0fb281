// Package syncer keeps each user's stored account snapshot fresh, and says how that goes.
//
//	sync-requests ──▶ Handle: slot ─▶ breaker ─▶ keys from the vault ─▶ account from the broker ─▶ write the snapshot if
//	                  it changed, or as a heartbeat ─▶ write the health if it is not well ──▶ Firestore ──▶ change event
//	new keys ───────▶ Handle: note their version, so that the user is due at the next tick
package syncer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/limit"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Within the ack deadline of a minute: the wait for a slot, the vault, the broker and the store.
const (
	handleLimit = 55 * time.Second
	slotWait    = 15 * time.Second
)

// Outcome is how one sync ended.
type Outcome string

// The outcomes. Written, Unchanged and Superseded are successes: the stored snapshot is current.
const (
	Written    Outcome = "written"    // the snapshot was written
	Unchanged  Outcome = "unchanged"  // nothing material changed and no heartbeat was due
	Superseded Outcome = "superseded" // a newer observation was stored already
	Failed     Outcome = "failed"     // the user's own trouble: keys, broker; or the breaker is open
	Dropped    Outcome = "dropped"    // the request was too old, or the user is gone
)

// Result is told to Deps.Observe once for each delivery that came to an end.
type Result struct {
	UserID  string
	Tick    tick.Tick
	Outcome Outcome
	Err     error // of Failed and Dropped
}

// Cause says in a word why a sync failed: a health.Cause, or BREAKER_OPEN; "" where it did not, or for another reason.
func (r Result) Cause() string {
	if errors.Is(r.Err, ErrBreakerOpen) {
		return "BREAKER_OPEN"
	}
	return string(health.CauseOf(r.Err))
}

// Deps are what the service stands on. The functions may be nil.
type Deps struct {
	Vault     secret.Vault
	Broker    broker.Broker
	Snapshots account.CopyStore
	Health    health.Store
	Keys      user.Keys
	Now       func() time.Time
	Random    func() float64                                         // in [0, 1), for jitter
	Observe   func(context.Context, Result)                          // told of each end
	Changed   func(ctx context.Context, before, after health.Health) // told of each change of a user's state
	Breaker   func(from, to string)                                  // told of each change of the breaker's state
	Fault     func(ctx context.Context, userID string, err error)    // told what was gone on without
	Refused   func(userID, keyVersion string)                        // told of keys that the broker does not take: a cache drops them
}

// Service handles sync requests and notifications of new keys.
type Service struct {
	cfg Config
	Deps

	memory  *memory
	breaker *breaker
	slots   *limit.Slots
	keys    *limit.Keys
	egress  *rate.Limiter
	retries *limit.Retries
}

// New is a service; cfg must be valid.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("syncer: %w", err)
	}
	if cfg.Project == "" {
		return nil, errors.New("syncer: Config.Project is empty: it is part of encrypted_key_path")
	}
	deps.complete()
	memory, err := newMemory(cfg.Remembered)
	if err != nil {
		return nil, fmt.Errorf("syncer: %w", err)
	}
	return &Service{
		cfg: cfg, Deps: deps, memory: memory,
		breaker: newBreaker(cfg, deps.Now, deps.Breaker),
		slots:   limit.NewSlots(cfg.Concurrency),
		keys:    limit.NewKeys(cfg.KeyBudget, deps.Now),
		egress:  rate.NewLimiter(rate.Limit(cfg.EgressBudget), max(1, int(cfg.EgressBudget))),
		retries: limit.NewRetries(retryShare, retryFloor, deps.Now),
	}, nil
}

func (d *Deps) complete() {
	if d.Random == nil {
		d.Random = rand.Float64
	}
	if d.Observe == nil {
		d.Observe = func(context.Context, Result) {}
	}
	if d.Changed == nil {
		d.Changed = func(context.Context, health.Health, health.Health) {}
	}
	if d.Breaker == nil {
		d.Breaker = func(string, string) {}
	}
	if d.Refused == nil {
		d.Refused = func(string, string) {}
	}
	if d.Fault == nil {
		d.Fault = func(context.Context, string, error) {}
	}
}

// Handle syncs one user. What is the user's own trouble is written into the user's health and acknowledged, since a
// later tick is the retry; what is ours (vault or store unavailable) is not.
func (s *Service) Handle(ctx context.Context, e event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, handleLimit)
	defer cancel()
	if e.Type() == event.TypeMessage {
		return s.newKeys(ctx, e)
	}
	req, t, err := event.ParseSyncRequest(e)
	if err != nil {
		return err
	}
	outcome, err := s.handle(ctx, req, t)
	switch event.ClassOf(err) {
	case event.Settled:
		outcome = Failed
	case event.Dropped:
		outcome = Dropped
		s.memory.undone(t)
	case event.Retry, event.Busy, event.Poison:
		s.memory.undone(t)
		return fmt.Errorf("sync user %s at %s: %w", req.UserID, t, err)
	}
	s.Observe(ctx, Result{UserID: req.UserID, Tick: t, Outcome: outcome, Err: err})
	if err != nil {
		return fmt.Errorf("sync user %s at %s: %w", req.UserID, t, err)
	}
	return nil
}

// handle is a sync with all that stands before and after it.
func (s *Service) handle(ctx context.Context, req event.SyncRequest, t tick.Tick) (Outcome, error) {
	// A request older than the user's cadence is overtaken by the next one.
	if err := event.CheckAge(t, s.Now(), time.Duration(req.CadenceMinutes)*time.Minute+time.Minute); err != nil {
		return "", err
	}
	release, err := s.slot(ctx, req)
	if err != nil {
		return "", err
	}
	defer release()
	permit, err := s.breaker.allow(req.UserID, req.Health)
	if err != nil {
		s.undo(ctx)
		return "", event.Settle(err)
	}
	defer permit.dropped()
	attempt := health.Attempt{Tick: t, At: s.Now(), KeyVersion: req.KeyVersion, Cadence: req.CadenceMinutes}
	outcome, partial, err := s.sync(ctx, req, t)
	attempt.Cause, attempt.ResetAt = health.CauseOf(err), health.ResetOf(err)
	if err != nil && attempt.Cause == "" {
		return "", err
	}
	permit.ended(attempt.Cause)
	if attempt.Cause != "" {
		err = event.Settle(err) // its next step is in the record
		if !s.breaker.isClosed() {
			s.undo(ctx)
			return "", err // nobody is marked
		}
	}
	if partial != nil {
		attempt.Cause, attempt.ResetAt, attempt.Partial = health.CauseOf(partial), health.ResetOf(partial), true
	}
	if recorded := s.record(ctx, req, attempt); recorded != nil {
		return "", recorded
	}
	return outcome, err
}

// slot waits for the user's turn. A user in trouble waits briefly, and is then left to the next tick: nacks and requests
// that wait would slow down Pub/Sub's pushes, and so everybody else's.
func (s *Service) slot(ctx context.Context, req event.SyncRequest) (release func(), err error) {
	suspect, wait := req.Health != "", slotWait
	if release, ok := s.slots.TryAcquire(req.UserID, suspect); ok {
		return release, nil
	}
	if suspect {
		wait = s.cfg.Deadline / attemptOf
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	release, err = s.slots.Acquire(ctx, req.UserID, suspect)
	switch {
	case err == nil:
		return release, nil
	case suspect:
		return nil, event.Settle(err)
	}
	return nil, event.Defer(err)
}

// sync is one way from the keys to the snapshot. partial is what was gone on without.
func (s *Service) sync(ctx context.Context, req event.SyncRequest, t tick.Tick) (outcome Outcome, partial, err error) {
	used, err := s.credentials(ctx, req.UserID, req.KeyVersion)
	if err != nil {
		return "", nil, err
	}
	session, err := s.Broker.Open(broker.Env(req.BrokerEnv), used.Credentials)
	if err != nil {
		return "", nil, event.Settle(err)
	}
	r := s.reader(req, session)
	reading, err := r.account(ctx)
	if broker.KindOf(err) == broker.Unauthorized {
		s.Refused(req.UserID, used.version)
		reading, used, err = s.withFreshKeys(ctx, req, r, used, err)
	}
	if err != nil {
		return "", nil, err
	}
	next := account.Snapshot{
		UserID: req.UserID, Account: reading.Account, Raw: reading.Raw, ObservedAt: reading.ObservedAt, Tick: t,
		KeyVersion: used.version, KeyPath: s.keyPath(used, req.UserID), TraceParent: req.TraceParent,
		SlotMinutes: req.SlotMinutes, CadenceMinutes: req.CadenceMinutes,
	}
	outcome, err = s.store(ctx, r, next, req)
	return outcome, r.partial(), err
}

// keyPair is what the vault gave.
type keyPair struct {
	secret.Credentials
	version string
}

// keyPath is where the vault says that the keys are; one that does not say it is Secret Manager's twin.
func (s *Service) keyPath(k keyPair, userID string) string {
	if path := k.Path(); path != "" {
		return path
	}
	return secret.Name(s.cfg.Project, userID)
}

// withFreshKeys asks once more if the vault holds newer keys than those that were refused.
func (s *Service) withFreshKeys(ctx context.Context, req event.SyncRequest, r *reader, used keyPair, refused error) (account.Reading, keyPair, error) {
	latest, err := s.credentials(ctx, req.UserID, secret.Latest)
	if err != nil || latest.version == used.version {
		return account.Reading{}, used, refused
	}
	if r.session, err = s.Broker.Open(broker.Env(req.BrokerEnv), latest.Credentials); err != nil {
		return account.Reading{}, used, event.Settle(err)
	}
	reading, err := r.account(ctx)
	return reading, latest, err
}

func (s *Service) credentials(ctx context.Context, userID, version string) (keyPair, error) {
	creds, version, err := s.Vault.Credentials(ctx, userID, version)
	switch {
	case health.CauseOf(err) != "":
		return keyPair{}, fmt.Errorf("Could not retrieve Alpaca keys for user %s: %w", userID, err) //nolint:staticcheck // the predecessor's text
	case err != nil:
		return keyPair{}, fmt.Errorf("vault: %w", err)
	}
	return keyPair{creds, version}, nil
}
