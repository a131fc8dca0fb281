// Package users is `agenttrader users`: it adds users, shows them, stops and starts the syncing of their accounts, and removes them.
package users

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Command is `agenttrader users`.
func Command() *cobra.Command { return command(&cli{open: openCloud, terminal: tty.IsTerminal}) }

// cli is what the subcommands share.
type cli struct {
	open     func(ctx context.Context, project string) (*desk, error)
	terminal func(stream any) bool
	project  string
	json     bool
}

// desk is what the subcommands work with.
type desk struct {
	where     string // for people
	users     user.Registry
	documents documents
	remover   func(ctx context.Context) (*onboard.Remover, error) // opened when keys are removed
	now       func() time.Time
	close     func() error
}

// documents are what is shown of a user.
type documents interface {
	Snapshot(ctx context.Context, userID string) (account.Snapshot, error)
	Health(ctx context.Context, userID string) (health.Health, error)
}

// shown is how many bytes of a text people are shown.
const shown = 300

func openCloud(ctx context.Context, project string) (_ *desk, err error) {
	legacy := account.Legacy{Phase: account.Off}
	p, err := cloud.Open(project, &legacy)
	if err != nil {
		return nil, err
	}
	defer p.Opened(&err)
	s, err := p.Store(ctx)
	if err != nil {
		return nil, err
	}
	return &desk{
		where: p.String(), users: s, documents: s, now: time.Now, close: p.Close,
		remover: func(ctx context.Context) (*onboard.Remover, error) {
			custody, err := p.Keys(ctx, "")
			if err != nil {
				return nil, err
			}
			return p.Remover(ctx, custody, legacy.User)
		},
	}, nil
}

func command(a *cli) *cobra.Command {
	c := &cobra.Command{
		Use:   "users",
		Short: "Look after the users: add, list, show, pause, resume, disable, remove",
		Long: `Adds users and shows them, stops and starts the syncing of their accounts, and removes them with all that is theirs. What is
said here counts at the next tick.

GCP_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST say where; remove takes what says where the keys are too
(docs/configuration.md). Keys are stored with 'agenttrader keys set'.`,
		Example: `  agenttrader users add alice --email alice@example.com --display-name 'Alice Liddell'
  agenttrader users list --status pending
  agenttrader users pause alice
  agenttrader users remove alice --export alice.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := c.PersistentFlags()
	f.StringVar(&a.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.BoolVar(&a.json, "json", false, "JSON, an object a line, and nothing else on standard output")
	c.AddCommand(a.addCommand(), a.listCommand(), a.showCommand(),
		a.statusCommand("pause", "Stop syncing accounts until they are resumed", onboard.Pause,
			"  agenttrader users pause alice\n  agenttrader users pause alice bob --json"),
		a.statusCommand("resume", "Sync accounts again that were paused or disabled", onboard.Resume,
			"  agenttrader users resume alice\n  agenttrader users resume alice bob --json"),
		a.statusCommand("disable", "Stop syncing accounts, whatever their status is", onboard.Disable,
			"  agenttrader users disable alice\n  agenttrader users disable alice bob --json"),
		a.removeCommand())
	return c
}

// at opens the desk for work.
func (a *cli) at(c *cobra.Command, work func(ctx context.Context, d *desk) error) (err error) {
	d, err := a.open(c.Context(), a.project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return work(c.Context(), d)
}

// missing says where a user was looked for.
func missing(d *desk, userID string, err error) error {
	switch {
	case errors.Is(err, user.ErrNotFound):
		return fmt.Errorf("there is no user %s (%s): 'agenttrader users list' shows who is there", userID, tty.Escape(d.where, shown))
	case errors.Is(err, user.ErrRemoving):
		return fmt.Errorf("%w: 'agenttrader users remove %s' ends it", err, userID)
	}
	return err
}

// changed is a change of a status, for programs.
type changed struct {
	UserID string `json:"user_id"`
	Before string `json:"status_before"`
	After  string `json:"status"`
}

type change func(ctx context.Context, users user.Registry, id string) (before, after user.Profile, err error)

func (a *cli) statusCommand(verb, short string, do change, example string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " USER...",
		Short:   short,
		Example: example,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, ids []string) error {
			for _, id := range ids { // all of them, before any is touched
				if err := user.CheckID(id); err != nil {
					return err
				}
			}
			return a.at(c, func(ctx context.Context, d *desk) error {
				var errs []error
				for _, id := range ids {
					before, after, err := do(ctx, d.users, id)
					if err != nil {
						errs = append(errs, missing(d, id, err))
						continue
					}
					errs = append(errs, a.tellStatus(c, before, after))
				}
				return errors.Join(errs...)
			})
		},
	}
}

func (a *cli) tellStatus(c *cobra.Command, before, after user.Profile) (err error) {
	if a.json {
		return tty.Encode(c.OutOrStdout(), changed{before.ID, string(before.Status), string(after.Status)})
	}
	was := "was"
	if before.Status != after.Status {
		was = tty.Escape(string(before.Status), 40) + " before"
	} else {
		was += " so before"
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "user %s is %s (%s)\n", after.ID, after.Status, was)
	return err
}
