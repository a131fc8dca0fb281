package mem

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// SecretOp is one operation on a secret other than an access, as a hook sees it.
type SecretOp struct {
	Kind   string // "create", "add", "get", "destroy", "delete"
	UserID string
	Done   bool // false: before it; true: it took effect, and an error now loses only the answer
}

// Vault is a secret.Keeper in memory. Versions count from 1, as Secret Manager's do.
type Vault struct {
	hook     func(ctx context.Context, userID string) error
	changing func(ctx context.Context, op SecretOp) error
	mu       sync.RWMutex
	secrets  map[string][]version // by user, oldest first
	accesses atomic.Int64
	now      func() time.Time
	lag      int
}

type version struct {
	payload             []byte
	destroyed, disabled bool
	at                  time.Time
}

// What Secret Manager calls NOT_FOUND of the secret itself, ALREADY_EXISTS, and FAILED_PRECONDITION.
var (
	errNoSecret  = fmt.Errorf("no such secret: %w", secret.ErrNotFound)
	errSecret    = errors.New("secret exists already")
	errDestroyed = fmt.Errorf("version: %w", secret.ErrDisabled)
)

// NewVault makes an empty vault.
func NewVault() *Vault {
	return &Vault{secrets: map[string][]version{}, now: func() time.Time { return time.Time{} }}
}

// SetClock makes the vault note when versions come. Not while it is in use.
func (v *Vault) SetClock(now func() time.Time) { v.now = now }

// SetLag makes the newest version known by its number alone, and so the versions before it, so many: Latest is eventually
// consistent. Not while it is in use.
func (v *Vault) SetLag(versions int) { v.lag = versions }

// number is the version that is asked for, from 1 on, or 0. The lock is held.
func (v *Vault) number(userID, version string) int {
	n, have := int(secret.Number(version)), len(v.secrets[userID])
	if version == "" || version == secret.Latest {
		n = max(0, have-v.lag)
	}
	if n > have {
		return 0
	}
	return n
}

// Disable is what a person may do to a version.
func (v *Vault) Disable(userID string, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[userID][n-1].disabled = true
}

// Destroy is the same for ever.
func (v *Vault) Destroy(userID string, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[userID][n-1] = version{destroyed: true, at: v.secrets[userID][n-1].at}
}

// SetHook makes the vault call h before each access; its error is the answer. Not while it is in use.
func (v *Vault) SetHook(h func(ctx context.Context, userID string) error) { v.hook = h }

// SetChangeHook makes the vault call h around each operation that is no access. Not while it is in use.
func (v *Vault) SetChangeHook(h func(ctx context.Context, op SecretOp) error) { v.changing = h }

// Add stores a payload as the user's newest version and returns the version.
func (v *Vault) Add(userID string, payload []byte) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[userID] = append(v.secrets[userID], version{payload: payload, at: v.now()})
	return strconv.Itoa(len(v.secrets[userID]))
}

// Accesses is the number of accesses so far.
func (v *Vault) Accesses() int64 { return v.accesses.Load() }

// Alive is how many versions of a user's there are that are not destroyed: what Secret Manager bills.
func (v *Vault) Alive(userID string) (n int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, s := range v.secrets[userID] {
		if !s.destroyed {
			n++
		}
	}
	return n
}

// Credentials implements secret.Vault. A destroyed version is answered with the newest.
func (v *Vault) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	payload, n, err := v.access(ctx, userID, version)
	if errors.Is(err, errDestroyed) {
		payload, n, err = v.access(ctx, userID, secret.Latest)
	}
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
	defer v.mu.RUnlock()
	versions := v.secrets[userID]
	if n = v.number(userID, version); n == 0 {
		return nil, 0, fmt.Errorf("keys of user %s, version %q: %w", userID, version, secret.ErrNotFound)
	}
	if versions[n-1].destroyed || versions[n-1].disabled {
		return nil, 0, fmt.Errorf("keys of user %s, version %d: %w", userID, n, errDestroyed)
	}
	return versions[n-1].payload, n, nil
}

// Put implements secret.Keeper.
func (v *Vault) Put(ctx context.Context, userID string, creds secret.Credentials, as string) error {
	err := v.change(ctx, "add", userID, func() error {
		want, have := int(secret.Number(as)), len(v.secrets[userID])
		switch {
		case creds.IsZero():
			return errors.New("there are none")
		case want == 0:
			return fmt.Errorf("version %q is no number from 1 on", as)
		case have >= want:
			return fmt.Errorf("version %d is there: %w", have, secret.ErrNewer)
		}
		for range want - have - 1 {
			v.secrets[userID] = append(v.secrets[userID], version{destroyed: true, at: v.now()})
		}
		v.secrets[userID] = append(v.secrets[userID], version{payload: creds.Payload(), at: v.now()})
		return nil
	})
	return named("put", userID, err)
}

// Remove implements secret.Keeper.
func (v *Vault) Remove(ctx context.Context, userID, upTo string) error {
	err := v.change(ctx, "delete", userID, func() error {
		if have := len(v.secrets[userID]); upTo != "" && int64(have) > secret.Number(upTo) {
			return fmt.Errorf("version %d is there: %w", have, secret.ErrNewer)
		}
		delete(v.secrets, userID)
		return nil
	})
	return named("remove", userID, err)
}

// Newest implements secret.Keeper.
func (v *Vault) Newest(ctx context.Context, userID string) (n int64, err error) {
	err = v.change(ctx, "get", userID, func() error {
		n = int64(len(v.secrets[userID]))
		return nil
	})
	return n, named("look for", userID, err)
}

// Prune implements secret.Keeper.
func (v *Vault) Prune(ctx context.Context, userID, below string) (pruned int, err error) {
	err = v.change(ctx, "destroy", userID, func() error {
		versions, first := v.secrets[userID], int(secret.Number(below))
		if first == 0 || first > len(versions) {
			return fmt.Errorf("version %.40q: %w", below, secret.ErrNotFound)
		}
		for i := range versions[:first-1] {
			if !versions[i].destroyed {
				versions[i], pruned = version{destroyed: true, at: versions[i].at}, pruned+1
			}
		}
		return nil
	})
	return pruned, named("prune", userID, err)
}

// Clear removes a user's secret.
func (v *Vault) Clear(userID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.secrets, userID)
}

func named(verb, userID string, err error) error {
	if err != nil {
		return fmt.Errorf("%s keys of user %s: %w", verb, userID, err)
	}
	return nil
}

// change runs do with the lock held, and the hook around it.
func (v *Vault) change(ctx context.Context, kind, userID string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if v.changing != nil {
		if err := v.changing(ctx, SecretOp{Kind: kind, UserID: userID}); err != nil {
			return err
		}
	}
	v.mu.Lock()
	err := do()
	v.mu.Unlock()
	if err == nil && v.changing != nil {
		return v.changing(ctx, SecretOp{Kind: kind, UserID: userID, Done: true})
	}
	return err
}
