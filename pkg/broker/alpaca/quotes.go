package alpaca

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/marketdata"
	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/market"
)

// maxSymbols go into one request: a query of more would be longer than many a proxy takes.
const maxSymbols = 500

// Latest implements market.Quotes.
func (d *Data) Latest(ctx context.Context, symbols []string) (map[string]market.Quote, error) {
	quotes := make(map[string]market.Quote, len(symbols))
	shares, pairs := split(symbols)
	var errs []error
	for some := range slices.Chunk(shares, maxSymbols) {
		err := d.do(ctx, "quotes", func(client *marketdata.Client) error {
			got, err := client.GetLatestQuotes(some, marketdata.GetLatestQuoteRequest{})
			for symbol, g := range got {
				errs = append(errs, put(quotes, some, symbol, g.BidPrice, g.AskPrice, g.Timestamp))
			}
			return err
		})
		errs = append(errs, err)
	}
	for some := range slices.Chunk(pairs, maxSymbols) {
		err := d.do(ctx, "quotes", func(client *marketdata.Client) error {
			got, err := client.GetLatestCryptoQuotes(some, marketdata.GetLatestCryptoQuoteRequest{})
			for symbol, g := range got {
				errs = append(errs, put(quotes, some, symbol, g.BidPrice, g.AskPrice, g.Timestamp))
			}
			return err
		})
		errs = append(errs, err)
	}
	return quotes, errors.Join(errs...)
}

// put adds a quote that was asked for and can be one.
func put(quotes map[string]market.Quote, asked []string, symbol string, bid, ask float64, at time.Time) error {
	if !slices.Contains(asked, symbol) {
		return nil
	}
	if !(bid >= 0 && bid < 1e9 && ask >= 0 && ask < 1e9) || at.Unix() <= 0 || at.Year() > 9999 {
		return &broker.Error{Kind: broker.Malformed, Op: "quotes", Err: fmt.Errorf("%s: bid %g, ask %g at %.40s is no quote", symbol, bid, ask, at)}
	}
	quotes[symbol] = market.Quote{Bid: decimal.NewFromFloat(bid), Ask: decimal.NewFromFloat(ask), At: at.UTC()}
	return nil
}
