package gcp_test

import (
	"context"
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
)

// hooked is a vault that fails on demand; the hook is set once, since it may not change while in use.
func hooked() (v *mem.Vault, fail func(error)) {
	v = mem.NewVault()
	var err error
	v.SetHook(func(context.Context, string) error { return err })
	return v, func(e error) { err = e }
}

func TestVaultContract(t *testing.T) {
	porttest.Vault(t, func(t *testing.T) porttest.VaultFixture {
		v, fail := hooked()
		s, err := mem.ServeSecrets(t.Context(), "127.0.0.1:0", "p", v)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		client, err := secretmanager.NewClient(t.Context(), option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return porttest.VaultFixture{Vault: gcp.NewVault(client, "p"), Add: v.Add, Fail: fail}
	})
}

func TestMemVaultContract(t *testing.T) {
	porttest.Vault(t, func(*testing.T) porttest.VaultFixture {
		v, fail := hooked()
		return porttest.VaultFixture{Vault: v, Add: v.Add, Fail: fail}
	})
}
