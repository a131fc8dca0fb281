// Package migrate is `agenttrader migrate`: it moves users from the predecessor's single-tenant layout to their own paths, and back.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Command is `agenttrader migrate`.
func Command() *cobra.Command { return command(openCloud, tty.IsTerminal) }

// desk is what the subcommands work with.
type desk struct {
	where string // for people
	db    migration.DB
	close func() error
}

func openCloud(ctx context.Context, project string) (*desk, error) {
	p, err := cloud.Open(project)
	if err != nil {
		return nil, err
	}
	db, err := p.Firestore(ctx)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return &desk{where: p.String(), db: db, close: p.Close}, nil
}

// cli is what the subcommands share.
type cli struct {
	open     func(ctx context.Context, project string) (*desk, error)
	terminal func(stream any) bool
	now      func() time.Time
	project  string
}

// options are the flags.
type options struct {
	file   string
	found  bool
	legacy string
	status string
	prune  bool
	dry    bool
	force  bool
	json   bool
	atOnce int
	rate   int
}

// Validate names every fault.
func (o options) Validate(named bool) error {
	var errs []error
	switch {
	case o.file != "" && o.found:
		errs = append(errs, errors.New("--users-file and --tenants: want one of them"))
	case named && o.file == "" && !o.found && o.legacy == "":
		errs = append(errs, errors.New("who is to migrate? Name a --users-file, or say --tenants for all that are found, or --legacy-user for the one of a single-tenant deployment"))
	}
	if o.legacy != "" {
		if err := user.CheckID(o.legacy); err != nil {
			errs = append(errs, fmt.Errorf("--legacy-user: %w", err))
		}
	}
	if o.status != "" {
		if err := migration.CheckStatus(user.Status(o.status)); err != nil {
			errs = append(errs, fmt.Errorf("--status: %w", err))
		}
	}
	if o.atOnce < 1 || o.atOnce > 256 {
		errs = append(errs, fmt.Errorf("--concurrency is %d: want 1 to 256", o.atOnce))
	}
	if o.rate < 0 || o.rate > 100_000 {
		errs = append(errs, fmt.Errorf("--rate is %d: want 1 to 100000 users a second, or 0 for no limit", o.rate))
	}
	return errors.Join(errs...)
}

func command(open func(context.Context, string) (*desk, error), terminal func(any) bool) *cobra.Command {
	a := &cli{open: open, terminal: terminal, now: time.Now}
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Move users from the single-tenant layout to paths of their own: plan, run, verify, rollback",
		Long: `Makes the users' documents, and copies their snapshots and signals: from alpacaAccounts/snapshot, tenants/{tid}/accounts/primary
and tradingSignals/{id} to users/{uid} and below. The platform, old and new, may be at work meanwhile. docs/migration.md has the
whole way.

GCP_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST say where.`,
		Example: `  agenttrader migrate plan --users-file users.csv
  agenttrader migrate run --users-file users.csv
  agenttrader migrate verify --users-file users.csv
  agenttrader migrate rollback --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&a.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	c.AddCommand(a.planCommand(), a.runCommand(), a.verifyCommand(), a.rollbackCommand())
	return c
}

const listHelp = `
A --users-file is .csv, with a header, or .json, a list of objects: user_id (1 to 128 letters, digits, - and _), and if they are known
tenant_id, email, display_name (at most 80 characters), status and broker_env. All rows are checked before the first write.
--tenants takes all users and tenants that are found; a tenant of which nobody knows for certain whose it is, is left alone.
--legacy-user is the user of the single-tenant deployment: alpacaAccounts/snapshot is theirs, and the signals that name nobody.`

func (a *cli) planCommand() *cobra.Command {
	o := options{dry: true}
	c := a.subcommand(&o, "plan", "Look at everything, say what a run would do, and change nothing", `
Reads what a run reads, and writes nothing.
`+listHelp+`

Exit status 1: a row is wrong, or a user could not be migrated.`,
		`  agenttrader migrate plan --users-file users.csv
  agenttrader migrate plan --tenants --legacy-user me --json`)
	a.who(c, &o)
	return c
}

func (a *cli) runCommand() *cobra.Command {
	var o options
	c := a.subcommand(&o, "run", "Make the users' documents, and copy snapshots and signals", `
It may be stopped at any moment, kill -9 too, and run again: what is done is left alone, and what the
old system has written since is copied anew. What is set in a user's document is never changed, a snapshot that the syncer has
written or that is newer is never overwritten, and a user who was removed since does not come back. New users are pending until
their keys are stored, unless the list or --status says otherwise. A copy is never fresher than its source, and a copied signal is never
pending: whoever acts on the old one goes on doing so there.

--prune takes away what was copied, of the old paths, and keeps it in migrations/{uid}/backups for a rollback. Do it when nothing
reads the old paths any more.
`+listHelp+`

Exit status 1: a row is wrong, and nothing was done; or a user could not be migrated, and the table says who and why.`,
		`  agenttrader migrate run --users-file users.csv
  agenttrader migrate run --tenants --status active --json
  agenttrader migrate run --legacy-user me
  agenttrader migrate run --users-file users.csv --prune`)
	a.who(c, &o)
	c.Flags().BoolVar(&o.prune, "prune", false, "take away what was copied from the old paths; a backup is kept")
	return c
}

func (a *cli) verifyCommand() *cobra.Command {
	var o options
	c := a.subcommand(&o, "verify", "Compare the users' documents with the old ones, one by one", `
Compares each snapshot and signal of the old paths, and each that was pruned, with the user's, and each row of the list with the
user's document. Who was migrated before is looked at without being listed. What the platform or the owner has written since is
no difference; what the old system has written since is one, and the next run copies it.
`+listHelp+`

Exit status 1: there is a difference.`,
		`  agenttrader migrate verify
  agenttrader migrate verify --users-file users.csv --json`)
	a.who(c, &o)
	return c
}

func (a *cli) rollbackCommand() *cobra.Command {
	var o options
	c := a.subcommand(&o, "rollback", "Take a migration back: the old readers find what they found before", `
Puts back what was pruned, unless it was written again since, and removes what the runs have made: signals and snapshots that were
copied, fields that were added, and users who were made. It may be stopped and run again. What somebody has changed since stays, with
all of that user, and the table says what; --force takes that back too. So does a user whose document is gone without a removal: the
backups are all there is of what was pruned. A snapshot that the syncer has written since goes
with a user whom the run has made, and stays with one who was there before, unless --force is set. Keys are left where they are.

Exit status 1: a user was left as they are.`,
		`  agenttrader migrate rollback --dry-run
  agenttrader migrate rollback
  agenttrader migrate rollback --force --json`)
	c.Flags().BoolVar(&o.dry, "dry-run", false, "look at everything, say what would be done, and change nothing")
	c.Flags().BoolVar(&o.force, "force", false, "also take back what was changed since")
	return c
}

func (a *cli) subcommand(o *options, name, short, long, example string) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short, Long: short + ".\n" + long, Example: example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.do(c, *o) },
	}
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object at the end, and nothing else, on standard output")
	f.IntVar(&o.atOnce, "concurrency", 32, "users at a time")
	rate := 0
	if name == "run" || name == "rollback" {
		rate = 150
	}
	f.IntVar(&o.rate, "rate", rate, "users a second, and as many batches of signals; 0: no limit. Firestore wants new collections to begin at 500 writes a second")
	return c
}

// who adds the flags that say who is to migrate.
func (a *cli) who(c *cobra.Command, o *options) {
	f := c.Flags()
	f.StringVar(&o.file, "users-file", "", "the users: a .csv or .json file")
	f.BoolVar(&o.found, "tenants", false, "all users and tenants that are found")
	f.StringVar(&o.legacy, "legacy-user", "", "whose alpacaAccounts/snapshot is, by user id")
	if c.Name() != "verify" {
		f.StringVar(&o.status, "status", "", "of new users of whom the list says none: pending (default), active, paused, disabled")
	}
}

func (a *cli) do(c *cobra.Command, o options) (err error) {
	name := c.Name()
	if err := o.Validate(name == "plan" || name == "run"); err != nil {
		return err
	}
	r := &tally{report: report{Command: name, DryRun: o.dry, Snapshots: map[string]int{}, Signals: map[string]int{}}}
	var l *list
	if o.file != "" { // before anything is opened
		if l, err = readList(o.file); err != nil {
			return err
		}
		if l.faults.n > 0 {
			return r.refuse(c, o, l.faults)
		}
	}
	d, err := a.open(c.Context(), a.project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if _, err := d.db.Get(c.Context(), store.UserPath("nobody")); err != nil && !errors.Is(err, document.ErrNotFound) {
		return fmt.Errorf("the database of %s can't be read, and nothing was done: is the project's name right, and is there a Firestore database that you may read? %w", d.where, err)
	}
	w := newWalk(o, r, d.db, func(total int, what string) bar {
		return tty.Bar(c.ErrOrStderr(), a.terminal(c.ErrOrStderr()), total, what)
	})
	begun := a.now()
	stopped := w.do(c.Context(), name, l)
	r.took(a.now().Sub(begun))
	if w.refused.n > 0 {
		return r.refuse(c, o, w.refused)
	}
	return r.tell(c, d, o, stopped)
}
