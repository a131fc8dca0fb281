package secret

import (
	"context"
	"errors"
	"fmt"
)

// Either reads the keys of a fleet that moves from one vault to another.
type Either struct {
	preferred, other Vault
}

// NewEither asks other for what preferred does not have. Any other error of preferred is the answer: while it is
// unavailable, nobody knows whether the other one's keys are the user's last.
func NewEither(preferred, other Vault) *Either { return &Either{preferred, other} }

// Credentials implements Vault. Where no version is known both are asked, since either may have been written last; there
// other's faults count for nothing if preferred has an answer.
func (e *Either) Credentials(ctx context.Context, userID, version string) (Credentials, string, error) {
	creds, got, err := e.preferred.Credentials(ctx, userID, version)
	if err != nil && !errors.Is(err, ErrNotFound) || err == nil && !newest(version) {
		return creds, got, err
	}
	more, other, err2 := e.other.Credentials(ctx, userID, version)
	switch {
	case err == nil && (err2 != nil || Number(other) <= Number(got)):
		return creds, got, nil
	case errors.Is(err2, ErrNotFound):
		return Credentials{}, "", fmt.Errorf("%w; and %w", err, err2)
	case err2 != nil:
		return Credentials{}, "", err2
	}
	return more, other, nil
}
