package syncer

import (
	"time"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Vault is a vault as this configuration has it used: behind a cache, unless that is turned off. refused is for
// Deps.Refused.
func (c *Config) Vault(v secret.Vault, now func() time.Time) (vault secret.Vault, refused func(userID, keyVersion string), err error) {
	if c.KeyTTL == 0 || c.Remembered == 0 {
		return v, nil, nil
	}
	cache, err := secret.NewCache(v, secret.CacheConfig{Users: c.Remembered, TTL: c.KeyTTL}, now)
	if err != nil {
		return nil, nil, err
	}
	return cache, cache.Refused, nil
}
