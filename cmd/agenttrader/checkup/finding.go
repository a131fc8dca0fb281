package checkup

import (
	"time"

	"github.com/agenttrader/agenttrader/pkg/health"
)

// Finding is a health.Finding for programs.
type Finding struct {
	UserID     string `json:"user_id"`
	OK         bool   `json:"ok"`
	State      string `json:"state"`
	Stale      bool   `json:"stale,omitempty"`
	Cause      string `json:"error_code,omitempty"`
	Failures   int    `json:"consecutive_failures,omitempty"`
	ObservedAt string `json:"observed_at,omitempty"`
	NextAt     string `json:"next_attempt_at,omitempty"`
	Advice     string `json:"advice,omitempty"`
}

// FindingOf is it.
func FindingOf(f health.Finding) Finding {
	return Finding{
		UserID: f.UserID, OK: f.Well, State: string(f.State), Stale: f.Stale, Cause: string(f.Cause), Failures: f.Failures,
		ObservedAt: stamp(f.ObservedAt), NextAt: stamp(f.NextAt), Advice: f.Advice,
	}
}

// Word is the state for people.
func (f Finding) Word() string {
	switch {
	case f.Stale:
		return "stale"
	case f.Cause != "" && !f.OK:
		return f.State + " " + f.Cause
	}
	return f.State
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
