// Package user is the platform's users as the pipeline sees them.
package user

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agenttrader/agenttrader/pkg/market"
)

// Status is whether a user's account is synced.
type Status string

// The states of a user. A document without one counts as Active: the predecessor synced every user.
const (
	Pending  Status = "pending"
	Active   Status = "active"
	Paused   Status = "paused"
	Disabled Status = "disabled"
)

// ErrGone says that the user is not there or not active: nothing of theirs is written.
var ErrGone = errors.New("user was removed or is not active")

// User is what the pipeline needs to know of a user.
type User struct {
	ID             string
	Status         Status
	CadenceMinutes int          // 1 is every tick; 0: not said, the platform's default
	BrokerEnv      string       // "paper" (default), "live"
	SyncHours      market.Hours // when the account is synced; the zero value is market.Always, as the predecessor did
	KeyVersion     string       // of the secret; "" while none is known
	TenantID       string       // only if explicit: it is never defaulted
}

// Check says what is wrong with a user who can't be synced as the document stands, if anything is.
func (u User) Check() error {
	if err := CheckID(u.ID); err != nil {
		return err
	}
	if u.BrokerEnv != "paper" && u.BrokerEnv != "live" {
		return fmt.Errorf("user %s: broker_env is %.20q: want paper or live", u.ID, u.BrokerEnv)
	}
	return nil
}

// Page is one page of a listing.
type Page struct {
	Users []User
	Next  string // where the next page starts; "" after the last
}

// Lister lists the users, of every status, in the order of their ids.
type Lister interface {
	// Users returns at most limit users that come after the cursor ("" is the beginning).
	Users(ctx context.Context, after string, limit int) (Page, error)
}

// listed is how many users All asks for at once.
const listed = 1000

// All are all users, read in pages. It ends with the first error.
func All(ctx context.Context, l Lister) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for after, more := "", true; more; more = after != "" {
			page, err := l.Users(ctx, after, listed)
			if err != nil {
				yield(User{}, err)
				return
			}
			for _, u := range page.Users {
				if !yield(u, nil) {
					return
				}
			}
			after = page.Next
		}
	}
}

// Keys keeps which version of their secret the users have.
type Keys interface {
	// RaiseKeyVersion notes that there is this version, a number, unless a higher one is known. ErrGone if there is no
	// such user.
	RaiseKeyVersion(ctx context.Context, userID, version string) error
}

// ErrNotFound says that there is no such user.
var ErrNotFound = errors.New("no such user")

// Finder finds one user.
type Finder interface {
	// User returns a user of any status, or ErrNotFound.
	User(ctx context.Context, id string) (User, error)
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// CheckTenant says what is wrong with a tenant's id, if anything is: it is part of a document's path.
func CheckTenant(id string) error {
	switch {
	case id == "" || len(id) > MaxTenant || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("tenant_id %.40q: want 1 to %d bytes of text", id, MaxTenant)
	case id == "." || id == ".." || strings.ContainsRune(id, '/'):
		return fmt.Errorf("tenant_id %.40q: must not be . or .. or hold a /", id)
	case strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__"):
		return fmt.Errorf("tenant_id %.40q: the database keeps names between double underscores to itself", id)
	}
	return nil
}

// MaxTenant is how long a tenant's id may be, bytes.
const MaxTenant = 128

// CheckID says what is wrong with a user id, if anything is. It is part of a document's path and of a secret's
// name, so it is limited to what both take.
func CheckID(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("user id %.40q: want 1 to 128 letters, digits, - or _", id)
	}
	if strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__") {
		return fmt.Errorf("user id %.40q: the database keeps names between double underscores to itself", id)
	}
	return nil
}
