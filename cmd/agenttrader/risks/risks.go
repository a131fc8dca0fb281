// Package risks is `agenttrader risk`: it shows and sets what people allow, for the platform, a user or a strategy.
package risks

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	users "github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// Command is `agenttrader risk`.
func Command() *cobra.Command { return command(openCloud, login, tty.IsTerminal) }

// desk is what the subcommands work with.
type desk struct {
	where string // for people
	store control
	now   func() time.Time
	pause func(ctx context.Context) error // until all signalers know the platform's word, and what they were about to place is placed
	close func() error
}

// control is the documents that are read and set.
type control interface {
	risk.Controls
	users.Finder
	users.Lister
	strategy.Store
	Withdraw(ctx context.Context, userID string, w risk.Withdrawal, now time.Time) (n int, err error)
	RiskState(ctx context.Context, userID string) (*risk.State, error)
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
	return &desk{where: p.String(), store: s, now: time.Now, pause: heard, close: p.Close}, nil
}

// settled is how long a decision may take to be placed from the moment at which it asks for the platform's word.
const settled = 15 * time.Second

func heard(ctx context.Context) error {
	select {
	case <-time.After(signaler.ControlLife + settled):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// login is the name of who runs the program; "" if it is not known.
func login() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// cli is what the subcommands share.
type cli struct {
	open     func(ctx context.Context, project string) (*desk, error)
	login    func() string
	terminal func(stream any) bool
	project  string
	platform bool
	user     string
	strategy string
	json     bool
}

func command(open func(context.Context, string) (*desk, error), login func() string, terminal func(any) bool) *cobra.Command {
	a := &cli{open: open, login: login, terminal: terminal}
	c := &cobra.Command{
		Use:   "risk",
		Short: "Halt and resume trading, and set limits: show, halt, reduce, resume, limit",
		Long: `Shows and sets what people allow: the trading state and the limits of the platform or of a user, and the trading state of one
of a user's strategies. The most restricting level holds. What is set here holds for the next decision of the user at once, and
for the platform within ten seconds. What is pending by then is taken back by halt, and by reduce as far as it opens exposure:
an executor that has not claimed it can't any more. For the platform that is done twice, 25 seconds apart. Orders at the broker stay. Syncing goes on in all states.

GCP_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST say where. docs/risk.md has the limits and the states.`,
		Example: `  agenttrader risk show --user alice
  agenttrader risk halt --platform --reason 'broker sends odd fills'
  agenttrader risk resume --user alice --strategy half --reason 'drawdown looked at, see ticket 12'
  agenttrader risk limit --user alice max_trade_usd=500 hours=regular`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := c.PersistentFlags()
	f.StringVar(&a.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.BoolVar(&a.platform, "platform", false, "all users")
	f.StringVar(&a.user, "user", "", "one user, by id")
	f.StringVar(&a.strategy, "strategy", "", "one strategy of the --user, by id")
	f.BoolVar(&a.json, "json", false, "one JSON object, and nothing else on standard output")
	c.AddCommand(
		a.showCommand(),
		a.stateCommand(risk.Halted, "halt", "Let no signal pass, closing ones neither",
			"  agenttrader risk halt --platform --reason 'broker sends odd fills'\n  agenttrader risk halt --user alice --reason 'asked for it by phone' --author jane"),
		a.stateCommand(risk.Reducing, "reduce", "Let only what lowers exposure pass",
			"  agenttrader risk reduce --user alice --reason 'moves to another broker'\n  agenttrader risk reduce --user alice --strategy half --reason 'its model is retrained'"),
		a.stateCommand(risk.Active, "resume", "Let signals pass again, and take back a breach at this level",
			"  agenttrader risk resume --platform --reason 'the broker has mended it'\n  agenttrader risk resume --user alice --reason 'drawdown looked at, see ticket 12'"),
		a.limitCommand(),
	)
	return c
}

// check says whose controls are meant.
func (a *cli) check() error {
	var errs []error
	switch {
	case a.platform && (a.user != "" || a.strategy != ""):
		errs = append(errs, errors.New("--platform is all users: leave --user and --strategy out"))
	case !a.platform && a.user == "" && a.strategy != "":
		errs = append(errs, errors.New("--strategy: whose? Name the --user too"))
	case !a.platform && a.user == "":
		errs = append(errs, errors.New("whose? Say --platform, or name a --user, and a --strategy of the user's if it is about one"))
	}
	if a.user != "" {
		if err := users.CheckID(a.user); err != nil {
			errs = append(errs, fmt.Errorf("--user: %w", err))
		}
	}
	if a.strategy != "" && document.CheckID(a.strategy) != nil {
		errs = append(errs, fmt.Errorf("--strategy is %.80q: want the id of a strategy", a.strategy))
	}
	return errors.Join(errs...)
}

// at opens the desk for work on what is meant, and sees that the user is there: a slip of the pen halts nobody.
func (a *cli) at(c *cobra.Command, work func(ctx context.Context, d *desk) error) (err error) {
	if err := a.check(); err != nil {
		return err
	}
	ctx := c.Context()
	d, err := a.open(ctx, a.project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if a.user != "" {
		if _, err := d.store.User(ctx, a.user); errors.Is(err, users.ErrNotFound) {
			return fmt.Errorf("there is no user %s (%s): nothing was read or set", a.user, tty.Escape(d.where, shown))
		} else if err != nil {
			return err
		}
	}
	if a.strategy != "" {
		all, err := d.store.Enabled(ctx, a.user)
		if err != nil && !errors.Is(err, strategy.ErrTooMany) {
			return err
		}
		if !slices.ContainsFunc(all, func(s strategy.Definition) bool { return s.ID == a.strategy }) {
			note(c, "user %s has no strategy %s that runs: the word holds if there is one later", a.user, tty.Escape(a.strategy, 80))
		}
	}
	return work(ctx, d)
}

func (a *cli) whose() string {
	switch {
	case a.platform:
		return "platform"
	case a.strategy != "":
		return fmt.Sprintf("strategy %s of user %s", tty.Escape(a.strategy, 80), a.user)
	}
	return "user " + a.user
}

func (a *cli) stateCommand(state risk.TradingState, verb, short, example string) *cobra.Command {
	var reason, author string
	c := &cobra.Command{
		Use:     verb + " (--platform | --user U [--strategy S]) --reason R",
		Short:   short,
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if author == "" {
				author = a.login()
			}
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason is missing: say why, for those who read it later")
			}
			if strings.TrimSpace(author) == "" {
				return errors.New("--author is missing, and the system does not know who you are: say it")
			}
			return a.at(c, func(ctx context.Context, d *desk) error {
				word, err := risk.SetTrading(state, reason, author, d.now())
				if err != nil {
					return err
				}
				if err := d.store.SetTrading(ctx, a.user, a.strategy, word); err != nil {
					return err
				}
				note(c, "%s is %s now (%s)", a.whose(), state, tty.Escape(d.where, shown))
				return errors.Join(a.withdraw(ctx, c, d, state), a.show(ctx, c, d))
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, up to 500 bytes (required)")
	c.Flags().StringVar(&author, "author", "", "who says so (default: the user of this system)")
	return c
}

func (a *cli) limitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "limit (--platform | --user U) NAME=VALUE...",
		Short: "Set limits of the platform or of a user, and leave the others as they are",
		Long: `Sets limits; NAME=none takes one away. Lists have commas; an empty allow_symbols= allows no symbol. A strategy's limits are
in its own document. The limits: ` + strings.Join(risk.LimitNames(), ", ") + `.`,
		Example: `  agenttrader risk limit --user alice max_trade_usd=500 max_daily_loss_share=0.03 hours=regular
  agenttrader risk limit --platform deny_symbols=GME,AMC
  agenttrader risk limit --user alice max_trade_usd=none`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if a.strategy != "" {
				return errors.New("--strategy: a strategy's limits are in its own document, users/{uid}/strategies/{id}, field limits; its owner sets them there")
			}
			return a.at(c, func(ctx context.Context, d *desk) error {
				err := d.store.ChangeLimits(ctx, a.user, func(now risk.Limits) (risk.Limits, error) {
					if len(now.Invalid) == 0 {
						return change(now, args)
					}
					return now, fmt.Errorf("the %s's controls hold what can't be read, and so let nothing open: %s. Mend it in the document first (docs/data-model.md), since it would be lost here", a.whose(), tty.Escape(strings.Join(now.Invalid, ", "), shown))
				})
				if err != nil {
					return err
				}
				note(c, "limits of %s are set (%s)", a.whose(), tty.Escape(d.where, shown))
				return a.show(ctx, c, d)
			})
		},
	}
}

// change is limits with some of them set.
func change(l risk.Limits, args []string) (risk.Limits, error) {
	fields, errs := l.Fields(), []error(nil)
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		switch {
		case !ok || !slices.Contains(risk.LimitNames(), name):
			errs = append(errs, fmt.Errorf("%.80q: want NAME=VALUE, NAME being one of %s", arg, strings.Join(risk.LimitNames(), ", ")))
		case strings.EqualFold(value, "none"):
			delete(fields, name)
		case strings.HasSuffix(name, "_symbols"):
			list := []any{}
			for s := range strings.SplitSeq(value, ",") {
				if s = strings.TrimSpace(s); s != "" {
					list = append(list, s)
				}
			}
			fields[name] = list
		default:
			fields[name] = value
		}
	}
	if err := errors.Join(errs...); err != nil {
		return l, err
	}
	set := risk.ParseLimits(fields)
	if len(set.Invalid) > 0 {
		return l, fmt.Errorf("%s can't be understood: docs/risk.md says what each may be. Nothing was set", strings.Join(set.Invalid, ", "))
	}
	return set, nil
}

// note says something on standard error.
func note(c *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(c.ErrOrStderr(), format+"\n", args...)
}
