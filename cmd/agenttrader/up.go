package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

func upCommand() *cobra.Command {
	opts := local.Options{Interval: time.Minute, Firestore: local.Emulator}
	var latency, duplicate, reorder, logLevel, tracedShare string
	var faults []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the three services as processes of their own, on the Firestore emulator",
		Long: `Starts the binaries fanout, syncer and signaler with an environment as in the cloud, on the official Firestore
emulator (of the gcloud SDK; needs Java), Google's Pub/Sub fake, a Secret Manager of our own and a simulated Alpaca, all on
loopback. It ticks now and at each full minute, in real time. A service that ends is started again: kill one and see.

With --users 0 nobody is made up: add users as in the cloud, from another terminal, with the environment that it prints.

Exit status 0 means that nothing was lost and nothing happened twice; Ctrl-C drains and still prints the result.`,
		Example: `  make build && bin/agenttrader up --ticks 3
  bin/agenttrader up --users 200 --ticks 1 --duplicate 10% --json
  bin/agenttrader up --users 0      # then, elsewhere: users add, keys set, health`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if opts.Latency, err = sim.ParseLatency(latency); err != nil {
				return fmt.Errorf("--broker-latency: %w", err)
			}
			if opts.Duplicate, err = local.ParseShare(duplicate); err != nil {
				return fmt.Errorf("--duplicate: %w", err)
			}
			if opts.Faults, err = parseFaults(faults); err != nil {
				return err
			}
			if opts.Reorder, err = local.ParseShare(reorder); err != nil {
				return fmt.Errorf("--reorder: %w", err)
			}
			if opts.Traced, err = local.ParseShare(tracedShare); err != nil {
				return fmt.Errorf("--traced: %w", err)
			}
			log, err := logger(c.ErrOrStderr(), logLevel)
			if err != nil {
				return err
			}
			if err := opts.LogLevel.UnmarshalText([]byte(logLevel)); err != nil {
				return err
			}
			opts.Logs = c.ErrOrStderr()
			return runLocal(c, opts, log, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&opts.Binaries, "bin", ownFolder(), "the folder with the services' binaries")
	f.IntVar(&opts.Users, "users", 25, "number of users to make up; 0: none, the users are those whom you add")
	f.IntVar(&opts.Ticks, "ticks", 0, "ticks to run; 0: until interrupted")
	f.StringVar(&opts.Strategy, "strategy", strategy.KindRebalance, `the users' strategy: a kind, "all" or "none"`)
	f.StringVar(&latency, "broker-latency", "20ms~80ms", "the simulated broker's latency: 50ms, 20ms..80ms (uniform) or 50ms~200ms (log-normal: median, p99)")
	f.StringArrayVar(&faults, "fault", nil, "a fault of the simulated broker, by share of the keys or by key: 401=2%, 401=PKWRONG (repeatable)")
	f.StringVar(&opts.AlpacaURL, "alpaca-url", "", "a server that speaks Alpaca's trading API, in place of the simulator; another machine only with --users 0")
	f.StringVar(&duplicate, "duplicate", "0%", "share of all events that is delivered twice")
	f.StringVar(&reorder, "reorder", "0%", "share of all events that is held back, and so comes after later ones")
	f.StringVar(&opts.Custody, "custody", gcp.SecretManager, `where the users' keys are: "secret-manager", or "envelope": encrypted in the documents`)
	f.Uint64Var(&opts.Seed, "seed", 1, "makes the simulated accounts and prices")
	f.StringVar(&opts.OTLP, "otlp", "", "the root of a receiver of OTLP over HTTP, like http://127.0.0.1:4318: it is told of what the services do")
	f.StringVar(&tracedShare, "traced", "100%", "with --otlp, share of the sync requests that are traced")
	f.BoolVar(&asJSON, "json", false, "print one JSON object at the end, and nothing else, on standard output")
	f.StringVar(&logLevel, "log-level", slog.LevelWarn.String(), "debug, info, warn or error, of the services too, on standard error")
	return c
}

// ownFolder is where this program lies: 'make build' puts all binaries there.
func ownFolder() string {
	path, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(path)
}
