package secret

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// Platform keeps the platform's own keys, which belong to no user.
type Platform interface {
	// PlatformKeys returns the newest keys under a name. Errors are as of Vault: ErrNotFound, ErrMalformed, ErrDenied, and any
	// other is the vault's own trouble. They name the secret, never a key.
	PlatformKeys(ctx context.Context, name string) (Credentials, error)
}

var platformName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

// CheckPlatformName says what is wrong with the name of a platform's secret, if anything is: it must not be a user's.
func CheckPlatformName(name string) error {
	if !platformName.MatchString(name) {
		return fmt.Errorf("secret %.40q: want letters, digits, - and _", name)
	}
	if strings.HasPrefix(name, Prefix) {
		return fmt.Errorf("secret %.40q: names with %s are the users'", name, Prefix)
	}
	return nil
}

// PlatformName is the resource name of a platform's secret.
func PlatformName(project, name string) string { return "projects/" + project + "/secrets/" + name }
