// Package bench is `agenttrader bench`: it measures the platform beside its predecessor's design.
package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Command is `agenttrader bench`.
func Command() *cobra.Command {
	var o Options
	var asJSON bool
	var page string
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the platform beside the predecessor's design, on the same broker, store and latencies",
		Long: `Measures, one after the other and each in a process of its own: the predecessor's loop over all users, the same in 32
threads, a bare loop of concurrent account calls that does nothing else, the syncer's handler alone, and the whole platform.
The simulated broker is another process, the same for all; vault and store are in memory, and take as long as is said.

CPU, allocations and memory are those of the measured process. Ticks are as fast as they can be, one after the other; those
that build the roster and fill the caches are not among them. The two slow designs are measured on a part of the users.
It takes about a quarter of an hour; --runs 1 --growth 10000 --million 0 about four minutes.`,
		Example: `  agenttrader bench --html bench.html --json > bench.json
  agenttrader bench --design sequential,pipeline --runs 1 --growth 0 --million 0 --days=false

  # what telemetry costs: without it, with it, and with each request traced
  agenttrader bench --design pipeline,pipeline-told,pipeline-traced --growth 0 --million 0 --days=false`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := Run(c.Context(), o, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if page != "" {
				if err := r.writePage(page); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(r)
			}
			return r.Table(c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Designs, "design", designs(), "the designs to compare, of "+strings.Join(allDesigns(), ", "))
	f.IntVar(&o.Users, "users", 10_000, "users of the designs that are fast enough")
	f.IntVar(&o.Runs, "runs", 3, "runs, of which the median is told")
	f.IntSliceVar(&o.Growth, "growth", []int{1000, 10_000, 100_000}, "users of the platform alone, to see how it grows; 0: left out")
	f.IntVar(&o.Million, "million", 1_000_000, "users of the fanout alone; 0: left out")
	f.BoolVar(&o.Days, "days", true, "count the operations of a simulated day, and price them")
	f.DurationVar(&o.Broker, "broker-latency", 100*time.Millisecond, "the broker's")
	f.DurationVar(&o.Vault, "vault-latency", 10*time.Millisecond, "of one access to a secret")
	f.DurationVar(&o.Store, "store-latency", 5*time.Millisecond, "of one operation of the database")
	f.Float64Var(&o.Churn, "material", 0.05, "share of the account reads that find a material change")
	f.BoolVar(&asJSON, "json", false, "print one JSON object, and nothing else, on standard output")
	f.StringVar(&page, "html", "", "write a page with plots to this file")
	c.AddCommand(measureCommand())
	return c
}

// measureCommand makes one measurement in a process of its own: so designs share no heap, and memory is each one's.
func measureCommand() *cobra.Command {
	return &cobra.Command{
		Use: "measure SPEC", Short: "Make one measurement in this process", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var spec Spec
			if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
				return fmt.Errorf("SPEC is no JSON object of a measurement: %w", err)
			}
			r, err := Measure(c.Context(), spec)
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(r)
		},
	}
}

func (r Report) writePage(name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return r.HTML(f)
}
