package user

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is how many characters a user's name may have.
const MaxName = 80

// maxEmail is how many bytes an address may have. https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3
const maxEmail = 254

// CheckName says what is wrong with a user's name, if anything is.
func CheckName(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case !utf8.ValidString(name):
		return fmt.Errorf("name %.40q is not UTF-8", name)
	case n > MaxName:
		return fmt.Errorf("name %.40q… has %d characters: at most %d are allowed", name, n, MaxName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("name %.40q holds a line break or another character that can't be shown", name)
	}
	return nil
}

// CheckEmail says what is wrong with an e-mail address, if anything is.
func CheckEmail(email string) error {
	a, err := mail.ParseAddress(email)
	if err == nil && (a.Address != email || a.Name != "" || len(email) > maxEmail) {
		err = errors.New("want the address alone")
	}
	_, domain, _ := strings.Cut(email, "@")
	if err != nil || !strings.Contains(strings.Trim(domain, "."), ".") || !utf8.ValidString(email) {
		return fmt.Errorf("e-mail %.60q: want one address like ann@example.com, of at most %d bytes", email, maxEmail)
	}
	return nil
}

// CheckStatus says what is wrong with a status, if anything is.
func CheckStatus(s Status) error {
	switch s {
	case Pending, Active, Paused, Disabled:
		return nil
	}
	return fmt.Errorf("status %.40q: want %s, %s, %s or %s", s, Pending, Active, Paused, Disabled)
}
