package secret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// While a fleet moves, each user's keys are read where they are; and trouble of the preferred vault is no reason to look
// elsewhere, where older keys may lie.
func TestEither(t *testing.T) {
	down := errors.New("503")
	keys := func(names ...string) (payloads [][]byte) {
		for _, n := range names {
			payloads = append(payloads, fmt.Appendf(nil, payload, n, n))
		}
		return payloads
	}
	malformed := [][]byte{[]byte(`{"secret_key": "s-x"}`)}
	for name, c := range map[string]struct {
		preferred, other         [][]byte
		preferredErr, otherErr   error
		version                  string
		key, got                 string
		err                      error
		preferredAsked, otherAsk int64
	}{
		"preferred has it":                        {keys("P"), keys("O"), nil, nil, "1", "PKP", "1", nil, 1, 0},
		"preferred does not have it":              {nil, keys("O"), nil, nil, "1", "PKO", "1", nil, 1, 1},
		"preferred has an older version":          {keys("P"), keys("O", "O2"), nil, nil, "2", "PKO2", "2", nil, 1, 1},
		"nobody knows the version, both have it":  {keys("P"), keys("O"), nil, nil, "", "PKP", "1", nil, 1, 1},
		"nobody knows the version, other's newer": {keys("P"), keys("O", "O2"), nil, nil, secret.Latest, "PKO2", "2", nil, 1, 1},
		"nobody knows the version, other is down": {keys("P"), keys("O"), nil, down, "", "PKP", "1", nil, 1, 1},
		"preferred is down":                       {keys("P"), keys("O"), down, nil, "1", "", "", down, 1, 0},
		"preferred is denied":                     {keys("P"), keys("O"), secret.ErrDenied, nil, "1", "", "", secret.ErrDenied, 1, 0},
		"preferred is malformed":                  {malformed, keys("O"), nil, nil, "1", "", "", secret.ErrMalformed, 1, 0},
		"other is down":                           {nil, keys("O"), nil, down, "1", "", "", down, 1, 1},
		"other is malformed":                      {nil, malformed, nil, nil, "1", "", "", secret.ErrMalformed, 1, 1},
		"neither has it":                          {nil, nil, nil, nil, "1", "", "", secret.ErrNotFound, 1, 1},
	} {
		vault := func(payloads [][]byte, err error) *mem.Vault {
			v := mem.NewVault()
			for _, p := range payloads {
				v.Add("u", p)
			}
			v.SetHook(func(context.Context, string) error { return err })
			return v
		}
		p, o := vault(c.preferred, c.preferredErr), vault(c.other, c.otherErr)
		creds, got, err := secret.NewEither(p, o).Credentials(t.Context(), "u", c.version)
		if key, _ := creds.Reveal(); key != c.key || got != c.got || !errors.Is(err, c.err) {
			t.Errorf("%s: key %s, version %s, %v; want %s, %s, %v", name, key, got, err, c.key, c.got, c.err)
		}
		if errors.Is(c.err, down) && errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%s: %v is taken for the user's trouble", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "s-") {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
		if p.Accesses() != c.preferredAsked || o.Accesses() != c.otherAsk {
			t.Errorf("%s: %d and %d accesses, want %d and %d", name, p.Accesses(), o.Accesses(), c.preferredAsked, c.otherAsk)
		}
	}
}

// The cache gives out where the keys were found.
func TestCacheKeepsPath(t *testing.T) {
	at := pathed{mem.NewVault()}
	at.Add("a", fmt.Appendf(nil, payload, "a", "a"))
	cache, err := secret.NewCache(at, secret.CacheConfig{Users: 1, TTL: time.Hour}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if creds, _, err := cache.Credentials(t.Context(), "a", "1"); err != nil || creds.Path() != "keyEnvelopes/a" {
			t.Errorf("path %q, %v", creds.Path(), err)
		}
	}
}

type pathed struct{ *mem.Vault }

func (p pathed) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	creds, got, err := p.Vault.Credentials(ctx, userID, version)
	return creds.At("keyEnvelopes/" + userID), got, err
}
