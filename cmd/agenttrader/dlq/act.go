package dlq

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/deadletter"
)

// dropAtOnce is how many letters are acknowledged in one call.
const dropAtOnce = 500

func (a *cli) replayCommand() *cobra.Command {
	var p picking
	var dry bool
	var changes string
	c := &cobra.Command{
		Use:   "replay [ID…]",
		Short: "Send dead letters again: a stale sync request as a fresh one",
		Long: `A sync request that is still young goes out as it was. Of stale ones, a user gets one fresh request of the current tick,
made from the user's document as it is now; users who are gone or not active get none. A document's change goes to
--changes-topic. Ticks and what can't be understood are not replayed: drop them.

A letter is taken out only after its replacement was published. A crash in between replays it twice, which does no harm.

Exit status 1: a replay failed, a letter named by its id was not replayed, or none of those picked was.`,
		Example: `  agenttrader dlq replay --type request --dry-run
  agenttrader dlq replay 2070443601311540
  agenttrader dlq replay --class exhausted --type change --changes-topic eventarc-us-central1-snapshots-123`,
		RunE: func(c *cobra.Command, ids []string) error {
			p.filter.IDs = ids
			if err := p.checkChosen("replay"); err != nil {
				return err
			}
			if changes != "" && !topicForm.MatchString(changes) {
				return fmt.Errorf("--changes-topic is %.200q: want a topic's id, or projects/PROJECT/topics/ID", changes)
			}
			return a.review(c, &p, func(d *desk, letters []deadletter.Letter) error {
				return a.replay(c, d, letters, changes, dry, len(ids) > 0)
			})
		},
	}
	p.flags(c)
	f := c.Flags()
	f.BoolVar(&p.all, "all", false, "every letter")
	f.BoolVar(&dry, "dry-run", false, "say what would become of each letter, and do nothing")
	f.StringVar(&changes, "changes-topic", "", "where change events go: the transport topic of the Eventarc trigger")
	return c
}

func (a *cli) replay(c *cobra.Command, d *desk, letters []deadletter.Letter, changes string, dry, named bool) error {
	ctx := c.Context()
	if len(letters) == 0 {
		note(c, "no letter fits (%s)", tty.Escape(d.where, shownCell))
		return nil
	}
	r := &deadletter.Replayer{Box: d.box, Now: d.now, DryRun: dry}
	var err error
	if r.Users, err = d.users(ctx); err == nil && !dry {
		if r.Requests, err = d.topic(ctx, d.requests); err == nil && changes != "" {
			r.Changes, err = d.topic(ctx, changes)
		}
	}
	if err != nil {
		return err
	}
	t := tally{rows: [][]string{{"ID", "TYPE", "USER", "RESULT", "WHY"}}}
	bar := tty.Bar(c.ErrOrStderr(), a.terminal(c.ErrOrStderr()), len(letters), "replaying")
	stopped := r.Run(ctx, deadletter.Plan(letters, d.now(), changes != ""), func(o deadletter.Outcome) {
		t.add(o)
		_ = bar.Add(1)
	})
	_ = bar.Clear()
	if len(t.rows) > 1 {
		err = tty.Table(c.OutOrStdout(), tty.Width(c.OutOrStdout(), a.terminal), t.rows)
	}
	note(c, "%s%s (%s)", map[bool]string{true: "dry run, nothing was done: "}[dry], t.String(), tty.Escape(d.where, shownCell))
	switch {
	case err != nil || stopped != nil:
		return errors.Join(err, stopped)
	case t.failed > 0:
		return fmt.Errorf("%s of %d failed and are still there", counted(t.failed), len(letters))
	case t.skipped > 0 && (named || t.skipped == len(letters)):
		return fmt.Errorf("%s of %d not replayed: the table says why", counted(t.skipped), len(letters))
	}
	return nil
}

// tally counts outcomes.
type tally struct {
	rows                           [][]string
	asWere, fresh, skipped, failed int
	users                          map[string]bool
}

func (t *tally) add(o deadletter.Outcome) {
	result, why := string(o.Action), o.Why
	switch {
	case o.Err != nil:
		t.failed++
		result, why = "FAILED", o.Err.Error()
	case o.Action == deadletter.Skip:
		t.skipped++
	case o.Action == deadletter.Fresh:
		t.fresh++
		if t.users == nil {
			t.users = map[string]bool{}
		}
		t.users[o.Letter.UserID] = true
	default:
		t.asWere++
	}
	t.rows = append(t.rows, []string{tty.Escape(o.Letter.ID, shownCell), o.Letter.Kind, dash(o.Letter.UserID), result, tty.Escape(why, shownCell)})
}

func (t *tally) String() string {
	return fmt.Sprintf("%d replayed as they were, %d by fresh requests for %d users, %d not replayed, %d failed", t.asWere, t.fresh, len(t.users), t.skipped, t.failed)
}

func (a *cli) dropCommand() *cobra.Command {
	var p picking
	var dry, yes bool
	c := &cobra.Command{
		Use:   "drop [ID…]",
		Short: "Throw dead letters away for good",
		Long:  "Lists the letters that were picked, asks, and throws them away. Where nobody can be asked, --yes is needed.",
		Example: `  agenttrader dlq drop --type tick --older 1h --dry-run
  agenttrader dlq drop 2070443601311540 --yes`,
		RunE: func(c *cobra.Command, ids []string) error {
			p.filter.IDs = ids
			if err := p.checkChosen("drop"); err != nil {
				return err
			}
			if !dry && !yes && !a.terminal(c.InOrStdin()) {
				return errors.New("drop throws letters away for good: say --yes, since standard input is no terminal to ask at; --dry-run shows what would go")
			}
			return a.review(c, &p, func(d *desk, letters []deadletter.Letter) error {
				if len(letters) == 0 {
					note(c, "no letter fits (%s)", tty.Escape(d.where, shownCell))
					return nil
				}
				if err := a.table(c, d, letters); err != nil {
					return err
				}
				if dry {
					note(c, "dry run, nothing was done: %s would be dropped (%s)", counted(len(letters)), tty.Escape(d.where, shownCell))
					return nil
				}
				if !yes {
					ok, err := confirm(c.Context(), c.InOrStdin(), c.ErrOrStderr(), fmt.Sprintf("Drop %s for good (%s)?", counted(len(letters)), tty.Escape(d.where, shownCell)))
					if err != nil || !ok {
						return errors.Join(err, errors.New("nothing was dropped"))
					}
				}
				return a.drop(c, d, letters)
			})
		},
	}
	p.flags(c)
	f := c.Flags()
	f.BoolVar(&p.all, "all", false, "every letter")
	f.BoolVar(&dry, "dry-run", false, "list what would be dropped, and do nothing")
	f.BoolVar(&yes, "yes", false, "don't ask")
	return c
}

func (a *cli) drop(c *cobra.Command, d *desk, letters []deadletter.Letter) error {
	bar := tty.Bar(c.ErrOrStderr(), a.terminal(c.ErrOrStderr()), len(letters), "dropping")
	defer func() { _ = bar.Clear() }()
	for done := 0; done < len(letters); {
		part := letters[done:min(done+dropAtOnce, len(letters))]
		ids := make([]string, len(part))
		for i, l := range part {
			ids[i] = l.ID
		}
		if err := d.box.Ack(c.Context(), ids...); err != nil {
			return errors.Join(fmt.Errorf("%d of %s dropped", done, counted(len(letters))), err)
		}
		done += len(part)
		_ = bar.Add(len(part))
	}
	note(c, "%s dropped (%s)", counted(len(letters)), tty.Escape(d.where, shownCell))
	return nil
}

// confirm takes y or yes for a yes. It gives up when ctx ends.
func confirm(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	if _, err := fmt.Fprintf(out, "%s [y/N] ", question); err != nil {
		return false, err
	}
	answers := make(chan string, 1)
	go func() { // it ends with the process: a read from a terminal can't be cut short
		s, _ := bufio.NewReader(in).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(s))
	}()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case s := <-answers:
		return s == "y" || s == "yes", nil
	}
}
