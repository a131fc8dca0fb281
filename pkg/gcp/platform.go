package gcp

import (
	"context"
	"fmt"
	"hash/crc32"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// PlatformKeys implements secret.Platform on Secret Manager.
func (v *Vault) PlatformKeys(ctx context.Context, name string) (secret.Credentials, error) {
	if err := secret.CheckPlatformName(name); err != nil {
		return secret.Credentials{}, err
	}
	full := secret.PlatformName(v.project, name) + "/versions/" + secret.Latest
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := v.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: full})
	if err != nil {
		return secret.Credentials{}, vaultFault(full, err)
	}
	payload := resp.GetPayload()
	if sum := payload.GetDataCrc32C(); payload == nil || payload.DataCrc32C != nil && sum != int64(crc32.Checksum(payload.GetData(), castagnoli)) {
		return secret.Credentials{}, fmt.Errorf("secret manager: %s was damaged on its way: checksum differs", full)
	}
	creds, err := secret.ParsePayload(payload.GetData())
	if err != nil {
		return secret.Credentials{}, fmt.Errorf("secret manager: %s: %w", full, err)
	}
	return creds, nil
}
