package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/serve"
)

func simBrokerCommand() *cobra.Command {
	var addr, latency, bars string
	var faults []string
	var seed uint64
	var churn float64
	c := &cobra.Command{
		Use:   "sim-broker",
		Short: "Run the simulated Alpaca alone, for every key",
		Long: `Serves Alpaca's trading and market-data API in its own wire format, on loopback, until interrupted. Every pair of
keys that is not empty is an account of its own.`,
		Example: `  agenttrader sim-broker --addr 127.0.0.1:9090 --broker-latency 50ms --fault 401=2%
  curl -H 'APCA-API-KEY-ID: k' -H 'APCA-API-SECRET-KEY: s' http://127.0.0.1:9090/v2/account`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := sim.ParseLatency(latency)
			if err != nil {
				return fmt.Errorf("--broker-latency: %w", err)
			}
			fs, err := parseFaults(faults)
			if err != nil {
				return err
			}
			replay, err := readBars(bars)
			if err != nil {
				return err
			}
			debug.SetGCPercent(400) // it is to be fast beside what is measured, and has the memory
			server := sim.New(sim.Config{Seed: seed, Now: time.Now, Latency: l, Faults: fs, Replay: replay, AnyKey: true, Churn: churn})
			s, err := serve.Listen(c.Context(), addr, server)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "simulated Alpaca at %s (Ctrl-C ends it)\n", s.URL()); err != nil {
				return err
			}
			select {
			case <-c.Context().Done():
			case err = <-s.Failed():
			}
			server.Close()
			stopErr := s.Stop(context.WithoutCancel(c.Context()))
			if err == nil {
				err = stopErr
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&addr, "addr", "127.0.0.1:9090", "where to listen; loopback only")
	f.StringVar(&latency, "broker-latency", "", "50ms, 20ms..80ms (uniform) or 50ms~200ms (log-normal: median, p99)")
	f.StringArrayVar(&faults, "fault", nil, "a fault by share of the keys or by key: 401=2%, hang=KEYID (repeatable)")
	f.StringVar(&bars, "bars", "", "a CSV or JSON file of bars, replayed in place of the random walk; they keep their times")
	f.Float64Var(&churn, "churn", 0, "share of the account reads, 0 to 1, at which a dollar has just come in")
	f.Uint64Var(&seed, "seed", 1, "makes the accounts, prices and faults")
	return c
}
