package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
)

// noSecret as MARKET_DATA_SECRET turns market data off.
const noSecret = "none"

// marketData says whose keys ask Alpaca for market data, and what their plan allows.
type marketData struct {
	URL    string `env:"ALPACA_DATA_URL"`
	Secret string `env:"MARKET_DATA_SECRET"` // the platform's own, no user's
	Feed   string `env:"MARKET_DATA_FEED"`
	Limit  int    `env:"MARKET_DATA_LIMIT"` // requests a minute of this instance
}

// defaultMarketData leaves room for another instance in the limit of the Basic plan.
func defaultMarketData() marketData {
	return marketData{Secret: "alpaca-market-data", Feed: "iex", Limit: alpaca.DefaultDataLimit / 2}
}

// Validate names every fault.
func (m *marketData) Validate() error {
	var errs []error
	if err := secret.CheckPlatformName(m.Secret); err != nil {
		errs = append(errs, fmt.Errorf("MARKET_DATA_SECRET: %w", err))
	}
	if err := alpaca.CheckFeed(m.Feed); err != nil {
		errs = append(errs, fmt.Errorf("MARKET_DATA_FEED: %w", err))
	}
	if m.Limit < 1 || m.Limit > 10_000 {
		errs = append(errs, fmt.Errorf("MARKET_DATA_LIMIT is %d: want 1 to 10000", m.Limit))
	}
	return errors.Join(append(errs, alpaca.CheckURL("ALPACA_DATA_URL", m.URL))...)
}

// open reads the keys when data is first asked for: without them the service works all the same.
func (m *marketData) open(ctx context.Context, cloud *gcp.Cloud, tel *telemetry.Telemetry) (market.Quotes, market.Bars, error) {
	if m.Secret == noSecret {
		return market.None{}, market.NoBars{}, nil
	}
	secrets, err := cloud.Secrets(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (for MARKET_DATA_SECRET; `%s` does without market data)", err, noSecret)
	}
	data, err := alpaca.NewData(alpaca.DataConfig{BaseURL: m.URL, Feed: m.Feed, Limit: m.Limit, Transport: tel.Transport(alpaca.NewTransport())}, func(ctx context.Context) (secret.Credentials, error) {
		return secrets.PlatformKeys(ctx, m.Secret)
	})
	if err != nil {
		return nil, nil, err
	}
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		return nil, nil, err
	}
	return market.NewQuoteCache(data, time.Now), market.NewBarCache(data, grid, time.Now), nil
}
