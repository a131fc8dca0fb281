package strategy

import (
	"fmt"

	decimal "github.com/alpacahq/alpacadecimal"
)

// Value is what is held of a symbol, in USD, negative if short, 0 if not held: at the latest quote if there is a
// fresh one, else as the broker values it in the snapshot. Neither is a *Denial.
func Value(in Input, symbol string) (decimal.Decimal, error) {
	for _, p := range in.Positions {
		if p.Symbol != symbol {
			continue
		}
		if price, ok := in.Quotes[symbol]; ok {
			return p.Qty.Mul(price), nil
		}
		if p.MarketValue.Valid {
			return p.MarketValue.Decimal, nil
		}
		return decimal.Decimal{}, &Denial{Code: "PRICE_UNAVAILABLE", Reason: fmt.Sprintf("there is no price for the held %s", symbol)}
	}
	return decimal.Decimal{}, nil
}
