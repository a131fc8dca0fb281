// Package keys is `agenttrader keys`: it stores the users' brokerage keys and takes them away, moves them from one custody to the
// other, and wraps data keys anew.
package keys

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Command is `agenttrader keys`.
func Command() *cobra.Command {
	return command(&cli{open: openCloud, openKeys: openKeys, terminal: tty.IsTerminal})
}

// cli is what the subcommands share.
type cli struct {
	open     func(ctx context.Context, project string, o options) (*desk, error)
	openKeys func(ctx context.Context, project, topic string) (*counter, error)
	terminal func(stream any) bool
	project  string
}

func command(app *cli) *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Look after the users' brokerage keys: set, check, rotate, revoke, migrate, rewrap",
		Long: `The users' keys are in Secret Manager, a secret for each user, or encrypted in documents, under data keys that Cloud KMS
wraps. GCP_PROJECT, KMS_KEY and the other variables of docs/configuration.md say where. No command shows a key.`,
		Example: `  agenttrader keys set alice
  agenttrader keys check alice
  agenttrader keys migrate --to envelope --dry-run
  agenttrader keys rewrap --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&app.project, "project", "", "the Google Cloud project (default: GCP_PROJECT)")
	c.AddCommand(app.setCommand(), app.checkCommand(), app.rotateCommand(), app.revokeCommand(), app.migrateCommand(), app.rewrapCommand())
	return c
}

// desk is what the subcommands work with.
type desk struct {
	where     string // for people
	users     users
	secrets   secret.Keeper
	envelopes secret.Keeper
	rewrap    envelope.Rewrapper
	close     func() error
}

// users are the users' documents.
type users interface {
	user.Lister
	user.Finder
	user.Keys
}

// https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
var topicForm = regexp.MustCompile(`^projects/[a-z0-9.:-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

// openCloud opens both custodies of the project, or of the stand-ins which the environment names.
func openCloud(ctx context.Context, project string, o options) (_ *desk, err error) {
	p, err := cloud.Open(project)
	if err != nil {
		return nil, err
	}
	defer p.Opened(&err)
	db, err := p.Firestore(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := p.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	envelopes, err := p.Envelopes(ctx)
	if err != nil {
		return nil, err
	}
	to, err := p.KMS(ctx, p.Config.KMSKey)
	if err != nil {
		return nil, err
	}
	rewrap := envelope.Rewrapper{DB: db, To: to}
	if o.from != "" {
		if rewrap.From, err = p.KMS(ctx, o.from); err != nil {
			return nil, err
		}
	}
	pace := rate.NewLimiter(rate.Limit(float64(o.rate)/60), 1)
	return &desk{
		where: fmt.Sprintf("%s, key %s", p, p.Config.KMSKey), users: store.New(db),
		secrets:   secrets.Writing(gcp.VaultWriting{Pace: pace.Wait, Topic: o.topic}),
		envelopes: envelopes, rewrap: rewrap, close: p.Close,
	}, nil
}

// openKeys opens where the services read and onboarding stores keys, and Alpaca.
func openKeys(ctx context.Context, project, topic string) (_ *counter, err error) {
	hosts := alpaca.DefaultHosts()
	p, err := cloud.Open(project, &hosts)
	if err != nil {
		return nil, err
	}
	defer p.Opened(&err)
	k, err := p.Onboarding(ctx, hosts, topic)
	if err != nil {
		return nil, err
	}
	return &counter{where: p.String(), keys: k, close: p.Close}, nil
}
