// Command fanout serves ticks pushed by Pub/Sub. docs/configuration.md lists what it takes from the environment.
package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/wire"
	"github.com/agenttrader/agenttrader/services/fanout"
)

func main() { serve.Main("fanout", run) }

func run(ctx context.Context, environ []string, logs io.Writer) (err error) {
	cfg, http, topics, project := fanout.DefaultConfig(), serve.DefaultConfig(), gcp.DefaultTopics(), gcp.Config{}
	hosts, asking, watching := alpaca.DefaultHosts(), wire.MarketHours{}, telemetry.DefaultConfig()
	if err := serve.ReadEnv(environ, &cfg, &http, &topics, &project, &hosts, &asking, &watching); err != nil {
		return err
	}
	log := serve.NewLogger(logs, http, serve.Source{Service: "fanout", Project: project.ProjectID(), Revision: watching.Revision})
	tel, err := telemetry.Open(ctx, watching, telemetry.Source{Service: "fanout", Platform: project.ProjectID()}, time.Now, log)
	if err != nil {
		return err
	}
	cloud := gcp.Open(project)
	defer func() { err = errors.Join(err, cloud.Close()) }()
	db, err := cloud.Firestore(ctx)
	if err != nil {
		return err
	}
	var requests fanout.Partitions
	for _, topic := range topics.Requests {
		p, err := cloud.Publisher(ctx, topic)
		if err != nil {
			return err
		}
		requests = append(requests, tel.Publisher(topic, p))
	}
	dead, err := cloud.Publisher(ctx, topics.DeadLetters)
	if err != nil {
		return err
	}
	shards, err := cloud.Publisher(ctx, topics.Ticks)
	if err != nil {
		return err
	}
	users := store.New(tel.DB(db))
	timetable, err := asking.Timetable(ctx, cloud, hosts, users, func(err error) { log.Error("market hours are not known: everybody is synced", "error", err) })
	if err != nil {
		return err
	}
	service, err := fanout.New(cfg, fanout.Deps{
		Users: users, Health: users, Trading: users, Roster: tel.Roster(users), Notes: users, Scan: users, Ledger: tel.Ledger(users),
		Requests: requests, Shards: tel.Publisher(topics.Ticks, shards), Now: time.Now, NewOwner: uuid.NewString, Open: timetable.Open,
		Invalid: func(ctx context.Context, userID string, err error) {
			log.WarnContext(ctx, "user is not synced", "user_id", userID, "error", err)
		},
		Repaired: func(ctx context.Context, userID, wrong string) {
			log.WarnContext(ctx, "roster is put right", "user_id", userID, "wrong", wrong)
		},
		Fault: func(ctx context.Context, err error) { log.ErrorContext(ctx, "tick went on without", "error", err) },
	})
	if err != nil {
		return err
	}
	return serve.Events(ctx, http, &event.Receiver{Service: "fanout", Handle: service.Handle, DeadLetters: tel.Publisher(topics.DeadLetters, dead), Log: log}, tel)
}
