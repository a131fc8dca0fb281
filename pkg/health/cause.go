package health

import (
	"errors"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Cause is why a sync failed for a user's own reasons; it is the document's error_code. "" is none.
type Cause string

// The causes.
const (
	Unauthorized  Cause = "BROKER_UNAUTHORIZED" // 401
	Forbidden     Cause = "BROKER_FORBIDDEN"    // 403
	Limited       Cause = "BROKER_RATE_LIMITED" // 429
	Unavailable   Cause = "BROKER_UNAVAILABLE"  // 5xx, refused or reset connection
	Timeout       Cause = "BROKER_TIMEOUT"      // no answer in time
	Malformed     Cause = "BROKER_MALFORMED"    // an answer that can't be understood
	Rejected      Cause = "BROKER_REJECTED"     // any other 4xx
	KeysMissing   Cause = "KEYS_MISSING"        // no secret, or not this version
	KeysMalformed Cause = "KEYS_MALFORMED"      // a secret that holds no keys
	KeysDenied    Cause = "KEYS_DENIED"         // a disabled or destroyed secret, or one that isn't ours to read
)

// rule is what follows from a cause: one row of the table of failure classes.
type rule struct {
	state State // once it is confirmed by a second tick; Degraded and RateLimited need none
	retry bool  // worth asking again within the same sync
	group Cause // the cause that it counts as when many users fail alike
}

func rules() map[Cause]rule {
	return map[Cause]rule{
		Unauthorized:  {state: NeedsReauth, group: Unauthorized},
		Forbidden:     {state: Restricted, group: Forbidden},
		Limited:       {state: RateLimited, group: Limited},
		Unavailable:   {state: Degraded, group: Unavailable, retry: true},
		Timeout:       {state: Degraded, group: Unavailable, retry: true},
		Malformed:     {state: Degraded, group: Malformed},
		Rejected:      {state: Degraded, group: Rejected},
		KeysMissing:   {state: NeedsReauth, group: KeysMissing},
		KeysMalformed: {state: NeedsReauth, group: KeysMalformed},
		KeysDenied:    {state: NeedsReauth, group: KeysDenied},
	}
}

// ByOwner says that the user's own doing is the cause, and only they can mend it: keys that are not there, or that Alpaca takes no
// more. KeysDenied is ours.
func (c Cause) ByOwner() bool { return rules()[c].state.confirmed() && c != KeysDenied }

// Causes are all of them.
func Causes() []Cause {
	return []Cause{
		Unauthorized, Forbidden, Limited, Unavailable, Timeout, Malformed, Rejected, KeysMissing, KeysMalformed, KeysDenied,
	}
}

// CauseOf tells the user's own trouble from ours: the latter (vault or database unavailable, a call that we cut off)
// has no cause, and its event comes again.
func CauseOf(err error) Cause {
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return KeysMissing
	case errors.Is(err, secret.ErrMalformed):
		return KeysMalformed
	case errors.Is(err, secret.ErrDenied):
		return KeysDenied
	}
	return map[broker.Kind]Cause{
		broker.Unauthorized: Unauthorized, broker.Forbidden: Forbidden, broker.RateLimited: Limited, broker.Unavailable: Unavailable,
		broker.Timeout: Timeout, broker.Malformed: Malformed, broker.Rejected: Rejected,
	}[broker.KindOf(err)]
}

// Retried says whether asking again at once may help.
func (c Cause) Retried() bool { return rules()[c].retry }

// Group is the cause that this one counts as when many users fail alike.
func (c Cause) Group() Cause { return rules()[c].group }

// ResetOf is when a rate limit that err tells of ends; zero if it does not say.
func ResetOf(err error) time.Time {
	var e *broker.Error
	if errors.As(err, &e) && e.Kind == broker.RateLimited {
		return e.ResetAt
	}
	return time.Time{}
}
