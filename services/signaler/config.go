package signaler

import (
	"errors"
	"fmt"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// Config is what an operator can set.
type Config struct {
	MaxSnapshotAge account.Seconds `env:"ALPACA_SNAPSHOT_MAX_AGE_S"` // an older snapshot is not traded on; the predecessor's variable
	SignalLife     time.Duration   `env:"SIGNALER_SIGNAL_LIFE"`      // from a signal's creation to its expires_at
	QuoteTimeout   time.Duration   `env:"SIGNALER_QUOTE_TIMEOUT"`    // for the quotes of one event, and for its bars; without quotes strategies use the broker's valuation
	Buffer         float64         `env:"SIGNALER_BUFFER"`           // share of buying power that no signal may take, 0 to 1
	DecisionTTL    time.Duration   `env:"SIGNALER_DECISION_TTL"`     // how long the record of a decision is kept; 0s: none is made
}

// DefaultConfig is a good setting for most.
func DefaultConfig() Config {
	return Config{MaxSnapshotAge: account.Seconds(300 * time.Second), SignalLife: 15 * time.Minute, QuoteTimeout: 3 * time.Second, DecisionTTL: 30 * 24 * time.Hour}
}

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"ALPACA_SNAPSHOT_MAX_AGE_S": time.Duration(c.MaxSnapshotAge), "SIGNALER_SIGNAL_LIFE": c.SignalLife, "SIGNALER_QUOTE_TIMEOUT": c.QuoteTimeout} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s is %s: want more than 0", name, d))
		}
	}
	if c.DecisionTTL < 0 || c.DecisionTTL > 366*24*time.Hour {
		errs = append(errs, fmt.Errorf("SIGNALER_DECISION_TTL is %s: want 0s (no records) to 8784h, like 720h", c.DecisionTTL))
	}
	if !(c.Buffer >= 0 && c.Buffer < 1) {
		errs = append(errs, fmt.Errorf("SIGNALER_BUFFER is %v: want a share of buying power, 0 to less than 1, like 0.05", c.Buffer))
	}
	return errors.Join(errs...)
}

func (c *Config) buffer() decimal.Decimal { return decimal.NewFromFloat(c.Buffer) }
