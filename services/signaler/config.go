package signaler

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an operator can set.
type Config struct {
	MaxSnapshotAge time.Duration // an older snapshot is not traded on (the predecessor's ALPACA_SNAPSHOT_MAX_AGE_S)
	SignalLife     time.Duration // from a signal's creation to its expires_at
	QuoteTimeout   time.Duration // for the quotes of one event; without them strategies use the broker's valuation
}

// DefaultConfig is a good setting for most.
func DefaultConfig() Config {
	return Config{MaxSnapshotAge: 300 * time.Second, SignalLife: 15 * time.Minute, QuoteTimeout: 3 * time.Second}
}

// Validate names every fault.
func (c Config) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"MaxSnapshotAge": c.MaxSnapshotAge, "SignalLife": c.SignalLife, "QuoteTimeout": c.QuoteTimeout} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s is %s: want more than 0", name, d))
		}
	}
	return errors.Join(errs...)
}
