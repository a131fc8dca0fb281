package alpaca

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

const (
	keysFor   = time.Hour   // keys are used, then read again
	keysAgain = time.Minute // from a failed reading to the next
)

// FixedKeys are keys that are known already.
func FixedKeys(creds secret.Credentials) func(context.Context) (secret.Credentials, error) {
	return func(context.Context) (secret.Credentials, error) { return creds, nil }
}

// dataKeys are the platform's keys, remembered. Where they can't be read again, the old ones stay in use.
type dataKeys struct {
	read func(context.Context) (secret.Credentials, error)
	now  func() time.Time

	mu    sync.Mutex
	creds secret.Credentials // zero: none
	err   error              // of the last reading
	next  time.Time          // reading
}

// get reads outside of the lock: one reading too many does no harm, and one that hangs holds up no other.
func (k *dataKeys) get(ctx context.Context) (secret.Credentials, error) {
	k.mu.Lock()
	creds, err, next := k.creds, k.err, k.next
	k.mu.Unlock()
	if k.now().Before(next) {
		if creds.IsZero() && err != nil {
			return creds, err
		}
		return creds, nil
	}
	read, err := k.read(ctx)
	if err == nil && read.IsZero() {
		err = secret.ErrNotFound
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.err, k.next = fmt.Errorf("keys for market data: %w", err), k.now().Add(keysAgain)
		if k.creds.IsZero() {
			return secret.Credentials{}, k.err
		}
		return k.creds, nil
	}
	k.creds, k.err, k.next = read, nil, k.now().Add(keysFor)
	return read, nil
}

// forget makes the next call read the keys again, unless that was done since.
func (k *dataKeys) forget(refused secret.Credentials) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil && same(k.creds, refused) {
		k.creds, k.next = secret.Credentials{}, time.Time{}
	}
}

func same(a, b secret.Credentials) bool {
	aID, aSecret := a.Reveal()
	bID, bSecret := b.Reveal()
	return aID == bID && aSecret == bSecret
}
