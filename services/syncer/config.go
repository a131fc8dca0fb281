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
	Deadline time.Duration // for all broker calls of one sync; 1 s to 60 s
	Band     int64         // basis points by which equity or buying power must move to be a material change
}

// DefaultConfig is a good setting for most.
func DefaultConfig(project string) Config {
	return Config{Project: project, Deadline: 10 * time.Second, Band: account.DefaultBand}
}

// Validate names every fault.
func (c Config) Validate() error {
	var errs []error
	if c.Project == "" {
		errs = append(errs, errors.New("Missing GCP_PROJECT or GCLOUD_PROJECT environment variable")) //nolint:staticcheck // the predecessor's text
	}
	if c.Deadline < time.Second || c.Deadline > time.Minute {
		errs = append(errs, fmt.Errorf("Deadline is %s: want 1s to 1m", c.Deadline)) //nolint:staticcheck // a field's name
	}
	if c.Band < 0 || c.Band > 10_000 {
		errs = append(errs, fmt.Errorf("Band is %d: want 0 to 10000 basis points", c.Band)) //nolint:staticcheck // a field's name
	}
	return errors.Join(errs...)
}
