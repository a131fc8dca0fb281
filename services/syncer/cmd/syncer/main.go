// Command syncer serves sync requests pushed by Pub/Sub. docs/configuration.md lists what it takes from the environment.
package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/services/syncer"
)

func main() { serve.Main("syncer", run) }

func run(ctx context.Context, environ []string, logs io.Writer) (err error) {
	if slices.Contains(environ, "MODE="+syncer.ModeLegacy) {
		return single(ctx, environ, logs)
	}
	cfg, http, topics, project := syncer.DefaultConfig(""), serve.DefaultConfig(), gcp.DefaultTopics(), gcp.Config{}
	hosts, watching := alpaca.DefaultHosts(), telemetry.DefaultConfig()
	if err := serve.ReadEnv(environ, &cfg, &http, &topics, &project, &hosts, &watching); err != nil {
		return err
	}
	cfg.Project = project.ProjectID()
	log := serve.NewLogger(logs, http, serve.Source{Service: "syncer", Project: project.ProjectID(), Revision: watching.Revision})
	tel, err := telemetry.Open(ctx, watching, telemetry.Source{Service: "syncer", Platform: project.ProjectID()}, time.Now, log)
	if err != nil {
		return err
	}
	cloud := gcp.Open(project)
	defer func() { err = errors.Join(err, cloud.Close()) }()
	db, err := cloud.Firestore(ctx)
	if err != nil {
		return err
	}
	secrets, err := cloud.Vault(ctx)
	if err != nil {
		return err
	}
	vault, refused, err := cfg.Vault(tel.Vault(secrets), time.Now)
	if err != nil {
		return err
	}
	dead, err := cloud.Publisher(ctx, topics.DeadLetters)
	if err != nil {
		return err
	}
	broker, err := alpaca.New(alpaca.Config{PaperURL: hosts.Paper, LiveURL: hosts.Live, Transport: tel.Transport(alpaca.NewTransport())})
	if err != nil {
		return err
	}
	users := store.New(tel.DB(db))
	tel.BreakerTurned(ctx, "closed")
	service, err := syncer.New(cfg, syncer.Deps{
		Vault: vault, Refused: refused, Broker: broker, Snapshots: users, Health: users, Keys: users, Now: time.Now,
		Observe: func(ctx context.Context, r syncer.Result) { tel.Synced(ctx, string(r.Outcome), r.Cause(), r.Tick) },
		Fault: func(ctx context.Context, userID string, err error) {
			log.WarnContext(ctx, err.Error(), "user_id", userID)
		},
		Changed: func(ctx context.Context, before, after health.Health) {
			tel.HealthChanged(ctx, before, after)
			log.InfoContext(ctx, "sync health changed", "user_id", after.UserID, "from", before.State, "to", after.State, "error_code", after.Cause)
		},
		Breaker: func(from, to string) {
			tel.BreakerTurned(ctx, to)
			log.Error("circuit breaker of the broker", "from", from, "to", to)
		},
	})
	if err != nil {
		return err
	}
	return serve.Events(ctx, http, &event.Receiver{Service: "syncer", Handle: service.Handle, DeadLetters: tel.Publisher(topics.DeadLetters, dead), Log: log}, tel)
}

// single serves one account, whose keys are in the environment: read once, and there no more.
func single(ctx context.Context, environ []string, logs io.Writer) (err error) {
	cfg, one, http, topics, project := syncer.DefaultConfig(""), syncer.SingleConfig{}, serve.DefaultConfig(), gcp.DefaultTopics(), gcp.Config{}
	watching := telemetry.DefaultConfig()
	own, environ, err := alpaca.TakeEnv(environ)
	if err := errors.Join(err, serve.ReadEnv(environ, &cfg, &one, &http, &topics, &project, &watching)); err != nil {
		return err
	}
	cfg.Project = project.ProjectID()
	log := serve.NewLogger(logs, http, serve.Source{Service: "syncer", Project: project.ProjectID(), Revision: watching.Revision}).With("mode", cfg.Mode)
	tel, err := telemetry.Open(ctx, watching, telemetry.Source{Service: "syncer", Platform: project.ProjectID()}, time.Now, log)
	if err != nil {
		return err
	}
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
	client, err := alpaca.New(alpaca.Config{PaperURL: own.URL, Transport: tel.Transport(alpaca.NewTransport())})
	if err != nil {
		return err
	}
	session, err := client.Open(broker.Paper, own.Credentials) // at the address that was said, whichever it is
	if err != nil {
		return err
	}
	service, err := syncer.NewSingle(cfg, one, syncer.SingleDeps{
		Session: session, Copies: store.New(tel.DB(db)), Now: time.Now, Fault: func(_ context.Context, err error) { log.Warn(err.Error()) },
	})
	if err != nil {
		return err
	}
	return serve.Events(ctx, http, &event.Receiver{Service: "syncer", Handle: service.Handle, DeadLetters: tel.Publisher(topics.DeadLetters, dead), Log: log}, tel)
}
