package users

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/checkup"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const pageSize = 300

func (a *cli) listCommand() *cobra.Command {
	var status string
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Long:  `Lists the users in the order of their ids. 'agenttrader health' says who of them is not ok.`,
		Example: `  agenttrader users list
  agenttrader users list --status paused
  agenttrader users list --json | jq -r 'select(.broker_env == "live") | .user_id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			known := []string{string(user.Active), string(user.Pending), string(user.Paused), string(user.Disabled)}
			if status != "" && !slices.Contains(known, status) {
				return fmt.Errorf("--status is %.40q: want %s", status, strings.Join(known, ", "))
			}
			if limit < 0 {
				return fmt.Errorf("--limit is %d: want 0 (all) or more", limit)
			}
			return a.at(c, func(ctx context.Context, d *desk) error { return a.list(ctx, c, d, user.Status(status), limit) })
		},
	}
	c.Flags().StringVar(&status, "status", "", "only these: active, pending, paused, disabled")
	c.Flags().IntVar(&limit, "limit", 0, "only so many; 0: all")
	return c
}

func (a *cli) list(ctx context.Context, c *cobra.Command, d *desk, status user.Status, limit int) error {
	rows, n := [][]string{{"USER", "STATUS", "ENV", "CADENCE", "KEYS", "ACTIVE", "E-MAIL", "NAME"}}, 0
	for after, more := "", true; more; more = after != "" {
		page, err := d.users.Profiles(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, p := range page.Users {
			if (status != "" && p.Status != status) || (limit > 0 && n == limit) {
				continue
			}
			if n++; a.json {
				if err := tty.Encode(c.OutOrStdout(), rowOf(p)); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, cells(p))
		}
		if after = page.Next; limit > 0 && n == limit {
			break
		}
	}
	if a.json {
		return nil
	}
	if n == 0 {
		tty.Note(c.ErrOrStderr(), "no users (%s): 'agenttrader users add' makes one", tty.Escape(d.where, shown))
		return nil
	}
	return tty.Table(c.OutOrStdout(), tty.Width(c.OutOrStdout(), a.terminal), rows)
}

func cells(p user.Profile) []string {
	status, cadence := tty.Escape(string(p.Status), 40), "-"
	if !p.RemovedAt.IsZero() {
		status = "being removed"
	}
	if p.CadenceMinutes > 0 {
		cadence = fmt.Sprintf("%dm", p.CadenceMinutes)
	}
	return []string{
		tty.Escape(p.ID, 128), status, tty.Escape(p.BrokerEnv, 20), cadence, tty.Escape(dash(p.KeyVersion), 20), dash(stamp(p.LastActiveAt)), tty.Escape(dash(p.Email), 80), tty.Escape(dash(p.DisplayName), 200),
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// whole is one user for programs.
type whole struct {
	row
	Sync     checkup.Finding `json:"sync"`
	Snapshot *picture        `json:"snapshot,omitempty"`
}

// picture is what is told of a snapshot; figures are the broker's exact ones.
type picture struct {
	AccountID   string `json:"account_id"`
	Status      string `json:"account_status"`
	Equity      string `json:"equity,omitempty"`
	BuyingPower string `json:"buying_power,omitempty"`
	Cash        string `json:"cash,omitempty"`
	Positions   int    `json:"positions"`
	OpenOrders  int    `json:"open_orders"`
	ObservedAt  string `json:"observed_at"`
	Seq         int64  `json:"seq"`
	KeyVersion  string `json:"key_version,omitempty"`
}

func pictureOf(s account.Snapshot) *picture {
	p := &picture{
		AccountID: s.Account.ID, Status: s.Account.Status, Positions: len(s.Positions), OpenOrders: len(s.OpenOrders), ObservedAt: stamp(s.ObservedAt), Seq: s.Seq, KeyVersion: s.KeyVersion,
	}
	if s.Account.Equity.Valid {
		p.Equity = s.Account.Equity.Decimal.String()
	}
	if s.Account.BuyingPower.Valid {
		p.BuyingPower = s.Account.BuyingPower.Decimal.String()
	}
	if s.Account.Cash.Valid {
		p.Cash = s.Account.Cash.Decimal.String()
	}
	return p
}

func (a *cli) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show USER",
		Short: "Show one user: profile, how the syncing goes, the account",
		Example: `  agenttrader users show alice
  agenttrader users show alice --json | jq .sync`,
		Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			return a.at(c, func(ctx context.Context, d *desk) error { return a.show(ctx, c, d, args[0]) })
		},
	}
}

func (a *cli) show(ctx context.Context, c *cobra.Command, d *desk, id string) error {
	p, err := d.users.Profile(ctx, id)
	if err != nil {
		return missing(d, id, err)
	}
	h, err := d.documents.Health(ctx, id)
	if err != nil {
		return err
	}
	w := whole{row: rowOf(p)}
	snap, unreadable := d.documents.Snapshot(ctx, id)
	stored := &snap
	switch {
	case unreadable == nil:
		w.Snapshot = pictureOf(snap)
	case !errors.Is(unreadable, account.ErrNotFound) && ctx.Err() != nil:
		return unreadable
	default:
		stored = nil
	}
	w.Sync = checkup.FindingOf(health.Find(p, stored, unreadable, h, d.now()))
	if a.json {
		return tty.Encode(c.OutOrStdout(), w)
	}
	lines := [][]string{
		{"user", p.ID}, {"name", dash(p.DisplayName)}, {"e-mail", dash(p.Email)}, {"status", dash(string(p.Status))}, {"environment", p.BrokerEnv},
		{"cadence", cells(p)[3]}, {"hours", w.Hours}, {"keys", dash(p.KeyVersion)}, {"tenant", dash(p.TenantID)},
		{"created", dash(w.CreatedAt)}, {"last active", dash(w.LastActiveAt)}, {"syncing", w.Sync.Word()},
	}
	if w.Sync.Advice != "" {
		lines = append(lines, []string{"what to do", w.Sync.Advice})
	}
	if s := w.Snapshot; s != nil {
		lines = append(lines, []string{"account", fmt.Sprintf("%s %s", s.AccountID, s.Status)},
			[]string{"equity", dash(s.Equity)}, []string{"buying power", dash(s.BuyingPower)}, []string{"cash", dash(s.Cash)},
			[]string{"holds", tty.Count(s.Positions, "position") + ", " + tty.Count(s.OpenOrders, "open order")},
			[]string{"observed", fmt.Sprintf("%s, write %d, with key version %s", s.ObservedAt, s.Seq, dash(s.KeyVersion))})
	}
	for _, l := range lines {
		l[1] = tty.Escape(l[1], 800)
	}
	return tty.Table(c.OutOrStdout(), 0, lines)
}
