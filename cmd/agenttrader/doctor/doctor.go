// Package doctor is `agenttrader doctor`: it looks at what the platform stands on, and says how to mend it.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/api/option"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/gcp"
)

// Command is `agenttrader doctor`.
func Command() *cobra.Command {
	return command(open, tty.IsTerminal)
}

// Status is what came of a check.
type Status string

// What came of a check. Unknown is not OK: nobody looked.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Unknown Status = "unknown"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, Status: OK, Found: fmt.Sprintf(format, args...)}
}

func unknown(name, format string, args ...any) Check {
	return Check{Name: name, Status: Unknown, Found: fmt.Sprintf(format, args...)}
}

func failed(name, remedy, format string, args ...any) Check {
	return Check{Name: name, Status: Failed, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

// limit is for one check.
const limit = 20 * time.Second

// patient is the project that is looked at.
type patient struct {
	*cloud.Project
	topics   gcp.Topics
	letters  letters
	rules    string // files; "": the usual ones, if they are here
	indexes  string
	offline  bool
	emulated bool
	google   []option.ClientOption // for Google's own APIs; none: by the environment
	rest     string                // the address of the database's REST side
	client   *http.Client
	now      func() time.Time
}

// letters is what the doctor alone takes from the environment.
type letters struct {
	Subscription string `env:"DEAD_LETTERS_SUBSCRIPTION"`
}

// Validate implements serve's contract: a bad id is found missing.
func (*letters) Validate() error { return nil }

// options are the flags.
type options struct {
	project, rules, indexes string
	offline, json           bool
}

func open(o options) (*patient, error) {
	p := &patient{
		topics: gcp.DefaultTopics(), letters: letters{"dead-letters-review"}, rules: o.rules, indexes: o.indexes, offline: o.offline, now: time.Now,
		rest: "https://firestore.googleapis.com", client: &http.Client{Timeout: limit},
	}
	var err error
	if p.Project, err = cloud.Open(o.project, &p.topics, &p.letters); err != nil {
		return nil, err
	}
	if p.emulated = p.Config.Firestore != ""; p.emulated {
		p.rest = "http://" + p.Config.Firestore
	}
	return p, nil
}

// names are the checks, in the order in which they are made: what comes first is at fault first.
func names() []string {
	return []string{"environment", "credentials", "project", "apis", "iam", "database", "keys", "topics", "rules", "indexes", "clock"}
}

func (p *patient) checks() map[string]func(context.Context) []Check {
	return map[string]func(context.Context) []Check{
		"environment": p.environment, "credentials": p.credentials, "project": p.project, "apis": p.apis, "iam": p.iam, "database": p.database,
		"keys": p.keys, "topics": p.pubsub, "rules": p.rulesChecks, "indexes": p.indexChecks, "clock": p.clock,
	}
}

func command(open func(options) (*patient, error), terminal func(any) bool) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at what the platform stands on, and say how to mend it",
		Long: `Looks at the environment, credentials, the project, its APIs, permissions, the database, the vaults of keys, topics, security
rules, indexes, and this machine's clock. It changes nothing. What can't be looked at from here is "unknown", with the reason, and
never "ok": of an emulator, all that only Google has; with --offline, all that is not on this machine.

The rules that are in force, and the indexes, are compared with firestore/firestore.rules and firestore/firestore.indexes.json of
the repository, if it is run in there, or with the files that are named.

Exit status 1: a check failed; the table says what to do.`,
		Example: `  agenttrader doctor
  agenttrader doctor --offline
  agenttrader doctor --project my-project --rules firestore/firestore.rules --json | jq '.checks[] | select(.status != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return examine(c, open, o, tty.Width(c.OutOrStdout(), terminal))
		},
	}
	f := c.Flags()
	f.StringVar(&o.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.StringVar(&o.rules, "rules", "", "the security rules that should be in force (default: firestore/firestore.rules, if it is here)")
	f.StringVar(&o.indexes, "indexes", "", "the indexes that should be there (default: firestore/firestore.indexes.json, if it is here)")
	f.BoolVar(&o.offline, "offline", false, "only what is on this machine")
	f.BoolVar(&o.json, "json", false, "one JSON object, and nothing else on standard output")
	return c
}

func examine(c *cobra.Command, open func(options) (*patient, error), o options, width int) (err error) {
	p, unreadable := open(o)
	if p != nil {
		defer func() { err = errors.Join(err, p.Close()) }()
	}
	var found []Check
	where := "no project"
	switch {
	case unreadable != nil:
		for _, line := range strings.Split(unreadable.Error(), "\n") {
			found = append(found, failed("environment", "set the variable as docs/configuration.md has it, or --project", "%s", line))
		}
		for _, name := range names()[1:] {
			found = append(found, unknown(name, "the environment does not say where to look"))
		}
	default:
		where = p.String()
		checks := p.checks()
		for _, name := range names() {
			if c.Context().Err() != nil {
				return errors.New("interrupted")
			}
			ctx, cancel := context.WithTimeout(c.Context(), limit)
			found = append(found, checks[name](ctx)...)
			cancel()
		}
	}
	return tell(c, where, found, o.json, width)
}

func tell(c *cobra.Command, where string, found []Check, asJSON bool, width int) (err error) {
	bad := 0
	for i, f := range found {
		found[i].Found = tty.Escape(f.Found, 600)
		if f.Status == Failed {
			bad++
		}
	}
	if asJSON {
		err = tty.Encode(c.OutOrStdout(), struct {
			Where  string  `json:"where"`
			OK     bool    `json:"ok"`
			Checks []Check `json:"checks"`
		}{where, !slices.ContainsFunc(found, func(f Check) bool { return f.Status != OK }), found})
	} else {
		rows := [][]string{{"CHECK", "STATUS", "FOUND"}}
		for _, f := range found {
			rows = append(rows, []string{f.Name, string(f.Status), f.Found})
			if f.Remedy != "" {
				rows = append(rows, []string{"", "", "→ " + f.Remedy})
			}
		}
		if width > 0 && width < 200 { // a remedy is to be read to its end
			width = 0
		}
		err = tty.Table(c.OutOrStdout(), width, rows)
	}
	unknowns := 0
	for _, f := range found {
		if f.Status == Unknown {
			unknowns++
		}
	}
	tty.Note(c.ErrOrStderr(), "%s: %d ok, %d failed, %d unknown (%s)", tty.Count(len(found), "check"), len(found)-bad-unknowns, bad, unknowns, tty.Escape(where, 200))
	if err == nil && bad > 0 {
		err = fmt.Errorf("%s failed", tty.Count(bad, "check"))
	}
	return err
}
