package gcp

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// PlatformKeys implements secret.Platform on Secret Manager.
func (v *Vault) PlatformKeys(ctx context.Context, name string) (secret.Credentials, error) {
	if err := secret.CheckPlatformName(name); err != nil {
		return secret.Credentials{}, err
	}
	full := secret.PlatformName(v.project, name)
	payload, _, err := v.access(ctx, full, secret.Latest)
	if err != nil {
		return secret.Credentials{}, err
	}
	creds, err := secret.ParsePayload(payload)
	if err != nil {
		return secret.Credentials{}, fmt.Errorf("secret manager: %s: %w", full, err)
	}
	return creds, nil
}
