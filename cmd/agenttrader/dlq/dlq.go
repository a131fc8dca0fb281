// Package dlq is `agenttrader dlq`: it reviews the dead letters, replays them and drops them.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/deadletter"
)

// Command is `agenttrader dlq`.
func Command() *cobra.Command { return command(openCloud, tty.IsTerminal) }

// cli is what the subcommands share.
type cli struct {
	open     func(ctx context.Context, project string) (*desk, error)
	terminal func(stream any) bool
	project  string
}

func command(open func(context.Context, string) (*desk, error), terminal func(any) bool) *cobra.Command {
	app := &cli{open: open, terminal: terminal}
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Review the dead letters: list, show, replay, drop",
		Long: `Dead letters are events that a service could not understand, with its reason, and those that Pub/Sub delivered in vain
as often as it may. A subscription holds them for review. While a command runs, the letters are hidden from others; those
that it neither replays nor drops are given back at its end.

GCP_PROJECT, DEAD_LETTERS_SUBSCRIPTION and the other variables of docs/configuration.md say where they are.`,
		Example: `  agenttrader dlq list --class poison --older 1h
  agenttrader dlq show 2070443601311540
  agenttrader dlq replay --user alice --dry-run
  agenttrader dlq drop --type tick --yes`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&app.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	c.AddCommand(app.listCommand(), app.showCommand(), app.replayCommand(), app.dropCommand())
	return c
}

// picking are the flags that pick letters.
type picking struct {
	filter deadletter.Filter
	limit  int
	all    bool
}

func (p *picking) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.filter.Class, "class", "", "poison (a service says why), exhausted (Pub/Sub gave up) or stray (neither put it there)")
	f.StringVar(&p.filter.Type, "type", "", "request, tick, change, unreadable, other, or an event's type in full")
	f.StringVar(&p.filter.User, "user", "", "the id of the user whom it is about")
	f.StringVar(&p.filter.Reason, "reason", "", "a part of the reason, in any case")
	f.DurationVar(&p.filter.Older, "older", 0, "buried longer ago than this, like 1h")
	f.IntVar(&p.limit, "limit", 0, "only so many, the oldest; 0: all")
}

func (p *picking) check() error {
	var errs []error
	if classes := []string{deadletter.Poison, deadletter.Exhausted, deadletter.Stray}; p.filter.Class != "" && !slices.Contains(classes, p.filter.Class) {
		errs = append(errs, fmt.Errorf("--class is %q: want %s", p.filter.Class, strings.Join(classes, ", ")))
	}
	kinds := []string{deadletter.Request, deadletter.Tick, deadletter.Change, deadletter.Unreadable, deadletter.Other}
	if t := p.filter.Type; t != "" && !slices.Contains(kinds, t) && !strings.Contains(t, ".") {
		errs = append(errs, fmt.Errorf("--type is %q: want %s, or a type in full, like com.agenttrader.tick.v1", t, strings.Join(kinds, ", ")))
	}
	if p.filter.Older < 0 {
		errs = append(errs, fmt.Errorf("--older is %s: want a duration from now back, like 1h", p.filter.Older))
	}
	if p.limit < 0 {
		errs = append(errs, fmt.Errorf("--limit is %d: want 0 (all) or more", p.limit))
	}
	return errors.Join(errs...)
}

// checkChosen refuses to touch everything only because nothing was said.
func (p *picking) checkChosen(verb string) error {
	switch {
	case p.all && !p.filter.Empty():
		return errors.New("--all goes with no id and no filter: leave one of them out")
	case !p.all && p.filter.Empty():
		return fmt.Errorf("%s which letters? Name their ids or a filter, or say --all; --dry-run shows what would happen", verb)
	}
	return p.check()
}

// review opens the desk, picks letters, and closes the desk after work is done with them: what is still held then is
// given back.
func (a *cli) review(c *cobra.Command, p *picking, work func(d *desk, letters []deadletter.Letter) error) (err error) {
	ctx := c.Context()
	d, err := a.open(ctx, a.project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	bar := tty.Bar(c.ErrOrStderr(), a.terminal(c.ErrOrStderr()), -1, "reading letters")
	letters, more, err := deadletter.Scan(ctx, d.box, func(n int) { _ = bar.Set(n) })
	_ = bar.Clear()
	if err != nil {
		return interrupted(ctx, err)
	}
	if more {
		note(c, "only the first %d letters were read and there are more: replay or drop some of these first", len(letters))
	}
	missing := p.filter.Unmatched(letters)
	now := d.now()
	letters = slices.DeleteFunc(letters, func(l deadletter.Letter) bool { return !p.filter.Match(l, now) })
	if p.limit > 0 && len(letters) > p.limit {
		note(c, "%d letters fit; --limit takes the oldest %d", len(letters), p.limit)
		letters = letters[:p.limit]
	}
	err = interrupted(ctx, work(d, letters))
	if len(missing) > 0 {
		err = errors.Join(err, fmt.Errorf("no letter has the id %s: 'agenttrader dlq list' shows the ids; what another review holds comes back within a minute of its end", tty.Escape(strings.Join(missing, ", "), 500)))
	}
	return err
}

func interrupted(ctx context.Context, err error) error {
	if err != nil && errors.Is(err, ctx.Err()) {
		return errors.New("interrupted: letters that were not replayed or dropped yet were given back")
	}
	return err
}

// note says something on standard error.
func note(c *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(c.ErrOrStderr(), format+"\n", args...)
}

func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
