// Package strategy is what decides: pure functions from an account and a market to intents. They know no store,
// no clock and no network, so a decision can be made again from its inputs.
package strategy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// Strategy decides. Implementations are immutable and safe for concurrent use.
type Strategy interface {
	// Triggers says what makes it run.
	Triggers() Triggers
	// Needs says what it wants in its Input besides the account.
	Needs() Needs
	// Decide is a pure function of its input. No intent means that nothing is to be done. A *Denial says why it
	// can't decide.
	Decide(in Input) (Decision, error)
}

// Needs is market data that a strategy decides on.
type Needs struct {
	Symbols []string         // whose quotes, and bars if any
	Bars    market.Timeframe // "": no bars
	Count   int              // so many closed bars of each symbol
}

// Input is all that a strategy sees. It must not change any of it.
type Input struct {
	Now       time.Time // UTC
	Cause     Cause     // why it runs
	Account   account.Account
	Positions []account.Position
	Orders    []account.Order         // open at the broker
	Reserved  []signal.Reservation    // of the user's open signals, those of other strategies too
	Quotes    market.Prices           // a symbol without a fresh quote is missing
	Bars      map[string][]market.Bar // closed ones, the newest last; as Needs says, or fewer where there are no more
	State     State                   // what this strategy kept at its last decision
	Answer    *Answer                 // to what an Asker asked; nil: it was not asked
}

// State is the little that a strategy keeps from one decision to the next: at most 20 entries, of 100 bytes each.
type State map[string]string

// Decision is what a strategy wants, and what it keeps in mind.
type Decision struct {
	Intents []Intent
	State   State // nil: as it was
}

// Intent is one trade that a strategy wants: a side and a notional, or a target from which both follow (Sized).
type Intent struct {
	Symbol     string
	Action     signal.Action       // signal.Buy or signal.Sell
	Notional   decimal.Decimal     // USD, more than 0
	Target     decimal.NullDecimal // USD that are to be held of the symbol, in place of Action and Notional
	Confidence decimal.NullDecimal // 0 to 1, of a strategy that has one
	Reason     string
}

// Denial is a coded reason for no trade.
type Denial struct {
	Code   string // CATEGORY_CONDITION
	Reason string
}

func (d *Denial) Error() string { return d.Code + ": " + d.Reason }

// Definition is a user's strategy as stored: users/{uid}/strategies/{id}.
type Definition struct {
	ID      string
	UserID  string
	Kind    string
	Params  map[string]any
	Symbols []string
	Enabled bool
}

// Store keeps the users' strategies.
type Store interface {
	// Enabled returns a user's enabled strategies in the order of their ids; none is no error.
	Enabled(ctx context.Context, userID string) ([]Definition, error)
}

// ErrInvalid says that the definition can't be run as it stands; its owner has to mend it.
var ErrInvalid = errors.New("invalid strategy")

// New makes the strategy that a definition describes, or says with ErrInvalid everything that is wrong with it.
func New(d Definition) (Strategy, error) {
	switch d.Kind {
	case KindRebalance:
		return newRebalance(d)
	case KindGemini:
		return newGemini(d)
	default:
		return nil, fmt.Errorf("%w %s: kind %.40q is unknown, want one of %v", ErrInvalid, d.ID, d.Kind, Kinds())
	}
}

// Kinds are the strategies that there are.
func Kinds() []string { return []string{KindRebalance, KindGemini} }
