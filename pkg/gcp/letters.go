package gcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/deadletter"
)

const (
	lease      = 60 * time.Second // how long letters stay hidden if we die
	renewEvery = lease / 3
	pullWait   = 3 * time.Second // for letters to come
	closeWait  = 10 * time.Second
	ackAtOnce  = 1000 // ids in a call: Pub/Sub takes 512 KiB of them
)

// Letters is a pull subscription on the dead letters' topic. It implements deadletter.Box. What was pulled is kept hidden
// from others for a minute at a time; Close gives back what was not acknowledged.
type Letters struct {
	client *pubsub.Client
	name   string

	mu      sync.Mutex
	held    map[string]string // ack ids, by the letters' ids
	renewer context.CancelFunc
	renewed chan struct{} // closed when the renewer has ended
}

// NewLetters reads the subscription with this id or full name; closing the client is the caller's.
func NewLetters(client *pubsub.Client, subscription string) *Letters {
	return &Letters{client: client, name: client.Subscriber(subscription).String(), held: map[string]string{}}
}

// Pull implements deadletter.Box. A pull under way is not cut short when ctx ends: what Pub/Sub hands out just then
// would be hidden, and nobody would give it back.
func (l *Letters) Pull(ctx context.Context, n int) ([]deadletter.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.keep(context.WithoutCancel(ctx))
	pulling, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullWait)
	defer cancel()
	resp, err := l.client.SubscriptionAdminClient.Pull(pulling, &pubsubpb.PullRequest{Subscription: l.name, MaxMessages: int32(min(n, ackAtOnce))}) //nolint:gosec // bounded
	if err != nil && (status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)) {
		return nil, nil // that is how an empty subscription answers
	}
	if err != nil {
		return nil, l.fault("pull", err)
	}
	messages := make([]deadletter.Message, len(resp.ReceivedMessages))
	acks := make([]string, len(messages))
	l.mu.Lock()
	for i, m := range resp.ReceivedMessages {
		messages[i] = deadletter.Message{
			ID: m.Message.MessageId, PublishTime: m.Message.PublishTime.AsTime(), Attributes: m.Message.Attributes, Data: m.Message.Data,
		}
		acks[i] = m.AckId
		l.held[m.Message.MessageId] = m.AckId
	}
	l.mu.Unlock()
	if err := l.modify(ctx, acks, lease); err != nil { // the subscription's own deadline may be as short as 10 s
		return nil, l.fault("keep letters of", err)
	}
	return messages, nil
}

// Ack implements deadletter.Box.
func (l *Letters) Ack(ctx context.Context, ids ...string) error {
	for part := range slices.Chunk(ids, ackAtOnce) {
		acks := make([]string, 0, len(part))
		l.mu.Lock()
		for _, id := range part {
			if ack, ok := l.held[id]; ok {
				acks = append(acks, ack)
			}
		}
		l.mu.Unlock()
		if len(acks) < len(part) {
			return fmt.Errorf("acknowledge %d letters of %s: %d of them are not held: they were not pulled here, or are acknowledged already", len(part), l.name, len(part)-len(acks))
		}
		err := l.client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: l.name, AckIds: acks})
		if err != nil {
			return l.fault("acknowledge letters of", err)
		}
		l.mu.Lock()
		for _, id := range part {
			delete(l.held, id)
		}
		l.mu.Unlock()
	}
	return nil
}

// Close gives back what is still held.
func (l *Letters) Close() error {
	l.mu.Lock()
	stop, ended := l.renewer, l.renewed
	l.renewer = nil
	l.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	<-ended
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if err := l.modify(ctx, l.acks(), 0); err != nil {
		return fmt.Errorf("letters were not given back and come back by themselves within %s: %w", lease, l.fault("give back letters of", err))
	}
	l.mu.Lock()
	clear(l.held)
	l.mu.Unlock()
	return nil
}

// keep renews the leases until Close.
func (l *Letters) keep(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.renewer != nil {
		return
	}
	ctx, l.renewer = context.WithCancel(ctx)
	ended := make(chan struct{})
	l.renewed = ended
	go func() {
		defer close(ended)
		ticks := time.NewTicker(renewEvery)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				l.renew(ctx)
			}
		}
	}()
}

// renew may fail: two more come before the lease ends, and after that another reader may see a letter as well.
func (l *Letters) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	_ = l.modify(ctx, l.acks(), lease)
}

func (l *Letters) acks() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.held))
}

// modify hides letters for so long; 0 gives them back.
func (l *Letters) modify(ctx context.Context, acks []string, hidden time.Duration) error {
	for part := range slices.Chunk(acks, ackAtOnce) {
		err := l.client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
			Subscription: l.name, AckIds: part, AckDeadlineSeconds: int32(hidden / time.Second),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Letters) fault(op string, err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return fmt.Errorf("%s %s: there is no such subscription: make it on the dead letters' topic (docs/configuration.md says how), or name another one with DEAD_LETTERS_SUBSCRIPTION: %w", op, l.name, err)
	case codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("%s %s: not allowed: it takes the role roles/pubsub.subscriber on it: %w", op, l.name, err)
	}
	return fmt.Errorf("%s %s: %w", op, l.name, err)
}

// Send implements deadletter.Sender.
func (p *Publisher) Send(ctx context.Context, messages ...deadletter.Message) []error {
	results := make([]*pubsub.PublishResult, len(messages))
	for i, m := range messages {
		results[i] = p.topic.Publish(ctx, &pubsub.Message{Data: m.Data, Attributes: m.Attributes})
	}
	errs := make([]error, len(messages))
	for i, r := range results {
		if _, err := r.Get(ctx); err != nil {
			errs[i] = fmt.Errorf("publish to topic %s: %w", p.name, err)
		}
	}
	return errs
}
