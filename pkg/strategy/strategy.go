// Package strategy is what decides: pure functions from an account and a market to intents. They know no store,
// no clock and no network, so a decision can be made again from its inputs.
package strategy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

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
	// can't decide; what is withdrawn beside it counts all the same.
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
	Now        time.Time // UTC
	StrategyID string    // the strategy's own, as it stands in its reservations; "": none of them is its own
	Cause      Cause     // why it runs
	Account    account.Account
	Positions  []account.Position
	Orders     []account.Order         // open at the broker
	Reserved   []signal.Reservation    // of the user's open signals, those of other strategies too
	Quotes     market.Prices           // a symbol without a fresh quote is missing
	Bars       map[string][]market.Bar // closed ones, the newest last; as Needs says, or fewer where there are no more
	State      State                   // what this strategy kept at its last decision
	Answer     *Answer                 // to what an Asker asked; nil: it was not asked
}

// State is the little that a strategy keeps from one decision to the next.
type State map[string]string

// Bounds of what is kept of a strategy: the user's all are in one document.
const (
	MaxID      = 128 // bytes of its id
	MaxEntries = 20  // of its State
	MaxEntry   = 100 // bytes of one, name and value
)

// Check says what is too much.
func (s State) Check() error {
	if len(s) > MaxEntries {
		return fmt.Errorf("it keeps %d entries in mind: at most %d are allowed", len(s), MaxEntries)
	}
	for name, value := range s {
		if n := len(name) + len(value); n > MaxEntry {
			return fmt.Errorf("it keeps %d bytes in mind as %.40q: at most %d are allowed", n, name, MaxEntry)
		}
	}
	return nil
}

// Decision is what a strategy wants, and what it keeps in mind.
type Decision struct {
	Intents []Intent
	State   State // nil: as it was. A strategy with a memory returns it always: one that it gives no State without is not asked with it

	Withdraw []string // symbols that need no trade: an open signal of the strategy's own, if there is one, is taken back
}

// Intent is one trade that a strategy wants: a side and a notional, or a target from which both follow (Sized).
type Intent struct {
	Symbol     string
	Action     signal.Action       // signal.Buy or signal.Sell
	Notional   decimal.Decimal     // USD, more than 0
	Target     decimal.NullDecimal // USD that are to be held of the symbol, in place of Action and Notional
	Qty        decimal.NullDecimal // shares, of a Sell that leaves nothing: what Notional comes to, exactly
	Confidence decimal.NullDecimal // 0 to 1, of a strategy that has one
	Reason     string
}

// Denial is a coded reason for no trade.
type Denial struct {
	Code   string // CATEGORY_CONDITION
	Reason string
}

func (d *Denial) Error() string { return d.Code + ": " + d.Reason }

// Mode says what becomes of a strategy's decisions.
type Mode string

// The modes, as they stand in a strategy's document.
const (
	Live   Mode = "live"   // signals for the owner's executor
	Shadow Mode = "shadow" // decided and recorded, and never acted on
)

// ParseMode reads a document's field: Live if there is none. What is neither word is Shadow, so that no slip of the pen
// trades.
func ParseMode(v any) Mode {
	if v == nil || v == string(Live) {
		return Live
	}
	return Shadow
}

// Definition is a user's strategy as stored: users/{uid}/strategies/{id}.
type Definition struct {
	ID      string
	UserID  string
	Kind    string
	Params  map[string]any
	Symbols []string
	Enabled bool
	Mode    Mode           // "" is Live
	Limits  map[string]any // the owner's, as written: risk.ParseLimits reads them; nil: none

	UpdatedAt time.Time // UTC, of the document; zero: not stored
}

// MaxEnabled is how many of a user's enabled strategies run.
const MaxEnabled = 100

// ErrTooMany says that a user has more of them, and which are left out.
var ErrTooMany = errors.New("too many enabled strategies")

// Store keeps the users' strategies.
type Store interface {
	// Enabled returns a user's enabled strategies in the order of their ids; none is no error. Of more than MaxEnabled it
	// returns the first, with ErrTooMany.
	Enabled(ctx context.Context, userID string) ([]Definition, error)
}

// ErrInvalid says that the definition can't be run as it stands; its owner has to mend it.
var ErrInvalid = errors.New("invalid strategy")

// makers are the strategies that there are, by kind. One reads all its parameters, whatever is wrong with them, and what
// it returns is used only if nothing is.
func makers() map[string]func(*Params) Strategy {
	return map[string]func(*Params) Strategy{
		KindBreakout:     newBreakout,
		KindDCA:          newDCA,
		KindGemini:       newGemini,
		KindRebalance:    newRebalance,
		KindRSIReversion: newRSIReversion,
		KindSMACross:     newSMACross,
		KindVolTarget:    newVolTarget,
	}
}

// New makes the strategy that a definition describes, or says with ErrInvalid everything that is wrong with it.
func New(d Definition) (Strategy, error) {
	if len(d.ID) > MaxID {
		return nil, fmt.Errorf("%w %.40q…: id of %d bytes: want 1 to %d", ErrInvalid, d.ID, len(d.ID), MaxID)
	}
	maker := makers()[d.Kind]
	if maker == nil {
		return nil, fmt.Errorf("%w %s: kind %.40q is unknown, want one of %v", ErrInvalid, d.ID, d.Kind, Kinds())
	}
	p := Read(d)
	s := maker(p)
	p.history(s.Needs())
	if err := p.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// Kinds are the strategies that there are, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(makers())) }

// Parameters are those that a kind takes; nil if it is unknown.
func Parameters(kind string) []Parameter {
	maker := makers()[kind]
	if maker == nil {
		return nil
	}
	p := Read(Definition{Kind: kind})
	maker(p)
	return p.known
}
