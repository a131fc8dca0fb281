// Package wire holds what the services' mains share in choosing adapters.
package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// MarketHours says whose keys ask Alpaca for the market's calendar and clock.
type MarketHours struct {
	User string `env:"MARKET_DATA_USER"` // "": nobody's; then everybody is synced round the clock
}

// Validate names every fault.
func (m *MarketHours) Validate() error {
	if m.User == "" {
		return nil
	}
	if err := user.CheckID(m.User); err != nil {
		return fmt.Errorf("MARKET_DATA_USER: %w", err)
	}
	return nil
}

// Timetable reads the keys when it is first asked.
func (m *MarketHours) Timetable(ctx context.Context, cloud *gcp.Cloud, hosts alpaca.Hosts, users user.Finder, fault func(error)) (*market.Timetable, error) {
	cfg := market.TimetableConfig{Now: time.Now, Fault: fault}
	if m.User == "" {
		return market.NewTimetable(cfg), nil
	}
	vault, err := cloud.Vault(ctx)
	if err != nil {
		return nil, err
	}
	broker, err := alpaca.New(alpaca.Config{PaperURL: hosts.Paper, LiveURL: hosts.Live})
	if err != nil {
		return nil, err
	}
	sessions := alpaca.NewUserSessions(broker, users, vault, m.User)
	cfg.Sessions, cfg.Clocks = sessions, sessions
	return market.NewTimetable(cfg), nil
}
