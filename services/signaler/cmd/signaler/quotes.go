package main

import (
	"context"
	"fmt"
	"sync"
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

// open reads the keys when the first quotes are asked for: without them the service works all the same. A rotation needs
// new instances.
func (m *marketData) open(ctx context.Context, cloud *gcp.Cloud) (market.Quotes, error) {
	if m.User == "" {
		return market.None{}, nil
	}
	vault, err := cloud.Vault(ctx)
	if err != nil {
		return nil, err
	}
	return &lateQuotes{now: time.Now, open: func(ctx context.Context) (market.Quotes, error) {
		creds, _, err := vault.Credentials(ctx, m.User, "")
		if err != nil {
			return nil, fmt.Errorf("keys of MARKET_DATA_USER: %w", err)
		}
		quotes, err := alpaca.NewQuotes(alpaca.QuotesConfig{BaseURL: m.URL}, creds)
		if err != nil {
			return nil, err
		}
		return market.NewCache(quotes, time.Now), nil
	}}, nil
}

// openAgain is the time between two attempts to open the quotes: an error each, and none in between.
const openAgain = time.Minute

// lateQuotes are opened when they are asked for; until that succeeds there are none.
type lateQuotes struct {
	open func(context.Context) (market.Quotes, error)
	now  func() time.Time

	mu     sync.Mutex
	opened market.Quotes
	next   time.Time
}

// Latest implements market.Quotes.
func (l *lateQuotes) Latest(ctx context.Context, symbols []string) (map[string]market.Quote, error) {
	quotes, err := l.quotes(ctx)
	if err != nil || quotes == nil {
		return nil, err
	}
	return quotes.Latest(ctx, symbols)
}

func (l *lateQuotes) quotes(ctx context.Context) (market.Quotes, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened != nil || l.now().Before(l.next) {
		return l.opened, nil
	}
	l.next = l.now().Add(openAgain)
	opened, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	l.opened = opened
	return opened, nil
}
