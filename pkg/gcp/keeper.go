package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// catchUp is how many versions Put adds at most: Secret Manager counts by itself, one with each version.
const catchUp = 500

// VaultWriting is how a Vault writes.
type VaultWriting struct {
	// Pace is waited for before each call that is no access: a project has 600 such reads and 600 writes a minute. nil: none.
	Pace func(context.Context) error
	// Topic, in full, is told of new versions of the secrets that are made. "": none.
	Topic string
}

// Writing is the same vault, which writes in this way.
func (v *Vault) Writing(w VaultWriting) *Vault {
	return &Vault{client: v.client, project: v.project, writing: w}
}

// Put implements secret.Keeper. Secret Manager numbers the versions itself: the same keys are added until the number is
// reached, and those in between destroyed as it goes.
func (v *Vault) Put(ctx context.Context, userID string, creds secret.Credentials, version string) error {
	name, want := secret.Name(v.project, userID), secret.Number(version)
	switch {
	case creds.IsZero():
		return fmt.Errorf("secret manager: %s: there are no keys to store", name)
	case want == 0:
		return fmt.Errorf("secret manager: %s: version %q is no number from 1 on", name, version)
	}
	payload := meantFor(creds, want)
	have, err := v.newest(ctx, name)
	switch {
	case err != nil:
		return err
	case have >= want:
		if _, err := v.settle(ctx, name, want, payload); err != nil {
			return err
		}
		return fmt.Errorf("secret manager: %s has version %d: %w", name, have, secret.ErrNewer)
	case want-have > catchUp:
		return fmt.Errorf("secret manager: %s is at version %d, the keys are version %d: at most %d versions are added at once to catch up; add the others by hand: %w", name, have, want, catchUp, secret.ErrByHand)
	case have == 0:
		if err := v.create(ctx, userID); err != nil {
			return err
		}
	}
	passed, err := v.leftBehind(ctx, name, have, creds.Stored())
	if err != nil {
		return err
	}
	for n := have + 1; n <= want; n++ {
		got, err := v.add(ctx, name, payload)
		if err != nil {
			return err
		}
		if got != n {
			return v.giveWay(ctx, name, n, got, payload)
		}
		for _, old := range passed {
			if err := v.destroy(ctx, name, old); err != nil {
				return err
			}
		}
		passed = []int64{n}
	}
	stored, _, err := v.access(ctx, name, version)
	if err == nil && !bytes.Equal(stored, payload) {
		err = fmt.Errorf("secret manager: %s/versions/%s is not what was written", name, version)
	}
	return err
}

// meantFor is the payload of keys that are stored as a version. It says which: so what a stopped Put left behind, under the
// numbers before and after, is told from what people store.
func meantFor(creds secret.Credentials, version int64) []byte {
	p := bytes.TrimSuffix(creds.Payload(), []byte("}"))
	return fmt.Appendf(p, `,"version":"%d"}`, version)
}

// meant is the version that a payload was stored as; 0 if it does not say.
func meant(payload []byte) int64 {
	var p struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return 0
	}
	return secret.Number(p.Version)
}

// Remove implements secret.Keeper. Secret Manager has no precondition for it: a version that is added between the look, by
// number, and the deletion goes with the others.
func (v *Vault) Remove(ctx context.Context, userID, version string) error {
	name := secret.Name(v.project, userID)
	if version != "" {
		have, err := v.newest(ctx, name)
		switch {
		case err != nil:
			return err
		case have > secret.Number(version):
			return fmt.Errorf("secret manager: %s has version %d: %w", name, have, secret.ErrNewer)
		}
	}
	err := v.call(ctx, func(ctx context.Context) error {
		return v.client.DeleteSecret(ctx, &secretmanagerpb.DeleteSecretRequest{Name: name})
	})
	if err != nil && status.Code(err) != codes.NotFound {
		return vaultFault(name, err)
	}
	return nil
}

// Newest implements secret.Keeper.
func (v *Vault) Newest(ctx context.Context, userID string) (int64, error) {
	return v.newest(ctx, secret.Name(v.project, userID))
}

// Prune implements secret.Keeper. Versions are destroyed: Secret Manager bills those that are only disabled.
func (v *Vault) Prune(ctx context.Context, userID, below string) (pruned int, err error) {
	name, first := secret.Name(v.project, userID), secret.Number(below)
	if first == 0 {
		return 0, fmt.Errorf("secret manager: %s: version %.40q: %w", name, below, secret.ErrNotFound)
	}
	if _, _, err := v.access(ctx, name, below); err != nil {
		return 0, err
	}
	for n := first - 1; n > 0; n-- {
		is, _, err := v.version(ctx, name, n)
		switch {
		case errors.Is(err, secret.ErrNotFound), err == nil && is == secretmanagerpb.SecretVersion_DESTROYED:
			continue
		case err != nil:
			return pruned, err
		}
		if err := v.destroy(ctx, name, n); err != nil {
			return pruned, err
		}
		pruned++
	}
	return pruned, nil
}

// leftBehind are the last versions that were on the way to a higher one when somebody was stopped: they count for nothing.
// The keys before them must not be younger than ours, whose version would bury them.
func (v *Vault) leftBehind(ctx context.Context, name string, have int64, since time.Time) (passed []int64, err error) {
	for n := have; n > 0; n-- {
		stored, _, err := v.access(ctx, name, strconv.FormatInt(n, 10))
		switch {
		case errors.Is(err, secret.ErrDisabled) && n < have, errors.Is(err, secret.ErrNotFound):
			continue
		case err != nil && !errors.Is(err, secret.ErrDisabled):
			return nil, err
		case err == nil && meant(stored) > n:
			passed = append(passed, n)
			continue
		}
		is, at, err2 := v.version(ctx, name, n)
		switch {
		case err2 != nil:
			return nil, err2
		case is == secretmanagerpb.SecretVersion_DISABLED && n == have:
			return nil, fmt.Errorf("secret manager: %s/versions/%d: enable or destroy it: %w", name, n, err)
		case err != nil:
			continue // destroyed
		case !since.IsZero() && at.After(since):
			return nil, fmt.Errorf("secret manager: %s has keys, version %d, that are younger than those to be stored: take them out, or store the right ones where the others are: %w", name, n, secret.ErrByHand)
		}
		break
	}
	return passed, nil
}

// giveWay undoes a version that came after others', who wrote since we looked. Theirs are on top before ours goes, so that
// somebody's keys always are.
func (v *Vault) giveWay(ctx context.Context, name string, first, ours int64, payload []byte) error {
	best, err := v.settle(ctx, name, first, payload)
	if err == nil && !bytes.Equal(best, payload) {
		if err = v.destroy(ctx, name, ours); err == nil {
			_, err = v.settle(ctx, name, first, payload)
		}
	}
	if err != nil {
		return fmt.Errorf("secret manager: %s: somebody stored keys as version %d in between, and ours, version %d, may be above them: move the user again: %w", name, first, ours, err)
	}
	return fmt.Errorf("secret manager: %s got version %d from somebody else: %w", name, first, secret.ErrNewer)
}

// settles is how often settle looks at most: each time somebody else wrote.
const settles = 20

// settle ends what a stopped or overtaken Put left: our payload above keys that others stored as from or later, or a newest
// version that is destroyed. The best keys are put on top again.
func (v *Vault) settle(ctx context.Context, name string, from int64, payload []byte) (best []byte, err error) {
	for range settles {
		top, err := v.newest(ctx, name)
		if err != nil {
			return nil, err
		}
		live, err := v.alive(ctx, name, from, top)
		if err != nil {
			return nil, err
		}
		best = bestOf(live, payload)
		on, alive := live[top]
		if alive && bytes.Equal(on, best) {
			return best, v.destroyAll(ctx, name, live, payload, best)
		}
		if !alive {
			switch is, _, err := v.version(ctx, name, top); {
			case err != nil:
				return nil, err
			case is == secretmanagerpb.SecretVersion_DISABLED:
				return nil, fmt.Errorf("secret manager: %s/versions/%d: enable or destroy it: %w", name, top, secret.ErrDisabled)
			case best == nil:
				return nil, fmt.Errorf("secret manager: %s/versions/%d: store keys under a higher version: %w", name, top, secret.ErrDisabled)
			}
		}
		if _, err := v.add(ctx, name, best); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("secret manager: %s: %d writers got in between", name, settles)
}

// destroyAll does away with what has our payload, unless it is the best.
func (v *Vault) destroyAll(ctx context.Context, name string, live map[int64][]byte, payload, best []byte) error {
	if bytes.Equal(payload, best) {
		return nil
	}
	for n, p := range live {
		if bytes.Equal(p, payload) {
			if err := v.destroy(ctx, name, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// alive are the versions from one to another that can be read.
func (v *Vault) alive(ctx context.Context, name string, from, to int64) (map[int64][]byte, error) {
	live := map[int64][]byte{}
	for n := from; n <= to; n++ {
		stored, _, err := v.access(ctx, name, strconv.FormatInt(n, 10))
		switch {
		case err == nil:
			live[n] = stored
		case !errors.Is(err, secret.ErrDisabled) && !errors.Is(err, secret.ErrNotFound):
			return nil, err
		}
	}
	return live, nil
}

// bestOf is the payload of the highest version, by what it was meant for, or by its number if a person stored it; of equal
// ones the first came first. So all who meet choose the same. Where a person stored keys, ours are none of them.
func bestOf(live map[int64][]byte, ours []byte) (best []byte) {
	byHand := false
	for _, p := range live {
		byHand = byHand || meant(p) == 0
	}
	var rank int64
	for _, n := range slices.Sorted(maps.Keys(live)) {
		r := meant(live[n])
		if r == 0 {
			r = n
		}
		if r > rank && (!byHand || !bytes.Equal(live[n], ours)) {
			rank, best = r, live[n]
		}
	}
	return best
}

// newest is the number of the last version, whatever became of it; 0 if there is none. Latest may lag, numbers do not.
func (v *Vault) newest(ctx context.Context, name string) (n int64, err error) {
	n, _, _, err = v.look(ctx, name, secret.Latest)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return 0, err
	}
	for {
		switch _, _, err := v.access(ctx, name, strconv.FormatInt(n+1, 10)); {
		case errors.Is(err, secret.ErrNotFound):
			return n, nil
		case err != nil && !errors.Is(err, secret.ErrDisabled):
			return 0, err
		}
		n++
	}
}

// version is what became of a version, and when it was made.
func (v *Vault) version(ctx context.Context, name string, n int64) (is secretmanagerpb.SecretVersion_State, at time.Time, err error) {
	_, is, at, err = v.look(ctx, name, strconv.FormatInt(n, 10))
	return is, at, err
}

func (v *Vault) look(ctx context.Context, name, version string) (n int64, is secretmanagerpb.SecretVersion_State, at time.Time, err error) {
	name += "/versions/" + version
	var found *secretmanagerpb.SecretVersion
	err = v.call(ctx, func(ctx context.Context) error {
		found, err = v.client.GetSecretVersion(ctx, &secretmanagerpb.GetSecretVersionRequest{Name: name})
		return err
	})
	if err != nil {
		return 0, 0, time.Time{}, vaultFault(name, err)
	}
	if found.GetCreateTime() != nil {
		at = found.GetCreateTime().AsTime()
	}
	return secret.Number(last(found.GetName())), found.GetState(), at, nil
}

func (v *Vault) create(ctx context.Context, userID string) error {
	s := &secretmanagerpb.Secret{
		Replication: &secretmanagerpb.Replication{Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}}},
	}
	if v.writing.Topic != "" {
		s.Topics = []*secretmanagerpb.Topic{{Name: v.writing.Topic}}
	}
	err := v.call(ctx, func(ctx context.Context) error {
		_, err := v.client.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{Parent: "projects/" + v.project, SecretId: secret.Prefix + userID, Secret: s})
		return err
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return vaultFault(secret.Name(v.project, userID), err)
	}
	return nil
}

func (v *Vault) add(ctx context.Context, name string, payload []byte) (n int64, err error) {
	sum := checksum(payload)
	err = v.call(ctx, func(ctx context.Context) error {
		added, err := v.client.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{
			Parent: name, Payload: &secretmanagerpb.SecretPayload{Data: payload, DataCrc32C: &sum},
		})
		n = secret.Number(last(added.GetName()))
		return err
	})
	switch {
	case err != nil:
		return 0, vaultFault(name, err)
	case n == 0:
		return 0, fmt.Errorf("secret manager: %s: a version was added, and its number is not told", name)
	}
	return n, nil
}

func (v *Vault) destroy(ctx context.Context, name string, n int64) error {
	name += "/versions/" + strconv.FormatInt(n, 10)
	err := v.call(ctx, func(ctx context.Context) error {
		_, err := v.client.DestroySecretVersion(ctx, &secretmanagerpb.DestroySecretVersionRequest{Name: name})
		return err
	})
	if c := status.Code(err); err != nil && c != codes.FailedPrecondition && c != codes.NotFound { // else: it is gone
		return vaultFault(name, err)
	}
	return nil
}

// call is one call at the pace that is set.
func (v *Vault) call(ctx context.Context, do func(context.Context) error) error {
	if v.writing.Pace != nil {
		if err := v.writing.Pace(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return do(ctx)
}
