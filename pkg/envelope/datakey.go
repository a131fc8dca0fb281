package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/agenttrader/agenttrader/pkg/document"
)

const keyBytes = 32 // AES-256

// errNoDataKey is the platform's trouble: a restored document makes all keys of the shard readable again.
var errNoDataKey = errors.New("data key is not there: restore its document, or store the keys of its users again")

// dataKey is one in bytes that can be wiped; what AES makes of it is left to the garbage collector.
type dataKey struct {
	mu  sync.Mutex
	raw []byte
}

// with runs do with the cipher; it is false if the key is wiped.
func (k *dataKey) with(do func(cipher.AEAD)) (bool, error) {
	k.mu.Lock()
	if k.raw == nil {
		k.mu.Unlock()
		return false, nil
	}
	block, err := aes.NewCipher(k.raw)
	k.mu.Unlock()
	if err != nil {
		return false, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return false, err
	}
	do(aead)
	return true, nil
}

// Wipe implements wiped.Secret.
func (k *dataKey) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.raw)
	k.raw = nil
}

// cipher runs do with the cipher of a data key. Of those who need it at the same time, one asks the wrapper.
func (v *Vault) cipher(ctx context.Context, id string, do func(cipher.AEAD)) error {
	for range 2 {
		k, err := v.keys.Get(ctx, id, v.unwrap)
		if err != nil {
			return err
		}
		if ok, err := k.with(do); ok || err != nil {
			return err
		}
	}
	k, err := v.unwrap(ctx, id) // twice it was wiped under our hands
	if err != nil {
		return err
	}
	defer k.Wipe()
	_, err = k.with(do)
	return err
}

func (v *Vault) unwrap(ctx context.Context, id string) (*dataKey, error) {
	d, err := v.db.Get(ctx, DataKeyPath(id))
	switch {
	case errors.Is(err, document.ErrNotFound):
		return nil, fmt.Errorf("%s: %w", DataKeyPath(id), errNoDataKey)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	wrapped, _ := d.Fields["wrapped"].([]byte)
	if by, _ := d.Fields["kms_key"].(string); by != v.wrapper.Key() {
		return nil, fmt.Errorf("%s is wrapped by the key %.300q, and not by KMS_KEY, %q: set KMS_KEY to that one", d.Path, by, v.wrapper.Key())
	}
	raw, err := v.wrapper.Unwrap(ctx, wrapped, boundKey(id))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path, err)
	}
	if len(raw) != keyBytes {
		return nil, fmt.Errorf("%s: a data key of %d bytes: want %d", d.Path, len(raw), keyBytes)
	}
	return &dataKey{raw: raw}, nil
}

// sealing is cipher for new keys: the first of a shard makes its data key. It is used as it was read back, so that nothing
// is ever encrypted under a key that can't be unwrapped.
func (v *Vault) sealing(ctx context.Context, id string, do func(cipher.AEAD)) error {
	err := v.cipher(ctx, id, do)
	for n := 0; n < conflicts && errors.Is(err, errNoDataKey); n++ { // again: a reader's answer of before may be shared
		if err := v.makeDataKey(ctx, id); err != nil {
			return err
		}
		err = v.cipher(ctx, id, do)
	}
	return err
}

// makeDataKey makes the data key, unless somebody else did.
func (v *Vault) makeDataKey(ctx context.Context, id string) error {
	raw := make([]byte, keyBytes)
	defer clear(raw)
	if _, err := io.ReadFull(v.cfg.Random, raw); err != nil {
		return fmt.Errorf("%s: no randomness: %w", DataKeyPath(id), err)
	}
	wrapped, err := v.wrapper.Wrap(ctx, raw, boundKey(id))
	if err != nil {
		return fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	_, err = v.db.Create(ctx, DataKeyPath(id), document.Fields{
		"wrapped": wrapped, "kms_key": v.wrapper.Key(), "created_at": document.ServerTime,
	})
	if err != nil && !errors.Is(err, document.ErrExists) {
		return fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	return nil
}

// What the encrypted is bound to: it opens nowhere else. No part of it can hold a zero byte.
func boundKey(id string) []byte { return []byte("agenttrader/" + DataKeyPath(id)) }

func boundEnvelope(userID string, version int64) []byte {
	return fmt.Appendf(nil, "agenttrader/%s\x00%d", Path(userID), version)
}
