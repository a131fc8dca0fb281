package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/bench"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/checkup"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/demand"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/dlq"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/doctor"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/explain"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/keys"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/migrate"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/risks"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/smoke"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/users"
)

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "agenttrader",
		Short:         "A fresh copy of every user's Alpaca account, and trading signals from its changes",
		SilenceErrors: true, // main prints them, on one line
		SilenceUsage:  true,
		Example:       "  agenttrader local --ticks 5 --interval 2s\n  agenttrader up --ticks 3\n  agenttrader sim-broker --addr 127.0.0.1:9090",
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see '%s --help')", err, c.CommandPath())
	})
	c.AddCommand(localCommand(), upCommand(), chaosCommand(), simBrokerCommand(), bench.Command(), dlq.Command(), users.Command(), keys.Command(), migrate.Command(), checkup.Command(), doctor.Command(),
		explain.Command(), demand.Command(), risks.Command(), smoke.Command(), versionCommand())
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  agenttrader version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), version())
			return err
		},
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "agenttrader (unknown build)"
	}
	v := "agenttrader " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}

// oneLine puts the parts of a joined error on one line.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
