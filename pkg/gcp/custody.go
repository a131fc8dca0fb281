package gcp

import (
	"context"
	"errors"
	"fmt"

	kms "cloud.google.com/go/kms/apiv1"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Vault is where the users' keys are read, as KEY_CUSTODY and KMS_KEY say. With a KMS_KEY both custodies are read, the
// preferred one first, so that a fleet moves while it works, until KEY_CUSTODY_FALLBACK is off.
func (c *Cloud) Vault(ctx context.Context) (secret.Vault, error) {
	custody, err := c.Custody(ctx, VaultWriting{})
	return custody.Vault, err
}

// Custody is where the users' keys are stored, by the same settings: where the services look.
func (c *Cloud) Custody(ctx context.Context, w VaultWriting) (secret.Custody, error) {
	var secrets *Vault
	var envelopes *envelope.Vault
	var err error
	if c.cfg.Custody != Envelope || c.cfg.Fallback != Off {
		if secrets, err = c.Secrets(ctx); err != nil {
			return secret.Custody{}, err
		}
		secrets = secrets.Writing(w)
	}
	if c.cfg.KMSKey != "" && (c.cfg.Custody == Envelope || c.cfg.Fallback != Off) {
		if envelopes, err = c.Envelopes(ctx); err != nil {
			return secret.Custody{}, err
		}
	}
	switch {
	case envelopes == nil:
		return secret.Custody{Vault: secrets, Keepers: []secret.Keeper{secrets}}, nil
	case secrets == nil:
		return secret.Custody{Vault: envelopes, Keepers: []secret.Keeper{envelopes}}, nil
	case c.cfg.Custody == Envelope:
		return secret.Custody{Vault: secret.NewEither(envelopes, secrets), Keepers: []secret.Keeper{envelopes, secrets}}, nil
	}
	return secret.Custody{Vault: secret.NewEither(secrets, envelopes), Keepers: []secret.Keeper{secrets, envelopes}, Into: envelopes}, nil
}

// Secrets is the project's Secret Manager.
func (c *Cloud) Secrets(ctx context.Context) (*Vault, error) {
	client, err := secretmanager.NewClient(ctx, at(c.cfg.SecretEndpoint)...)
	if err != nil {
		return nil, fmt.Errorf("secret manager client: %w", err)
	}
	c.closers = append(c.closers, client.Close)
	return NewVault(client, c.cfg.ProjectID()), nil
}

// Envelopes are the keys in the project's documents, under KMS_KEY.
func (c *Cloud) Envelopes(ctx context.Context) (*envelope.Vault, error) {
	if c.cfg.KMSKey == "" {
		return nil, errors.New("KMS_KEY is not set: keys in envelopes need it: " + keyExample)
	}
	db, err := c.Firestore(ctx)
	if err != nil {
		return nil, err
	}
	wrapper, err := c.KMS(ctx, c.cfg.KMSKey)
	if err != nil {
		return nil, err
	}
	if c.cfg.KMSKeyBefore == "" {
		return envelope.New(db, wrapper, envelope.DefaultConfig())
	}
	return envelope.New(db, wrapper, envelope.DefaultConfig(), NewKMS(wrapper.client, c.cfg.KMSKeyBefore))
}

// KMS is one key of Cloud KMS, by its resource name.
func (c *Cloud) KMS(ctx context.Context, key string) (*KMS, error) {
	client, err := kms.NewKeyManagementClient(ctx, at(c.cfg.KMSEndpoint)...)
	if err != nil {
		return nil, fmt.Errorf("kms client: %w", err)
	}
	c.closers = append(c.closers, client.Close)
	return NewKMS(client, key), nil
}

// at is for Google's own service, or for a stand-in on loopback.
func at(endpoint string) []option.ClientOption {
	if endpoint == "" {
		return pooled("")
	}
	return []option.ClientOption{
		option.WithEndpoint(endpoint), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}
