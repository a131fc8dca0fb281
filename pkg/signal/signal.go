// Package signal is trading signals: what a strategy wants done, for the owner's executor to act on.
package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Action is what to do.
type Action string

// The actions. Flat is no trade.
const (
	Buy  Action = "buy"
	Sell Action = "sell"
	Flat Action = "flat"
)

// Status is how far a signal has come.
type Status string

// A signal's life: pending, then one of the others.
const (
	Pending  Status = "pending"
	Executed Status = "executed"
	Rejected Status = "rejected"
	Expired  Status = "expired"
)

// AllSymbols stands in a denial that is about a strategy's whole run.
const AllSymbols = "*"

// Signal is one trading signal. A denial is one too: Flat, no notional, Rejected, with a DenialCode.
type Signal struct {
	ID           string
	UserID       string
	StrategyID   string
	Symbol       string
	Action       Action
	Notional     decimal.Decimal     // USD
	Qty          decimal.NullDecimal // shares, of a Sell of all that is free: to be ordered in place of Notional
	Reason       string
	Status       Status
	Cause        string // what made the strategy run: "changed_seq:7", "schedule:20261124T0930Z"
	SnapshotSeq  int64  // the snapshot that it was decided on
	DenialCode   string
	CreatedAt    time.Time // UTC
	ExpiresAt    time.Time // UTC; an executor must not act after it
	SupersededBy string    // the id of the signal that took its place
	Shadow       bool      // what would have been: never pending, nothing is reserved

	RawModelOutput string // what a model was asked and said, a JSON object; "": none was asked
}

// MaxRawModelOutput is the length of a signal's RawModelOutput, bytes.
const MaxRawModelOutput = 8 << 10

// Reservation is the buying power that an open signal holds, until its owner's executor has spent it or it expires.
type Reservation struct {
	SignalID   string
	StrategyID string
	Symbol     string
	Action     Action
	Notional   decimal.Decimal // USD, the signal's
	Qty        decimal.Decimal // shares, the signal's; 0: its order is by the notional
	Reserved   decimal.Decimal // USD of buying power: less than the notional where the signal closes a position
	Held       decimal.Decimal // shares of the symbol that were held when it was made, negative if short
	CreatedAt  time.Time       // UTC
	ExpiresAt  time.Time       // UTC
	SettledAt  time.Time       // UTC, of the owner's word; zero: there is none yet
	Executed   bool            // what the word was
	ShownAt    time.Time       // UTC: when the first snapshot was written that shows its order; zero: none did yet
	Mixed      bool            // other orders of the symbol were on their way: a move of the position may be theirs
}

// Shown says whether its order was seen at the broker.
func (r Reservation) Shown() bool { return !r.ShownAt.IsZero() }

// ID is the same for the same user, strategy, symbol and cause: a repeated delivery finds its signal there.
// It serves as the order's client_order_id too (Alpaca: at most 128 characters).
func ID(userID, strategyID, symbol, cause string) string {
	h := sha256.Sum256([]byte(userID + "\x00" + strategyID + "\x00" + symbol + "\x00" + cause))
	return hex.EncodeToString(h[:16])
}

// RunID names one run of a strategy: it is the same for the same user, strategy and cause.
func RunID(userID, strategyID, cause string) string { return ID(userID, strategyID, "", cause) }

// ErrOutdated is a Book's answer, and no fault of it: there is a newer cause by now; its own event will run the strategy.
var ErrOutdated = errors.New("a newer cause has come up")

// ErrReused is a Book's answer where a change of the account has the number of a much older one, whose signals are there: the
// snapshot was deleted, and counts anew. The cause needs another name.
var ErrReused = errors.New("an older cause has this name")

// Batch is one run of one strategy, whose signals are placed together.
type Batch struct {
	UserID     string
	StrategyID string
	ChangedSeq int64     // the account change that caused the run, which a newer change replaces; 0 if none did
	Cause      string    // what made the strategy run; it runs once for it
	CauseTick  tick.Tick // orders the causes: an older one never replaces what a newer one said
	Now        time.Time // UTC
	Aside      bool      // the cause has no place in that order, and takes none: an edit, a demand
	Definition time.Time // UTC, of the strategy's document that is run: nothing is placed of one that is newer by now, off or gone; zero: that is not asked
	Once       bool      // the cause has no time of its own: whether it was placed, however long ago, is asked of its record
}

// ParseStatus reads a status as an owner's client writes it: in any case, blanks around it. ok is false for anything
// that is no status, of whatever type.
func ParseStatus(v any) (s Status, ok bool) {
	text, _ := v.(string)
	switch s = Status(strings.ToLower(strings.TrimSpace(text))); s {
	case Pending, Executed, Rejected, Expired:
		return s, true
	}
	return "", false
}
