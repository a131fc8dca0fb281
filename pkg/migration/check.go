package migration

import (
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/user"
)

// CheckStatus says what is wrong with a new user's status, if anything is.
func CheckStatus(s user.Status) error {
	switch s {
	case user.Pending, user.Active, user.Paused, user.Disabled:
		return nil
	}
	return fmt.Errorf("status %.40q: want %s, %s, %s or %s", s, user.Pending, user.Active, user.Paused, user.Disabled)
}
