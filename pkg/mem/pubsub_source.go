package mem

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

const (
	maxPull = 1000 // messages in one pull or one ack, Pub/Sub's bound
	// ackDeadline of the subscriptions, Pub/Sub's most. The fake's clock stands still for it, see ledger.
	ackDeadline = 600 * time.Second
	// retryAfter is the pause after a failed call to the fake.
	retryAfter = 10 * time.Millisecond
)

// source is a subscription: it pulls what comes, and acks what is done with, both in batches.
type source struct {
	p     *PubSub
	name  string
	count *subCount
	out   chan *pubsubpb.ReceivedMessage // one pull ahead of its reader; closed at the end

	mu    sync.Mutex
	acks  []string
	acker chan struct{} // has an item when there are acks

	pulling, acking sync.WaitGroup
}

// open makes the subscription and begins to pull. The caller holds p.mu.
func (p *PubSub) open(ctx context.Context, topicID, id string) (*source, error) {
	if p.closed {
		return nil, ErrClosed
	}
	s := &source{
		p: p, name: p.subscriptionName(id),
		out: make(chan *pubsubpb.ReceivedMessage, maxPull), acker: make(chan struct{}, 1),
	}
	if s.count = p.ledger.add(s.name, p.topicName(topicID)); s.count == nil {
		return nil, fmt.Errorf("mem: subscription %s exists already: choose another ID", id)
	}
	_, err := p.client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: s.name, Topic: p.topicName(topicID), AckDeadlineSeconds: int32(ackDeadline / time.Second),
	})
	if err != nil {
		p.ledger.remove(s.name)
		return nil, fmt.Errorf("mem: create subscription %s on topic %s: %w", id, topicID, err)
	}
	s.pulling.Go(s.pull)
	s.acking.Go(s.sendAcks)
	return s, nil
}

// pull runs until the PubSub closes. It sleeps on the ledger: the fake's own waiting pull takes 500 ms.
func (s *source) pull() {
	defer close(s.out)
	ctx := s.p.ctx
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.count.wake:
		}
		for s.p.ledger.pulled(s.count, 0) > 0 {
			resp, err := s.p.client.SubscriptionAdminClient.Pull(ctx,
				&pubsubpb.PullRequest{Subscription: s.name, MaxMessages: maxPull})
			if err != nil && !pause(ctx, retryAfter) {
				return
			}
			s.p.ledger.pulled(s.count, len(resp.GetReceivedMessages()))
			for _, m := range resp.GetReceivedMessages() {
				select {
				case s.out <- m:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// ack takes a message that is done with. It never blocks.
func (s *source) ack(ackID string) {
	s.mu.Lock()
	s.acks = append(s.acks, ackID)
	s.mu.Unlock()
	select {
	case s.acker <- struct{}{}:
	default:
	}
}

// sendAcks runs until the PubSub closes.
func (s *source) sendAcks() {
	ctx := s.p.ctx
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.acker:
		}
		s.mu.Lock()
		acks := s.acks
		s.acks = nil
		s.mu.Unlock()
		for len(acks) > 0 {
			n := min(len(acks), maxPull)
			err := s.p.client.SubscriptionAdminClient.Acknowledge(ctx,
				&pubsubpb.AcknowledgeRequest{Subscription: s.name, AckIds: acks[:n]})
			if err != nil {
				if !pause(ctx, retryAfter) {
					return
				}
				continue
			}
			s.p.ledger.acked(s.count, n)
			acks = acks[n:]
		}
		s.p.trim()
	}
}

// wait returns when the source has stopped, after the PubSub's context is done.
func (s *source) wait() {
	s.pulling.Wait()
	s.acking.Wait()
}

// pause waits, and reports false if ctx was done first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
