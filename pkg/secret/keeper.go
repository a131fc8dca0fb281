package secret

import (
	"context"
	"errors"
	"strconv"
)

// ErrNewer says that a Keeper holds keys of the user under that version or a higher one already: nothing was changed.
var ErrNewer = errors.New("there are keys of that version or a newer one")

// Keeper is a Vault whose keys can be written. Versions are numbers from 1 on, and never go down.
type Keeper interface {
	Vault
	// Put stores keys under a version above all that are there of the user (else ErrNewer). Of writers who meet, one wins at
	// most, and the others get ErrNewer: look again. Nobody's newer keys are replaced by older ones. The versions in between,
	// if any, are answered with this one. An error of any other kind may have come after it took effect. One that was stopped
	// may leave these keys above others' newer ones, which the same Put, called again, puts right (ErrNewer).
	Put(ctx context.Context, userID string, creds Credentials, version string) error
	// Remove forgets a user's keys, unless there is a version above the one named (ErrNewer); "" is any. No keys are no error.
	Remove(ctx context.Context, userID, version string) error
	// Newest is the number of a user's last version, whatever became of it; 0 is none. It does not lag.
	Newest(ctx context.Context, userID string) (int64, error)
	// Prune does away with the versions below one, which must be there (ErrNotFound), and says how many those were. Who asks
	// for one of them later gets a higher one.
	Prune(ctx context.Context, userID, below string) (pruned int, err error)
}

// Number of a version; 0 is none, and before all others.
func Number(version string) int64 {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != version {
		return 0
	}
	return n
}

func newest(version string) bool { return version == "" || version == Latest }
