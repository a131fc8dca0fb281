// Command signaler serves the change events of account snapshots, which Eventarc delivers. docs/configuration.md lists
// what it takes from the environment.
package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/services/signaler/cloud"
)

func main() { serve.Main("signaler", run) }

func run(ctx context.Context, environ []string, logs io.Writer) (err error) {
	http, topics, watching := serve.DefaultConfig(), gcp.DefaultTopics(), telemetry.DefaultConfig()
	settings, err := cloud.Read(environ, &http, &topics, &watching)
	if err != nil {
		return err
	}
	log := serve.NewLogger(logs, http, serve.Source{Service: "signaler", Project: settings.Project.ProjectID(), Revision: watching.Revision})
	tel, err := telemetry.Open(ctx, watching, telemetry.Source{Service: "signaler", Platform: settings.Project.ProjectID()}, time.Now, log)
	if err != nil {
		return err
	}
	project := gcp.Open(settings.Project)
	defer func() { err = errors.Join(err, project.Close()) }()
	dead, err := project.Publisher(ctx, topics.DeadLetters)
	if err != nil {
		return err
	}
	service, err := settings.Open(ctx, project, log, tel)
	if err != nil {
		return err
	}
	return serve.Events(ctx, http, &event.Receiver{Service: "signaler", Handle: service.Handle, DeadLetters: tel.Publisher(topics.DeadLetters, dead), Log: log}, tel)
}
