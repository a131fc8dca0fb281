package fanout

import (
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// Config is what an operator can set.
type Config struct {
	PageSize int           `env:"FANOUT_PAGE_SIZE"` // users in a page: what a crash repeats at most; 1 to 10,000
	Hold     time.Duration `env:"FANOUT_HOLD"`      // how long a delivery may take for a page before another takes over; under a minute
	MaxAge   time.Duration `env:"FANOUT_MAX_AGE"`   // an older tick is not replayed

	IdleCadence   int           `env:"FANOUT_IDLE_CADENCE"`   // minutes, of users without an enabled strategy and without cadence_minutes
	Spread        time.Duration `env:"FANOUT_SPREAD"`         // over which a tick's requests are published; 0: at once
	InlineShards  int           `env:"FANOUT_INLINE_SHARDS"`  // with more shards, instances publish them side by side
	HealthChanges int           `env:"FANOUT_HEALTH_CHANGES"` // of users' health, folded into the roster at one tick
	ScanEvery     int           `env:"FANOUT_SCAN_EVERY"`     // minutes between two comparisons of a part of the users with the roster; 0: never
	ScanParts     int           `env:"FANOUT_SCAN_PARTS"`     // in so many of them all users are compared

	Legacy account.Legacy // for whom the predecessor's paths are written: who is synced each minute
}

// maxSpread leaves time within the minute, and within the ack deadline, for what is published last.
const maxSpread = 40 * time.Second

// DefaultConfig is a good setting for most.
func DefaultConfig() Config {
	return Config{
		PageSize: 1000, Hold: 20 * time.Second, MaxAge: 2 * time.Minute,
		IdleCadence: 5, InlineShards: 4, HealthChanges: 2000, ScanEvery: 60, ScanParts: 12, Legacy: account.Legacy{Phase: account.Off},
	}
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
	for name, v := range map[string]struct{ is, least, most int }{
		"FANOUT_IDLE_CADENCE": {c.IdleCadence, 1, 24 * 60}, "FANOUT_INLINE_SHARDS": {c.InlineShards, 1, 1000},
		"FANOUT_HEALTH_CHANGES": {c.HealthChanges, 1, 100_000}, "FANOUT_SCAN_EVERY": {c.ScanEvery, 0, 24 * 60}, "FANOUT_SCAN_PARTS": {c.ScanParts, 1, 1000},
	} {
		if v.is < v.least || v.is > v.most {
			errs = append(errs, fmt.Errorf("%s is %d: want %d to %d", name, v.is, v.least, v.most))
		}
	}
	if c.Spread < 0 || c.Spread > maxSpread {
		errs = append(errs, fmt.Errorf("FANOUT_SPREAD is %s: want 0s to %s", c.Spread, maxSpread))
	}
	return errors.Join(append(errs, c.Legacy.Validate())...)
}
