package gcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

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
	if want == 0 {
		return fmt.Errorf("secret manager: %s: version %q is no number from 1 on", name, version)
	}
	have, err := v.newest(ctx, name)
	switch {
	case err != nil:
		return err
	case have >= want:
		return fmt.Errorf("secret manager: %s has version %d: %w", name, have, secret.ErrNewer)
	case want-have > catchUp:
		return fmt.Errorf("secret manager: %s is at version %d, the keys are version %d: at most %d versions are added at once to catch up; add the others by hand", name, have, want, catchUp)
	case have == 0:
		if err := v.create(ctx, userID); err != nil {
			return err
		}
	}
	payload := creds.Payload()
	first, err := v.leftBehind(ctx, name, have, payload)
	if err != nil {
		return err
	}
	for n := have + 1; n <= want; n++ {
		got, err := v.add(ctx, name, payload)
		if err != nil {
			return err
		}
		if got != n {
			return v.giveWay(ctx, name, n, got)
		}
		for ; first < n; first++ {
			if err := v.destroy(ctx, name, first); err != nil {
				return err
			}
		}
	}
	stored, _, err := v.access(ctx, name, version)
	if err == nil && !bytes.Equal(stored, payload) {
		err = fmt.Errorf("secret manager: %s/versions/%s is not what was written", name, version)
	}
	return err
}

// Remove implements secret.Keeper. Secret Manager has no precondition for it: a version that is added between the look and
// the deletion goes with the others.
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

// leftBehind is the first of the last versions that hold these keys already: somebody was stopped while catching up.
func (v *Vault) leftBehind(ctx context.Context, name string, have int64, payload []byte) (first int64, err error) {
	for first = have + 1; first > 1; first-- {
		stored, _, err := v.access(ctx, name, strconv.FormatInt(first-1, 10))
		if errors.Is(err, secret.ErrDenied) || errors.Is(err, secret.ErrNotFound) || err == nil && !bytes.Equal(stored, payload) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return first, nil
}

// giveWay undoes a version that came after others', who wrote since we looked. If it is the newest, the first of theirs is
// put on top again: had several done as we did, that one has won.
func (v *Vault) giveWay(ctx context.Context, name string, first, ours int64) error {
	if err := v.destroy(ctx, name, ours); err != nil {
		return err
	}
	newest, err := v.newest(ctx, name)
	if err != nil {
		return err
	}
	if newest > ours {
		return fmt.Errorf("secret manager: %s was written by somebody else: %w", name, secret.ErrNewer)
	}
	for n := first; n < ours; n++ {
		theirs, _, err := v.access(ctx, name, strconv.FormatInt(n, 10))
		if errors.Is(err, secret.ErrDenied) {
			continue // one that gave way as well
		}
		if err == nil {
			_, err = v.add(ctx, name, theirs)
		}
		if err != nil {
			return fmt.Errorf("secret manager: %s: version %d came in between and could not be made the newest again; add its payload once more: %w", name, n, err)
		}
		break
	}
	return fmt.Errorf("secret manager: %s got version %d from somebody else: %w", name, first, secret.ErrNewer)
}

// newest is the number of the last version, whatever became of it; 0 if there is none.
func (v *Vault) newest(ctx context.Context, name string) (n int64, err error) {
	name += "/versions/" + secret.Latest
	err = v.call(ctx, func(ctx context.Context) error {
		found, err := v.client.GetSecretVersion(ctx, &secretmanagerpb.GetSecretVersionRequest{Name: name})
		n = secret.Number(last(found.GetName()))
		return err
	})
	switch {
	case status.Code(err) == codes.NotFound:
		return 0, nil
	case err != nil:
		return 0, vaultFault(name, err)
	}
	return n, nil
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
	if err != nil {
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
