package gcp

import (
	"context"
	"fmt"
	"hash/crc32"
	"strings"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Vault implements secret.Vault on Secret Manager. It is safe for concurrent use.
type Vault struct {
	client  *secretmanager.Client
	project string
}

// NewVault reads the project's secrets; closing the client is the caller's.
func NewVault(client *secretmanager.Client, project string) *Vault {
	return &Vault{client: client, project: project}
}

// castagnoli is the polynomial of Secret Manager's data_crc32c.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Credentials implements secret.Vault. Its errors name the user and the version, never the payload.
func (v *Vault) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	if version == "" {
		version = secret.Latest
	}
	name := secret.Name(v.project, userID) + "/versions/" + version
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := v.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: name})
	if err != nil {
		return secret.Credentials{}, "", vaultFault(name, err)
	}
	payload := resp.GetPayload()
	if payload == nil {
		return secret.Credentials{}, "", fmt.Errorf("secret manager: %s came without a payload", name)
	}
	if sum := payload.DataCrc32C; sum != nil && *sum != int64(crc32.Checksum(payload.GetData(), castagnoli)) {
		return secret.Credentials{}, "", fmt.Errorf("secret manager: %s was damaged on its way: checksum differs", name)
	}
	creds, err := secret.ParsePayload(payload.GetData())
	if err != nil {
		return secret.Credentials{}, "", fmt.Errorf("secret manager: %s: %w", name, err)
	}
	return creds, resp.GetName()[strings.LastIndexByte(resp.GetName(), '/')+1:], nil
}

func vaultFault(name string, err error) error {
	var class error
	switch status.Code(err) {
	case codes.NotFound, codes.InvalidArgument: // a user id or version that can't be a secret's name has none
		class = secret.ErrNotFound
	case codes.PermissionDenied, codes.FailedPrecondition: // the latter: disabled or destroyed
		class = secret.ErrDenied
	default:
		return fmt.Errorf("secret manager: %s: %w", name, err)
	}
	return fmt.Errorf("secret manager: %s: %w: %w", name, class, err)
}
