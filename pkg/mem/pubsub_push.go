package mem

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// The attributes that Pub/Sub adds to a dead letter.
const (
	AttrDeadLetterSubscription  = "CloudPubSubDeadLetterSourceSubscription"        // the subscription's ID
	AttrDeadLetterProject       = "CloudPubSubDeadLetterSourceSubscriptionProject" // its project's ID
	AttrDeadLetterDeliveryCount = "CloudPubSubDeadLetterSourceDeliveryCount"       // attempts made, a decimal
	AttrDeadLetterPublishTime   = "CloudPubSubDeadLetterSourceTopicPublishTime"    // the original's, RFC 3339, UTC
)

// The headers, in canonical form, that payload-unwrapped push adds when it writes metadata.
const (
	HeaderSubscription = "X-Goog-Pubsub-Subscription-Name" // the subscription's full name
	HeaderMessageID    = "X-Goog-Pubsub-Message-Id"
	HeaderPublishTime  = "X-Goog-Pubsub-Publish-Time" // RFC 3339 with nanoseconds, UTC
	HeaderOrderingKey  = "X-Goog-Pubsub-Ordering-Key" // only if the message has one
)

// push is one push subscription.
type push struct {
	*source
	id       string
	delivery *Delivery
	dead     *pubsub.Publisher // nil: no dead-letter topic
	log      *slog.Logger
	sending  sync.WaitGroup
}

// Push creates a subscription on the topic and pushes its messages to cfg.URL, payload-unwrapped with metadata:
// the body is the message's data, each attribute is a header of its name, and so a message of CloudEvents
// attributes comes as a binary-mode CloudEvent. It returns once the subscription is there: what is published
// from then on is pushed. deadLetters is the ID of the topic, which must exist, for messages out of attempts. If it is
// "" and neither MaxAttempts nor DeadLetter is set, attempts have no end, as in the cloud; with one of those set, a
// message out of attempts is counted and dropped.
func (p *PubSub) Push(ctx context.Context, topicID, subscriptionID, deadLetters string, cfg DeliveryConfig) error {
	s := &push{id: subscriptionID, log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if deadLetters != "" {
		_, err := p.client.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: p.topicName(deadLetters)})
		if err != nil {
			return fmt.Errorf("mem: dead-letter topic %s of subscription %s: create it first: %w",
				deadLetters, subscriptionID, err)
		}
	} else if cfg.MaxAttempts == 0 && cfg.DeadLetter == nil {
		cfg.MaxAttempts = -1
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	source, err := p.open(ctx, topicID, subscriptionID)
	if err != nil {
		return err
	}
	if deadLetters != "" {
		s.dead = p.client.Publisher(deadLetters)
	}
	s.source = source
	s.delivery = NewDelivery(cfg)
	p.pushes = append(p.pushes, s)
	s.sending.Go(s.send)
	return nil
}

// send hands what is pulled to the delivery until the PubSub closes.
func (s *push) send() {
	for m := range s.out {
		err := s.delivery.Send(s.p.ctx, Message{
			ID:      m.Message.MessageId,
			Header:  s.header(m.Message),
			Body:    m.Message.Data,
			Settled: func(delivered bool, attempts int) { s.settle(m, delivered, attempts) },
		})
		if err != nil {
			return // closing
		}
	}
}

func (s *push) header(m *pubsubpb.PubsubMessage) http.Header {
	h := make(http.Header, len(m.Attributes)+4)
	for k, v := range m.Attributes {
		h.Set(k, v)
	}
	h[HeaderSubscription] = []string{s.name}
	h[HeaderMessageID] = []string{m.MessageId}
	h[HeaderPublishTime] = []string{m.PublishTime.AsTime().Format(time.RFC3339Nano)}
	if m.OrderingKey != "" {
		h[HeaderOrderingKey] = []string{m.OrderingKey}
	}
	return h
}

func (s *push) settle(m *pubsubpb.ReceivedMessage, delivered bool, attempts int) {
	if !delivered {
		if most := s.delivery.cfg.MaxAttempts; most <= 0 || attempts < most {
			return // given up at Close
		}
		if err := s.deadLetter(m.Message, attempts); err != nil {
			// Not acked: it stays pending, for all to see.
			s.log.Error("dead letter not published", "subscription", s.id, "message", m.Message.MessageId, "error", err)
			return
		}
		s.p.dead.Add(1)
	}
	s.ack(m.AckId)
}

func (s *push) deadLetter(m *pubsubpb.PubsubMessage, attempts int) error {
	if s.dead == nil {
		return nil
	}
	attrs := make(map[string]string, len(m.Attributes)+4)
	maps.Copy(attrs, m.Attributes)
	attrs[AttrDeadLetterSubscription] = s.id
	attrs[AttrDeadLetterProject] = s.p.project
	attrs[AttrDeadLetterDeliveryCount] = strconv.Itoa(attempts)
	attrs[AttrDeadLetterPublishTime] = m.PublishTime.AsTime().Format(time.RFC3339Nano)
	// No ordering key: the publisher would have to be told, and a dead letter is out of order anyway.
	_, err := s.dead.Publish(s.p.ctx, &pubsub.Message{Data: m.Data, Attributes: attrs}).Get(s.p.ctx)
	return err
}

// stop stops the push, after the PubSub's context is done.
func (s *push) stop() {
	s.delivery.Close()
	s.wait()
	s.sending.Wait()
}

func (s *push) close() {
	s.stop()
	if s.dead != nil {
		s.dead.Stop()
	}
}
