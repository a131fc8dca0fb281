package gcp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// A custody that can't work is refused at the start, and the error says what to set.
func TestCustodyConfig(t *testing.T) {
	for _, c := range []struct{ custody, key, endpoint, want string }{
		{"", "", "", ""},
		{"secret-manager", "", "", ""},
		{"secret-manager", mem.KMSKey, "127.0.0.1:9", ""},
		{"envelope", mem.KMSKey, "", ""},
		{"envelope", "", "", "KMS_KEY is not set"},
		{"vault", "", "", "KEY_CUSTODY is"},
		{"envelope", mem.KMSKey + "/cryptoKeyVersions/1", "", "without a version"},
		{"envelope", "user-keys", "", "KMS_KEY is"},
		{"", mem.KMSKey + "\nx", "", "KMS_KEY is"},
		{"", "", "kms.example.com:443", "KMS_ENDPOINT is"},
	} {
		cfg := gcp.Config{Project: "p", Custody: c.custody, KMSKey: c.key, KMSEndpoint: c.endpoint}
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The last steps of a change are checked as the first ones.
func TestCustodyFallbackConfig(t *testing.T) {
	for _, c := range []struct{ fallback, before, want string }{
		{"", "", ""}, {"on", mem.KMSKey + "-old", ""}, {"off", "", ""}, {"no", "", "KEY_CUSTODY_FALLBACK is"}, {"", "old", "KMS_KEY_BEFORE is"}, {"", mem.KMSKey, "no other key"},
	} {
		cfg := gcp.Config{Project: "p", Custody: gcp.Envelope, KMSKey: mem.KMSKey, Fallback: c.fallback, KMSKeyBefore: c.before}
		if err := cfg.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// What the services open reads the preferred custody first and the other one besides, and says where the keys were.
func TestCustody(t *testing.T) {
	e, project := emulator.For(t)
	vault := mem.NewVault()
	secrets, err := mem.ServeSecrets(t.Context(), "127.0.0.1:0", project, vault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secrets.Close)
	kms, err := mem.NewKMS(mem.KMSKey)
	if err != nil {
		t.Fatal(err)
	}
	server, err := mem.ServeKMS(t.Context(), "127.0.0.1:0", kms)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	t.Setenv("FIRESTORE_EMULATOR_HOST", e.Addr())
	open := func(custody, key string, fallback ...string) *gcp.Cloud {
		cfg := gcp.Config{Project: project, SecretEndpoint: secrets.Addr(), KMSEndpoint: server.Addr(), Firestore: e.Addr(), Custody: custody, KMSKey: key, Fallback: strings.Join(fallback, "")}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		cloud := gcp.Open(cfg)
		t.Cleanup(func() { _ = cloud.Close() })
		return cloud
	}
	envelopes, err := open(gcp.Envelope, mem.KMSKey).Envelopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	creds := keysOf(t, "PK1")
	vault.Add("secret", creds.Payload())
	vault.Add("both", creds.Payload())
	for _, uid := range []string{"sealed", "both"} {
		if err := envelopes.Put(t.Context(), uid, creds, "1"); err != nil {
			t.Fatal(err)
		}
	}
	name := func(uid string) string { return secret.Name(project, uid) }
	for _, c := range []struct{ custody, key, user, path string }{
		{"", "", "secret", name("secret")}, {"", "", "both", name("both")}, {"", "", "sealed", ""},
		{gcp.SecretManager, mem.KMSKey, "both", name("both")}, {gcp.SecretManager, mem.KMSKey, "sealed", envelope.Path("sealed")},
		{gcp.Envelope, mem.KMSKey, "both", envelope.Path("both")}, {gcp.Envelope, mem.KMSKey, "secret", name("secret")},
		{gcp.Envelope, mem.KMSKey, "nobody", ""},
	} {
		v, err := open(c.custody, c.key).Vault(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := v.Credentials(t.Context(), c.user, "1")
		if got.Path() != c.path || (err == nil) != (c.path != "") {
			t.Errorf("%+v: at %q, %v", c, got.Path(), err)
		}
	}
	for custody, other := range map[string]string{gcp.Envelope: "secret", gcp.SecretManager: "sealed"} {
		v, err := open(custody, mem.KMSKey, gcp.Off).Vault(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.Credentials(t.Context(), "both", ""); err != nil {
			t.Errorf("%s alone: %v", custody, err)
		}
		if _, _, err := v.Credentials(t.Context(), other, ""); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%s alone, what the other one has: %v, want ErrNotFound", custody, err)
		}
	}
	if _, err := open("", "").Envelopes(t.Context()); err == nil || !strings.Contains(err.Error(), "KMS_KEY") {
		t.Errorf("envelopes without a KMS_KEY: %v", err)
	}
}
