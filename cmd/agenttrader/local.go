package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

func localCommand() *cobra.Command {
	var opts local.Options
	var latency, duplicate, reorder, executor, logLevel, bars, tracedShare string
	var faults []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "local",
		Short: "Run the whole platform in this process, on a simulated broker",
		Long: `Runs fanout, syncer and signaler behind real HTTP on loopback, with in-memory twins of Firestore, Pub/Sub and
Secret Manager and a simulated Alpaca. Each tick is one minute of the platform's clock, --interval apart in real time.

Exit status 0 means that nothing was lost, nothing happened twice and no buying power was spent twice; Ctrl-C drains and
still prints the result.`,
		Example: `  # a look: 25 users, five ticks, two seconds apart
  agenttrader local --ticks 5 --interval 2s

  # 10,000 users, a slow broker, every tenth event delivered twice
  agenttrader local --users 10000 --ticks 3 --interval 10s --broker-latency 50ms --duplicate 10% --json

  # two of a hundred users with a bad key, one with a broker that never answers
  agenttrader local --users 100 --ticks 3 --interval 15s --fault 401=2% --fault hang=1%

  # on the official Firestore emulator
  agenttrader local --firestore=emulator --users 200 --ticks 3 --interval 10s --duplicate 10% --json

  # traces and metrics, to Jaeger or an OpenTelemetry collector on this machine
  agenttrader local --users 10 --ticks 3 --interval 2s --otlp http://127.0.0.1:4318

  # two hours of your own prices: the columns are symbol,timeframe,t,o,h,l,c,v
  agenttrader local --bars prices.csv --ticks 120 --interval 1s

  # your own Alpaca paper account, every minute until Ctrl-C
  agenttrader local --users-file keys.json --alpaca-url https://paper-api.alpaca.markets --alpaca-data-url https://data.alpaca.markets`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if opts.Latency, err = sim.ParseLatency(latency); err != nil {
				return fmt.Errorf("--broker-latency: %w", err)
			}
			if opts.Faults, err = parseFaults(faults); err != nil {
				return err
			}
			if opts.Duplicate, err = local.ParseShare(duplicate); err != nil {
				return fmt.Errorf("--duplicate: %w", err)
			}
			if opts.Reorder, err = local.ParseShare(reorder); err != nil {
				return fmt.Errorf("--reorder: %w", err)
			}
			if opts.Executor, err = local.ParseShare(executor); err != nil {
				return fmt.Errorf("--executor: %w", err)
			}
			if opts.Traced, err = local.ParseShare(tracedShare); err != nil {
				return fmt.Errorf("--traced: %w", err)
			}
			if opts.Replay, err = readBars(bars); err != nil {
				return err
			}
			log, err := logger(c.ErrOrStderr(), logLevel)
			if err != nil {
				return err
			}
			return runLocal(c, opts, log, asJSON)
		},
	}
	f := c.Flags()
	f.IntVar(&opts.Users, "users", 25, "number of users to make up")
	f.IntVar(&opts.Ticks, "ticks", 0, "ticks to run; 0: until interrupted")
	f.DurationVar(&opts.Interval, "interval", time.Minute, "real time between two ticks")
	f.StringVar(&opts.Strategy, "strategy", strategy.KindRebalance, `the users' strategy: a kind, "all" or "none"`)
	f.StringVar(&latency, "broker-latency", "20ms~80ms", "the simulated broker's latency: 50ms, 20ms..80ms (uniform) or 50ms~200ms (log-normal: median, p99)")
	f.StringArrayVar(&faults, "fault", nil, "a fault of the simulated broker, by share of the keys or by key: 401=2%, hang=PKSIM0000007 (repeatable)")
	f.StringVar(&duplicate, "duplicate", "0%", "share of all events that is delivered twice")
	f.StringVar(&reorder, "reorder", "0%", "share of all events that is held back, and so comes after later ones")
	f.StringVar(&executor, "executor", "50%", "share of the users whose executor writes executed or rejected on signals; no order is sent")
	f.StringVar(&opts.Firestore, "firestore", local.Memory, `where the documents are: "memory", or "emulator" for the official one (of the gcloud SDK; needs Java), driven by its own change events`)
	f.StringVar(&opts.AlpacaURL, "alpaca-url", "", "a server that speaks Alpaca's trading API, in place of the simulator")
	f.StringVar(&opts.DataURL, "alpaca-data-url", "", "a server that speaks Alpaca's market-data API; it is given the first user's keys")
	f.StringVar(&bars, "bars", "", "a CSV or JSON file of bars that the simulator replays in place of its random walk; the platform's clock begins in it")
	f.StringVar(&opts.UsersFile, "users-file", "", `users in place of made-up ones: a JSON list of {"user_id", "key_id", "secret_key"}`)
	f.StringVar(&opts.Custody, "custody", gcp.SecretManager, `where the users' keys are: "secret-manager", or "envelope": encrypted in the documents`)
	f.Uint64Var(&opts.Seed, "seed", 1, "makes the simulated accounts, prices and faults")
	f.StringVar(&opts.OTLP, "otlp", "", "the root of a receiver of OTLP over HTTP, like http://127.0.0.1:4318: it is told of what the services do")
	f.StringVar(&tracedShare, "traced", "100%", "with --otlp, share of the sync requests that are traced")
	f.BoolVar(&asJSON, "json", false, "print one JSON object at the end, and nothing else, on standard output")
	f.StringVar(&logLevel, "log-level", "error", "debug, info, warn or error, on standard error")
	return c
}

func runLocal(c *cobra.Command, opts local.Options, log *slog.Logger, asJSON bool) error {
	out := c.OutOrStdout()
	var show func(local.Progress)
	if !asJSON {
		show = progress(out)
	}
	r, err := local.Run(c.Context(), opts, log, show)
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(out).Encode(r)
	} else {
		if _, err = fmt.Fprintln(out); err == nil {
			err = r.Table(out)
		}
	}
	if err != nil {
		return err
	}
	return r.Err()
}

// progress prints a line per tick, which on a terminal is live until the tick is over.
func progress(out io.Writer) func(local.Progress) {
	f, ok := out.(*os.File)
	live := ok && term.IsTerminal(int(f.Fd()))
	return func(p local.Progress) {
		switch {
		case live && p.Done:
			_, _ = fmt.Fprintf(out, "\r\033[K%s\n", p.Line())
		case live:
			_, _ = fmt.Fprintf(out, "\r\033[K%s", p.Line())
		case p.Done:
			_, _ = fmt.Fprintln(out, p.Line())
		}
	}
}

func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// readBars reads the file of --bars; "" is none.
func readBars(path string) (*sim.Replay, error) {
	if path == "" {
		return nil, nil
	}
	r, err := sim.ReadReplay(path)
	if err != nil {
		return nil, fmt.Errorf("--bars: %w", err)
	}
	return r, nil
}

func parseFaults(texts []string) ([]sim.Fault, error) {
	faults := make([]sim.Fault, len(texts))
	for i, text := range texts {
		var err error
		if faults[i], err = sim.ParseFault(text); err != nil {
			return nil, fmt.Errorf("--fault: %w", err)
		}
	}
	return faults, nil
}
