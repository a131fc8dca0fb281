package secret

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/wiped"
)

// CacheConfig bounds what a Cache remembers.
type CacheConfig struct {
	Users int           // at most so many pairs of keys
	TTL   time.Duration // from the access; each pair a tenth longer at most, by chance, so that they don't all end at once
}

// Cache is a Vault that remembers the keys in this process. A pair ends with its time, when the broker refused it, when a
// higher version is asked for, or when there are too many; then its bytes are wiped. What was given out, the SDK's strings
// and the garbage collector's copies are beyond its reach.
type Cache struct {
	next   Vault
	cfg    CacheConfig
	random func() float64
	pairs  *wiped.Cache[*pair]
}

// NewCache remembers what next answers.
func NewCache(next Vault, cfg CacheConfig, now func() time.Time) (*Cache, error) {
	if cfg.Users < 1 || cfg.TTL <= 0 {
		return nil, fmt.Errorf("cache of keys: %d users for %s: want more than none of both", cfg.Users, cfg.TTL)
	}
	c := &Cache{next: next, cfg: cfg, random: rand.Float64}
	var err error
	c.pairs, err = wiped.New[*pair](cfg.Users, c.lifetime, now)
	return c, err
}

func (c *Cache) lifetime() time.Duration {
	return c.cfg.TTL + time.Duration(c.random()*float64(c.cfg.TTL)/10)
}

// Credentials implements Vault. Of users who are asked for at the same time, each is looked up once.
func (c *Cache) Credentials(ctx context.Context, userID, version string) (Credentials, string, error) {
	for range 2 {
		p, err := c.pairs.Get(ctx, userID, func(ctx context.Context, userID string) (*pair, error) {
			creds, version, err := c.next.Credentials(ctx, userID, version)
			if err != nil {
				return nil, err
			}
			return newPair(creds, version), nil
		})
		if err != nil {
			return Credentials{}, "", err
		}
		if p.serves(version) {
			if creds, ok := p.open(); ok {
				return creds, p.version, nil
			}
		}
		c.pairs.Drop(userID, p) // older than what is asked for, or wiped just now
	}
	return c.next.Credentials(ctx, userID, version)
}

// Refused drops the keys of this version: the broker does not take them, and there may be others.
func (c *Cache) Refused(userID, version string) {
	if p, ok := c.pairs.Peek(userID); ok && p.version == version {
		c.pairs.Drop(userID, p)
	}
}

// pair is one user's keys, in bytes that can be wiped.
type pair struct {
	version, path string

	mu            sync.Mutex
	keyID, secret []byte
}

func newPair(creds Credentials, version string) *pair {
	keyID, secretKey := creds.Reveal()
	return &pair{version: version, path: creds.Path(), keyID: []byte(keyID), secret: []byte(secretKey)}
}

// serves says whether these keys answer a request for a version. A higher one does: the request is older than it.
func (p *pair) serves(version string) bool {
	if newest(version) || version == p.version {
		return true
	}
	have, want := Number(p.version), Number(version)
	return want > 0 && have > want
}

// open is false if they are wiped.
func (p *pair) open() (Credentials, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	creds, err := NewCredentials(string(p.keyID), string(p.secret))
	return creds.At(p.path), err == nil
}

// Wipe implements wiped.Secret.
func (p *pair) Wipe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.keyID)
	clear(p.secret)
	p.keyID, p.secret = nil, nil
}
