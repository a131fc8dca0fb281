package syncer

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// Config is what an operator can set. Every bound is the instance's: the fleet's is that times the number of instances.
type Config struct {
	Mode     string        `env:"MODE"` // "": the platform's; ModeLegacy is for a Single
	Project  string        // the Google Cloud project, part of encrypted_key_path where the vault does not say it
	Deadline time.Duration `env:"SYNCER_DEADLINE"` // for all broker calls of one sync, retries included; 1 s to 25 s
	Band     int64         `env:"SYNCER_BAND"`     // basis points by which equity or buying power must move to be a material change

	Concurrency  int     `env:"SYNCER_CONCURRENCY"`   // syncs at once; users in trouble have a quarter of them
	KeyBudget    int     `env:"SYNCER_KEY_BUDGET"`    // broker requests a minute with one user's keys; Alpaca's limit is 200
	EgressBudget float64 `env:"SYNCER_EGRESS_BUDGET"` // broker requests a second, all users together

	KeyTTL     time.Duration `env:"SYNCER_KEY_TTL"`  // how long a user's keys are remembered; 0: they are not
	Remembered int           `env:"SYNCER_REMEMBER"` // users whose keys and last snapshot are remembered; 0: none

	Legacy account.Legacy // for whom the predecessor's paths are written too

	BreakerUsers  int           `env:"SYNCER_BREAKER_USERS"`  // different users that must fail alike to open the breaker, and at least half of all
	BreakerWindow time.Duration `env:"SYNCER_BREAKER_WINDOW"` // within which they do
	BreakerOpen   time.Duration `env:"SYNCER_BREAKER_OPEN"`   // from its opening to the next probe
}

// DefaultConfig is a good setting for most.
func DefaultConfig(project string) Config {
	return Config{
		Project: project, Deadline: 10 * time.Second, Band: account.DefaultBand,
		Concurrency: 256, KeyBudget: 150, EgressBudget: 500,
		KeyTTL: time.Hour, Remembered: 20_000, Legacy: account.Legacy{Phase: account.Off},
		BreakerUsers: 10, BreakerWindow: time.Minute, BreakerOpen: 30 * time.Second,
	}
}

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(bad bool, name string, value any, want string) {
		if bad {
			errs = append(errs, fmt.Errorf("%s is %v: want %s", name, value, want))
		}
	}
	wrong(c.Mode != "" && c.Mode != ModeLegacy, "MODE", strconv.Quote(c.Mode), "legacy, or unset it for a platform of many users")
	wrong(c.Deadline < time.Second || c.Deadline > 25*time.Second, "SYNCER_DEADLINE", c.Deadline, "1s to 25s")
	wrong(c.Band < 0 || c.Band > 10_000, "SYNCER_BAND", c.Band, "0 to 10000 basis points")
	wrong(c.Concurrency < 1 || c.Concurrency > 10_000, "SYNCER_CONCURRENCY", c.Concurrency, "1 to 10000")
	wrong(c.KeyBudget < 10 || c.KeyBudget > 10_000, "SYNCER_KEY_BUDGET", c.KeyBudget, "10 to 10000 requests a minute")
	wrong(!(c.EgressBudget >= 1 && c.EgressBudget <= 1e6), "SYNCER_EGRESS_BUDGET", c.EgressBudget, "1 to 1000000 requests a second")
	wrong(c.KeyTTL < 0 || c.KeyTTL > 24*time.Hour, "SYNCER_KEY_TTL", c.KeyTTL, "0s to 24h")
	wrong(c.Remembered < 0 || c.Remembered > 10_000_000, "SYNCER_REMEMBER", c.Remembered, "0 to 10000000 users")
	wrong(c.BreakerUsers < 2, "SYNCER_BREAKER_USERS", c.BreakerUsers, "at least 2")
	wrong(c.BreakerWindow < time.Second, "SYNCER_BREAKER_WINDOW", c.BreakerWindow, "at least 1s")
	wrong(c.BreakerOpen < time.Millisecond, "SYNCER_BREAKER_OPEN", c.BreakerOpen, "at least 1ms")
	return errors.Join(append(errs, c.Legacy.Validate())...)
}
