package secret_test

import (
	"errors"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// The texts of the errors are few and fixed: none holds any part of a payload.
func FuzzParsePayload(f *testing.F) {
	known := map[string]bool{}
	for _, bad := range []string{"", "{}", `{"key_id":" ","secret_key":"a"}`, `{"key_id":"a","secret_key":" "}`} {
		_, err := secret.ParsePayload([]byte(bad))
		if err == nil {
			f.Fatalf("%s was taken", bad)
		}
		known[err.Error()] = true
		f.Add([]byte(bad))
	}
	for _, seed := range []string{
		`{"key_id":"` + canaryID + `","secret_key":"` + canarySecret + `"}`, `{"key_id":5,"secret_key":"` + canarySecret + `"}`, `{"key_id":"\u0000","secret_key":null}`,
		`{"KEY_ID":"a","secret_key":"b","secret_key":""}`, `["` + canarySecret + `"]`, `{"key_id":"a","secret_key":"b"} x`, canarySecret,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := secret.ParsePayload(payload)
		keyID, secretKey := c.Reveal()
		if err != nil {
			if !errors.Is(err, secret.ErrMalformed) || !known[err.Error()] || keyID != "" || secretKey != "" || !c.IsZero() {
				t.Errorf("ParsePayload(%q) = %q, %q, %v", payload, keyID, secretKey, err)
			}
			return
		}
		if c.IsZero() || keyID == "" || secretKey == "" {
			t.Errorf("ParsePayload(%q) = %q, %q", payload, keyID, secretKey)
		}
		for _, b := range []byte(keyID + secretKey) {
			if b <= ' ' || b > '~' {
				t.Errorf("ParsePayload(%q) takes the byte %#x for part of a key", payload, b)
			}
		}
	})
}
