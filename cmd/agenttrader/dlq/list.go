package dlq

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/deadletter"
)

// What is shown to people at most, in bytes.
const (
	shownCell  = 300
	shownText  = 2 << 10
	shownData  = 4 << 10
	shownBytes = 256 // of data that is no text
	shownPairs = 100
)

func (a *cli) listCommand() *cobra.Command {
	var p picking
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the dead letters, oldest first",
		Example: `  agenttrader dlq list
  agenttrader dlq list --type request --reason 'broker_env' --limit 20
  agenttrader dlq list --json | jq -r .user_id | sort | uniq -c`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			return a.review(c, &p, func(d *desk, letters []deadletter.Letter) error {
				if asJSON {
					for _, l := range letters {
						if err := tty.Encode(c.OutOrStdout(), lineOf(l, false)); err != nil {
							return err
						}
					}
					return nil
				}
				if len(letters) == 0 {
					note(c, "no letters (%s)", tty.Escape(d.where, shownCell))
					return nil
				}
				if err := a.table(c, d, letters); err != nil {
					return err
				}
				note(c, "%s (%s)", counted(len(letters)), tty.Escape(d.where, shownCell))
				return nil
			})
		},
	}
	p.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, without the data, and nothing else on standard output")
	return c
}

func (a *cli) table(c *cobra.Command, d *desk, letters []deadletter.Letter) error {
	rows := [][]string{{"ID", "AGE", "CLASS", "TYPE", "USER", "REASON"}}
	for _, l := range letters {
		rows = append(rows, []string{
			tty.Escape(l.ID, shownCell), ago(l.Age(d.now())), tty.Escape(l.Class, 20), l.Kind, dash(l.UserID), tty.Escape(l.Reason, shownCell),
		})
	}
	return tty.Table(c.OutOrStdout(), tty.Width(c.OutOrStdout(), a.terminal), rows)
}

func (a *cli) showCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of a dead letter",
		Long:  "Shows the letters with this id: the letter's own, or that of the event in it, which may be in several letters.",
		Example: `  agenttrader dlq show 2070443601311540
  agenttrader dlq show 20261124T0930Z/alice --json | jq -r .data`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p := picking{filter: deadletter.Filter{IDs: args}}
			return a.review(c, &p, func(d *desk, letters []deadletter.Letter) error {
				for i, l := range letters {
					var err error
					switch {
					case asJSON:
						err = tty.Encode(c.OutOrStdout(), lineOf(l, true))
					case i > 0:
						_, err = fmt.Fprintf(c.OutOrStdout(), "\n%s", describe(l, d.now()))
					default:
						_, err = fmt.Fprint(c.OutOrStdout(), describe(l, d.now()))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a letter, with all of its data")
	return c
}

// describe is a letter for people.
func describe(l deadletter.Letter, now time.Time) string {
	var b strings.Builder
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-13s %s\n", name, tty.Escape(value, shownText))
		}
	}
	say("letter", l.ID)
	say("class", l.Class)
	say("reason", l.Reason)
	say("buried", fmt.Sprintf("%s (%s ago) by %s", stamp(l.Buried), ago(l.Age(now)), dash(l.By)))
	say("subscription", l.Subscription)
	say("message", l.MessageID)
	say("published", stamp(l.Published))
	say("event", l.EventID)
	say("type", l.Type)
	say("source", l.Source)
	say("subject", l.Subject)
	say("user", l.UserID)
	say("replay of", l.ReplayOf)
	attributes := attributesOf(l)
	for i, k := range slices.Sorted(maps.Keys(attributes)) {
		if i == shownPairs {
			fmt.Fprintf(&b, "  and %d attributes more: --json shows them\n", len(attributes)-i)
			break
		}
		if i == 0 {
			b.WriteString("attributes\n")
		}
		fmt.Fprintf(&b, "  %s: %s\n", tty.Escape(k, shownCell), tty.Escape(attributes[k], shownText))
	}
	fmt.Fprintf(&b, "data          %d bytes\n", len(l.Data))
	shown := shownData
	if utf8.Valid(l.Data) {
		for line := range strings.SplitSeq(strings.TrimSuffix(string(l.Data[:min(len(l.Data), shown)]), "\n"), "\n") {
			fmt.Fprintf(&b, "  %s\n", tty.Escape(line, shownData))
		}
	} else {
		shown = shownBytes
		for line := range strings.Lines(hex.Dump(l.Data[:min(len(l.Data), shown)])) {
			b.WriteString("  " + line)
		}
	}
	if len(l.Data) > shown {
		fmt.Fprintf(&b, "  … %d bytes more: --json shows them\n", len(l.Data)-shown)
	}
	return b.String()
}

// line is a letter for programs.
type line struct {
	ID           string            `json:"id"`
	BuriedAt     string            `json:"buried_at"`
	BuriedBy     string            `json:"buried_by,omitempty"`
	Class        string            `json:"class"`
	Reason       string            `json:"reason"`
	Kind         string            `json:"kind"`
	EventID      string            `json:"event_id,omitempty"`
	Type         string            `json:"type,omitempty"`
	Source       string            `json:"source,omitempty"`
	Subject      string            `json:"subject,omitempty"`
	UserID       string            `json:"user_id,omitempty"`
	Subscription string            `json:"subscription,omitempty"`
	MessageID    string            `json:"message_id,omitempty"`
	PublishedAt  string            `json:"published_at,omitempty"`
	Attempts     int               `json:"attempts,omitempty"`
	ReplayOf     string            `json:"replay_of,omitempty"`
	Attributes   map[string]string `json:"attributes,omitempty"`
	Size         int               `json:"size"`
	Data         string            `json:"data,omitempty"`        // text in UTF-8
	Base64       []byte            `json:"data_base64,omitempty"` // anything else
}

func lineOf(l deadletter.Letter, data bool) line {
	out := line{
		ID: l.ID, BuriedAt: stamp(l.Buried), BuriedBy: l.By, Class: l.Class, Reason: l.Reason, Kind: l.Kind, EventID: l.EventID,
		Type: l.Type, Source: l.Source, Subject: l.Subject, UserID: l.UserID, Subscription: l.Subscription, MessageID: l.MessageID,
		PublishedAt: stamp(l.Published), Attempts: l.Attempts, ReplayOf: l.ReplayOf, Attributes: attributesOf(l), Size: len(l.Data),
	}
	switch {
	case data && utf8.Valid(l.Data):
		out.Data = string(l.Data)
	case data:
		out.Base64 = l.Data
	}
	return out
}

// attributesOf is all that is known of the original's attributes.
func attributesOf(l deadletter.Letter) map[string]string {
	m := map[string]string{}
	maps.Copy(m, l.Others)
	maps.Copy(m, l.Attributes)
	return m
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func counted(n int) string {
	if n == 1 {
		return "1 letter"
	}
	return fmt.Sprintf("%d letters", n)
}
