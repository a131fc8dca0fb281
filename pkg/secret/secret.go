// Package secret holds brokerage credentials and the port to where they are kept.
package secret

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

const redacted = "[redacted]"

// maxKey is the length of a key that goes into a header; Alpaca's have less than 50.
const maxKey = 256

// Credentials is one pair of Alpaca API keys. It shows [redacted] to every formatting verb, to slog and to
// encoding/json and encoding/xml; only Reveal gives the keys, to the adapter that sends them.
//
// A function holds the keys, since nothing can look into one: fmt calls no method on an unexported field, nor where
// a verb does not fit (%p, %w), and prints what reflection finds.
type Credentials struct {
	reveal func() (keyID, secretKey string, kept place)
}

// place is where keys are kept, and since when; zero: not known.
type place struct {
	path  string
	since time.Time
}

// NewCredentials refuses an empty half: the Alpaca SDK would fall back to the process's environment, that is to
// somebody else's account. It also refuses what would break the header that a key is sent in.
func NewCredentials(keyID, secretKey string) (Credentials, error) {
	if keyID == "" || secretKey == "" {
		return Credentials{}, fmt.Errorf("%w: key_id and secret_key must both be set", ErrMalformed)
	}
	if !isKey(keyID) {
		return Credentials{}, fmt.Errorf(notKey, ErrMalformed, "key_id", maxKey)
	}
	if !isKey(secretKey) {
		return Credentials{}, fmt.Errorf(notKey, ErrMalformed, "secret_key", maxKey)
	}
	return Credentials{reveal: func() (string, string, place) { return keyID, secretKey, place{} }}, nil
}

const notKey = "%w: %s must be 1 to %d visible ASCII characters: no space, no line break"

func isKey(s string) bool {
	return len(s) <= maxKey && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Reveal returns the keys in the clear. Call it where they go onto the wire, nowhere else.
func (c Credentials) Reveal() (keyID, secretKey string) {
	if c.IsZero() {
		return "", ""
	}
	keyID, secretKey, _ = c.reveal()
	return keyID, secretKey
}

// IsZero says that these are no credentials at all.
func (c Credentials) IsZero() bool { return c.reveal == nil }

// At is the same keys, which say where they are kept: a secret's resource name, or a document's path.
func (c Credentials) At(path string) Credentials {
	if c.IsZero() {
		return c
	}
	keyID, secretKey, kept := c.reveal()
	kept.path = path
	return Credentials{reveal: func() (string, string, place) { return keyID, secretKey, kept }}
}

// StoredAt is the same keys, which say when they were stored.
func (c Credentials) StoredAt(t time.Time) Credentials {
	if c.IsZero() {
		return c
	}
	keyID, secretKey, kept := c.reveal()
	kept.since = t
	return Credentials{reveal: func() (string, string, place) { return keyID, secretKey, kept }}
}

// Stored is when the keys were stored; zero if their vault does not say.
func (c Credentials) Stored() time.Time {
	if c.IsZero() {
		return time.Time{}
	}
	_, _, kept := c.reveal()
	return kept.since
}

// Path is where the keys are kept; "" if their vault does not say.
func (c Credentials) Path() string {
	if c.IsZero() {
		return ""
	}
	_, _, kept := c.reveal()
	return kept.path
}

// Same compares the keys, wherever they are kept, and takes the same time for any two.
func (c Credentials) Same(d Credentials) bool {
	keyID, secretKey := c.Reveal()
	otherID, otherKey := d.Reveal()
	sameID := subtle.ConstantTimeCompare([]byte(keyID), []byte(otherID))
	return sameID&subtle.ConstantTimeCompare([]byte(secretKey), []byte(otherKey)) == 1
}

// Format hides the keys from every verb of package fmt, %#v and %d included.
func (Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String hides the keys.
func (Credentials) String() string { return redacted }

// GoString hides the keys.
func (Credentials) GoString() string { return redacted }

// LogValue hides the keys from slog.
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the keys from every text encoder, encoding/json among them.
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText refuses: without it encoding/json would take any object, and leave no credentials.
func (*Credentials) UnmarshalText([]byte) error {
	return errors.New("credentials can't be decoded: use ParsePayload")
}

// The errors of a Vault, told apart with errors.Is. Any other error means that the vault itself is unavailable.
var (
	// ErrNotFound: the user has no secret, or not this version of it.
	ErrNotFound = errors.New("secret not found")
	// ErrMalformed: there is a secret, but its payload is not {"key_id": "...", "secret_key": "..."}.
	ErrMalformed = errors.New("secret malformed")
	// ErrDenied: the secret is disabled, destroyed, or not ours to read.
	ErrDenied = errors.New("secret access denied")
	// ErrDisabled is the ErrDenied of keys that somebody disabled or destroyed: no grant of the platform's is missing.
	ErrDisabled = fmt.Errorf("%w: disabled or destroyed", ErrDenied)
	// ErrByHand: a user's keys can't be moved as they are, and a person must decide.
	ErrByHand = errors.New("left to a person")
)

// Latest asks for the newest version. It may lag behind a rotation, so a known version is named.
const Latest = "latest"

// Vault keeps the users' brokerage keys.
type Vault interface {
	// Credentials returns a user's keys and the version they came from. version "" means Latest. The answer may be a
	// higher version than the one named: a Cache remembers it, or the older one is not kept.
	// ErrNotFound, ErrMalformed and ErrDenied are the user's trouble; any other error is the vault's.
	Credentials(ctx context.Context, userID, version string) (Credentials, string, error)
}

// Prefix is what the names of the users' secrets begin with.
const Prefix = "alpaca-keys-"

// Name is the resource name of a user's secret; {project}/{uid} as docs/data-model.md lays down.
func Name(project, userID string) string {
	return "projects/" + project + "/secrets/" + Prefix + userID
}
