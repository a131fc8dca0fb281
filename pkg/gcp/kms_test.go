package gcp_test

import (
	"context"
	"strings"
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
)

// hookedKMS fails on demand.
func hookedKMS(t *testing.T) (k *mem.KMS, fail func(error)) {
	t.Helper()
	k, err := mem.NewKMS(mem.KMSKey)
	if err != nil {
		t.Fatal(err)
	}
	var fault error
	k.SetHook(func(context.Context) error { return fault })
	return k, func(err error) { fault = err }
}

func overKMS(t *testing.T, k *mem.KMS, key string) (*gcp.KMS, *mem.KMSServer) {
	t.Helper()
	s, err := mem.ServeKMS(t.Context(), "127.0.0.1:0", k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	client, err := kms.NewKeyManagementClient(t.Context(), option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return gcp.NewKMS(client, key), s
}

func TestKMSContract(t *testing.T) {
	porttest.Wrapper(t, func(t *testing.T) porttest.WrapperFixture {
		k, fail := hookedKMS(t)
		w, _ := overKMS(t, k, mem.KMSKey)
		return porttest.WrapperFixture{Wrapper: w, Fail: fail, Rotate: k.Rotate}
	})
}

func TestMemKMSContract(t *testing.T) {
	porttest.Wrapper(t, func(t *testing.T) porttest.WrapperFixture {
		k, fail := hookedKMS(t)
		return porttest.WrapperFixture{Wrapper: k, Fail: fail, Rotate: k.Rotate}
	})
}

// Whatever KMS refuses is the platform's trouble: no user is marked, the event comes again; and the error says what to do.
func TestKMSFaults(t *testing.T) {
	k, fail := hookedKMS(t)
	w, server := overKMS(t, k, mem.KMSKey)
	wrapped, err := w.Wrap(t.Context(), []byte("key"), []byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	for code, hint := range map[codes.Code]string{
		codes.PermissionDenied: "cryptoKeyEncrypterDecrypter", codes.FailedPrecondition: "enable or restore", codes.NotFound: "KMS_KEY",
		codes.ResourceExhausted: "", codes.Internal: "", codes.Unauthenticated: "",
	} {
		fail(status.Error(code, "refused"))
		_, _, err := w.Unwrap(t.Context(), wrapped, []byte("b"))
		if err == nil || health.CauseOf(err) != "" || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), mem.KMSKey) {
			t.Errorf("%s: %v, want a fault of the platform's that says %q", code, err, hint)
		}
	}
	fail(nil)
	server.SetDamage(func(sum *wrapperspb.Int64Value) { sum.Value++ })
	if _, _, err := w.Unwrap(t.Context(), wrapped, []byte("b")); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged data key was taken: %v", err)
	}
	if _, err := w.Wrap(t.Context(), []byte("key"), []byte("b")); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged wrapped key was taken: %v", err)
	}
	other, _ := overKMS(t, k, mem.KMSKey+"x")
	if _, _, err := other.Unwrap(t.Context(), wrapped, []byte("b")); err == nil || !strings.Contains(err.Error(), "KMS_KEY must name") {
		t.Errorf("a key that is not there: %v", err)
	}
}
