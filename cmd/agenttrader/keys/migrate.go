package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// options are the flags of a migration.
type options struct {
	to     string
	users  []string
	prune  bool
	dry    bool
	json   bool
	atOnce int
	rate   int
	topic  string
	from   string // of a rewrapping: another KMS key
}

// Validate names every fault.
func (o options) Validate() error {
	var errs []error
	if o.to != gcp.SecretManager && o.to != gcp.Envelope {
		errs = append(errs, fmt.Errorf("--to is %.80q: want %s or %s", o.to, gcp.Envelope, gcp.SecretManager))
	}
	for _, id := range o.users {
		if err := user.CheckID(id); err != nil {
			errs = append(errs, fmt.Errorf("--users: %w", err))
		}
	}
	if o.atOnce < 1 || o.atOnce > 256 {
		errs = append(errs, fmt.Errorf("--concurrency is %d: want 1 to 256", o.atOnce))
	}
	if o.rate < 1 || o.rate > 60_000 {
		errs = append(errs, fmt.Errorf("--rate is %d: want 1 to 60000 calls a minute", o.rate))
	}
	if o.topic != "" && !topicForm.MatchString(o.topic) {
		errs = append(errs, fmt.Errorf("--topic is %.200q: want projects/PROJECT/topics/ID", o.topic))
	}
	return errors.Join(errs...)
}

func (a *cli) migrateCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "migrate --to envelope|secret-manager",
		Short: "Move the users' keys from one custody to the other, while the platform runs",
		Long: `Moves the keys of all users, or of those named, under the same versions: each user's are read, stored in the target and
read back; keys that are stored meanwhile are never overwritten by older ones. It may be stopped at any moment, kill -9 too,
and run again: who is in the target already is left alone.

The way of a fleet:
  1. set KMS_KEY everywhere, and KEY_CUSTODY to the target: the services then read both, the target first. New keys go to envelopes
     from now on, whichever way the fleet moves; with Secret Manager as the target until their user is moved
  2. agenttrader keys migrate --to TARGET, until no user fails
  3. the same with --prune, which takes the keys out of the source, each user's after the target's were read
  4. set KEY_CUSTODY_FALLBACK=off everywhere

Secret Manager numbers versions itself: up to 500 are added, and those in between destroyed, until a user's number is reached.
It allows 600 such reads and 600 writes a minute; --rate bounds both together.

Exit status 1: a user's keys could not be moved; the table says whose and why.`,
		Example: `  agenttrader keys migrate --to envelope --dry-run
  agenttrader keys migrate --to envelope --users alice,bob
  agenttrader keys migrate --to envelope --prune
  agenttrader keys migrate --to secret-manager --topic projects/p/topics/new-keys --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			slices.Sort(o.users)
			o.users = slices.Compact(o.users) // one user is moved once at a time
			return a.migrate(c, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "where the keys go: envelope or secret-manager")
	f.StringSliceVar(&o.users, "users", nil, "only these users, by id")
	f.BoolVar(&o.prune, "prune", false, "take the keys out of the source, once they were read from the target")
	f.BoolVar(&o.dry, "dry-run", false, "look at all keys, say what would be done, and change nothing")
	f.BoolVar(&o.json, "json", false, "print one JSON object at the end, and nothing else, on standard output")
	f.IntVar(&o.atOnce, "concurrency", 16, "users at a time")
	f.IntVar(&o.rate, "rate", 500, "calls a minute that Secret Manager counts as reads and writes; accesses have a quota of their own")
	f.StringVar(&o.topic, "topic", "", "a Pub/Sub topic that the secrets which are made tell of new versions: projects/PROJECT/topics/ID")
	return c
}

func (a *cli) migrate(c *cobra.Command, o options) (err error) {
	ctx := c.Context()
	d, err := a.open(ctx, a.project, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	w := &walk{options: o, users: d.users, mover: &secret.Mover{From: d.secrets, To: d.envelopes, Raise: raise(d.users), Known: known(d.users), Prune: o.prune, DryRun: o.dry}}
	if o.to == gcp.SecretManager {
		w.mover.From, w.mover.To = d.envelopes, d.secrets
	}
	total := -1
	if len(o.users) > 0 {
		total = len(o.users)
	}
	bar := tty.Bar(c.ErrOrStderr(), a.terminal(c.ErrOrStderr()), total, "moving keys")
	w.done = func() { _ = bar.Add(1) }
	stopped := w.run(ctx)
	_ = bar.Clear()
	return a.tell(c, d, w, stopped)
}

// tell reports what was done, and ends with an error if not all was.
func (a *cli) tell(c *cobra.Command, d *desk, w *walk, stopped error) error {
	r := w.report
	slices.SortFunc(r.Failed, func(x, y failure) int {
		if x.UserID < y.UserID {
			return -1
		}
		return 1
	})
	var err error
	if w.json {
		err = tty.Encode(c.OutOrStdout(), r)
	} else if len(r.Failed) > 0 {
		rows := [][]string{{"USER", "WHY"}}
		for _, f := range r.Failed {
			rows = append(rows, []string{f.UserID, tty.Escape(f.Reason, shownReason)})
		}
		err = tty.Table(c.OutOrStdout(), 0, rows)
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "%s%s (%s)\n", map[bool]string{true: "dry run, nothing was done: "}[w.dry], r, tty.Escape(d.where, shownReason))
	switch {
	case err != nil:
		return err
	case stopped != nil && errors.Is(stopped, c.Context().Err()):
		return errors.New("interrupted: run it again, and those who were moved are left alone")
	case stopped != nil:
		return stopped
	case len(r.Failed) > 0:
		return fmt.Errorf("the keys of %d of %s could not be moved: see why, and run it again", len(r.Failed), tty.Count(r.Users, "user"))
	}
	return nil
}

// shownReason is how many bytes of a reason people are shown.
const shownReason = 400

// raise notes versions; a user who was removed meanwhile needs none.
func raise(keys user.Keys) func(ctx context.Context, userID, version string) error {
	return func(ctx context.Context, userID, version string) error {
		if err := keys.RaiseKeyVersion(ctx, userID, version); !errors.Is(err, user.ErrGone) {
			return err
		}
		return nil
	}
}

// known is the version that a user's document names; one who was removed meanwhile has none.
func known(users user.Finder) func(ctx context.Context, userID string) (string, error) {
	return func(ctx context.Context, userID string) (string, error) {
		u, err := users.User(ctx, userID)
		if err != nil && !errors.Is(err, user.ErrNotFound) {
			return "", err
		}
		return u.KeyVersion, nil
	}
}
