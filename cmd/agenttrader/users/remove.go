package users

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// removed is what a removal did, for programs.
type removed struct {
	UserID    string         `json:"user_id"`
	Documents map[string]int `json:"documents"` // by path, ids left out
	Vaults    int            `json:"vaults"`
	Legacy    []string       `json:"legacy"`
	Shared    []string       `json:"legacy_shared"`
	Unnamed   string         `json:"legacy_unnamed,omitempty"`
	Exported  int            `json:"exported"`
	Damaged   []string       `json:"export_damaged,omitempty"` // copies of a migration that can't be read, exported as they are
	File      string         `json:"export_file,omitempty"`
	Roster    string         `json:"roster"`
}

const rosterNoted = "noted: the next tick takes the entry out"

func (a *cli) removeCommand() *cobra.Command {
	var export string
	var yes bool
	c := &cobra.Command{
		Use:   "remove USER",
		Short: "Remove a user with all that is theirs: documents, keys, roster entry",
		Long: `Disables the user, for good: from then on nothing of theirs is written any more. Then it takes the keys out of every vault, and
deletes all documents below users/USER, in collections that the platform does not know too, the predecessor's documents if they
are this user's and nobody else's (what names nobody is LEGACY_USER's, or whom a migration took for that), and at last the user's own document, and what a migration kept of them. The entry in the roster
goes with the next tick. Of a user who was migrated the id stays noted, so that a later migration brings nobody back.

--export writes all documents to a file first, a line of JSON each; keys are not among them. What is elsewhere stays: the keys at
Alpaca, the sign-in account, logs, dead letters, backups. Instances may remember the keys for SYNCER_KEY_TTL (1 hour), without
using them: give the id to nobody else before that.

It may be stopped at any moment, and run again. Exit status 1: not all is gone.`,
		Example: `  agenttrader users remove alice
  agenttrader users remove alice --export alice.jsonl
  agenttrader users remove alice --yes --json`,
		Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			return a.at(c, func(ctx context.Context, d *desk) error { return a.remove(ctx, c, d, args[0], export, yes) })
		},
	}
	c.Flags().StringVar(&export, "export", "", "write all documents to this file first")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *cli) remove(ctx context.Context, c *cobra.Command, d *desk, id, export string, yes bool) error {
	r, err := d.remover(ctx)
	if err != nil {
		return err
	}
	p, err := d.users.Profile(ctx, id)
	there := err == nil
	if err != nil && !errors.Is(err, user.ErrNotFound) { // else: perhaps something of theirs was left
		return err
	}
	if there {
		question := fmt.Sprintf("User %s (%s, %s) is removed with all that is theirs (%s).", id, dash(tty.Escape(p.Email, 80)), tty.Escape(string(p.Status), 40), tty.Escape(d.where, shown))
		switch {
		case yes:
		case !a.terminal(c.InOrStdin()):
			return fmt.Errorf("%s Nobody is here to be asked: say --yes", question)
		default:
			if err := tty.Confirm(ctx, c.InOrStdin(), c.ErrOrStderr(), question, id); err != nil {
				return err
			}
		}
	}
	done := removed{UserID: id, Documents: map[string]int{}, Roster: rosterNoted}
	if export != "" && there {
		done.File = export
		if done.Exported, done.Damaged, err = exportTo(ctx, export, id, r); err != nil {
			return missing(d, id, err)
		}
	}
	what, err := r.Remove(ctx, id)
	if errors.Is(err, user.ErrNotFound) {
		return fmt.Errorf("%w (%s): nothing of theirs was found", err, tty.Escape(d.where, shown))
	}
	if err != nil {
		return fmt.Errorf("user %s is disabled, and not all is gone (%s so far): run it again: %w", id, tty.Count(what.Total(), "document"), err)
	}
	for name, n := range what.Documents {
		done.Documents[full(name)] = n
	}
	done.Vaults, done.Legacy, done.Shared = what.Vaults, append([]string{}, what.Legacy...), append([]string{}, what.Shared...)
	done.Unnamed = what.Unnamed
	return a.tellRemoved(c, done)
}

// full is where a collection's documents are.
func full(collection string) string {
	switch collection {
	case "":
		return "users/{uid}"
	case "keyEnvelopes":
		return "keyEnvelopes/{uid}"
	case onboard.Copies:
		return collection
	}
	return "users/{uid}/" + collection
}

func (a *cli) tellRemoved(c *cobra.Command, r removed) error {
	if a.json {
		return tty.Encode(c.OutOrStdout(), r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "user %s is removed\n", r.UserID)
	if r.File != "" {
		fmt.Fprintf(&b, "  exported before  %s, to %s\n", tty.Count(r.Exported, "document"), tty.Escape(r.File, shown))
	}
	for _, path := range r.Damaged {
		fmt.Fprintf(&b, "  damaged          %s: what it keeps can't be read; it is in the export as it was\n", tty.Escape(path, shown))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Documents)) {
		fmt.Fprintf(&b, "  deleted          %d in %s\n", r.Documents[name], tty.Escape(name, shown))
	}
	for _, path := range r.Legacy {
		fmt.Fprintf(&b, "  deleted          %s\n", tty.Escape(path, shown))
	}
	for _, path := range r.Shared {
		fmt.Fprintf(&b, "  stays            %s: it is another user's too\n", tty.Escape(path, shown))
	}
	if r.Unnamed != "" {
		fmt.Fprintf(&b, "  stays            %s, and others like it: they name nobody. If they are this user's, run it again with LEGACY_USER=%s\n", tty.Escape(r.Unnamed, shown), r.UserID)
	}
	fmt.Fprintf(&b, "  keys             taken out of %s; delete them at Alpaca too\n  roster           %s\n", tty.Count(r.Vaults, "vault"), r.Roster)
	_, err := io.WriteString(c.OutOrStdout(), b.String())
	return err
}

// exportTo writes all of a user's documents to a file, which is there when it is whole. Of a removal that was stopped after its
// export the file is kept: by now there may be less to export.
func exportTo(ctx context.Context, path, id string, r *onboard.Remover) (n int, damaged []string, err error) {
	p, err := r.Begin(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	switch n, damaged, mine, err := exported(path, id, p); {
	case mine:
		return n, damaged, nil
	case err == nil:
		return 0, nil, fmt.Errorf("--export: %s is there already: name another file. User %s is disabled, and nothing was deleted", path, id)
	case !errors.Is(err, os.ErrNotExist):
		return 0, nil, fmt.Errorf("--export: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // for nobody else to read
	if err != nil {
		return 0, nil, fmt.Errorf("--export: %w: user %s is disabled, and nothing was deleted", err, id)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	_, err = r.Export(ctx, id, w)
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return 0, nil, fmt.Errorf("--export: %w: user %s is disabled, and nothing was deleted", err, id)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, nil, fmt.Errorf("--export: %w: user %s is disabled, and nothing was deleted", err, id)
	}
	n, damaged, _, err = exported(path, id, p)
	return n, damaged, err
}

// exported says whether a file is the export of this very removal, how many documents it has, and which are copies that can't be read.
func exported(path, id string, p user.Profile) (n int, damaged []string, mine bool, err error) {
	f, err := os.Open(path) //nolint:gosec // the caller's own
	if err != nil {
		return 0, nil, false, err
	}
	defer func() { _ = f.Close() }()
	var h onboard.Header
	lines := json.NewDecoder(bufio.NewReader(f))
	if lines.Decode(&h) != nil || h.ExportOf != id || !h.RemovedAt.Equal(p.RemovedAt) {
		return 0, nil, false, nil
	}
	for {
		var line struct {
			Path    string `json:"path"`
			Damaged string `json:"damaged"`
		}
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return n, damaged, true, nil
		case err != nil:
			return 0, nil, false, nil
		}
		if n++; line.Damaged != "" {
			damaged = append(damaged, line.Path)
		}
	}
}
