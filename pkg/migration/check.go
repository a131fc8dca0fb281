package migration

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Bounds of what a row says.
const (
	maxName   = 80  // characters
	maxEmail  = 254 // bytes: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3
	maxTenant = 128 // bytes
)

// checkName says what is wrong with a user's name, if anything is.
func checkName(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case !utf8.ValidString(name):
		return fmt.Errorf("name %.40q is not UTF-8", name)
	case n > maxName:
		return fmt.Errorf("name %.40q… has %d characters: at most %d are allowed", name, n, maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("name %.40q holds a line break or another character that can't be shown", name)
	}
	return nil
}

// checkEmail says what is wrong with an e-mail address, if anything is.
func checkEmail(email string) error {
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

func checkTenant(id string) error {
	err := document.CheckID(id)
	if len(id) > maxTenant || strings.ContainsFunc(id, unicode.IsControl) {
		err = fmt.Errorf("id %.40q: want at most %d bytes of text", id, maxTenant)
	}
	if err != nil {
		return fmt.Errorf("tenant_id: %w", err)
	}
	return nil
}

// CheckStatus says what is wrong with a new user's status, if anything is.
func CheckStatus(s user.Status) error {
	switch s {
	case user.Pending, user.Active, user.Paused, user.Disabled:
		return nil
	}
	return fmt.Errorf("status %.40q: want %s, %s, %s or %s", s, user.Pending, user.Active, user.Paused, user.Disabled)
}
