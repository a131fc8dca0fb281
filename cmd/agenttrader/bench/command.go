package bench

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

// childCommand makes one measurement in a process of its own: so designs share no heap, and memory is each one's.
func childCommand() *cobra.Command {
	return &cobra.Command{
		Use: "measure SPEC", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var spec Spec
			if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
				return err
			}
			stop, err := profile(c)
			if err != nil {
				return err
			}
			defer stop()
			r, err := Measure(c.Context(), spec)
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(r)
		},
	}
}
