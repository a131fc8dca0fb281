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
	// Symbols are those whose quotes it wants in its Input.
	Symbols() []string
	// Decide is a pure function of its input. No intent means that nothing is to be done. A *Denial says why it
	// can't decide.
	Decide(in Input) ([]Intent, error)
}

// Input is all that a strategy sees.
type Input struct {
	Now       time.Time // UTC
	Account   account.Account
	Positions []account.Position
	Orders    []account.Order // open at the broker
	Quotes    market.Prices   // a symbol without a fresh quote is missing
}

// Intent is one trade that a strategy wants.
type Intent struct {
	Symbol   string
	Action   signal.Action   // signal.Buy or signal.Sell
	Notional decimal.Decimal // USD, more than 0
	Reason   string
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
	default:
		return nil, fmt.Errorf("%w %s: kind %.40q is unknown, want one of %v", ErrInvalid, d.ID, d.Kind, Kinds())
	}
}

// Kinds are the strategies that there are.
func Kinds() []string { return []string{KindRebalance} }
