package mem

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Vault is a secret.Vault in memory. Versions count from 1, as Secret Manager's do.
type Vault struct {
	hook     func(ctx context.Context, userID string) error
	mu       sync.RWMutex
	payloads map[string][][]byte // by user, oldest first
	accesses atomic.Int64
}

// NewVault makes an empty vault.
func NewVault() *Vault { return &Vault{payloads: map[string][][]byte{}} }

// SetHook makes the vault call h before each access; its error is the answer. Not while it is in use.
func (v *Vault) SetHook(h func(ctx context.Context, userID string) error) { v.hook = h }

// Add stores a payload as the user's newest version and returns the version.
func (v *Vault) Add(userID string, payload []byte) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.payloads[userID] = append(v.payloads[userID], payload)
	return strconv.Itoa(len(v.payloads[userID]))
}

// Accesses is the number of accesses so far.
func (v *Vault) Accesses() int64 { return v.accesses.Load() }

// Credentials implements secret.Vault.
func (v *Vault) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	payload, n, err := v.access(ctx, userID, version)
	if err != nil {
		return secret.Credentials{}, "", err
	}
	creds, err := secret.ParsePayload(payload)
	if err != nil {
		return secret.Credentials{}, "", fmt.Errorf("keys of user %s, version %d: %w", userID, n, err)
	}
	return creds, strconv.Itoa(n), nil
}

func (v *Vault) access(ctx context.Context, userID, version string) (payload []byte, n int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	v.accesses.Add(1)
	if v.hook != nil {
		if err := v.hook(ctx, userID); err != nil {
			return nil, 0, fmt.Errorf("keys of user %s: %w", userID, err)
		}
	}
	v.mu.RLock()
	versions := v.payloads[userID]
	v.mu.RUnlock()
	n = len(versions)
	if version != "" && version != secret.Latest {
		if n, err = strconv.Atoi(version); err != nil {
			n = 0
		}
	}
	if n < 1 || n > len(versions) {
		return nil, 0, fmt.Errorf("keys of user %s, version %q: %w", userID, version, secret.ErrNotFound)
	}
	return versions[n-1], n, nil
}

// Clear removes a user's secret.
func (v *Vault) Clear(userID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.payloads, userID)
}
