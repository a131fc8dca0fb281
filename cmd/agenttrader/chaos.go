package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
)

func chaosCommand() *cobra.Command {
	var opts local.ChaosOptions
	var latency, logLevel string
	var asJSON bool
	c := &cobra.Command{
		Use:   "chaos",
		Short: "Run the platform under fire and check its promises",
		Long: `Runs the whole platform in this process while two of a hundred users each have a broker that answers 401, 403, 429 or
5xx, hangs, resets or sends odd JSON, a fifth of all events comes twice, a fifth out of order, the store fails for a tick,
and syncers are killed and replaced. Then it checks what must hold all the same.

It runs again with the users' faults alone and without any, and compares what users who are well feel of them.

Exit status 1 names the broken promise and the seed.`,
		Example: "  agenttrader chaos\n  agenttrader chaos --users 120 --ticks 8 --interval 1s --compare=false --seed 7",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if opts.Latency, err = sim.ParseLatency(latency); err != nil {
				return fmt.Errorf("--broker-latency: %w", err)
			}
			opts.Logs = c.ErrOrStderr()
			if logLevel == "none" {
				opts.Logs = io.Discard
			} else if err := opts.LogLevel.UnmarshalText([]byte(logLevel)); err != nil {
				return fmt.Errorf("--log-level %q: want debug, info, warn, error or none", logLevel)
			}
			r, err := local.RunChaos(c.Context(), opts)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(r)
			} else {
				err = r.Table(c.OutOrStdout())
			}
			if err != nil {
				return err
			}
			return r.Err()
		},
	}
	f := c.Flags()
	f.IntVar(&opts.Users, "users", 500, "number of users to make up")
	f.IntVar(&opts.Ticks, "ticks", 20, "ticks to run")
	f.DurationVar(&opts.Interval, "interval", 2*time.Second, "real time between two ticks")
	f.StringVar(&latency, "broker-latency", "5ms..40ms", "the simulated broker's latency where it has no fault")
	f.Uint64Var(&opts.Seed, "seed", 1, "makes the accounts, the faults, the duplicates and the order")
	f.BoolVar(&opts.Compare, "compare", true, "also measure what users who are well feel of the others' faults")
	f.BoolVar(&asJSON, "json", false, "print one JSON object, and nothing else, on standard output")
	f.StringVar(&logLevel, "log-level", "none", "debug, info, warn, error or none, on standard error: what is broken on purpose fills it")
	return c
}
