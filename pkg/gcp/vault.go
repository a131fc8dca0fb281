package gcp

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Vault implements secret.Keeper on Secret Manager. It is safe for concurrent use.
type Vault struct {
	client  *secretmanager.Client
	project string
	writing VaultWriting
}

// NewVault reads the project's secrets; closing the client is the caller's.
func NewVault(client *secretmanager.Client, project string) *Vault {
	return &Vault{client: client, project: project}
}

// castagnoli is the polynomial of Secret Manager's data_crc32c.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Credentials implements secret.Vault. Its errors name the user and the version, never the payload. A version that was
// disabled or destroyed is answered with the newest: so a rotation may do away with the old one at once.
func (v *Vault) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	if version == "" {
		version = secret.Latest
	}
	name := secret.Name(v.project, userID)
	payload, got, err := v.access(ctx, name, version)
	if errors.Is(err, secret.ErrDisabled) && version != secret.Latest {
		if p, n, newer := v.access(ctx, name, secret.Latest); newer == nil && secret.Number(n) > secret.Number(version) {
			payload, got, err = p, n, nil
		}
	}
	if err != nil {
		return secret.Credentials{}, "", err
	}
	creds, err := secret.ParsePayload(payload)
	if err != nil {
		return secret.Credentials{}, "", fmt.Errorf("secret manager: %s/versions/%s: %w", name, got, err)
	}
	return creds.At(name), got, nil
}

// access reads one version of a secret, and says which it was.
func (v *Vault) access(ctx context.Context, of, version string) (data []byte, got string, err error) {
	name := of + "/versions/" + version
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := v.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: name})
	if err != nil {
		return nil, "", vaultFault(name, err)
	}
	payload := resp.GetPayload()
	if payload == nil {
		return nil, "", fmt.Errorf("secret manager: %s came without a payload", name)
	}
	if sum := payload.DataCrc32C; sum != nil && *sum != checksum(payload.GetData()) {
		return nil, "", fmt.Errorf("secret manager: %s was damaged on its way: checksum differs", name)
	}
	return payload.GetData(), last(resp.GetName()), nil
}

func checksum(b []byte) int64 { return int64(crc32.Checksum(b, castagnoli)) }

// last is the last part of a resource's name.
func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func vaultFault(name string, err error) error {
	var class error
	switch status.Code(err) {
	case codes.NotFound, codes.InvalidArgument: // a user id or version that can't be a secret's name has none
		class = secret.ErrNotFound
	case codes.PermissionDenied:
		class = secret.ErrDenied
	case codes.FailedPrecondition:
		class = secret.ErrDisabled
	default:
		return fmt.Errorf("secret manager: %s: %w", name, err)
	}
	return fmt.Errorf("secret manager: %s: %w: %w", name, class, err)
}
