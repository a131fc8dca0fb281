package syncer

import (
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// Config is what an operator can set.
type Config struct {
	Project  string        // the Google Cloud project, part of encrypted_key_path
	Deadline time.Duration `env:"SYNCER_DEADLINE"` // for all broker calls of one sync; 1 s to 60 s
	Band     int64         `env:"SYNCER_BAND"`     // basis points by which equity or buying power must move to be a material change
}

// DefaultConfig is a good setting for most.
func DefaultConfig(project string) Config {
	return Config{Project: project, Deadline: 10 * time.Second, Band: account.DefaultBand}
}

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	if c.Deadline < time.Second || c.Deadline > time.Minute {
		errs = append(errs, fmt.Errorf("SYNCER_DEADLINE is %s: want 1s to 1m", c.Deadline))
	}
	if c.Band < 0 || c.Band > 10_000 {
		errs = append(errs, fmt.Errorf("SYNCER_BAND is %d: want 0 to 10000 basis points", c.Band))
	}
	return errors.Join(errs...)
}
