package dlq

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/deadletter"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
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

// closeLimit is for giving letters back.
const closeLimit = 15 * time.Second

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
func openCloud(ctx context.Context, project string) (*desk, error) {
	cfg, topics, cloud := config{Subscription: "dead-letters-review"}, gcp.DefaultTopics(), gcp.Config{}
	if err := serve.ReadEnv(tty.Environ(os.Environ(), project), &cfg, &topics, &cloud); err != nil {
		return nil, err
	}
	pubsub, firestore := os.Getenv("PUBSUB_EMULATOR_HOST"), os.Getenv("FIRESTORE_EMULATOR_HOST")
	where := fmt.Sprintf("project %s, subscription %s", cloud.ProjectID(), cfg.Subscription)
	if pubsub != "" {
		where += ", on the emulator at " + pubsub
	}
	c := gcp.Open(cloud)
	box, err := c.Letters(ctx, cfg.Subscription)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &desk{
		where: where, box: box, requests: topics.Requests[0], now: time.Now, close: func() error { return c.CloseWithin(closeLimit) },
		users: func(ctx context.Context) (user.Finder, error) {
			if (pubsub == "") != (firestore == "") {
				return nil, errors.New("only one of PUBSUB_EMULATOR_HOST and FIRESTORE_EMULATOR_HOST is set: letters and users would be those of two worlds. Set both, or none")
			}
			db, err := c.Firestore(ctx)
			if err != nil {
				return nil, err
			}
			return store.New(db), nil
		},
		topic: func(ctx context.Context, name string) (deadletter.Sender, error) { return c.Publisher(ctx, name) },
	}, nil
}
