// Package account is a user's brokerage account as the platform knows it: what the broker said (Reading), what
// is stored of it (Snapshot), and the pure rules for when to store it and when to trust it.
package account

import (
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
)

// Account is the broker's account. Money is in Currency (USD). A field that the broker left out is not Valid, or
// nil: it never becomes 0 or false.
type Account struct {
	ID          string
	Status      string // "ACTIVE", …
	Currency    string
	Equity      decimal.NullDecimal
	LastEquity  decimal.NullDecimal // at the previous trading day's close
	Cash        decimal.NullDecimal
	BuyingPower decimal.NullDecimal // counts the broker's open orders already
	Multiplier  decimal.NullDecimal // 1, 2 or 4

	TradingBlocked       *bool
	AccountBlocked       *bool
	TransfersBlocked     *bool
	TradeSuspendedByUser *bool
	ShortingEnabled      *bool
}

// Reading is one answer of the broker to "what is this account?".
type Reading struct {
	Account    Account
	Raw        map[string]any // the broker's object; its decimals are the exact strings that it sent
	ObservedAt time.Time      // the start of the call
}

// Position is one open position.
type Position struct {
	Symbol        string
	Qty           decimal.Decimal // negative for a short position
	AvgEntryPrice decimal.NullDecimal
	CurrentPrice  decimal.NullDecimal
	MarketValue   decimal.NullDecimal // negative for a short position
}

// Order is one open order at the broker.
type Order struct {
	ID            string
	ClientOrderID string
	Symbol        string
	Side          string // "buy", "sell"
	Type          string // "market", "limit", …
	TimeInForce   string
	Status        string
	Qty           decimal.NullDecimal
	Notional      decimal.NullDecimal
	FilledQty     decimal.NullDecimal
	LimitPrice    decimal.NullDecimal
}

// Waits says that the order waits for another one's end, and may never come: the broker's "held", of the exit orders of a
// bracket while its entry is open, and of one of two that close the same shares (OCO).
func (o Order) Waits() bool { return o.Status == "held" }
