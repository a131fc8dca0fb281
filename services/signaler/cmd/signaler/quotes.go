package main

import (
	"context"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// marketData says whose keys ask Alpaca for quotes.
type marketData struct {
	URL  string `env:"ALPACA_DATA_URL"`
	User string `env:"MARKET_DATA_USER"` // "": no quotes; strategies use the broker's valuation of what is held
}

// Validate names every fault.
func (m *marketData) Validate() error {
	if m.User == "" {
		return nil
	}
	if err := user.CheckID(m.User); err != nil {
		return fmt.Errorf("MARKET_DATA_USER: %w", err)
	}
	return alpaca.CheckURL("ALPACA_DATA_URL", m.URL)
}

// open reads the keys once: a rotation needs new instances.
func (m *marketData) open(ctx context.Context, cloud *gcp.Cloud) (market.Quotes, error) {
	if m.User == "" {
		return market.None{}, nil
	}
	vault, err := cloud.Vault(ctx)
	if err != nil {
		return nil, err
	}
	creds, _, err := vault.Credentials(ctx, m.User, "")
	if err != nil {
		return nil, fmt.Errorf("MARKET_DATA_USER: %w", err)
	}
	quotes, err := alpaca.NewQuotes(alpaca.QuotesConfig{BaseURL: m.URL}, creds)
	if err != nil {
		return nil, err
	}
	return market.NewCache(quotes, time.Now), nil
}
