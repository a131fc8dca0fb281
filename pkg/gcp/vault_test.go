package gcp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// hooked is a vault that fails on demand; the hook is set once, since it may not change while in use.
func hooked() (v *mem.Vault, fail func(error)) {
	v = mem.NewVault()
	var err error
	v.SetHook(func(context.Context, string) error { return err })
	return v, func(e error) { err = e }
}

// overSecretManager is the real client on a Secret Manager of ours, which serves v.
func overSecretManager(t *testing.T, v *mem.Vault) *gcp.Vault {
	t.Helper()
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
	return gcp.NewVault(client, "p")
}

func TestVaultContract(t *testing.T) {
	porttest.Vault(t, func(t *testing.T) porttest.VaultFixture {
		v, fail := hooked()
		return porttest.VaultFixture{
			Vault: overSecretManager(t, v), Add: v.Add, Fail: fail, Path: func(uid string) string { return "projects/p/secrets/alpaca-keys-" + uid },
		}
	})
}

func TestMemVaultContract(t *testing.T) {
	porttest.Vault(t, func(*testing.T) porttest.VaultFixture {
		v, fail := hooked()
		return porttest.VaultFixture{Vault: v, Add: v.Add, Fail: fail}
	})
}

func TestKeeperContract(t *testing.T) {
	porttest.Keeper(t, func(t *testing.T) secret.Keeper { return overSecretManager(t, mem.NewVault()) })
}

func TestMemKeeperContract(t *testing.T) {
	porttest.Keeper(t, func(*testing.T) secret.Keeper { return mem.NewVault() })
}

// Secret Manager counts by itself: the versions in between cost nothing once they are passed over, and the quota's pace is kept.
func TestPutCatchesUp(t *testing.T) {
	v, calls := mem.NewVault(), 0
	k := overSecretManager(t, v).Writing(gcp.VaultWriting{Pace: func(context.Context) error { calls++; return nil }})
	creds := keysOf(t, "PK1")
	if err := k.Put(t.Context(), "u", creds, "9"); err != nil {
		t.Fatal(err)
	}
	if n := v.Alive("u"); n != 1 || calls != 1+1+9+8 {
		t.Errorf("%d versions are alive after %d calls; want 1, after a look, a creation, 9 additions and 8 removals", n, calls)
	}
	for range 2 { // 10 and 11: somebody was stopped on the way to 14
		v.Add("u", fmt.Appendf(bytes.TrimSuffix(creds.Payload(), []byte("}")), `,"version":"14"}`))
	}
	if err := k.Put(t.Context(), "u", creds, "14"); err != nil || v.Alive("u") != 2 {
		t.Errorf("taken up where it was stopped: %d versions are alive, %v; want 9, which was stored as such, and 14", v.Alive("u"), err)
	}
	err := k.Put(t.Context(), "u", creds, "600")
	if err == nil || !strings.Contains(err.Error(), "alpaca-keys-u") || !strings.Contains(err.Error(), "at most 500") {
		t.Errorf("a leap of 586 versions: %v", err)
	}
	stop := errors.New("stopped")
	k = overSecretManager(t, v).Writing(gcp.VaultWriting{Pace: func(context.Context) error { return stop }})
	if err := k.Put(t.Context(), "u", creds, "15"); !errors.Is(err, stop) {
		t.Errorf("no leave to call: %v", err)
	}
}

// Keys that somebody stores between our look and our writing stay the newest.
func TestPutGivesWay(t *testing.T) {
	v := mem.NewVault()
	v.Add("u", keysOf(t, "PKOLD").Payload())
	theirs := keysOf(t, "PKTHEIRS")
	once := true
	v.SetChangeHook(func(_ context.Context, op mem.SecretOp) error {
		if op.Kind == "add" && !op.Done && once {
			once = false
			v.Add("u", theirs.Payload())
		}
		return nil
	})
	k := overSecretManager(t, v)
	if err := k.Put(t.Context(), "u", keysOf(t, "PKMOVED"), "2"); !errors.Is(err, secret.ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
	for _, version := range []string{"", "2", "3"} { // 3 was ours
		if creds, got, err := k.Credentials(t.Context(), "u", version); err != nil || !creds.Same(theirs) {
			t.Errorf("version %q: version %s, %v; want their keys", version, got, err)
		}
	}
	if n := v.Alive("u"); n != 3 {
		t.Errorf("%d versions are alive, want the old one and theirs twice", n)
	}
}

// Of several that came in between, the last is put on top again.
func TestPutGivesWayToTheLast(t *testing.T) {
	v := mem.NewVault()
	once := true
	v.SetChangeHook(func(_ context.Context, op mem.SecretOp) error {
		if op.Kind == "add" && !op.Done && once {
			once = false
			v.Add("u", keysOf(t, "PKFIRST").Payload())
			v.Add("u", keysOf(t, "PKLAST").Payload())
		}
		return nil
	})
	k := overSecretManager(t, v)
	if err := k.Put(t.Context(), "u", keysOf(t, "PKMOVED"), "1"); !errors.Is(err, secret.ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
	if creds, got, err := k.Credentials(t.Context(), "u", ""); err != nil || !creds.Same(keysOf(t, "PKLAST")) {
		t.Errorf("version %s, %v; want the last that was stored", got, err)
	}
}

// What was stopped at the worst moments is ended by the next Put of the same keys.
func TestPutEndsWhatWasStopped(t *testing.T) {
	ours, theirs := keysOf(t, "PKMOVED"), keysOf(t, "PKTHEIRS")
	marked := func(c secret.Credentials, as string) []byte {
		return fmt.Appendf(bytes.TrimSuffix(c.Payload(), []byte("}")), `,"version":%q}`, as)
	}
	for name, c := range map[string]struct {
		left func(v *mem.Vault)
		want secret.Credentials
	}{
		"ours above theirs":  {func(v *mem.Vault) { v.Add("u", marked(theirs, "3")); v.Add("u", marked(ours, "2")) }, theirs},
		"ours is destroyed":  {func(v *mem.Vault) { v.Add("u", marked(ours, "2")); v.Destroy("u", 4) }, theirs},
		"a person went back": {func(v *mem.Vault) { v.Add("u", theirs.Payload()); v.Add("u", ours.Payload()) }, ours},
	} {
		v := mem.NewVault()
		v.Add("u", marked(ours, "2"))
		v.Add("u", marked(theirs, "3"))
		v.Add("u", marked(theirs, "3"))
		v.Destroy("u", 2)
		c.left(v)
		k := overSecretManager(t, v)
		if err := k.Put(t.Context(), "u", ours, "2"); !errors.Is(err, secret.ErrNewer) {
			t.Errorf("%s: %v, want ErrNewer", name, err)
		}
		if creds, got, err := k.Credentials(t.Context(), "u", ""); err != nil || !creds.Same(c.want) {
			t.Errorf("%s: version %s, %v", name, got, err)
		}
	}
	// A version that a person disabled is not overruled.
	v := mem.NewVault()
	v.Add("u", theirs.Payload())
	v.Disable("u", 1)
	for _, version := range []string{"1", "2"} {
		if err := overSecretManager(t, v).Put(t.Context(), "u", ours, version); !errors.Is(err, secret.ErrDisabled) || !strings.Contains(err.Error(), "enable or destroy it") {
			t.Errorf("disabled: %v", err)
		}
	}
}

// Latest lags: what was added since is seen by its number, and neither buried nor removed.
func TestLatestLags(t *testing.T) {
	v := mem.NewVault()
	v.Add("u", keysOf(t, "PKOLD").Payload())
	v.Add("u", keysOf(t, "PKNEW").Payload())
	v.SetLag(1)
	k := overSecretManager(t, v)
	if err := k.Remove(t.Context(), "u", "1"); !errors.Is(err, secret.ErrNewer) {
		t.Errorf("removal: %v, want ErrNewer", err)
	}
	if err := k.Put(t.Context(), "u", keysOf(t, "PKMOVED"), "2"); !errors.Is(err, secret.ErrNewer) {
		t.Errorf("put: %v, want ErrNewer", err)
	}
	v.SetLag(2) // not even the first is known
	if err := k.Remove(t.Context(), "u", "1"); !errors.Is(err, secret.ErrNewer) {
		t.Errorf("removal while nothing is known: %v, want ErrNewer", err)
	}
	if v.Alive("u") != 2 {
		t.Errorf("%d versions are alive, want both", v.Alive("u"))
	}
}

// Keys that a person added to a secret after the ones to be moved were stored are not buried under them.
func TestPutBuriesNothingYounger(t *testing.T) {
	v, now := mem.NewVault(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	v.SetClock(func() time.Time { return now })
	v.Add("u", keysOf(t, "PKTHEIRS").Payload())
	k := overSecretManager(t, v)
	moved := keysOf(t, "PKMOVED")
	if err := k.Put(t.Context(), "u", moved.StoredAt(now.Add(-time.Minute)), "2"); !errors.Is(err, secret.ErrByHand) || !strings.Contains(err.Error(), "younger") {
		t.Errorf("younger keys are there: %v, want ErrByHand", err)
	}
	if err := k.Put(t.Context(), "u", moved.StoredAt(now.Add(time.Minute)), "2"); err != nil {
		t.Errorf("older keys are there: %v", err)
	}
}

func keysOf(t *testing.T, keyID string) secret.Credentials {
	t.Helper()
	creds, err := secret.NewCredentials(keyID, "very-secret-"+keyID)
	if err != nil {
		t.Fatal(err)
	}
	return creds
}
