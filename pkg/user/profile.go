package user

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Profile is a user as people see one.
type Profile struct {
	User
	Email        string
	DisplayName  string
	CreatedAt    time.Time // zero: not said
	LastActiveAt time.Time // when the user last did something themself; zero: never
	RemovedAt    time.Time // since then the user is being removed, and nothing of theirs is written any more; zero: not at all
}

// The longest a person's data may be, in the rules of the database too.
const (
	MaxEmail = 254 // bytes: RFC 5321, 4.5.3.1.3
	MaxName  = 80  // characters
)

// CheckEmail says what is wrong with an e-mail address, if anything is; "" is none.
func CheckEmail(s string) error {
	if s == "" {
		return nil
	}
	a, err := mail.ParseAddress(s)
	_, domain, _ := strings.Cut(s, "@")
	if err != nil || a.Address != s || len(s) > MaxEmail || !utf8.ValidString(s) || !strings.Contains(strings.Trim(domain, "."), ".") {
		return fmt.Errorf("e-mail %.80q: want one address like alice@example.com, without a name, of at most %d bytes", s, MaxEmail)
	}
	return nil
}

// CheckName says what is wrong with a display name, if anything is; "" is none.
func CheckName(s string) error {
	switch {
	case !utf8.ValidString(s):
		return fmt.Errorf("display name %.40q is not UTF-8", s)
	case utf8.RuneCountInString(s) > MaxName:
		return fmt.Errorf("display name %.40q…: %d characters, at most %d are allowed", s, utf8.RuneCountInString(s), MaxName)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("display name %.80q: it begins or ends with a blank", s)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("display name %.80q: want letters that can be seen", s)
	}
	return nil
}

// MaxCadence is the slowest, a day, in minutes.
const MaxCadence = 24 * 60

// CheckNew names every fault of a user who is to be added.
func (p Profile) CheckNew() error {
	errs := []error{CheckID(p.ID), CheckEmail(p.Email), CheckName(p.DisplayName)}
	if p.TenantID != "" {
		errs = append(errs, CheckTenant(p.TenantID))
	}
	if p.CadenceMinutes < 0 || p.CadenceMinutes > MaxCadence {
		errs = append(errs, fmt.Errorf("cadence of %d minutes: want 1 to %d, or 0 for the platform's default", p.CadenceMinutes, MaxCadence))
	}
	return errors.Join(errs...)
}

// The errors of a Registry, beside ErrNotFound.
var (
	ErrExists   = errors.New("there is such a user already")
	ErrRemoving = errors.New("the user is being removed")
)

// ProfilePage is one page of a listing.
type ProfilePage struct {
	Users []Profile
	Next  string // where the next page starts; "" after the last
}

// Registry keeps the users for those who look after them. Of writers who meet, each sees what the other did.
type Registry interface {
	// Profile returns a user of any status, or ErrNotFound.
	Profile(ctx context.Context, id string) (Profile, error)
	// Profiles returns at most limit users of any status that come after the cursor ("" is the beginning), by id.
	Profiles(ctx context.Context, after string, limit int) (ProfilePage, error)
	// Add makes a user who is pending until there are keys: ErrExists.
	Add(ctx context.Context, p Profile) error
	// SetStatus sets what change makes of a user: ErrNotFound, ErrRemoving. An error of change is returned, and changes nothing.
	SetStatus(ctx context.Context, id string, change func(Profile) (Status, error)) (before, after Profile, err error)
	// UseKeys makes a version the one that is asked for, with the broker's environment that its keys are of, unless a higher
	// one is known, and a pending user active; the user came with them, so it is noted as their act. ErrNotFound, ErrRemoving.
	UseKeys(ctx context.Context, id, version, brokerEnv string) (Profile, error)
	// RaiseKeyVersion is that of Keys.
	Keys
	// BeginRemoval disables a user for good, and says since when that is. It may be called again. ErrNotFound.
	BeginRemoval(ctx context.Context, id string) (Profile, error)
}
