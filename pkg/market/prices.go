package market

import (
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
)

// MaxQuoteAge is the age past which a quote is not used.
const MaxQuoteAge = 2 * time.Minute

// maxAhead is how far a quote's time may lie ahead of ours: clocks differ.
const maxAhead = time.Minute

// Prices are mid prices by symbol, USD a share.
type Prices map[string]decimal.Decimal

// Fresh takes the mid of every quote that has one and is no older than MaxQuoteAge, nor more than a minute ahead.
func Fresh(quotes map[string]Quote, now time.Time) Prices {
	p := make(Prices, len(quotes))
	for symbol, q := range quotes {
		if age := now.Sub(q.At); age > MaxQuoteAge || age < -maxAhead {
			continue
		}
		if mid, ok := q.Mid(); ok {
			p[symbol] = mid
		}
	}
	return p
}
