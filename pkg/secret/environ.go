package secret

import (
	"fmt"
	"strings"
)

// CheckEnv refuses an environment (os.Environ) with APCA_ variables: Alpaca's SDK would use them in place of every
// user's keys.
func CheckEnv(environ []string) error {
	var names []string
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "APCA_") {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("environment holds %s: unset it, or one account's keys would be used for every user", strings.Join(names, ", "))
	}
	return nil
}
