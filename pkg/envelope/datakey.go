package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

const keyBytes = 32 // AES-256

// The platform's trouble, without a class: no user is told to store keys again.
var (
	errNoDataKey    = errors.New("data key is not there: restore its document, or store the keys of its users again")
	errOtherDataKey = errors.New("data key is not the one that these keys were encrypted under, which was lost or replaced: restore that one's document, or store the keys again")
)

// dataKey is one in bytes that can be wiped; what AES makes of it is left to the garbage collector.
type dataKey struct {
	print string
	mu    sync.Mutex
	raw   []byte
}

// fingerprint tells data keys of one id apart, and nothing of what they are.
func fingerprint(raw []byte) string {
	mac := hmac.New(sha256.New, raw)
	_, _ = io.WriteString(mac, "agenttrader data key")
	return hex.EncodeToString(mac.Sum(nil)[:8])
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

// cipher runs do with the cipher of the data key with that fingerprint; "": any. A remembered one gives way to the document.
func (v *Vault) cipher(ctx context.Context, id, print string, do func(cipher.AEAD)) error {
	for range 2 {
		k, err := v.keys.Get(ctx, id, v.unwrap)
		if err != nil {
			return err
		}
		if print != "" && k.print != print {
			stored, err := v.stored(ctx, id)
			switch {
			case err != nil:
				return err
			case stored.print == k.print:
				return other(id, k.print, print)
			}
			v.keys.Drop(id, k)
			continue
		}
		if ok, err := k.with(do); ok || err != nil {
			return err
		}
	}
	k, err := v.unwrap(ctx, id) // twice it was wiped or replaced under our hands
	if err != nil {
		return err
	}
	defer k.Wipe()
	if print != "" && k.print != print {
		return other(id, k.print, print)
	}
	_, err = k.with(do)
	return err
}

func other(id, is, want string) error {
	return fmt.Errorf("%s has the fingerprint %s, want %.40q: %w", DataKeyPath(id), is, want, errOtherDataKey)
}

// storedKey is a data key's document.
type storedKey struct {
	wrapped   []byte
	by, print string // print "": the document is older than fingerprints
	at        time.Time
}

func (v *Vault) stored(ctx context.Context, id string) (storedKey, error) {
	return readKey(ctx, v.db, id)
}

func readKey(ctx context.Context, db document.Reader, id string) (storedKey, error) {
	d, err := db.Get(ctx, DataKeyPath(id))
	switch {
	case errors.Is(err, document.ErrNotFound):
		return storedKey{}, fmt.Errorf("%s: %w", DataKeyPath(id), errNoDataKey)
	case err != nil:
		return storedKey{}, fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	s := storedKey{at: d.UpdateTime}
	s.wrapped, _ = d.Fields["wrapped"].([]byte)
	s.by, _ = d.Fields["kms_key"].(string)
	s.print, _ = d.Fields["fingerprint"].(string)
	return s, nil
}

// unwrap makes the data key of its document.
func (v *Vault) unwrap(ctx context.Context, id string) (*dataKey, error) {
	s, err := v.stored(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, w := range v.wrappers {
		if w.Key() == s.by {
			k, _, err := s.open(ctx, id, w)
			return k, err
		}
	}
	return nil, fmt.Errorf("%s is wrapped by the key %.300q, and not by KMS_KEY, %q: set KMS_KEY to that one, or KMS_KEY_BEFORE while data keys are rewrapped",
		DataKeyPath(id), s.by, v.wrappers[0].Key())
}

// open is the data key, and whether its wrapping is the newest that w knows.
func (s storedKey) open(ctx context.Context, id string, w Wrapper) (k *dataKey, current bool, err error) {
	raw, current, err := w.Unwrap(ctx, s.wrapped, boundKey(id))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	if len(raw) != keyBytes {
		return nil, false, fmt.Errorf("%s: a data key of %d bytes: want %d", DataKeyPath(id), len(raw), keyBytes)
	}
	k = &dataKey{print: fingerprint(raw), raw: raw}
	if s.print != "" && s.print != k.print {
		k.Wipe()
		return nil, false, other(id, k.print, s.print)
	}
	return k, current, nil
}

// sealing is cipher for new keys: the first of a shard makes its data key. It is used as it was read back, and only while its
// document is there: nothing is ever encrypted under a key that others can't unwrap.
func (v *Vault) sealing(ctx context.Context, id string, do func(c cipher.AEAD, print string)) error {
	err := fmt.Errorf("%s: %d writers got in between", DataKeyPath(id), conflicts)
	for range conflicts {
		stored, missing := v.stored(ctx, id)
		if errors.Is(missing, errNoDataKey) {
			if err = v.makeDataKey(ctx, id); err != nil {
				return err
			}
			stored, missing = v.stored(ctx, id)
		}
		if missing != nil {
			return missing
		}
		err = v.cipher(ctx, id, stored.print, func(c cipher.AEAD) { do(c, stored.print) })
		if !errors.Is(err, errNoDataKey) && !errors.Is(err, errOtherDataKey) { // else: replaced since, or a reader's answer of before
			return err
		}
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
	wrapped, err := v.wrappers[0].Wrap(ctx, raw, boundKey(id))
	if err != nil {
		return fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	_, err = v.db.Create(ctx, DataKeyPath(id), document.Fields{
		"wrapped": wrapped, "kms_key": v.wrappers[0].Key(), "fingerprint": fingerprint(raw), "created_at": document.ServerTime,
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
