// Package store keeps the domain's types in the document database. It is written once on document.DB, so that the
// in-memory twin and Firestore hold the same documents.
//
// The layout, with writers and lifetimes, is docs/data-model.md:
//
//	users/{uid}                             user.User
//	users/{uid}/alpacaAccounts/snapshot     account.Snapshot
//	users/{uid}/strategies/{strategyId}     strategy.Definition
//	users/{uid}/tradingSignals/{signalId}   signal.Signal
//	users/{uid}/decisions/{id}              risk.Record
//	users/{uid}/syncHealth/alpaca           health.Health
//	users/{uid}/riskState/current           risk.State
//	users/{uid}/riskState/model             what was asked of the model today, and answered last
//	users/{uid}/riskControls/current        risk.Control of a user
//	platform/riskControls                   risk.Control of all
//	tenants/{tid}/accounts/primary          account.Snapshot in the predecessor's shape, of a tenant
//	alpacaAccounts/snapshot                 account.Snapshot in the predecessor's shape, of its one account
//	ticks/{yyyyMMddTHHmmZ}/shards/{n}       tick.Claim
//	rosters/{shard}, rosters/index          roster.Shard, and which of them are the roster
//	rosterChanges/{uid}                     roster.Change
package store

import (
	"github.com/agenttrader/agenttrader/pkg/document"
)

// The collections' names.
const (
	Users       = "users"
	Accounts    = "alpacaAccounts"
	Strategies  = "strategies"
	Signals     = "tradingSignals"
	Decisions   = "decisions"
	SyncHealth  = "syncHealth"
	RiskState   = "riskState"
	RiskControl = "riskControls"
	Platform    = "platform"
	Ticks       = "ticks"
	Shards      = "shards"
	Rosters     = "rosters"
	RosterNotes = "rosterChanges"
	SnapshotID  = "snapshot"
	HealthID    = "alpaca"
	riskStateID = "current" // of the controls too
)

// Store implements user.Lister, user.Keys, user.Finder, user.Registry, account.CopyStore, account.Source, health.Store, strategy.Store, risk.Book, risk.Records, risk.Controls, tick.Ledger,
// roster.Store, roster.Refresher and advice.Tally.
type Store struct {
	db document.DB
}

// New is a store on a database.
func New(db document.DB) *Store { return &Store{db: db} }

// UserPath is a user's document.
func UserPath(uid string) string { return Users + "/" + uid }

// SnapshotPath is a user's account snapshot.
func SnapshotPath(uid string) string { return UserPath(uid) + "/" + Accounts + "/" + SnapshotID }

// HealthPath is the health of a user's syncing.
func HealthPath(uid string) string { return UserPath(uid) + "/" + SyncHealth + "/" + HealthID }

// StrategyPath is one of a user's strategies.
func StrategyPath(uid, id string) string { return UserPath(uid) + "/" + Strategies + "/" + id }

// SignalPath is one of a user's signals.
func SignalPath(uid, id string) string { return UserPath(uid) + "/" + Signals + "/" + id }

// DecisionPath is what is kept of one run; id is a signal.RunID.
func DecisionPath(uid, id string) string { return UserPath(uid) + "/" + Decisions + "/" + id }

func riskStatePath(uid string) string { return UserPath(uid) + "/" + RiskState + "/" + riskStateID }

func userControlPath(uid string) string { return UserPath(uid) + "/" + RiskControl + "/" + riskStateID }

// controlPath is a user's controls, or with no user the platform's.
func controlPath(uid string) string {
	if uid == "" {
		return Platform + "/" + RiskControl
	}
	return userControlPath(uid)
}

// text, integer and so on read a field leniently: documents that people write hold surprises.
func text(f document.Fields, name string) string {
	s, _ := f[name].(string)
	return s
}

func integer(f document.Fields, name string) int64 {
	switch v := f[name].(type) {
	case int64:
		return v
	case float64: // what a JavaScript client writes
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return 0
}

// update has the fields that are nil removed.
func update(f document.Fields) document.Fields {
	for k, v := range f {
		if v == nil {
			f[k] = document.Delete
		}
	}
	return f
}

// present drops the fields that are nil: a missing one stays missing.
func present(f document.Fields) document.Fields {
	for k, v := range f {
		if v == nil {
			delete(f, k)
		}
	}
	return f
}
