package telemetry

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/health"
)

// What the objective counts as good: the goal is met at its last moment, and by the owner's fault, never by ours.
func TestSyncsInTime(t *testing.T) {
	for _, c := range []struct {
		outcome, cause string
		lag            time.Duration
		want           bool
	}{
		{"written", "", 2 * time.Minute, true}, {"written", "", 2*time.Minute + 1, false},
		{"unchanged", "", time.Second, true}, {"superseded", "", time.Second, true},
		{"dropped", "", time.Second, false}, {"failed", "", time.Second, false}, {"failed", "BREAKER_OPEN", time.Second, false},
		{"failed", "BROKER_UNAUTHORIZED", time.Second, true}, {"failed", "BROKER_FORBIDDEN", time.Second, true},
		{"failed", "KEYS_MISSING", time.Second, true}, {"failed", "KEYS_MALFORMED", time.Second, true},
		{"failed", "KEYS_DENIED", time.Second, false}, {"failed", "KEYS_MISSING", 3 * time.Minute, false},
	} {
		if got := inTime(c.outcome, health.Cause(c.cause), c.lag); got != c.want {
			t.Errorf("%s %s after %s: counted %t", c.outcome, c.cause, c.lag, got)
		}
	}
}
