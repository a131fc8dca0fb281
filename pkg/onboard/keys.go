package onboard

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// looks is how often a user is looked at whose keys change meanwhile.
const looks = 5

// Keys looks after the users' keys.
type Keys struct {
	Users     user.Registry
	Custody   secret.Custody
	Broker    broker.Broker
	Snapshots interface {
		Snapshot(ctx context.Context, userID string) (account.Snapshot, error)
	}
}

// Change is how keys are set.
type Change struct {
	Env          broker.Env // the only one to ask; "": whichever takes them
	OtherAccount bool       // of Rotate: they may be of another account than the old ones
	PruneOld     bool       // afterwards, do away with the versions before
}

// Stored is what became of keys.
type Stored struct {
	Accepted
	Before  string // the version that was asked for; "": none was known
	Version string // the one that is asked for from now on
	New     bool   // they were stored now; else they were there before
	Path    string // where they are
	Pruned  int    // versions that are gone
	User    user.Profile
}

// Set stores the first keys of a user, or others, after Alpaca took them. user.ErrNotFound, user.ErrRemoving, ErrRefused and
// ErrUnanswered say that nothing was stored.
func (k *Keys) Set(ctx context.Context, userID string, creds secret.Credentials, c Change) (Stored, error) {
	p, err := k.here(ctx, userID)
	if err != nil {
		return Stored{}, err
	}
	return k.set(ctx, p, creds, c, func(Accepted) error { return nil })
}

// Rotate is Set for new keys of the same account.
func (k *Keys) Rotate(ctx context.Context, userID string, creds secret.Credentials, c Change) (Stored, error) {
	p, err := k.here(ctx, userID)
	if err != nil {
		return Stored{}, err
	}
	if n, err := k.newest(ctx, userID); err != nil {
		return Stored{}, err
	} else if n == 0 {
		return Stored{}, fmt.Errorf("user %s has no keys that could be rotated: 'agenttrader keys set %s' stores the first", userID, userID)
	}
	return k.set(ctx, p, creds, c, func(a Accepted) error {
		snap, err := k.Snapshots.Snapshot(ctx, userID)
		switch {
		case c.OtherAccount, errors.Is(err, account.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("of which account the old keys are can't be told, nothing was stored (--other-account does not ask): %w", err)
		case snap.Account.ID != a.AccountID:
			return fmt.Errorf("these keys are of another account (%.40s, %s) than user %s has (%.40s): nothing was stored. --other-account takes them all the same", a.AccountID, a.Env, userID, snap.Account.ID)
		}
		return nil
	})
}

func (k *Keys) set(ctx context.Context, p user.Profile, creds secret.Credentials, c Change, fit func(Accepted) error) (Stored, error) {
	s := Stored{Before: p.KeyVersion}
	envs := []broker.Env{broker.Paper, broker.Live}
	if c.Env != "" {
		envs = []broker.Env{c.Env}
	}
	var err error
	if s.Accepted, err = Ask(ctx, k.Broker, creds, envs...); err != nil {
		return s, fmt.Errorf("keys of user %s, nothing was stored: %w", p.ID, err)
	}
	if err := fit(s.Accepted); err != nil {
		return s, err
	}
	var into secret.Keeper
	if into, s.Version, s.New, err = k.put(ctx, p, creds); err != nil {
		return s, fmt.Errorf("store the keys of user %s: %w", p.ID, err)
	}
	if s.Path, err = k.readBack(ctx, p.ID, creds, s.Version); err != nil {
		return s, err
	}
	if s.User, err = k.Users.UseKeys(ctx, p.ID, s.Version, string(s.Env)); err != nil {
		return s, k.takeBack(ctx, p.ID, s.Version, err)
	}
	if _, err := k.readBack(ctx, p.ID, creds, s.Version); err != nil { // a revocation in between
		return s, err
	}
	if c.PruneOld {
		s.Pruned, err = k.prune(ctx, p.ID, s.Version, into)
	}
	return s, err
}

// put stores keys as a version above all there are and all that is known of, unless the newest are the same: then they are left
// of a call that was stopped, or asked for twice.
func (k *Keys) put(ctx context.Context, p user.Profile, creds secret.Credentials) (into secret.Keeper, version string, stored bool, err error) {
	for range looks {
		var number int64
		if into, number, err = k.Custody.Next(ctx, p.ID); err != nil {
			return nil, "", false, err
		}
		known := secret.Number(p.KeyVersion)
		if newest := strconv.FormatInt(number-1, 10); number > 1 && number > known {
			have, got, err := k.Custody.Vault.Credentials(ctx, p.ID, newest)
			if err == nil && got == newest && have.Same(creds) {
				return into, newest, false, nil
			}
			if err != nil && !errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secret.ErrMalformed) && !errors.Is(err, secret.ErrDenied) {
				return nil, "", false, err
			}
		}
		version = strconv.FormatInt(max(number, known+1), 10)
		if err = into.Put(ctx, p.ID, creds, version); !errors.Is(err, secret.ErrNewer) {
			return into, version, true, err
		}
	}
	return nil, "", false, fmt.Errorf("others stored keys %d times meanwhile: try again: %w", looks, err)
}

// readBack sees that the services find these keys under the version, or newer ones that somebody else stored.
func (k *Keys) readBack(ctx context.Context, userID string, creds secret.Credentials, version string) (path string, err error) {
	have, got, err := k.Custody.Vault.Credentials(ctx, userID, version)
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return "", fmt.Errorf("the keys of user %s were stored as version %s, and somebody revoked them meanwhile: store them again if that was not meant: %w", userID, version, err)
	case err != nil:
		return "", fmt.Errorf("the keys of user %s were stored as version %s, and can't be read: try again: %w", userID, version, err)
	case secret.Number(got) <= secret.Number(version) && !have.Same(creds):
		return "", fmt.Errorf("version %s of the keys of user %s has other keys than were stored: try again", version, userID)
	}
	return have.Path(), nil
}

// takeBack removes keys that were stored for a user who went meanwhile: who was removed leaves none behind.
func (k *Keys) takeBack(ctx context.Context, userID, version string, why error) error {
	if !errors.Is(why, user.ErrNotFound) && !errors.Is(why, user.ErrRemoving) {
		return fmt.Errorf("the keys of user %s are stored as version %s, and not in use yet: try again: %w", userID, version, why)
	}
	errs := []error{fmt.Errorf("user %s went meanwhile, and so do the keys: %w", userID, why)}
	for _, keeper := range k.Custody.Keepers {
		errs = append(errs, keeper.Remove(context.WithoutCancel(ctx), userID, version))
	}
	return errors.Join(errs...)
}

// prune does away with what is below a version: with all of it in the vaults that it is not in.
func (k *Keys) prune(ctx context.Context, userID, version string, in secret.Keeper) (pruned int, err error) {
	for _, keeper := range k.Custody.Keepers {
		n := 0
		if keeper == in {
			n, err = keeper.Prune(ctx, userID, version)
		} else if there, err2 := keeper.Newest(ctx, userID); err2 != nil || there > 0 {
			if err = err2; err == nil {
				err = keeper.Remove(ctx, userID, version)
				n = 1
			}
		}
		if err != nil && !errors.Is(err, secret.ErrNewer) {
			return pruned, fmt.Errorf("version %s of the keys of user %s is in use, and older ones are still there: try again: %w", version, userID, err)
		}
		if err == nil {
			pruned += n
		}
	}
	return pruned, nil
}

// Checked is what is true of the stored keys.
type Checked struct {
	Accepted
	Version, Path string
	User          user.Profile
}

// Check asks Alpaca about the keys that the next request would use. Besides ErrRefused and ErrUnanswered, its errors are those
// of a Vault.
func (k *Keys) Check(ctx context.Context, userID string) (c Checked, err error) {
	if c.User, err = k.Users.Profile(ctx, userID); err != nil {
		return c, err
	}
	creds, version, err := k.Custody.Vault.Credentials(ctx, userID, c.User.KeyVersion)
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return c, fmt.Errorf("user %s has no keys: 'agenttrader keys set %s' stores them: %w", userID, userID, err)
	case err != nil:
		return c, fmt.Errorf("keys of user %s: %w", userID, err)
	}
	c.Version, c.Path = version, creds.Path()
	env := broker.Env(c.User.BrokerEnv)
	c.Accepted, err = Ask(ctx, k.Broker, creds, env)
	if !errors.Is(err, ErrRefused) {
		return c, err
	}
	other := map[broker.Env]broker.Env{broker.Paper: broker.Live, broker.Live: broker.Paper}[env]
	if a, err2 := Ask(ctx, k.Broker, creds, other); err2 == nil {
		c.Accepted = a
		return c, fmt.Errorf("user %s has keys of the %s environment, and broker_env says %s: store them again with 'agenttrader keys set %s': %w", userID, other, env, userID, err)
	}
	return c, fmt.Errorf("keys of user %s, version %s: %w", userID, version, err)
}

// Revoked is what became of a user's keys.
type Revoked struct {
	Vaults  int    // that had keys, and have none any longer
	Pruned  int    // versions that are gone, of RevokeOld
	Version string // that the next request asks for
	Newer   bool   // somebody stored newer keys meanwhile, which stay
}

// RevokeOld does away with the versions before the one in use.
func (k *Keys) RevokeOld(ctx context.Context, userID string) (r Revoked, err error) {
	p, err := k.here(ctx, userID)
	if err != nil {
		return r, err
	}
	into, number, err := k.Custody.Next(ctx, userID)
	if err != nil {
		return r, err
	}
	if r.Version = p.KeyVersion; secret.Number(p.KeyVersion) == 0 || secret.Number(p.KeyVersion) >= number {
		return r, fmt.Errorf("user %s has no keys in use: nothing was done", userID)
	}
	for _, keeper := range k.Custody.Keepers { // the one that answers
		if n, err := keeper.Newest(ctx, userID); err != nil {
			return r, err
		} else if n >= secret.Number(p.KeyVersion) {
			into = keeper
			break
		}
	}
	r.Pruned, err = k.prune(ctx, userID, p.KeyVersion, into)
	return r, err
}

// Revoke takes all keys of a user out of every vault. First the user's document asks for a version that there is none of: so
// that nobody goes on with the keys that an instance remembers, and later ones are above them.
func (k *Keys) Revoke(ctx context.Context, userID string) (r Revoked, err error) {
	p, err := k.here(ctx, userID)
	if err != nil {
		return r, err
	}
	newest, err := k.newest(ctx, userID)
	if r.Version = p.KeyVersion; err != nil || newest == 0 {
		return r, err
	}
	if secret.Number(p.KeyVersion) <= newest {
		r.Version = strconv.FormatInt(newest+1, 10)
		if err := k.Users.RaiseKeyVersion(ctx, userID, r.Version); err != nil {
			return r, err
		}
	}
	for range looks { // whoever moves keys from vault to vault may have put some back
		found := 0
		for _, keeper := range k.Custody.Keepers {
			n, err := keeper.Newest(ctx, userID)
			if err == nil && n > 0 {
				err = keeper.Remove(ctx, userID, strconv.FormatInt(newest, 10))
			}
			switch {
			case errors.Is(err, secret.ErrNewer):
				r.Newer = true
			case err != nil:
				return r, fmt.Errorf("the keys of user %s are not used any longer, and not all are taken out: try again: %w", userID, err)
			case n > 0:
				found++
			}
		}
		if r.Vaults += found; found == 0 {
			return r, nil
		}
	}
	return r, fmt.Errorf("the keys of user %s came back %d times: does 'agenttrader keys migrate' run? Try again after it", userID, looks)
}

// here is a user who is there to stay.
func (k *Keys) here(ctx context.Context, userID string) (user.Profile, error) {
	p, err := k.Users.Profile(ctx, userID)
	if err == nil && !p.RemovedAt.IsZero() {
		err = fmt.Errorf("user %s: %w", userID, user.ErrRemoving)
	}
	return p, err
}

func (k *Keys) newest(ctx context.Context, userID string) (int64, error) {
	_, number, err := k.Custody.Next(ctx, userID)
	return number - 1, err
}
