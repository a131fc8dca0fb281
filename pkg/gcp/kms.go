package gcp

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// KMS implements envelope.Wrapper on one key of Cloud KMS, a symmetric one. It may be rotated: what was encrypted names its
// version. It is safe for concurrent use.
type KMS struct {
	client *kms.KeyManagementClient
	key    string
}

var keyForm = regexp.MustCompile(`^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$`)

// NewKMS is for a key's resource name; closing the client is the caller's.
func NewKMS(client *kms.KeyManagementClient, key string) *KMS { return &KMS{client: client, key: key} }

// Key implements envelope.Wrapper.
func (k *KMS) Key() string { return k.key }

// Wrap implements envelope.Wrapper.
func (k *KMS) Wrap(ctx context.Context, dataKey, bound []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := k.client.Encrypt(ctx, &kmspb.EncryptRequest{
		Name: k.key, Plaintext: dataKey, PlaintextCrc32C: crc(dataKey), AdditionalAuthenticatedData: bound, AdditionalAuthenticatedDataCrc32C: crc(bound),
	})
	switch {
	case err != nil:
		return nil, k.fault("encrypt", err)
	case !resp.GetVerifiedPlaintextCrc32C() || !resp.GetVerifiedAdditionalAuthenticatedDataCrc32C():
		return nil, k.damaged("request")
	case !strings.HasPrefix(resp.GetName(), k.key+"/"):
		return nil, fmt.Errorf("kms: %s answered in place of %s", resp.GetName(), k.key)
	case !intact(resp.GetCiphertext(), resp.GetCiphertextCrc32C()):
		return nil, k.damaged("answer")
	}
	return resp.GetCiphertext(), nil
}

// Unwrap implements envelope.Wrapper.
func (k *KMS) Unwrap(ctx context.Context, wrapped, bound []byte) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := k.client.Decrypt(ctx, &kmspb.DecryptRequest{
		Name: k.key, Ciphertext: wrapped, CiphertextCrc32C: crc(wrapped), AdditionalAuthenticatedData: bound, AdditionalAuthenticatedDataCrc32C: crc(bound),
	})
	switch {
	case err != nil:
		return nil, false, k.fault("decrypt", err)
	case !intact(resp.GetPlaintext(), resp.GetPlaintextCrc32C()):
		return nil, false, k.damaged("answer")
	}
	return resp.GetPlaintext(), resp.GetUsedPrimary(), nil
}

// fault never has a class of pkg/secret: whatever KMS refuses, it refuses the platform, not a user.
func (k *KMS) fault(verb string, err error) error {
	hint := ""
	switch status.Code(err) {
	case codes.PermissionDenied:
		hint = ": the service account needs roles/cloudkms.cryptoKeyEncrypterDecrypter on it"
	case codes.FailedPrecondition:
		hint = ": a version of the key is disabled or destroyed: enable or restore it"
	case codes.NotFound:
		hint = ": KMS_KEY must name a key that is there"
	case codes.InvalidArgument:
		hint = ": the key must be symmetric, and what is decrypted unchanged"
	}
	return fmt.Errorf("kms: %s with %s%s: %w", verb, k.key, hint, err)
}

func (k *KMS) damaged(what string) error {
	return fmt.Errorf("kms: %s: the %s was damaged on its way: checksum differs", k.key, what)
}

func crc(b []byte) *wrapperspb.Int64Value { return wrapperspb.Int64(checksum(b)) }

func intact(b []byte, sum *wrapperspb.Int64Value) bool {
	return sum != nil && sum.GetValue() == checksum(b)
}
