package bench

import (
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

// profile writes a CPU profile to the file that --cpu-profile names.
func profile(c *cobra.Command) (stop func(), err error) {
	name, _ := c.Flags().GetString("cpu-profile")
	if name == "" {
		return func() {}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

// Command is `agenttrader bench`.
func Command() *cobra.Command {
	c := &cobra.Command{Use: "bench"}
	child := childCommand()
	child.Flags().String("cpu-profile", "", "")
	c.AddCommand(child)
	return c
}
