// Package signaler turns changes of account snapshots into trading signals.
//
//	change event ──▶ Handle: what was triggered (no read) ─▶ the user's strategies ─▶ quotes ─▶ decide ─▶ afford
//	             ─▶ place the signals in one transaction ──▶ Firestore users/{uid}/tradingSignals
package signaler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Deps are what the service stands on.
type Deps struct {
	Snapshots  account.Store
	Strategies strategy.Store
	Signals    signal.Book
	Quotes     market.Quotes
	Advisor    strategy.Advisor // nil: strategies that ask a model deny
	Now        func() time.Time
	Fault      func(ctx context.Context, userID string, err error) // told what was gone on without; may be nil
}

// Service handles change events of account snapshots.
type Service struct {
	cfg Config
	Deps
}

// New is a service; cfg must be valid.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("signaler: %w", err)
	}
	if deps.Fault == nil {
		deps.Fault = func(context.Context, string, error) {}
	}
	return &Service{cfg: cfg, Deps: deps}, nil
}

// Handle runs what one write of a snapshot triggered. Repeated, late or reordered events do no harm: a signal's id
// is its cause's, and the placing transaction refuses what is overtaken.
func (s *Service) Handle(ctx context.Context, e event.Event) error {
	if quiet(e) {
		return nil
	}
	userID, old, now, err := snapshots(e)
	if err != nil || now == nil {
		return err
	}
	triggered := strategy.Between(old, *now)
	if !triggered.Any() {
		return nil
	}
	definitions, err := s.Strategies.Enabled(ctx, userID)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range definitions {
		if err := s.run(ctx, d, triggered, *now); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// snapshots reads the old and new snapshot out of the event. now is nil where there is nothing to do: another kind
// of document, or a deletion.
func snapshots(e event.Event) (userID string, old, now *account.Snapshot, err error) {
	if e.Type() != event.TypeDocument {
		return "", nil, nil, event.Reject(fmt.Errorf("event type %.100q: this endpoint takes %s", e.Type(), event.TypeDocument))
	}
	if t := e.DataMediaType(); t != "application/protobuf" {
		return "", nil, nil, event.Reject(fmt.Errorf("content type %.100q: this endpoint takes application/protobuf (set the trigger's event_data_content_type)", t))
	}
	c, err := document.DecodeChange(e.Data())
	if err != nil {
		return "", nil, nil, event.Reject(err)
	}
	userID, ok := snapshotOwner(c.Path)
	if !ok || c.New == nil {
		return "", nil, nil, nil
	}
	if err := user.CheckID(userID); err != nil {
		return "", nil, nil, event.Reject(err)
	}
	if now, err = parse(userID, c.New); err == nil {
		old, err = parse(userID, c.Old)
	}
	if err != nil {
		return "", nil, nil, event.Reject(err)
	}
	return userID, old, now, nil
}

// snapshotOwner is the uid in users/{uid}/alpacaAccounts/{accountId}.
func snapshotOwner(path string) (userID string, ok bool) {
	p := strings.Split(path, "/")
	if len(p) != 4 || p[0] != store.Users || p[2] != store.Accounts {
		return "", false
	}
	return p[1], true
}

func parse(userID string, d *document.Document) (*account.Snapshot, error) {
	if d == nil {
		return nil, nil
	}
	s, err := store.ParseSnapshot(userID, *d)
	return &s, err
}
