package gcp_test

import (
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
)

func TestPlatformContract(t *testing.T) {
	porttest.Platform(t, func(t *testing.T) porttest.PlatformFixture {
		p := mem.NewPlatformSecrets()
		s, err := mem.ServeSecrets(t.Context(), "127.0.0.1:0", "p", mem.NewVault())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		s.ServePlatform(p)
		client, err := secretmanager.NewClient(t.Context(), option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return porttest.PlatformFixture{Platform: gcp.NewVault(client, "p"), Add: p.Add, Fail: p.Fail}
	})
}

func TestMemPlatformContract(t *testing.T) {
	porttest.Platform(t, func(*testing.T) porttest.PlatformFixture {
		p := mem.NewPlatformSecrets()
		return porttest.PlatformFixture{Platform: p, Add: p.Add, Fail: p.Fail}
	})
}
