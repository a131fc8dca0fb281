// Command signaler serves the change events of account snapshots, which Eventarc delivers. docs/configuration.md lists
// what it takes from the environment.
package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gemini"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/wire"
	"github.com/agenttrader/agenttrader/services/signaler"
)

func main() { serve.Main("signaler", run) }

func run(ctx context.Context, environ []string, logs io.Writer) (err error) {
	cfg, http, topics, project := signaler.DefaultConfig(), serve.DefaultConfig(), gcp.DefaultTopics(), gcp.Config{}
	data, models, budget := defaultMarketData(), gemini.DefaultConfig(), advice.DefaultConfig()
	hosts, asking := alpaca.DefaultHosts(), wire.MarketHours{}
	if err := serve.ReadEnv(environ, &cfg, &http, &topics, &project, &data, &models, &budget, &hosts, &asking); err != nil {
		return err
	}
	log := serve.NewLogger(logs, http).With("service", "signaler")
	cloud := gcp.Open(project)
	defer func() { err = errors.Join(err, cloud.Close()) }()
	db, err := cloud.Firestore(ctx)
	if err != nil {
		return err
	}
	dead, err := cloud.Publisher(ctx, topics.DeadLetters)
	if err != nil {
		return err
	}
	quotes, bars, err := data.open(ctx, cloud)
	if err != nil {
		return err
	}
	var advisor strategy.Advisor
	if models.Location != "" {
		model, err := gemini.New(ctx, models, project.ProjectID(), nil)
		if err != nil {
			return err
		}
		advisor = &advice.Budget{Config: budget, Next: model, Tally: store.New(db), Now: time.Now}
	}
	users := store.New(db)
	var hours signaler.Hours
	if asking.User != "" {
		timetable, err := asking.Timetable(ctx, cloud, hosts, users, func(err error) { log.Error("market hours are not known", "error", err) })
		if err != nil {
			return err
		}
		hours = timetable.Open
	}
	service, err := signaler.New(cfg, signaler.Deps{
		Snapshots: users, Strategies: users, Signals: users, Controls: users, Quotes: quotes, Bars: bars, Hours: hours, Advisor: advisor, Now: time.Now,
		Fault: func(_ context.Context, userID string, err error) { log.Warn(err.Error(), "user_id", userID) },
	})
	if err != nil {
		return err
	}
	return serve.Events(ctx, http, &event.Receiver{Service: "signaler", Handle: service.Handle, DeadLetters: dead, Log: log})
}
