package keys

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
)

// rewrapped is a rewrapping in figures.
type rewrapped struct {
	KMSKey    string       `json:"kms_key"`
	DryRun    bool         `json:"dry_run"`
	DataKeys  int          `json:"data_keys"`
	Rewrapped int          `json:"rewrapped"`
	Current   int          `json:"skipped"`
	Failed    []failedWrap `json:"failed"`
}

type failedWrap struct {
	DataKey string `json:"data_key"`
	Reason  string `json:"reason"`
}

func (a *cli) rewrapCommand() *cobra.Command {
	var dry, asJSON bool
	var from string
	c := &cobra.Command{
		Use:   "rewrap",
		Short: "Wrap the data keys of envelopes anew, under the primary version of KMS_KEY",
		Long: `Unwraps each data key and wraps it under the primary version of KMS_KEY. The users' keys and the data keys stay as they are.
It may be stopped at any moment and run again. Destroy no version of a KMS key before a run says that none was left to rewrap:
what only that version unwraps is lost for ever. A new primary version counts everywhere after three hours: run it after that.`,
		Example: `  agenttrader keys rewrap --dry-run
  agenttrader keys rewrap --from projects/P/locations/L/keyRings/R/cryptoKeys/OLD`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			d, err := a.open(c.Context(), a.project, options{rate: 1, from: from})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.close()) }()
			w := d.rewrap
			w.DryRun = dry
			r := rewrapped{KMSKey: w.To.Key(), DryRun: dry, Failed: []failedWrap{}}
			stopped := w.All(c.Context(), func(id string, done bool, err error) {
				r.DataKeys++
				switch {
				case err != nil:
					r.Failed = append(r.Failed, failedWrap{id, err.Error()})
				case done:
					r.Rewrapped++
				default:
					r.Current++
				}
			})
			return r.tell(c, d, asJSON, stopped)
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "another KMS key by which data keys may be wrapped, by its resource name")
	f.BoolVar(&dry, "dry-run", false, "unwrap all, say what would be done, and change nothing")
	f.BoolVar(&asJSON, "json", false, "print one JSON object at the end, and nothing else, on standard output")
	return c
}

func (r rewrapped) tell(c *cobra.Command, d *desk, asJSON bool, stopped error) (err error) {
	if asJSON {
		err = tty.Encode(c.OutOrStdout(), r)
	} else if len(r.Failed) > 0 {
		rows := [][]string{{"DATA KEY", "WHY"}}
		for _, f := range r.Failed {
			rows = append(rows, []string{tty.Escape(f.DataKey, shownReason), tty.Escape(f.Reason, shownReason)})
		}
		err = tty.Table(c.OutOrStdout(), 0, rows)
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "%s%d data keys: %d rewrapped, %d were as they should be, %d failed (%s)\n",
		map[bool]string{true: "dry run, nothing was done: "}[r.DryRun], r.DataKeys, r.Rewrapped, r.Current, len(r.Failed), tty.Escape(d.where, shownReason))
	switch {
	case err != nil:
		return err
	case stopped != nil:
		return fmt.Errorf("stopped, run it again: %w", stopped)
	case len(r.Failed) > 0:
		return fmt.Errorf("%d of %d data keys could not be rewrapped: see why, and run it again; destroy no version of a KMS key before", len(r.Failed), r.DataKeys)
	}
	return nil
}
