package dlq

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/pkg/deadletter"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// desk is what a review works with.
type desk struct {
	where    string // for people
	box      deadletter.Box
	users    func(context.Context) (user.Finder, error) // opened when a user must be looked up
	topic    func(ctx context.Context, name string) (deadletter.Sender, error)
	requests string // a topic of sync requests: with several, each one's syncers serve all users
	now      func() time.Time
	close    func() error
}

// config is what dlq alone takes from the environment.
type config struct {
	Subscription string `env:"DEAD_LETTERS_SUBSCRIPTION"`
}

// https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
const name = `[A-Za-z][A-Za-z0-9._~+%-]{2,254}`

var (
	subscriptionForm = regexp.MustCompile(`^` + name + `$`)
	topicForm        = regexp.MustCompile(`^(projects/[a-z0-9.:-]+/topics/)?` + name + `$`)
)

// Validate names every fault.
func (c *config) Validate() error {
	if !subscriptionForm.MatchString(c.Subscription) {
		return fmt.Errorf("DEAD_LETTERS_SUBSCRIPTION is %.80q: want a subscription's id, like dead-letters-review", c.Subscription)
	}
	return nil
}

// openCloud opens the project's desk, or that of the emulators which the environment names.
func openCloud(ctx context.Context, project string) (_ *desk, err error) {
	cfg, topics := config{Subscription: "dead-letters-review"}, gcp.DefaultTopics()
	p, err := cloud.Open(project, &cfg, &topics)
	if err != nil {
		return nil, err
	}
	defer p.Opened(&err)
	where := fmt.Sprintf("project %s, subscription %s", p.Config.ProjectID(), cfg.Subscription)
	if p.Config.PubSub != "" {
		where += ", on the emulator at " + p.Config.PubSub
	}
	box, err := p.Letters(ctx, cfg.Subscription)
	if err != nil {
		return nil, err
	}
	return &desk{
		where: where, box: box, requests: topics.Requests[0], now: time.Now, close: p.Close,
		users: func(ctx context.Context) (user.Finder, error) {
			if err := p.OneWorld("PUBSUB_EMULATOR_HOST", p.Config.PubSub); err != nil {
				return nil, err
			}
			return p.Store(ctx)
		},
		topic: func(ctx context.Context, name string) (deadletter.Sender, error) { return p.Publisher(ctx, name) },
	}, nil
}
