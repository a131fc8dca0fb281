package health_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/user"
)

func TestFind(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *account.Snapshot { return &account.Snapshot{ObservedAt: now.Add(-d)} }
	for name, c := range map[string]struct {
		change func(p *user.Profile)
		snap   *account.Snapshot
		err    error
		health health.Health
		state  health.State
		well   bool
		stale  bool
		advice string
	}{
		"well":                       {nil, ago(time.Minute), nil, health.Health{}, health.OK, true, false, ""},
		"well again":                 {nil, ago(time.Minute), nil, health.Health{State: health.OK}, health.OK, true, false, ""},
		"pending":                    {func(p *user.Profile) { p.Status = user.Pending }, nil, nil, health.Health{}, health.Pending, false, false, "keys set u"},
		"paused":                     {func(p *user.Profile) { p.Status = user.Paused }, ago(time.Hour), nil, health.Health{}, health.Disabled, true, false, ""},
		"disabled, and failed":       {func(p *user.Profile) { p.Status = user.Disabled }, nil, nil, health.Health{State: health.NeedsReauth}, health.Disabled, true, false, ""},
		"odd status":                 {func(p *user.Profile) { p.Status = "Active" }, ago(time.Minute), nil, health.Health{}, health.Disabled, false, false, "users resume u"},
		"being removed":              {func(p *user.Profile) { p.Status, p.RemovedAt = user.Disabled, now }, nil, nil, health.Health{}, health.Disabled, false, false, "users remove u"},
		"odd environment":            {func(p *user.Profile) { p.BrokerEnv = "moon" }, ago(time.Minute), nil, health.Health{}, health.Disabled, false, false, "moon"},
		"bad keys":                   {nil, ago(time.Hour), nil, health.Health{State: health.NeedsReauth, Cause: health.Unauthorized}, health.NeedsReauth, false, false, "401"},
		"new":                        {func(p *user.Profile) { p.LastActiveAt = now.Add(-time.Minute) }, nil, account.ErrNotFound, health.Health{}, health.Pending, true, false, ""},
		"never synced":               {func(p *user.Profile) { p.CreatedAt = now.Add(-time.Hour) }, nil, account.ErrNotFound, health.Health{}, health.Pending, false, false, "never synced"},
		"unreadable":                 {nil, nil, errors.New("field tick"), health.Health{}, health.Degraded, false, false, "field tick"},
		"stale":                      {nil, ago(5*time.Minute + time.Second), nil, health.Health{}, health.OK, false, true, "doctor"},
		"slow":                       {func(p *user.Profile) { p.CadenceMinutes = 60 }, ago(62 * time.Minute), nil, health.Health{}, health.OK, true, false, ""},
		"slow and stale":             {func(p *user.Profile) { p.CadenceMinutes = 60 }, ago(63 * time.Minute), nil, health.Health{}, health.OK, false, true, "doctor"},
		"the platform's own cadence": {func(p *user.Profile) { p.CadenceMinutes = 0 }, ago(7 * time.Minute), nil, health.Health{}, health.OK, true, false, ""},
		"at night":                   {func(p *user.Profile) { p.SyncHours = market.Regular }, ago(90 * time.Hour), nil, health.Health{}, health.OK, true, false, ""},
		"for a week":                 {func(p *user.Profile) { p.SyncHours = market.Regular }, ago(7 * 24 * time.Hour), nil, health.Health{}, health.OK, false, true, "doctor"},
		"of nobody knows when":       {nil, &account.Snapshot{}, nil, health.Health{}, health.OK, false, true, "doctor"},
		"written every half hour":    {func(p *user.Profile) { p.CadenceMinutes = 0 }, &account.Snapshot{ObservedAt: now.Add(-32 * time.Minute), CadenceMinutes: 30}, nil, health.Health{}, health.OK, true, false, ""},
	} {
		p := user.Profile{User: user.User{ID: "u", Status: user.Active, BrokerEnv: "paper", CadenceMinutes: 1, SyncHours: market.Always}}
		if c.change != nil {
			c.change(&p)
		}
		f := health.Find(p, c.snap, c.err, c.health, now)
		if f.UserID != "u" || f.State != c.state || f.Well != c.well || f.Stale != c.stale || (f.Advice == "") != (c.advice == "") || !strings.Contains(f.Advice, c.advice) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
