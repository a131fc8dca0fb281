package mem

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// KMSKey is a name for the key of a KMS in memory.
const KMSKey = "projects/local/locations/global/keyRings/agenttrader/cryptoKeys/user-keys"

// KMS is an envelope.Wrapper in memory, with a key of its own that ends with it.
type KMS struct {
	hook  func(ctx context.Context) error
	name  string
	calls atomic.Int64

	mu       sync.RWMutex
	versions []cipher.AEAD // the last one is the primary; nil: destroyed
}

// Cloud KMS's INVALID_ARGUMENT and FAILED_PRECONDITION.
var (
	errKMSInput   = errors.New("decryption failed: the ciphertext is invalid")
	errKMSVersion = errors.New("the version of the key is destroyed")
)

// NewKMS is a KMS with one key of that name.
func NewKMS(name string) (*KMS, error) {
	k := &KMS{name: name}
	return k, k.Rotate()
}

// Rotate makes a new primary version of the key.
func (k *KMS) Rotate() error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.versions = append(k.versions, aead)
	return nil
}

// Destroy does away with a version, from 1 on.
func (k *KMS) Destroy(version int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.versions[version-1] = nil
}

// SetHook makes it call h before each call; its error is the answer. Not while it is in use.
func (k *KMS) SetHook(h func(ctx context.Context) error) { k.hook = h }

// Calls is the number of calls so far: each is billed.
func (k *KMS) Calls() int64 { return k.calls.Load() }

// Key implements envelope.Wrapper.
func (k *KMS) Key() string { return k.name }

// Wrap implements envelope.Wrapper. The version comes first.
func (k *KMS) Wrap(ctx context.Context, dataKey, bound []byte) ([]byte, error) {
	if err := k.called(ctx); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	n := len(k.versions)
	return k.versions[n-1].Seal([]byte{byte(n)}, nil, dataKey, bound), nil // #nosec G407 -- it makes its nonce itself
}

// Unwrap implements envelope.Wrapper.
func (k *KMS) Unwrap(ctx context.Context, wrapped, bound []byte) (dataKey []byte, current bool, err error) {
	if err := k.called(ctx); err != nil {
		return nil, false, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	n := len(k.versions)
	if len(wrapped) == 0 || int(wrapped[0]) < 1 || int(wrapped[0]) > n {
		return nil, false, fmt.Errorf("kms: %s: %w", k.name, errKMSInput)
	}
	by := k.versions[wrapped[0]-1]
	if by == nil {
		return nil, false, fmt.Errorf("kms: %s: %w", k.name, errKMSVersion)
	}
	if dataKey, err = by.Open(nil, nil, wrapped[1:], bound); err != nil {
		return nil, false, fmt.Errorf("kms: %s: %w", k.name, errKMSInput)
	}
	return dataKey, int(wrapped[0]) == n, nil
}

func (k *KMS) called(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.calls.Add(1)
	if k.hook != nil {
		if err := k.hook(ctx); err != nil {
			return fmt.Errorf("kms: %s: %w", k.name, err)
		}
	}
	return nil
}
