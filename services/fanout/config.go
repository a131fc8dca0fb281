package fanout

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an operator can set.
type Config struct {
	PageSize int           `env:"FANOUT_PAGE_SIZE"` // users in a page: what a crash repeats at most; 1 to 10,000
	Hold     time.Duration `env:"FANOUT_HOLD"`      // how long a delivery may take for a page before another takes over; under a minute
	MaxAge   time.Duration `env:"FANOUT_MAX_AGE"`   // an older tick is not replayed
}

// DefaultConfig is a good setting for most.
func DefaultConfig() Config {
	return Config{PageSize: 1000, Hold: 20 * time.Second, MaxAge: 2 * time.Minute}
}

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	if c.PageSize < 1 || c.PageSize > 10_000 {
		errs = append(errs, fmt.Errorf("FANOUT_PAGE_SIZE is %d: want 1 to 10000", c.PageSize))
	}
	if c.Hold < time.Second || c.Hold >= time.Minute {
		errs = append(errs, fmt.Errorf("FANOUT_HOLD is %s: want 1s to less than 1m", c.Hold))
	}
	if c.MaxAge < time.Minute {
		errs = append(errs, fmt.Errorf("FANOUT_MAX_AGE is %s: want at least 1m", c.MaxAge))
	}
	return errors.Join(errs...)
}
