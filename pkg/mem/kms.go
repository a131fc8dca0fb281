package mem

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
)

// KMSKey is a name for the key of a KMS in memory.
const KMSKey = "projects/local/locations/global/keyRings/agenttrader/cryptoKeys/user-keys"

// KMS is an envelope.Wrapper in memory, with a key of its own that ends with it.
type KMS struct {
	hook  func(ctx context.Context) error
	name  string
	aead  cipher.AEAD
	calls atomic.Int64
}

// errKMSInput is Cloud KMS's INVALID_ARGUMENT.
var errKMSInput = errors.New("decryption failed: the ciphertext is invalid")

// NewKMS is a KMS with one key of that name.
func NewKMS(name string) (*KMS, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &KMS{name: name, aead: aead}, err
}

// SetHook makes it call h before each call; its error is the answer. Not while it is in use.
func (k *KMS) SetHook(h func(ctx context.Context) error) { k.hook = h }

// Calls is the number of calls so far: each is billed.
func (k *KMS) Calls() int64 { return k.calls.Load() }

// Key implements envelope.Wrapper.
func (k *KMS) Key() string { return k.name }

// Wrap implements envelope.Wrapper.
func (k *KMS) Wrap(ctx context.Context, dataKey, bound []byte) ([]byte, error) {
	if err := k.called(ctx); err != nil {
		return nil, err
	}
	return k.aead.Seal(nil, nil, dataKey, bound), nil
}

// Unwrap implements envelope.Wrapper.
func (k *KMS) Unwrap(ctx context.Context, wrapped, bound []byte) ([]byte, error) {
	if err := k.called(ctx); err != nil {
		return nil, err
	}
	dataKey, err := k.aead.Open(nil, nil, wrapped, bound)
	if err != nil {
		return nil, fmt.Errorf("kms: %s: %w", k.name, errKMSInput)
	}
	return dataKey, nil
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
