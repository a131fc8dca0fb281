package porttest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// PlatformFixture is a platform's secrets, with the means to fill them.
type PlatformFixture struct {
	secret.Platform
	Add  func(name string, payload []byte)
	Fail func(error) // every access from now on; nil ends it
}

// Platform is the contract of secret.Platform. open gives an empty one.
func Platform(t *testing.T, open func(t *testing.T) PlatformFixture) {
	p := open(t)
	check := func(what, name, wantKey string, want error) {
		t.Helper()
		creds, err := p.PlatformKeys(t.Context(), name)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "very-secret") || !strings.Contains(err.Error(), name)) {
			t.Errorf("%s: the error must name the secret and never the key: %v", what, err)
		}
		if key, _ := creds.Reveal(); key != wantKey {
			t.Errorf("%s: key %q, want %q", what, key, wantKey)
		}
	}
	check("none", "market", "", secret.ErrNotFound)
	p.Add("market", []byte(`{"key_id":"PKONE","secret_key":"very-secret"}`))
	check("one", "market", "PKONE", nil)
	p.Add("market", []byte(`{"key_id":"PKTWO","secret_key":"very-secret"}`))
	check("the newest", "market", "PKTWO", nil)
	check("another", "market2", "", secret.ErrNotFound)
	for _, bad := range []string{"", "very-secret", `{"key_id":"","secret_key":"very-secret"}`} {
		p.Add("bad", []byte(bad))
		check("payload "+bad, "bad", "", secret.ErrMalformed)
	}
	for _, name := range []string{secret.Prefix + "u", "", "a/b", "market/versions/1"} {
		if _, err := p.PlatformKeys(t.Context(), name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	p.Fail(secret.ErrDenied)
	check("denied", "market", "", secret.ErrDenied)
	p.Fail(errors.New("503"))
	if _, err := p.PlatformKeys(shortly(t), "market"); err == nil || errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrDenied) || errors.Is(err, secret.ErrMalformed) {
		t.Errorf("unavailable: %v, want an error that is the vault's own", err)
	}
	p.Fail(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.PlatformKeys(ctx, "market"); err == nil {
		t.Error("a cancelled context was ignored")
	}
}
