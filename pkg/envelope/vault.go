package envelope

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// conflicts is how often a write may meet another one.
const conflicts = 5

// sealed is a user's keys as they are stored.
type sealed struct {
	version    int64 // 0: the document does not tell
	dataKey    string
	print      string // of the data key; "": written before there were any
	ciphertext []byte // with its nonce
	at         time.Time
}

// Credentials implements secret.Vault.
func (v *Vault) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	s, err := v.read(ctx, userID)
	switch {
	case err != nil:
		return secret.Credentials{}, "", err
	case s.version == 0 || document.CheckID(s.dataKey) != nil:
		return secret.Credentials{}, "", fmt.Errorf("%s: %w: it names no version or no data key", Path(userID), secret.ErrMalformed)
	}
	if version != "" && version != secret.Latest {
		if n := secret.Number(version); n == 0 || n > s.version {
			return secret.Credentials{}, "", fmt.Errorf("%s is version %d, not %.40q: %w", Path(userID), s.version, version, secret.ErrNotFound)
		}
	}
	payload, err := v.open(ctx, userID, s)
	if err != nil {
		return secret.Credentials{}, "", err
	}
	defer clear(payload)
	creds, err := secret.ParsePayload(payload)
	if err != nil {
		return secret.Credentials{}, "", fmt.Errorf("%s, version %d: %w", Path(userID), s.version, err)
	}
	return creds.At(Path(userID)).StoredAt(s.at), strconv.FormatInt(s.version, 10), nil
}

// read is a user's envelope, or ErrNotFound.
func (v *Vault) read(ctx context.Context, userID string) (sealed, error) {
	if err := user.CheckID(userID); err != nil {
		return sealed{}, fmt.Errorf("%w: %w", secret.ErrNotFound, err)
	}
	d, err := v.db.Get(ctx, Path(userID))
	switch {
	case errors.Is(err, document.ErrNotFound):
		return sealed{}, fmt.Errorf("%s: %w", Path(userID), secret.ErrNotFound)
	case err != nil:
		return sealed{}, fmt.Errorf("%s: %w", Path(userID), err)
	}
	s := sealed{at: d.UpdateTime}
	version, _ := d.Fields["key_version"].(string)
	s.version = secret.Number(version)
	s.dataKey, _ = d.Fields["data_key"].(string)
	s.print, _ = d.Fields["fingerprint"].(string)
	s.ciphertext, _ = d.Fields["ciphertext"].([]byte)
	return s, nil
}

func (v *Vault) open(ctx context.Context, userID string, s sealed) (payload []byte, err error) {
	var broken error
	err = v.cipher(ctx, s.dataKey, s.print, func(c cipher.AEAD) {
		payload, broken = c.Open(nil, nil, s.ciphertext, boundEnvelope(userID, s.version))
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("keys of user %s: %w", userID, err)
	case broken != nil: // its text says nothing more
		return nil, fmt.Errorf("%s: %w: it was changed, or is another user's or version's: store the keys again", Path(userID), secret.ErrMalformed)
	}
	return payload, nil
}

// Put implements secret.Keeper.
func (v *Vault) Put(ctx context.Context, userID string, creds secret.Credentials, version string) error {
	if creds.IsZero() {
		return fmt.Errorf("%s: there are no keys to store", Path(userID))
	}
	payload := creds.Payload()
	defer clear(payload)
	return v.put(ctx, userID, payload, version)
}

func (v *Vault) put(ctx context.Context, userID string, payload []byte, version string) error {
	want := secret.Number(version)
	if want == 0 {
		return fmt.Errorf("%s: version %.40q is no number from 1 on", Path(userID), version)
	}
	for range conflicts {
		stored, err := v.read(ctx, userID)
		if err != nil && (!errors.Is(err, secret.ErrNotFound) || user.CheckID(userID) != nil) {
			return err
		}
		if stored.version >= want {
			return fmt.Errorf("%s is version %d: %w", Path(userID), stored.version, secret.ErrNewer)
		}
		next := sealed{version: want, dataKey: v.dataKeyOf(userID)}
		err = v.sealing(ctx, next.dataKey, func(c cipher.AEAD, print string) {
			next.print, next.ciphertext = print, c.Seal(nil, nil, payload, boundEnvelope(userID, want)) // #nosec G407 -- it makes its nonce itself
		})
		if err != nil {
			return fmt.Errorf("keys of user %s: %w", userID, err)
		}
		switch err := v.write(ctx, userID, next, stored.at); {
		case err == nil:
			return nil
		case !errors.Is(err, document.ErrConflict) && !errors.Is(err, document.ErrExists) && !errors.Is(err, document.ErrNotFound):
			return fmt.Errorf("%s: %w", Path(userID), err)
		}
	}
	return fmt.Errorf("%s: %d writers got in between", Path(userID), conflicts)
}

// write needs the document to be as it was read.
func (v *Vault) write(ctx context.Context, userID string, s sealed, at time.Time) (err error) {
	f := document.Fields{
		"ciphertext": s.ciphertext, "data_key": s.dataKey, "fingerprint": s.print, "key_version": strconv.FormatInt(s.version, 10), "updated_at": document.ServerTime,
	}
	if at.IsZero() {
		_, err = v.db.Create(ctx, Path(userID), f)
	} else {
		_, err = v.db.Update(ctx, Path(userID), f, at)
	}
	return err
}

// Newest implements secret.Keeper.
func (v *Vault) Newest(ctx context.Context, userID string) (int64, error) {
	s, err := v.read(ctx, userID)
	if errors.Is(err, secret.ErrNotFound) && user.CheckID(userID) == nil {
		return 0, nil
	}
	return s.version, err
}

// Prune implements secret.Keeper: only the newest version is kept, so there is nothing to do away with.
func (v *Vault) Prune(ctx context.Context, userID, below string) (int, error) {
	s, err := v.read(ctx, userID)
	if n := secret.Number(below); err == nil && (n == 0 || n > s.version) {
		err = fmt.Errorf("%s is version %d, not %.40q: %w", Path(userID), s.version, below, secret.ErrNotFound)
	}
	return 0, err
}

// Remove implements secret.Keeper.
func (v *Vault) Remove(ctx context.Context, userID, version string) error {
	for range conflicts {
		stored, err := v.read(ctx, userID)
		switch {
		case errors.Is(err, secret.ErrNotFound):
			return nil
		case err != nil:
			return err
		case version != "" && stored.version > secret.Number(version):
			return fmt.Errorf("%s is version %d: %w", Path(userID), stored.version, secret.ErrNewer)
		}
		err = v.db.Delete(ctx, Path(userID), stored.at)
		if err == nil || errors.Is(err, document.ErrNotFound) {
			return nil
		}
		if !errors.Is(err, document.ErrConflict) {
			return fmt.Errorf("%s: %w", Path(userID), err)
		}
	}
	return fmt.Errorf("%s: %d writers got in between", Path(userID), conflicts)
}
