package market

import (
	"time"

	"github.com/shopspring/decimal"
)

// MaxQuoteAge is the age past which a quote is not used.
const MaxQuoteAge = 2 * time.Minute

// Prices are mid prices by symbol, USD a share.
type Prices map[string]decimal.Decimal

// Fresh takes the mid of every quote that is two-sided and no older than MaxQuoteAge.
func Fresh(quotes map[string]Quote, now time.Time) Prices {
	p := make(Prices, len(quotes))
	for symbol, q := range quotes {
		if mid, ok := q.Mid(); ok && now.Sub(q.At) <= MaxQuoteAge {
			p[symbol] = mid
		}
	}
	return p
}
