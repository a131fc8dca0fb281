// Command signaler serves the change events of account snapshots, which Eventarc delivers. docs/configuration.md lists
// what it takes from the environment.
package main

import (
	"context"
	"errors"
	"io"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/services/signaler/cloud"
)

func main() { serve.Main("signaler", run) }

func run(ctx context.Context, environ []string, logs io.Writer) (err error) {
	http, topics := serve.DefaultConfig(), gcp.DefaultTopics()
	settings, err := cloud.Read(environ, &http, &topics)
	if err != nil {
		return err
	}
	log := serve.NewLogger(logs, http).With("service", "signaler")
	project := gcp.Open(settings.Project)
	defer func() { err = errors.Join(err, project.Close()) }()
	dead, err := project.Publisher(ctx, topics.DeadLetters)
	if err != nil {
		return err
	}
	service, err := settings.Open(ctx, project, log)
	if err != nil {
		return err
	}
	return serve.Events(ctx, http, &event.Receiver{Service: "signaler", Handle: service.Handle, DeadLetters: dead, Log: log})
}
