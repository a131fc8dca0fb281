// Package explain is `agenttrader explain`: it shows what was decided, on what, and why.
package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// Command is `agenttrader explain`.
func Command() *cobra.Command { return command(openCloud, tty.IsTerminal) }

// desk is what the command works with.
type desk struct {
	where   string // for people
	records records
	back    int // days that are looked at
	now     func() time.Time
	close   func() error
}

type records interface {
	risk.Records
	user.Finder
	Snapshot(ctx context.Context, userID string) (account.Snapshot, error)
	Signal(ctx context.Context, userID, signalID string) (signal.Signal, error)
}

func openCloud(ctx context.Context, project string) (*desk, error) {
	cfg := signaler.DefaultConfig() // SIGNALER_DECISION_TTL
	p, err := cloud.Open(project, &cfg)
	if err != nil {
		return nil, err
	}
	s, err := p.Store(ctx)
	if p.Opened(&err); err != nil {
		return nil, err
	}
	return &desk{where: p.String(), records: s, back: lookBack(cfg.DecisionTTL), now: time.Now, close: p.Close}, nil
}

// options are the flags.
type options struct {
	project  string
	user     string
	signal   string
	at       string
	strategy string
	limit    int
	json     bool
	replay   bool
	when     time.Time
}

// lookBack is how many days are looked at where records are kept so long; at least those of the default, 30, for the ones from
// before it was set.
func lookBack(ttl time.Duration) int { return max(30, int((ttl+day-1)/day)) + 1 }

const day = 24 * time.Hour

// Validate names every fault.
func (o *options) Validate() error {
	var errs []error
	if err := user.CheckID(o.user); err != nil {
		errs = append(errs, fmt.Errorf("--user: %w", err))
	}
	if o.signal != "" && o.at != "" {
		errs = append(errs, errors.New("--signal and --at: leave one of them out"))
	}
	if o.signal != "" && document.CheckID(o.signal) != nil {
		errs = append(errs, fmt.Errorf("--signal is %.80q: want the id of a signal or of a decision", o.signal))
	}
	if o.at != "" {
		var err error
		if o.when, err = parse(o.at); err != nil {
			errs = append(errs, err)
		}
	}
	if o.limit < 1 || o.limit > 1000 {
		errs = append(errs, fmt.Errorf("--limit is %d: want 1 to 1000", o.limit))
	}
	if o.replay && o.signal == "" && o.at == "" {
		errs = append(errs, errors.New("--replay: which decision? Name it by --signal or --at"))
	}
	return errors.Join(errs...)
}

func parse(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	t, err := tick.Parse(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at is %.40q: want a time like 2026-11-24T09:30:12Z or 20261124T0930Z", s)
	}
	return t.Time().Add(time.Minute - 1), nil // all of the minute
}

func command(open func(context.Context, string) (*desk, error), terminal func(any) bool) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "explain --user U [--signal S | --at TIME]",
		Short: "Show what was decided for a user, on what, and why",
		Long: `Shows one decision: the snapshot and the market data that it was made on, what the strategy wanted, each limit with its value,
its bound and how far it still was, and what came of it. With --signal it is the one that the signal came of, denials included;
with --at the last one up to a time. With neither, the latest decisions are listed.

A decision that came to neither signal nor denial is kept only if somebody asked for it ('signal generate'), and what is kept
goes after SIGNALER_DECISION_TTL: so far back is looked. GCP_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST say where it is read. No decision
holds a key.`,
		Example: `  agenttrader explain --user alice
  agenttrader explain --user alice --signal 85fd92320a42c245a9e602daa6e01576
  agenttrader explain --user alice --strategy half --at 2026-11-24T21:00:00Z --replay
  agenttrader explain --user alice --at 20261124T2100Z --json | jq '.verdicts[].checks[] | select(.code)'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := o.Validate(); err != nil {
				return err
			}
			d, err := open(c.Context(), o.project)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.close()) }()
			p := page{desk: d, options: o, out: c.OutOrStdout(), errs: c.ErrOrStderr(), width: tty.Width(c.OutOrStdout(), terminal)}
			if o.signal == "" && o.at == "" {
				return p.list(c.Context())
			}
			r, err := p.find(c.Context())
			if err != nil {
				return err
			}
			return p.show(r)
		},
	}
	f := c.Flags()
	f.StringVar(&o.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.StringVar(&o.user, "user", "", "the user's id (required)")
	f.StringVar(&o.signal, "signal", "", "the id of a signal or denial, or of a decision")
	f.StringVar(&o.at, "at", "", "the last decision up to a time, UTC: 2026-11-24T09:30:12Z or 20261124T0930Z")
	f.StringVar(&o.strategy, "strategy", "", "only of this strategy, by id")
	f.IntVar(&o.limit, "limit", 20, "of the list: only so many, the latest")
	f.BoolVar(&o.json, "json", false, "one JSON object for each decision, and nothing else on standard output")
	f.BoolVar(&o.replay, "replay", false, "decide again by this program, and say what it would do otherwise")
	return c
}

// find is the record that the flags name.
func (p *page) find(ctx context.Context) (risk.Record, error) {
	if p.at != "" {
		last, err := p.latest(ctx, p.when, 1)
		if err != nil {
			return risk.Record{}, err
		}
		if len(last) == 0 {
			if err := p.nobody(ctx); err != nil {
				return risk.Record{}, err
			}
			return risk.Record{}, fmt.Errorf("user %s has no decision in the %d days up to %s%s: 'agenttrader explain --user %s' lists the latest", p.user, p.back, stamp(p.when), p.only(), p.user)
		}
		return p.records.Decision(ctx, p.user, last[0].ID)
	}
	id := p.signal
	s, err := p.records.Signal(ctx, p.user, p.signal)
	switch {
	case err == nil:
		id = signal.RunID(p.user, s.StrategyID, s.Cause)
	case !errors.Is(err, document.ErrNotFound):
		return risk.Record{}, err
	}
	r, gone := p.records.Decision(ctx, p.user, id)
	switch {
	case errors.Is(gone, risk.ErrNoRecord) && err == nil:
		return r, fmt.Errorf("of signal %s no record is kept any longer, or it is older than records are: SIGNALER_DECISION_TTL says how long they stay. Strategy %s decided it for %s: %s", tty.Escape(p.signal, 80), tty.Escape(s.StrategyID, 80), tty.Escape(s.Cause, 80), tty.Escape(s.Reason, 300))
	case errors.Is(gone, risk.ErrNoRecord):
		if err := p.nobody(ctx); err != nil {
			return r, err
		}
		return r, fmt.Errorf("user %s has no signal and no decision %s: 'agenttrader explain --user %s' lists the latest", p.user, tty.Escape(p.signal, 80), p.user)
	}
	return r, gone
}

// nobody says that there is no such user, where nothing was found. One of the predecessor's may have a snapshot and no document.
func (p *page) nobody(ctx context.Context) error {
	_, err := p.records.User(ctx, p.user)
	if !errors.Is(err, user.ErrNotFound) {
		return err
	}
	if _, err := p.records.Snapshot(ctx, p.user); !errors.Is(err, account.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("there is no user %s (%s)", p.user, tty.Escape(p.where, 300))
}

func (p *page) only() string {
	if p.strategy == "" {
		return ""
	}
	return " of strategy " + tty.Escape(p.strategy, 80)
}

// latest are the last decisions up to a time, the latest first.
func (p *page) latest(ctx context.Context, until time.Time, n int) (found []risk.Record, err error) {
	for days := 0; days < p.back && len(found) < n; days++ {
		all, err := p.records.DecisionsOn(ctx, p.user, until.AddDate(0, 0, -days))
		if err != nil {
			return nil, err
		}
		for _, r := range slices.Backward(all) {
			if !r.At.After(until) && (p.strategy == "" || r.StrategyID == p.strategy) && len(found) < n {
				found = append(found, r)
			}
		}
	}
	return found, nil
}

// row is a decision in a list, for programs.
type row struct {
	ID         string   `json:"id"`
	DecidedAt  string   `json:"decided_at"`
	StrategyID string   `json:"strategy_id"`
	Cause      string   `json:"cause"`
	Outcome    []string `json:"outcome"`
	Signals    []string `json:"signals"`
	ExpireAt   string   `json:"expire_at"`
}

func (p *page) list(ctx context.Context) error {
	found, err := p.latest(ctx, p.now(), p.limit)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if err := p.nobody(ctx); err != nil {
			return err
		}
	}
	if p.json {
		for _, r := range found {
			if err := tty.Encode(p.out, row{r.ID, stamp(r.At), r.StrategyID, r.Cause, r.Outcome, r.Signals, stamp(r.ExpireAt)}); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		p.note("user %s has no decision of the last %d days%s (%s): what comes to neither signal nor denial is kept only if somebody asked for it", p.user, p.back, p.only(), tty.Escape(p.where, 300))
		return nil
	}
	rows := [][]string{{"DECISION", "AT", "STRATEGY", "CAUSE", "OUTCOME"}}
	for _, r := range found {
		rows = append(rows, []string{r.ID, stamp(r.At), tty.Escape(r.StrategyID, 60), tty.Escape(r.Cause, 60), tty.Escape(cmp.Or(strings.Join(r.Outcome, ", "), "nothing"), 300)})
	}
	return tty.Table(p.out, p.width, rows)
}

// whole is a decision for programs.
type whole struct {
	ID       string `json:"id"`
	ExpireAt string `json:"expire_at"`
	*decision.Record
	Replayed *decision.Outcome `json:"replayed,omitempty"`
	Same     *bool             `json:"replayed_same,omitempty"`
}
