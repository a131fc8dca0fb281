package porttest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// VaultFixture is a vault, with the means to fill it.
type VaultFixture struct {
	secret.Vault
	Add  func(userID string, payload []byte) (version string)
	Fail func(error)                // every access from now on; nil ends it
	Path func(userID string) string // where the keys are; nil: the vault does not say

	NewestOnly bool // older versions are not kept: the newest is the answer
	NeverDeny  bool // no keys can be disabled: whatever is denied is the vault's own trouble
}

// Vault is the contract of secret.Vault. open gives an empty one.
func Vault(t *testing.T, open func(t *testing.T) VaultFixture) {
	const payload = `{"key_id":"PKONE","secret_key":"very-secret"}`
	v := open(t)
	check := func(name, uid, version, wantKey, wantVersion string, want error) {
		t.Helper()
		creds, got, err := v.Credentials(t.Context(), uid, version)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "very-secret") || !strings.Contains(err.Error(), uid)) {
			t.Errorf("%s: the error must name the user and never the key: %v", name, err)
		}
		if err == nil && v.Path != nil && creds.Path() != v.Path(uid) {
			t.Errorf("%s: the keys are said to be at %q, want %q", name, creds.Path(), v.Path(uid))
		}
		if key, _ := creds.Reveal(); key != wantKey || got != wantVersion {
			t.Errorf("%s: key %q, version %q; want %q, %q", name, key, got, wantKey, wantVersion)
		}
	}
	check("nobody", "u", "", "", "", secret.ErrNotFound)
	if got := v.Add("u", []byte(payload)); got != "1" {
		t.Fatalf("first version is %q, want 1", got)
	}
	v.Add("u", []byte(strings.ReplaceAll(payload, "PKONE", "PKTWO")))
	check("newest", "u", "", "PKTWO", "2", nil)
	check("newest by name", "u", secret.Latest, "PKTWO", "2", nil)
	if v.NewestOnly {
		check("an older one", "u", "1", "PKTWO", "2", nil)
	} else {
		check("an older one", "u", "1", "PKONE", "1", nil)
	}
	check("one that isn't there", "u", "3", "", "", secret.ErrNotFound)
	check("no version at all", "u", "x", "", "", secret.ErrNotFound)
	for _, bad := range []string{"", "very-secret", "{}", `{"key_id":"","secret_key":"very-secret"}`, `{"key_id":1,"secret_key":"very-secret"}`, `["very-secret"]`} {
		v.Add("bad", []byte(bad))
		check("payload "+bad, "bad", "", "", "", secret.ErrMalformed)
	}
	if !v.NeverDeny {
		v.Fail(secret.ErrDenied)
		check("denied", "u", "1", "", "", secret.ErrDenied)
	}
	v.Fail(errors.New("503"))
	if _, _, err := v.Credentials(shortly(t), "u", "1"); err == nil || users(err) {
		t.Errorf("unavailable: %v, want an error that is not the user's", err)
	}
	v.Fail(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := v.Credentials(ctx, "u", "1"); err == nil {
		t.Error("a cancelled context was ignored")
	}
}

// users says that an error is the user's own trouble.
func users(err error) bool {
	return errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrDenied) || errors.Is(err, secret.ErrMalformed)
}
