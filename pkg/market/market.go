// Package market is market data: quotes and bars by symbol, shared by all users.
package market

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
)

// Quote is the best bid and ask of a symbol, in USD a share. A side that nobody quotes is 0.
type Quote struct {
	Bid, Ask decimal.Decimal
	At       time.Time // UTC
}

// widest is how many times a quote's spread must go into twice its mid: a spread of 5 %. Stub quotes, and those of hours in
// which nobody trades, are wider, and their middle is the price of nothing.
const widest = 40

// Mid is half-way between bid and ask; ok is false unless both sides are quoted, are not crossed, and lie no more than 5 %
// of the mid apart.
func (q Quote) Mid() (mid decimal.Decimal, ok bool) {
	if !q.Bid.IsPositive() || !q.Ask.IsPositive() || q.Bid.GreaterThan(q.Ask) {
		return decimal.Decimal{}, false
	}
	both := q.Bid.Add(q.Ask)
	if q.Ask.Sub(q.Bid).Mul(decimal.NewFromInt(widest)).GreaterThan(both) {
		return decimal.Decimal{}, false
	}
	return both.Div(decimal.NewFromInt(2)), true
}

// Quotes gives the latest quotes.
type Quotes interface {
	// Latest returns a quote for each of the symbols that has one; a symbol without is left out. Quotes that come with an
	// error are good: it is about symbols that are left out, or whose quotes are old (Fresh). The caller must not change
	// the map.
	Latest(ctx context.Context, symbols []string) (map[string]Quote, error)
}

var symbolForm = regexp.MustCompile(`^[A-Z][A-Z0-9]{0,9}([./][A-Z0-9]{1,9})?$`)

// CheckSymbol says what is wrong with a symbol, if anything is.
func CheckSymbol(s string) error {
	if !symbolForm.MatchString(s) {
		return fmt.Errorf("symbol %.40q: want capitals and digits, like SPY or BRK.B", s)
	}
	return nil
}

// IsCrypto says that a symbol is a pair of currencies, which trades round the clock.
func IsCrypto(symbol string) bool { return strings.Contains(symbol, "/") }

// ErrRejected says that the source takes no such request, for a symbol in it perhaps: asking for the others may work.
var ErrRejected = errors.New("market data: request refused")

// None has no quotes at all: strategies use the broker's own valuation.
type None struct{}

// Latest implements Quotes.
func (None) Latest(context.Context, []string) (map[string]Quote, error) { return nil, nil }
