package alpaca

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/marketdata"
	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// QuotesConfig says where Alpaca's market data is. The zero QuotesConfig is Alpaca itself.
type QuotesConfig struct {
	BaseURL   string
	Transport http.RoundTripper // nil is NewTransport
	Timeout   time.Duration     // of one call; 0 is 10 s
}

// Quotes implements market.Quotes on Alpaca's market-data API.
type Quotes struct {
	cfg   QuotesConfig
	creds secret.Credentials
}

// NewQuotes gives quotes on the account of creds.
func NewQuotes(cfg QuotesConfig, creds secret.Credentials) (*Quotes, error) {
	if err := secret.CheckEnv(os.Environ()); err != nil {
		return nil, err
	}
	if creds.IsZero() {
		return nil, errors.New("alpaca market data: credentials are empty")
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultDataURL
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	return &Quotes{cfg: cfg, creds: creds}, nil
}

// Latest implements market.Quotes; its errors are *broker.Error.
func (q *Quotes) Latest(ctx context.Context, symbols []string) (map[string]market.Quote, error) {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	c := &call{ctx: ctx, next: q.cfg.Transport, creds: q.creds}
	keyID, secretKey := q.creds.Reveal()
	client := marketdata.NewClient(marketdata.ClientOpts{
		APIKey: keyID, APISecret: secretKey, BaseURL: q.cfg.BaseURL, RetryLimit: -1,
		HTTPClient: &http.Client{Transport: c, CheckRedirect: noRedirect},
	})
	got, err := client.GetLatestQuotes(symbols, marketdata.GetLatestQuoteRequest{})
	if err != nil {
		return nil, c.fault("quotes", err)
	}
	quotes := make(map[string]market.Quote, len(got))
	for symbol, g := range got {
		quotes[symbol] = market.Quote{Bid: decimal.NewFromFloat(g.BidPrice), Ask: decimal.NewFromFloat(g.AskPrice), At: g.Timestamp.UTC()}
	}
	return quotes, nil
}
