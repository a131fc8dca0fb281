package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// counter is what the verbs on one user's keys work with.
type counter struct {
	where string // for people
	keys  *onboard.Keys
	close func() error
}

// at opens the counter for one user.
func (a *cli) at(c *cobra.Command, userID, topic string, work func(ctx context.Context, d *counter) error) (err error) {
	if err := user.CheckID(userID); err != nil {
		return err
	}
	if topic != "" && !topicForm.MatchString(topic) {
		return fmt.Errorf("--topic is %.200q: want projects/PROJECT/topics/ID", topic)
	}
	d, err := a.openKeys(c.Context(), a.project, topic)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	err = work(c.Context(), d)
	if errors.Is(err, user.ErrNotFound) {
		return fmt.Errorf("there is no user %s (%s): 'agenttrader users add %s' makes one; nothing was done", userID, tty.Escape(d.where, shownReason), userID)
	}
	if errors.Is(err, user.ErrRemoving) {
		return fmt.Errorf("%w: 'agenttrader users remove %s' ends it", err, userID)
	}
	return err
}

// setting are the flags of set and rotate.
type setting struct {
	file, env, topic string
	other, prune     bool
	json             bool
}

func (s *setting) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.file, "file", "", `read the keys from a file; "-" is standard input (default: ask, or standard input if it is no terminal)`)
	f.StringVar(&s.env, "env", "", "ask this environment of Alpaca only: paper or live (default: whichever takes the keys)")
	f.StringVar(&s.topic, "topic", "", "a Pub/Sub topic that a secret which is made tells of new versions: projects/PROJECT/topics/ID")
	f.BoolVar(&s.prune, "destroy-old", false, "afterwards, do away with the versions before")
	f.BoolVar(&s.json, "json", false, "one JSON object, and nothing else on standard output")
}

func (s *setting) check() error {
	if s.env != "" && s.env != string(broker.Paper) && s.env != string(broker.Live) {
		return fmt.Errorf("--env is %.40q: want paper or live", s.env)
	}
	return nil
}

// result is what became of keys, for programs.
type result struct {
	UserID        string `json:"user_id"`
	BrokerEnv     string `json:"broker_env"`
	AccountID     string `json:"account_id"`
	AccountStatus string `json:"account_status"`
	Version       string `json:"version"`
	Before        string `json:"version_before"`
	Stored        bool   `json:"stored"`
	Path          string `json:"path"`
	Pruned        int    `json:"destroyed"`
	Status        string `json:"status"`
}

const inputHelp = `
The keys are asked for, and not shown, or read from standard input or --file: {"key_id": "…", "secret_key": "…"}, or one on a line
each. They are never an argument, and no command shows them. Alpaca is asked first: which of paper and live takes them is the
user's environment, and keys that none takes are not stored. ALPACA_PAPER_URL and ALPACA_LIVE_URL name other servers.

It may be stopped at any moment, and run again. Exit status 1: nothing was changed, or the error says what.`

func (a *cli) setCommand() *cobra.Command {
	var s setting
	c := &cobra.Command{
		Use:   "set USER",
		Short: "Store a user's keys, after Alpaca took them",
		Long: `Stores a user's first keys, or others in their place, and makes a pending user active: from the next tick on the account is synced. Of
a user without a cadence and without an enabled strategy it may take FANOUT_IDLE_CADENCE (5 minutes) until the first time.
` + inputHelp,
		Example: `  agenttrader keys set alice
  agenttrader keys set alice --file alice.json
  gpg -d alice.gpg | agenttrader keys set alice --json`,
		Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			return a.store(c, args[0], s, func(ctx context.Context, d *counter) (onboard.Stored, error) {
				creds, err := Read(ctx, c, s.file, a.terminal)
				if err != nil {
					return onboard.Stored{}, err
				}
				return d.keys.Set(ctx, args[0], creds, onboard.Change{Env: broker.Env(s.env), PruneOld: s.prune})
			})
		},
	}
	s.flags(c)
	return c
}

func (a *cli) rotateCommand() *cobra.Command {
	var s setting
	c := &cobra.Command{
		Use:   "rotate USER",
		Short: "Replace a user's keys by new ones of the same account, after Alpaca took them",
		Long: `Stores new keys as a new version, reads them back, and only then names the version in the user's document: the next request
carries it. The old version stays, unless --destroy-old is said, or 'keys revoke --old' later. Keys of another account than the
stored snapshot's are refused, unless --other-account is said.
` + inputHelp,
		Example: `  agenttrader keys rotate alice
  agenttrader keys rotate alice --file new.json --destroy-old
  agenttrader keys rotate alice --json < new.json | jq -r .version`,
		Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			return a.store(c, args[0], s, func(ctx context.Context, d *counter) (onboard.Stored, error) {
				creds, err := Read(ctx, c, s.file, a.terminal)
				if err != nil {
					return onboard.Stored{}, err
				}
				return d.keys.Rotate(ctx, args[0], creds, onboard.Change{Env: broker.Env(s.env), OtherAccount: s.other, PruneOld: s.prune})
			})
		},
	}
	s.flags(c)
	c.Flags().BoolVar(&s.other, "other-account", false, "take keys of another account than the user has")
	return c
}

func (a *cli) store(c *cobra.Command, userID string, s setting, do func(ctx context.Context, d *counter) (onboard.Stored, error)) error {
	if err := s.check(); err != nil {
		return err
	}
	return a.at(c, userID, s.topic, func(ctx context.Context, d *counter) error {
		if _, err := d.keys.Users.Profile(ctx, userID); err != nil { // before anybody types keys in vain
			return err
		}
		got, err := do(ctx, d)
		if err != nil {
			return err
		}
		if s.json {
			return tty.Encode(c.OutOrStdout(), result{
				UserID: userID, BrokerEnv: string(got.Env), AccountID: got.AccountID, AccountStatus: got.Status, Version: got.Version, Before: got.Before,
				Stored: got.New, Path: got.Path, Pruned: got.Pruned, Status: string(got.User.Status),
			})
		}
		how := "are stored"
		if !got.New {
			how = "were there already"
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Alpaca's %s environment takes the keys of user %s (account %s, %s).\nThey %s as version %s in %s, and the next request uses them.\n",
			got.Env, userID, tty.Escape(got.AccountID, 80), tty.Escape(got.Status, 40), how, got.Version, tty.Escape(got.Path, 300))
		if got.User.Status != user.Active {
			tty.Note(c.ErrOrStderr(), "user %s is %s: 'agenttrader users resume %s' starts the syncing", userID, tty.Escape(string(got.User.Status), 40), userID)
		}
		if got.Pruned > 0 {
			tty.Note(c.ErrOrStderr(), "%d older versions are gone", got.Pruned)
		}
		return err
	})
}

// checked is a check of stored keys, for programs.
type checked struct {
	UserID        string `json:"user_id"`
	OK            bool   `json:"ok"`
	BrokerEnv     string `json:"broker_env"`
	Version       string `json:"version"`
	Path          string `json:"path"`
	AccountID     string `json:"account_id"`
	AccountStatus string `json:"account_status"`
	Error         string `json:"error,omitempty"`
}

func (a *cli) checkCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check USER",
		Short: "Ask Alpaca whether a user's stored keys work",
		Long: `Reads the keys that the next request would use, and asks Alpaca for the account, in the user's environment. It changes nothing.

Exit status 1: they do not work, and the error says why.`,
		Example: `  agenttrader keys check alice
  agenttrader keys check alice --json | jq .ok`,
		Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			return a.at(c, args[0], "", func(ctx context.Context, d *counter) error {
				got, err := d.keys.Check(ctx, args[0])
				if errors.Is(err, user.ErrNotFound) {
					return err
				}
				r := checked{
					UserID: args[0], OK: err == nil, BrokerEnv: got.User.BrokerEnv, Version: got.Version, Path: got.Path,
					AccountID: got.AccountID, AccountStatus: got.Status,
				}
				if err != nil {
					r.Error = err.Error()
				}
				switch {
				case asJSON:
					return errors.Join(tty.Encode(c.OutOrStdout(), r), err)
				case err != nil:
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "Alpaca's %s environment takes version %s of the keys of user %s (account %s, %s; %s).\n",
					got.Env, got.Version, args[0], tty.Escape(got.AccountID, 80), tty.Escape(got.Status, 40), tty.Escape(got.Path, 300))
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object, and nothing else on standard output")
	return c
}

// revoked is what became of a user's keys, for programs.
type revoked struct {
	UserID  string `json:"user_id"`
	Vaults  int    `json:"vaults"`
	Pruned  int    `json:"destroyed"`
	Version string `json:"version"`
	Newer   bool   `json:"newer_stay"`
	Next    string `json:"next"`
}

func (a *cli) revokeCommand() *cobra.Command {
	var old, yes, asJSON bool
	c := &cobra.Command{
		Use:   "revoke USER",
		Short: "Take a user's keys away, or the old versions of them",
		Long: `Takes all of a user's keys out of every vault. From the next tick on nobody uses them: the user's document asks for a version
that there is none of, which instances that remember the keys see too. The syncing then fails with KEYS_MISSING, and at the
second tick the user is needs_reauth; 'keys set' ends that. The keys are still good at Alpaca: delete them there too.

With --old it does away with the versions before the one in use, and the syncing goes on.

It may be stopped at any moment, and run again.`,
		Example: `  agenttrader keys revoke alice
  agenttrader keys revoke alice --yes --json
  agenttrader keys revoke alice --old`,
		Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			return a.at(c, args[0], "", func(ctx context.Context, d *counter) error {
				if _, err := d.keys.Users.Profile(ctx, args[0]); err != nil {
					return err
				}
				r := revoked{UserID: args[0]}
				if old {
					got, err := d.keys.RevokeOld(ctx, args[0])
					r.Pruned, r.Version, r.Next = got.Pruned, got.Version, fmt.Sprintf("version %s stays in use", got.Version)
					return errors.Join(r.tell(c, asJSON, err, "%d older versions of the keys of user %s are gone; version %s stays in use.\n", got.Pruned, args[0], got.Version), err)
				}
				if err := a.sure(c, yes, fmt.Sprintf("All keys of user %s go out of every vault (%s), and syncing the account ends.", args[0], tty.Escape(d.where, shownReason)), args[0]); err != nil { //nolint:contextcheck // cobra hands it on
					return err
				}
				got, err := d.keys.Revoke(ctx, args[0])
				r.Vaults, r.Version, r.Newer = got.Vaults, got.Version, got.Newer
				r.Next = "needs_reauth at the second tick from now, until 'agenttrader keys set' stores others; delete the keys at Alpaca too"
				switch {
				case got.Newer:
					r.Next = "somebody stored newer keys meanwhile, which stay and are used"
				case got.Vaults == 0:
					r.Next = "there were none"
				}
				return errors.Join(r.tell(c, asJSON, err, "The keys of user %s are taken out of %s. What follows: %s.\n", args[0], tty.Count(got.Vaults, "vault"), r.Next), err)
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&old, "old", false, "only the versions before the one in use")
	f.BoolVar(&yes, "yes", false, "do not ask")
	f.BoolVar(&asJSON, "json", false, "one JSON object, and nothing else on standard output")
	return c
}

// tell shows a result, unless it came to an error before there was any.
func (r revoked) tell(c *cobra.Command, asJSON bool, failed error, format string, args ...any) error {
	switch {
	case failed != nil:
		return nil
	case asJSON:
		return tty.Encode(c.OutOrStdout(), r)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), format, args...)
	return err
}

// sure asks for the user's id, where a person sits.
func (a *cli) sure(c *cobra.Command, yes bool, question, word string) error {
	switch {
	case yes:
		return nil
	case !a.terminal(c.InOrStdin()):
		return fmt.Errorf("%s Nobody is here to be asked: say --yes", question)
	}
	return tty.Confirm(c.Context(), c.InOrStdin(), c.ErrOrStderr(), question, word)
}
