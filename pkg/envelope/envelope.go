// Package envelope keeps the users' brokerage keys encrypted in documents of their own, for fleets in which a secret a user
// costs too much:
//
//	keys ─ AES-256-GCM, bound to user and version ─▶ keyEnvelopes/{uid}    of a user, read by the services alone
//	data key ─ Wrapper (Cloud KMS), bound to its id ─▶ dataKeys/{id}       of a shard of the users
//
// Both collections are at the top level: below users/{uid} the owner's rule would reach them.
package envelope

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/wiped"
)

// The collections' names.
const (
	Envelopes = "keyEnvelopes"
	DataKeys  = "dataKeys"
)

// Path is where a user's keys are.
func Path(userID string) string { return Envelopes + "/" + userID }

// DataKeyPath is where a data key is.
func DataKeyPath(id string) string { return DataKeys + "/" + id }

// Wrapper encrypts data keys under a key that never leaves where it is. Each of its errors is the platform's own trouble,
// never a user's, and none shows a data key.
type Wrapper interface {
	// Key names the key that wraps.
	Key() string
	// Wrap encrypts a data key; bound must be the same when it is unwrapped.
	Wrap(ctx context.Context, dataKey, bound []byte) (wrapped []byte, err error)
	// Unwrap is Wrap undone. What was changed, or is bound to something else, is an error. current says that Wrap would use the
	// same version of the key today.
	Unwrap(ctx context.Context, wrapped, bound []byte) (dataKey []byte, current bool, err error)
}

// Config is how a Vault works.
type Config struct {
	Shards int           // data keys for all users; another number counts for keys that are stored from then on
	Keys   int           // data keys that are remembered at most
	TTL    time.Duration // for so long: then the wrapper is asked again
	Now    func() time.Time
	Random io.Reader // of the data keys
}

// DefaultConfig is a good setting for most: each instance asks the wrapper 64 times an hour at most.
func DefaultConfig() Config {
	return Config{Shards: 64, Keys: 1024, TTL: time.Hour, Now: time.Now, Random: rand.Reader}
}

// Vault implements secret.Keeper. Of each user it keeps the newest version alone. It is safe for concurrent use.
type Vault struct {
	db       document.DB
	wrappers []Wrapper // the first one wraps
	cfg      Config
	keys     *wiped.Cache[*dataKey]
}

// New is a vault on the documents of db. before are the keys that data keys may still be wrapped by.
func New(db document.DB, w Wrapper, cfg Config, before ...Wrapper) (*Vault, error) {
	if cfg.Shards < 1 || cfg.Keys < 1 || cfg.TTL <= 0 || cfg.Now == nil || cfg.Random == nil {
		return nil, errors.New("envelope: Config is incomplete: start from DefaultConfig")
	}
	keys, err := wiped.New[*dataKey](cfg.Keys, func() time.Duration { return cfg.TTL }, cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return &Vault{db: db, wrappers: append([]Wrapper{w}, before...), cfg: cfg, keys: keys}, nil
}

// dataKeyOf is the id of the data key under which a user's next keys are stored.
func (v *Vault) dataKeyOf(userID string) string {
	h := fnv.New32a()
	_, _ = io.WriteString(h, userID)
	return fmt.Sprintf("%d-%d", v.cfg.Shards, h.Sum32()%uint32(v.cfg.Shards)) //nolint:gosec // a handful
}
