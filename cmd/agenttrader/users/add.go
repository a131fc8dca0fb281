package users

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/user"
)

func (a *cli) addCommand() *cobra.Command {
	var p user.Profile
	var hours string
	c := &cobra.Command{
		Use:   "add USER",
		Short: "Add a user, who is pending until there are keys",
		Long: `Makes the user's document. Nothing is synced before 'agenttrader keys set USER' has stored the keys. Who is there already with
the same data is left alone; with other data nothing is changed, and that is an error.

USER is 1 to 128 letters, digits, - or _: the id that the user signs in with, if there is a sign-in. A cadence of 0 leaves it to
the platform: 1 minute with an enabled strategy, else FANOUT_IDLE_CADENCE (5). --tenant is for readers of the predecessor's
tenants/{tenant} documents alone.`,
		Example: `  agenttrader users add alice --email alice@example.com --display-name 'Alice Liddell'
  agenttrader users add bob --cadence 1 --hours regular --json`,
		Args: oneArg,
		RunE: func(c *cobra.Command, args []string) error {
			p.ID = args[0]
			var bad error
			if hours != "" {
				if p.SyncHours, bad = market.ParseHours(hours); bad != nil {
					bad = fmt.Errorf("--hours: %w", bad)
				}
			}
			if err := errors.Join(p.CheckNew(), bad); err != nil {
				return err
			}
			return a.at(c, func(ctx context.Context, d *desk) error { return a.add(ctx, c, d, p) })
		},
	}
	f := c.Flags()
	f.StringVar(&p.Email, "email", "", "an e-mail address, without a name")
	f.StringVar(&p.DisplayName, "display-name", "", fmt.Sprintf("up to %d characters", user.MaxName))
	f.IntVar(&p.CadenceMinutes, "cadence", 0, "minutes between two syncs, 1 to 1440; 0: the platform's")
	f.StringVar(&hours, "hours", "", "the market's hours in which to sync: regular, extended, always (default always)")
	f.StringVar(&p.TenantID, "tenant", "", "the predecessor's tenant, if the user had one")
	return c
}

func (a *cli) add(ctx context.Context, c *cobra.Command, d *desk, p user.Profile) error {
	err := d.users.Add(ctx, p)
	was := errors.Is(err, user.ErrExists)
	if err != nil && !was {
		return err
	}
	now, err := d.users.Profile(ctx, p.ID)
	if err != nil {
		return missing(d, p.ID, err)
	}
	if was {
		if differs := difference(p, now); len(differs) > 0 {
			return fmt.Errorf("there is a user %s already (%s), with another %s: nothing was changed. 'agenttrader users show %s' shows what is there", p.ID, tty.Escape(d.where, shown), strings.Join(differs, ", "), p.ID)
		}
	}
	if a.json {
		return tty.Encode(c.OutOrStdout(), struct {
			row
			Added bool `json:"added"`
		}{rowOf(now), !was})
	}
	if was {
		_, err = fmt.Fprintf(c.OutOrStdout(), "user %s was there already, and is %s\n", p.ID, tty.Escape(string(now.Status), 40))
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "user %s is added, and pending until there are keys: agenttrader keys set %s\n", p.ID, p.ID)
	return err
}

// difference names what an existing user has otherwise than asked for.
func difference(want, have user.Profile) (names []string) {
	hours := want.SyncHours
	if hours == "" {
		hours = market.Always
	}
	for _, f := range []struct {
		name       string
		want, have any
	}{
		{"e-mail", want.Email, have.Email}, {"display name", want.DisplayName, have.DisplayName}, {"cadence", want.CadenceMinutes, have.CadenceMinutes},
		{"hours", hours, have.SyncHours}, {"tenant", want.TenantID, have.TenantID},
	} {
		if f.want != f.have {
			names = append(names, f.name)
		}
	}
	if !have.RemovedAt.IsZero() {
		names = append(names, "fate: the user is being removed")
	}
	return names
}

// row is a user for programs. What is not known is absent.
type row struct {
	UserID       string `json:"user_id"`
	Status       string `json:"status"`
	Email        string `json:"email,omitempty"`
	DisplayName  string `json:"display_name,omitempty"`
	BrokerEnv    string `json:"broker_env"`
	Cadence      int    `json:"cadence_minutes,omitempty"`
	Hours        string `json:"sync_hours"`
	KeyVersion   string `json:"key_version,omitempty"`
	TenantID     string `json:"tenant_id,omitempty"`
	CreatedAt    string `json:"created_at,omitempty"`
	LastActiveAt string `json:"last_active_at,omitempty"`
	RemovedAt    string `json:"removed_at,omitempty"`
}

func rowOf(p user.Profile) row {
	return row{
		UserID: p.ID, Status: string(p.Status), Email: p.Email, DisplayName: p.DisplayName, BrokerEnv: p.BrokerEnv, Cadence: p.CadenceMinutes, Hours: string(p.SyncHours),
		KeyVersion: p.KeyVersion, TenantID: p.TenantID, CreatedAt: stamp(p.CreatedAt), LastActiveAt: stamp(p.LastActiveAt), RemovedAt: stamp(p.RemovedAt),
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func oneUser(c *cobra.Command, args []string) error {
	if err := oneArg(c, args); err != nil {
		return err
	}
	return user.CheckID(args[0])
}

func oneArg(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one user's id, got %d", len(args))
	}
	return nil
}
