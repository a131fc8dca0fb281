// Package checkup is `agenttrader health`: it says who of the users is not ok, and what to do.
package checkup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Command is `agenttrader health`.
func Command() *cobra.Command { return command(openCloud, tty.IsTerminal) }

const (
	pageSize = 500
	atOnce   = 32 // snapshots
	shown    = 600
)

// desk is what the command works with.
type desk struct {
	where string // for people
	store records
	now   func() time.Time
	close func() error
}

type records interface {
	user.Registry
	health.Lister
	Health(ctx context.Context, userID string) (health.Health, error)
	Snapshot(ctx context.Context, userID string) (account.Snapshot, error)
}

func openCloud(ctx context.Context, project string) (*desk, error) {
	p, err := cloud.Open(project)
	if err != nil {
		return nil, err
	}
	s, err := p.Store(ctx)
	if p.Opened(&err); err != nil {
		return nil, err
	}
	return &desk{where: p.String(), store: s, now: time.Now, close: p.Close}, nil
}

// report is how all users are.
type report struct {
	Users    int            `json:"users"`
	NotOK    int            `json:"not_ok"`
	States   map[string]int `json:"states"`
	Findings []Finding      `json:"findings"`
}

func (r *report) add(f Finding, all bool) {
	r.Users++
	state := f.State
	if f.Stale {
		state = "stale"
	}
	r.States[state]++
	if !f.OK {
		r.NotOK++
	}
	if !f.OK || all {
		r.Findings = append(r.Findings, f)
	}
}

func command(open func(context.Context, string) (*desk, error), terminal func(any) bool) *cobra.Command {
	var project, only string
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "health",
		Short: "Say who of the users is not ok, and what to do",
		Long: `Looks at all users: those whose syncing fails, with the advice that their record has; those who have no keys yet or were never
synced; those whose snapshot is older than it may be; those whose document can't be synced as it stands. Who was paused or
disabled is ok: somebody wants it so. It reads two documents for each user, and changes nothing.

Exit status 1: somebody is not ok.`,
		Example: `  agenttrader health
  agenttrader health --user alice
  agenttrader health --json | jq -r '.findings[] | "\(.user_id): \(.advice)"'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if only != "" {
				if err := user.CheckID(only); err != nil {
					return fmt.Errorf("--user: %w", err)
				}
			}
			d, err := open(c.Context(), project)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.close()) }()
			bar := tty.Bar(c.ErrOrStderr(), terminal(c.ErrOrStderr()), -1, "looking at users")
			r, err := d.look(c.Context(), only, all || only != "", func() { _ = bar.Add(1) })
			_ = bar.Clear()
			if err != nil {
				return err
			}
			return r.tell(c, d, asJSON, tty.Width(c.OutOrStdout(), terminal))
		},
	}
	f := c.Flags()
	f.StringVar(&project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.StringVar(&only, "user", "", "one user, by id")
	f.BoolVar(&all, "all", false, "show those who are ok too")
	f.BoolVar(&asJSON, "json", false, "one JSON object, and nothing else on standard output")
	return c
}

func (d *desk) look(ctx context.Context, only string, all bool, seen func()) (r report, err error) {
	r = report{States: map[string]int{}, Findings: []Finding{}}
	if only != "" {
		p, err := d.store.Profile(ctx, only)
		if errors.Is(err, user.ErrNotFound) {
			return r, fmt.Errorf("there is no user %s (%s)", only, tty.Escape(d.where, shown))
		}
		if err != nil {
			return r, err
		}
		h, err := d.store.Health(ctx, only)
		if err != nil {
			return r, err
		}
		f, err := d.find(ctx, p, h)
		r.add(f, true)
		return r, err
	}
	failing, err := d.store.Failing(ctx)
	if err != nil {
		return r, err
	}
	for after, more := "", true; more; more = after != "" {
		page, err := d.store.Profiles(ctx, after, pageSize)
		if err != nil {
			return r, err
		}
		found := make([]Finding, len(page.Users))
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		var mu sync.Mutex
		for i, p := range page.Users {
			g.Go(func() (err error) {
				found[i], err = d.find(ctx, p, failing[p.ID])
				mu.Lock()
				defer mu.Unlock()
				seen()
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return r, err
		}
		for _, f := range found {
			r.add(f, all)
		}
		after = page.Next
	}
	return r, nil
}

// find judges one user. That a snapshot can't be understood is a finding; that the database does not answer is an error.
func (d *desk) find(ctx context.Context, p user.Profile, h health.Health) (Finding, error) {
	var stored *account.Snapshot
	snap, err := d.store.Snapshot(ctx, p.ID)
	switch {
	case err == nil:
		stored = &snap
	case !errors.Is(err, account.ErrNotFound) && !errors.Is(err, account.ErrUnreadable):
		return Finding{}, fmt.Errorf("user %s: %w", p.ID, err)
	}
	return FindingOf(health.Find(p, stored, err, h, d.now())), nil
}

func (r report) tell(c *cobra.Command, d *desk, asJSON bool, width int) (err error) {
	switch {
	case asJSON:
		err = tty.Encode(c.OutOrStdout(), r)
	case len(r.Findings) > 0:
		rows := [][]string{{"USER", "STATE", "SINCE", "WHAT TO DO"}}
		for _, f := range r.Findings {
			since, advice := "-", "-"
			if f.Failures > 0 && !f.OK {
				since = tty.Count(f.Failures, "tick")
			}
			if f.Advice != "" {
				advice = f.Advice
			}
			rows = append(rows, []string{tty.Escape(f.UserID, 128), tty.Escape(f.Word(), 80), since, tty.Escape(advice, shown)})
		}
		if width > 0 && width < 200 { // advice is to be read to its end
			width = 0
		}
		err = tty.Table(c.OutOrStdout(), width, rows)
	}
	tty.Note(c.ErrOrStderr(), "%s, %d not ok (%s)", tty.Count(r.Users, "user"), r.NotOK, tty.Escape(d.where, shown))
	if err == nil && r.NotOK > 0 {
		err = fmt.Errorf("not ok: %d of %s", r.NotOK, tty.Count(r.Users, "user"))
	}
	return err
}
