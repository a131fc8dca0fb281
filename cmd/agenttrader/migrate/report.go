package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/migration"
)

const (
	shownReason = 400 // bytes that people are shown
	shownRows   = 50
	keptRows    = 10_000 // of differences and of what is nobody's; all are counted
)

// report is a command in figures, as --json prints it.
type report struct {
	Command string `json:"command"`
	DryRun  bool   `json:"dry_run"`
	Users   int    `json:"users"`
	Created int    `json:"created"`
	Merged  int    `json:"merged"`
	There   int    `json:"there"`
	Removed int    `json:"removed"` // since; nothing was done

	Snapshots map[string]int `json:"snapshots"` // copied, copied_anew, same, newer, none
	Signals   map[string]int `json:"signals"`   // copied, told (an owner's word), same, newer, differs, left
	Pruned    int            `json:"pruned"`
	Restored  int            `json:"restored"`
	TakenBack int            `json:"taken_back"`

	Different   int          `json:"different"`
	Differences []difference `json:"differences"`
	Unclaimed   int          `json:"unclaimed"`
	Nobodys     []left       `json:"unclaimed_documents"`
	Failed      []failure    `json:"failed"`
	Faults      []string     `json:"faults"`

	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"users_per_second"`
}

// tally counts a report, safe for concurrent use.
type tally struct {
	report
	mu     sync.Mutex
	inARow int // failed for what may be the platform's trouble
	faulty map[string]bool
}

type difference struct {
	UserID string `json:"user_id"`
	Path   string `json:"path"`
	What   string `json:"what"`
}

type left struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type failure struct {
	UserID string `json:"user_id"`
	Reason string `json:"reason"`
}

func (r *tally) with(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

func (r *tally) user(d migration.Done) {
	r.with(func() {
		r.Users++
		*map[migration.Outcome]*int{migration.Created: &r.Created, migration.Merged: &r.Merged, migration.There: &r.There, migration.Removed: &r.Removed}[d.User]++
		if d.User != migration.Removed {
			r.Snapshots[map[migration.Match]string{migration.Missing: "copied", migration.Behind: "copied_anew", migration.Same: "same", migration.Newer: "newer", "": "none"}[d.Snapshot]]++
		}
	})
}

func (r *tally) signals(counts migration.Matches, gone bool, n int) {
	r.with(func() {
		if gone {
			r.Signals["left"] += n
		}
		for match, n := range counts {
			r.Signals[map[migration.Match]string{migration.Missing: "copied", migration.Behind: "told", migration.Same: "same", migration.Newer: "newer", migration.Differs: "differs"}[match]] += n
		}
	})
}

func (r *tally) compared(gone bool) {
	r.with(func() {
		if r.Users++; gone {
			r.Removed++
		}
	})
}

func (r *tally) comparedSignals(n int, gone bool) {
	r.with(func() { r.Signals[map[bool]string{true: "left", false: "compared"}[gone]] += n })
}

func (r *tally) pruned(n int) { r.with(func() { r.Pruned += n }) }

func (r *tally) back(b migration.Restored, err error) {
	r.with(func() {
		r.Users++
		r.Restored += b.Documents
		switch {
		case b.Removed:
			r.Removed++
		case err == nil:
			r.TakenBack++
		}
	})
}

func (r *tally) differ(list []migration.Difference) {
	r.with(func() {
		for _, d := range list {
			if r.Different++; len(r.Differences) < keptRows {
				r.Differences = append(r.Differences, difference(d))
			}
		}
	})
}

func (r *tally) unclaimed(path, why string) {
	r.with(func() {
		if r.Unclaimed++; len(r.Nobodys) < keptRows {
			r.Nobodys = append(r.Nobodys, left{path, why})
		}
	})
}

// ended notes a failure, a user's only once; enough says that going on is of no use.
func (r *tally) ended(uid string, err error) (enough bool) {
	r.with(func() {
		if err == nil {
			r.inARow = 0
			return
		}
		if r.faulty == nil {
			r.faulty = map[string]bool{}
		}
		if !r.faulty[uid] {
			r.faulty[uid] = true
			r.Failed = append(r.Failed, failure{uid, err.Error()})
		}
		if errors.Is(err, document.ErrUnavailable) || errors.Is(err, document.ErrDenied) || errors.Is(err, document.ErrConflict) {
			r.inARow++
			enough = r.inARow == giveUp
		}
	})
	return enough
}

func (r *tally) took(d time.Duration) {
	r.Seconds = float64(d.Milliseconds()) / 1000
	if d > 0 {
		r.PerSecond = float64(int(float64(r.Users)/d.Seconds()*10)) / 10
	}
}

// refuse is the end of a command whose input is wrong: a line each.
func (r *tally) refuse(c *cobra.Command, o options, f faults) error {
	r.Faults = f.lines
	for _, line := range f.lines {
		_, _ = fmt.Fprintln(c.ErrOrStderr(), tty.Escape(line, shownReason))
	}
	if more := f.n - len(f.lines); more > 0 {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "and %d more\n", more)
	}
	if o.json {
		if err := r.encode(c); err != nil {
			return err
		}
	}
	return fmt.Errorf("the list has %s: mend that and run it again; nothing was done", tty.Count(f.n, "fault"))
}

func (r *tally) encode(c *cobra.Command) error {
	r.Faults, r.Failed = append([]string{}, r.Faults...), append([]failure{}, r.Failed...) // [] where there are none, not null
	r.Differences, r.Nobodys = append([]difference{}, r.Differences...), append([]left{}, r.Nobodys...)
	return tty.Encode(c.OutOrStdout(), r.report)
}

// tell reports what was done, and ends with an error if not all was.
func (r *tally) tell(c *cobra.Command, d *desk, o options, stopped error) error {
	slices.SortFunc(r.Failed, func(a, b failure) int { return strings.Compare(a.UserID, b.UserID) })
	slices.SortFunc(r.Differences, func(a, b difference) int { return strings.Compare(a.Path+a.What, b.Path+b.What) })
	slices.SortFunc(r.Nobodys, func(a, b left) int { return strings.Compare(a.Path, b.Path) })
	var err error
	if o.json {
		err = r.encode(c)
	} else {
		err = r.tables(c)
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "%s%s (%s)\n", map[bool]string{true: "nothing was changed, it would be: "}[r.DryRun], r, tty.Escape(d.where, shownReason))
	switch {
	case err != nil:
		return err
	case stopped != nil && errors.Is(stopped, c.Context().Err()):
		return errors.New("interrupted: run it again, and what is done is left alone")
	case stopped != nil:
		return stopped
	case r.Command == "rollback" && len(r.Failed) > 0:
		return fmt.Errorf("left as before: %d of %s: see why; --force takes back what was changed since, too", len(r.Failed), tty.Count(r.Users, "user"))
	case len(r.Failed) > 0:
		return fmt.Errorf("%s failed: see why, and run it again", tty.Count(len(r.Failed), "user"))
	case r.Different > 0:
		return fmt.Errorf("%s as it should not be: agenttrader migrate run copies what is missing or older", tty.Count(r.Different, "document"))
	}
	return nil
}

// tables are for people: what needs a person.
func (r *tally) tables(c *cobra.Command) error {
	var failed, differ, nobodys [][]string
	for _, f := range r.Failed {
		failed = append(failed, []string{f.UserID, f.Reason})
	}
	for _, d := range r.Differences {
		differ = append(differ, []string{d.Path, d.What})
	}
	for _, u := range r.Nobodys {
		nobodys = append(nobodys, []string{u.Path, u.Why})
	}
	for _, t := range []struct {
		head []string
		rows [][]string
		n    int
	}{
		{[]string{"USER", "WHY"}, failed, len(failed)},
		{[]string{"DOCUMENT", "DIFFERENCE"}, differ, r.Different},
		{[]string{"NOBODY'S, LEFT ALONE", "WHY"}, nobodys, r.Unclaimed},
	} {
		if t.n == 0 {
			continue
		}
		rows := [][]string{t.head}
		for _, row := range t.rows[:min(len(t.rows), shownRows)] {
			rows = append(rows, []string{tty.Escape(row[0], shownReason), tty.Escape(row[1], shownReason)})
		}
		if more := t.n - (len(rows) - 1); more > 0 {
			rows = append(rows, []string{fmt.Sprintf("and %d more", more), "--json has them"})
		}
		if err := tty.Table(c.OutOrStdout(), 0, rows); err != nil {
			return err
		}
	}
	return nil
}

// String is the report in a line.
func (r *tally) String() string {
	var s string
	switch r.Command {
	case "rollback":
		s = fmt.Sprintf("%s: %d taken back, %d removed since, %d left as before; %s put back", tty.Count(r.Users, "user"), r.TakenBack, r.Removed, len(r.Failed), tty.Count(r.Restored, "old document"))
	case "verify":
		s = fmt.Sprintf("%s compared, %d of them removed since; %s; %s; %s, %d nobody's", tty.Count(r.Users, "user"), r.Removed,
			tty.Count(r.Signals["compared"], "signal"), tty.Count(r.Pruned, "pruned document"), tty.Count(r.Different, "difference"), r.Unclaimed)
	default:
		s = fmt.Sprintf("%s: %d created, %d completed, %d were there, %d removed since; snapshots: %d copied, %d anew, %d the same, %d newer; signals: %d copied, %d told of the owner's word, %d as they should be; %d pruned; %d failed, %d nobody's",
			tty.Count(r.Users, "user"), r.Created, r.Merged, r.There, r.Removed, r.Snapshots["copied"], r.Snapshots["copied_anew"], r.Snapshots["same"], r.Snapshots["newer"],
			r.Signals["copied"], r.Signals["told"], r.Signals["same"]+r.Signals["newer"], r.Pruned, len(r.Failed), r.Unclaimed)
	}
	return fmt.Sprintf("%s; %.1f s, %.0f users a second", s, r.Seconds, r.PerSecond)
}
