// Package demand is `agenttrader signal`: signals that somebody asks for.
package demand

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/services/signaler"
	signalercloud "github.com/agenttrader/agenttrader/services/signaler/cloud"
)

// Command is `agenttrader signal`.
func Command() *cobra.Command { return command(openCloud, tty.IsTerminal) }

// desk is what the command works with.
type desk struct {
	where     string // for people
	generator generator
	close     func() error
}

type generator interface {
	Generate(ctx context.Context, d signaler.Demand) ([]signaler.Made, error)
}

// openCloud makes a signaler of the project, by the environment of the service.
func openCloud(ctx context.Context, project string, log *slog.Logger) (*desk, error) {
	settings, err := signalercloud.Read(cloud.Environ(os.Environ(), project))
	if err != nil {
		return nil, err
	}
	c := gcp.Open(settings.Project)
	service, err := settings.Open(ctx, c, log, nil)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &desk{where: "project " + settings.Project.ProjectID(), generator: service, close: func() error { return c.CloseWithin(cloud.CloseLimit) }}, nil
}

func command(open func(context.Context, string, *slog.Logger) (*desk, error), terminal func(any) bool) *cobra.Command {
	c := &cobra.Command{
		Use:     "signal",
		Short:   "Ask for a trading signal: generate",
		Example: "  agenttrader signal generate --user alice --symbol SPY",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(generateCommand(open, terminal))
	return c
}

// result is what came of a demand, for programs.
type result struct {
	UserID string          `json:"user_id"`
	Symbol string          `json:"symbol"`
	Made   []signaler.Made `json:"made"`
}

func generateCommand(open func(context.Context, string, *slog.Logger) (*desk, error), terminal func(any) bool) *cobra.Command {
	var d signaler.Demand
	var project string
	var asJSON bool
	c := &cobra.Command{
		Use:   "generate --user U --symbol S",
		Short: "Run the user's strategies that trade a symbol, now",
		Long: `Runs the user's enabled strategies that have the symbol among theirs, on the stored snapshot, and keeps of what they want what
is about it. It is judged, reserved and kept as anything that the signaler decides: 'agenttrader explain' shows it. A denial is
an answer, and no error. A strategy that only acts on its schedule (dca) wants nothing.

--context is told to models, after the context of the strategy's owner: up to 1,000 bytes together, no keys and no e-mail
addresses. With --id the demand has a name: asked again, in whatever words, it signals nothing more and answers what it did the
first time, nothing included, for as long as decisions are kept (SIGNALER_DECISION_TTL). It takes the signaler's environment (docs/configuration.md), for market data and the model too.

Exit status 1: a strategy could not be run, or has a document that can't be; what came of the others is shown.`,
		Example: `  agenttrader signal generate --user alice --symbol SPY
  agenttrader signal generate --user alice --symbol SPY --context 'the Fed meets today' --strategy model --id fed-2026-11
  agenttrader signal generate --user alice --symbol SPY --json | jq '.made[].signals[]'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			d.Symbol = strings.ToUpper(strings.TrimSpace(d.Symbol))
			if err := d.Validate(); err != nil {
				return err
			}
			desk, err := open(c.Context(), project, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, desk.close()) }()
			made, err := desk.generator.Generate(c.Context(), d)
			if len(made) == 0 && err != nil {
				return err
			}
			if asJSON {
				return errors.Join(tty.Encode(c.OutOrStdout(), result{UserID: d.UserID, Symbol: d.Symbol, Made: made}), err)
			}
			return errors.Join(tty.Table(c.OutOrStdout(), tty.Width(c.OutOrStdout(), terminal), rows(made)), err)
		},
	}
	f := c.Flags()
	f.StringVar(&project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	f.StringVar(&d.UserID, "user", "", "the user's id (required)")
	f.StringVar(&d.Symbol, "symbol", "", "the symbol, like SPY (required)")
	f.StringVar(&d.Context, "context", "", "what models are told of the market")
	f.StringVar(&d.StrategyID, "strategy", "", "only this strategy, by id")
	f.StringVar(&d.ID, "id", "", "the demand's name: a repeat signals nothing more")
	f.BoolVar(&asJSON, "json", false, "one JSON object, and nothing else on standard output")
	return c
}

func rows(made []signaler.Made) [][]string {
	out := [][]string{{"SIGNAL", "STRATEGY", "WHAT", "REASON"}}
	for _, m := range made {
		again := ""
		if m.Repeated {
			again = " (asked before)"
		}
		if len(m.Signals) == 0 {
			out = append(out, []string{"-", tty.Escape(m.StrategyID, 60), "nothing" + again, "it wants nothing to be done"})
		}
		for _, s := range m.Signals {
			what := fmt.Sprintf("%s %s %s", s.Action, s.Symbol, account.Cents(s.Notional))
			if s.DenialCode != "" {
				what = fmt.Sprintf("%s %s", s.Action, s.DenialCode)
			}
			out = append(out, []string{s.ID, tty.Escape(m.StrategyID, 60), what + again, tty.Escape(s.Reason, 500)})
		}
	}
	return out
}
