package tick_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

func TestParse(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 59, 0, time.UTC)
	if got := tick.Of(at).String(); got != "20261124T0930Z" {
		t.Errorf("String = %s", got)
	}
	if got, err := tick.Parse("20261124T0930Z"); err != nil || got != tick.Of(at) {
		t.Errorf("Parse = %v, %v", got, err)
	}
	for _, bad := range []string{"", "now", "20261124T0930", "2026-11-24T09:30Z", "20261324T0930Z"} {
		if _, err := tick.Parse(bad); err == nil {
			t.Errorf("Parse(%q) was taken", bad)
		}
	}
}

// In any run of cadence minutes every user is due exactly once, and has a heartbeat in any three.
func TestDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := rapid.StringMatching(`[a-zA-Z0-9_-]{1,30}`).Draw(t, "uid")
		cadence := rapid.IntRange(1, 1440).Draw(t, "cadence")
		from := tick.Tick(rapid.Int64Range(0, 1<<32).Draw(t, "from"))
		due, beats := 0, 0
		for i := range tick.Tick(cadence) {
			if (from + i).Due(uid, cadence) {
				due++
			}
		}
		for i := range tick.Tick(tick.HeartbeatEvery) {
			if (from + i).Heartbeat(uid, 1) {
				beats++
			}
		}
		if due != 1 || beats != 1 {
			t.Fatalf("due %d times in %d minutes, %d heartbeats in 3; want 1 and 1", due, cadence, beats)
		}
	})
}

func TestUsersSpread(t *testing.T) {
	n := 0
	for i := range 6000 {
		if tick.Tick(29_000_000).Due(fmt.Sprintf("user-%05d", i), 60) {
			n++
		}
	}
	if n < 50 || n > 150 {
		t.Errorf("%d of 6000 users at a cadence of 60 are due in one minute, want about 100", n)
	}
}

func TestStaleAfter(t *testing.T) {
	for cadence, want := range map[int]time.Duration{1: 5 * time.Minute, 3: 5 * time.Minute, 4: 6 * time.Minute, 60: 62 * time.Minute} {
		if got := tick.StaleAfter(300*time.Second, cadence); got != want {
			t.Errorf("StaleAfter at cadence %d = %s, want %s", cadence, got, want)
		}
	}
}
