// Package smoke is `agenttrader smoke`: the whole way of one user through a platform that runs, from the keys to a signal.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/keys"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Command is `agenttrader smoke`.
func Command() *cobra.Command { return command(openCloud, tty.IsTerminal) }

// desk is what the check works with.
type desk struct {
	where   string // for people
	db      onboard.Documents
	store   *store.Store
	keys    *onboard.Keys
	remover *onboard.Remover
	now     func() time.Time
	pause   time.Duration // between two looks
	cleanUp time.Duration // the time that it may take
	close   func() error
}

func openCloud(ctx context.Context, project string) (_ *desk, err error) {
	hosts, legacy := alpaca.DefaultHosts(), account.Legacy{Phase: account.Off}
	p, err := cloud.Open(project, &hosts, &legacy)
	if err != nil {
		return nil, err
	}
	defer p.Opened(&err)
	db, err := p.Firestore(ctx)
	if err != nil {
		return nil, err
	}
	k, err := p.Onboarding(ctx, hosts, "")
	if err != nil {
		return nil, err
	}
	remover, err := p.Remover(ctx, k.Custody, legacy.User)
	if err != nil {
		return nil, err
	}
	return &desk{
		where: p.String(), db: db, store: store.New(db), keys: k, remover: remover, now: time.Now, pause: time.Second, cleanUp: 2 * time.Minute, close: p.Close,
	}, nil
}

// options are the flags.
type options struct {
	project, file, symbol string
	wait                  time.Duration
	json                  bool
}

// Validate names every fault.
func (o *options) Validate() error {
	var errs []error
	if o.wait < time.Second || o.wait > time.Hour {
		errs = append(errs, fmt.Errorf("--wait is %s: want 1s to 1h", o.wait))
	}
	if o.symbol = strings.ToUpper(strings.TrimSpace(o.symbol)); o.symbol == "" {
		errs = append(errs, errors.New("--symbol is empty: want one that Alpaca trades, like SPY"))
	}
	return errors.Join(errs...)
}

func command(open func(ctx context.Context, project string) (*desk, error), terminal func(stream any) bool) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "smoke",
		Short: "Check a platform that runs, from end to end: a user of its own, keys, a snapshot, a signal; then all of it is removed",
		Long: `Makes a user of its own (smoke-…), stores keys of a paper account for it, enables a strategy that wants 1 % of the equity in one
symbol, waits for the first snapshot and for what the signaler makes of that, and removes the user with all that is theirs,
whatever happened, after Ctrl-C too. A coded denial (the market is closed, trading is halted) is an answer, and shown as one;
a denial for a fault of ours is not.

The keys are asked for, and not shown, or read from standard input or --file: {"key_id": "…", "secret_key": "…"}, or one on a
line each; never an argument. Keys of a live account are refused. Nothing is ordered: signals are for executors, and this user
has none. It takes the syncer's environment, as 'keys set' does (docs/configuration.md), and stays: the keys at Alpaca, logs.

Exit status 1: a step failed, and says what to do; or not all was removed, and it says what is left.`,
		Example: `  agenttrader smoke --project my-project
  agenttrader smoke --project my-project --file paper.json --json
  make smoke PROJECT=my-project KEYS=paper.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("want no arguments. Keys are never given as arguments, which others see: if those were keys, make new ones at Alpaca")
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := o.Validate(); err != nil {
				return err
			}
			ctx := c.Context()
			d, err := open(ctx, o.project)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.close()) }()
			creds, err := keys.Read(ctx, c, o.file, terminal)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if o.json {
				out = io.Discard
			}
			r := &run{desk: d, options: o, out: out, notes: c.ErrOrStderr(), report: report{Where: d.where, UserID: "smoke-" + uuid.NewString()}}
			err = r.all(ctx, creds)
			if o.json {
				err = errors.Join(tty.Encode(c.OutOrStdout(), r.report), err)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.StringVar(&o.file, "file", "", `read the keys from a file; "-" is standard input (default: ask, or standard input if it is no terminal)`)
	f.StringVar(&o.symbol, "symbol", "SPY", "what the strategy wants")
	f.DurationVar(&o.wait, "wait", 5*time.Minute, "for the snapshot, and for the signal, at most")
	f.BoolVar(&o.json, "json", false, "print one JSON object at the end, and nothing else, on standard output")
	return c
}
