// Package gcp holds the adapters to Google Cloud.
package gcp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// Batching of the client: larger than its default of 100 messages, since a page of sync requests comes at once, and
// Pub/Sub bills a request at 1,000 bytes at least.
const (
	batchMessages = 500
	batchDelay    = 5 * time.Millisecond
	publishLimit  = 30 * time.Second
	errorsShown   = 3
)

// Publisher sends CloudEvents to one Pub/Sub topic. It implements event.Publisher.
type Publisher struct {
	topic *pubsub.Publisher
	name  string
}

// NewPublisher sends to the topic with this id or full name.
func NewPublisher(client *pubsub.Client, topic string) *Publisher {
	p := client.Publisher(topic)
	p.PublishSettings.CountThreshold = batchMessages
	p.PublishSettings.DelayThreshold = batchDelay
	p.PublishSettings.NumGoroutines = 4 * runtime.GOMAXPROCS(0)
	p.PublishSettings.Timeout = publishLimit
	return &Publisher{topic: p, name: topic}
}

// Publish implements event.Publisher. Its error names the first events that failed, and counts the others.
func (p *Publisher) Publish(ctx context.Context, events ...event.Event) error {
	results := make([]*pubsub.PublishResult, len(events))
	for i, e := range events {
		results[i] = p.topic.Publish(ctx, Message(e))
	}
	var errs []error
	failed := 0
	for i, r := range results {
		if _, err := r.Get(ctx); err != nil {
			if failed++; failed <= errorsShown {
				errs = append(errs, fmt.Errorf("publish event %s to topic %s: %w", events[i].ID(), p.name, err))
			}
		}
	}
	if failed > errorsShown {
		errs = append(errs, fmt.Errorf("and %d more of %d events", failed-errorsShown, len(events)))
	}
	return errors.Join(errs...)
}

// Stop sends what is waiting, and ends the publisher.
func (p *Publisher) Stop() { p.topic.Stop() }

// Message is the event as a Pub/Sub message. (The CloudEvents SDK's own binding is on the client's former major version.)
func Message(e event.Event) *pubsub.Message {
	return &pubsub.Message{Data: e.Data(), Attributes: event.Attributes(e)}
}
