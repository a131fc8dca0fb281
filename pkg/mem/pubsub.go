package mem

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"
	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	pullMost    = 1000 // messages in one answer
	pullIdle    = 2 * time.Millisecond
	ackDeadline = 600 * time.Second // the longest there is; on the fake's clock, so leases are renewed long before
	leaseRenew  = 100 * time.Second // of the fake's clock
)

// PubSubConfig is for StartPubSub.
type PubSubConfig struct {
	Project string
	Now     func() time.Time // the messages' publish times; nil is time.Now
}

// PubSub is Pub/Sub in this process: Google's own fake, spoken to through the real client, with push done here. The
// fake has no push, and its back-off and dead letters don't work, so these are as Pub/Sub documents them.
type PubSub struct {
	cfg    PubSubConfig
	server *pstest.Server
	conn   *grpc.ClientConn
	client *pubsub.Client
	subs   *vkit.SubscriptionAdminClient
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	pushes []*push

	unseen atomic.Int64 // published through the client and not pulled yet
	buried atomic.Int64
}

// StartPubSub starts an empty Pub/Sub on loopback.
func StartPubSub(ctx context.Context, cfg PubSubConfig) (*PubSub, error) {
	p := &PubSub{cfg: cfg, server: pstest.NewServer()}
	if cfg.Now != nil {
		p.server.SetTimeNowFunc(cfg.Now)
	} else {
		p.cfg.Now = time.Now
	}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	p.conn, err = grpc.NewClient(p.server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(p.count),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err == nil {
		p.client, err = pubsub.NewClient(ctx, cfg.Project, option.WithGRPCConn(p.conn), option.WithTelemetryDisabled())
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("in-process Pub/Sub: %w", err)
	}
	p.subs = p.client.SubscriptionAdminClient
	return p, nil
}

// count takes note of what is published, so that Pending sees it before it is pulled.
func (p *PubSub) count(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	r, ok := req.(*pb.PublishRequest)
	if !ok || !p.pushed(r.Topic) {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	p.unseen.Add(int64(len(r.Messages)))
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err != nil {
		p.unseen.Add(-int64(len(r.Messages)))
	}
	return err
}

func (p *PubSub) pushed(topic string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.pushes, func(u *push) bool { return u.topic == topic })
}

// Client is the real client, connected to it.
func (p *PubSub) Client() *pubsub.Client { return p.client }

// CreateTopic makes a topic.
func (p *PubSub) CreateTopic(ctx context.Context, id string) error {
	_, err := p.client.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: p.topic(id)})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", id, err)
	}
	return nil
}

func (p *PubSub) topic(id string) string { return "projects/" + p.cfg.Project + "/topics/" + id }

// Push makes a subscription of a topic and delivers it to cfg.URL, with payload unwrapping and metadata. A message
// that ran out of attempts is published to deadLetters, if that is not "". A topic has one push subscription here.
func (p *PubSub) Push(ctx context.Context, topic, subscription, deadLetters string, cfg DeliveryConfig) error {
	u := &push{p: p, topic: p.topic(topic), name: "projects/" + p.cfg.Project + "/subscriptions/" + subscription, leased: map[string]bool{}}
	if deadLetters != "" {
		u.dead = p.client.Publisher(deadLetters)
	}
	_, err := p.subs.CreateSubscription(ctx, &pb.Subscription{Name: u.name, Topic: u.topic, AckDeadlineSeconds: int32(ackDeadline / time.Second)})
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", subscription, err)
	}
	told := cfg.DeadLetter
	cfg.DeadLetter = func(m Message, lastErr error) {
		u.bury(m)
		if told != nil {
			told(m, lastErr)
		}
	}
	u.delivery = NewDelivery(cfg)
	u.attempts = max(cfg.MaxAttempts, 1)
	p.mu.Lock()
	p.pushes = append(p.pushes, u)
	p.mu.Unlock()
	p.wg.Go(u.pullAll)
	p.wg.Go(u.settleAll)
	return nil
}

// Pending is the number of messages that are published and not settled.
func (p *PubSub) Pending() int {
	n := p.unseen.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.pushes {
		n += u.open.Load()
	}
	return int(n)
}

// Attempts is the number of push requests made.
func (p *PubSub) Attempts() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.pushes {
		n += u.delivery.Attempts()
	}
	return n
}

// DeadLettered is the number of messages that ran out of attempts.
func (p *PubSub) DeadLettered() int64 { return p.buried.Load() }

// StopPush ends the deliveries and their connections; what is not delivered stays where it is.
func (p *PubSub) StopPush() {
	p.cancel()
	p.mu.Lock()
	pushes := p.pushes
	p.mu.Unlock()
	for _, u := range pushes {
		u.delivery.Close()
	}
	p.wg.Wait()
}

// Close ends it all.
func (p *PubSub) Close() {
	p.StopPush()
	for _, u := range p.pushes {
		if u.dead != nil {
			u.dead.Stop()
		}
	}
	if p.client != nil {
		_ = p.client.Close()
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
	_ = p.server.Close()
}

// push is one subscription's way to its endpoint.
type push struct {
	p        *PubSub
	topic    string
	name     string
	dead     *pubsub.Publisher
	delivery *Delivery
	attempts int
	open     atomic.Int64 // pulled and not settled

	mu      sync.Mutex
	settled []string // ack ids
	leased  map[string]bool
}

func (u *push) pullAll() {
	for u.p.ctx.Err() == nil {
		//nolint:staticcheck // without ReturnImmediately the fake holds an empty answer back for a second
		r, err := u.p.subs.Pull(u.p.ctx, &pb.PullRequest{Subscription: u.name, MaxMessages: pullMost, ReturnImmediately: true})
		if err != nil || len(r.ReceivedMessages) == 0 {
			u.p.sleep(pullIdle)
			continue
		}
		u.open.Add(int64(len(r.ReceivedMessages))) // before unseen falls: Pending must not dip
		u.p.unseen.Add(-int64(len(r.ReceivedMessages)))
		u.mu.Lock()
		for _, m := range r.ReceivedMessages {
			u.leased[m.AckId] = true
		}
		u.mu.Unlock()
		for _, m := range r.ReceivedMessages {
			if u.delivery.Send(u.p.ctx, u.message(m)) != nil {
				return // closed
			}
		}
	}
}

// message is a message in payload-unwrapped form with metadata.
func (u *push) message(m *pb.ReceivedMessage) Message {
	h := make(http.Header, len(m.Message.Attributes)+4)
	for k, v := range m.Message.Attributes {
		h[textproto.CanonicalMIMEHeaderKey(k)] = []string{v}
	}
	h["X-Goog-Pubsub-Subscription-Name"] = []string{u.name}
	h["X-Goog-Pubsub-Message-Id"] = []string{m.Message.MessageId}
	h["X-Goog-Pubsub-Publish-Time"] = []string{m.Message.PublishTime.AsTime().Format(time.RFC3339Nano)}
	if key := m.Message.OrderingKey; key != "" {
		h["X-Goog-Pubsub-Ordering-Key"] = []string{key}
	}
	return Message{ID: m.Message.MessageId, Header: h, Body: m.Message.Data, Settled: func(delivered bool, attempts int) {
		if !delivered && attempts < u.attempts {
			return // given up at Close: not acknowledged
		}
		u.mu.Lock()
		u.settled = append(u.settled, m.AckId)
		u.mu.Unlock()
	}}
}

// bury publishes a message that ran out of attempts, with the attributes that Pub/Sub adds.
func (u *push) bury(m Message) {
	u.p.buried.Add(1)
	if u.dead == nil {
		return
	}
	a := map[string]string{
		"CloudPubSubDeadLetterSourceSubscription":     u.name[strings.LastIndexByte(u.name, '/')+1:],
		"CloudPubSubDeadLetterSourceDeliveryCount":    strconv.Itoa(u.attempts),
		"CloudPubSubDeadLetterSourceTopicPublishTime": m.Header.Get("X-Goog-Pubsub-Publish-Time"),
	}
	for k, v := range m.Header {
		if !strings.HasPrefix(k, "X-Goog-Pubsub-") {
			a[attributeName(k)] = v[0]
		}
	}
	u.dead.Publish(u.p.ctx, &pubsub.Message{Data: m.Body, Attributes: a})
}

func attributeName(header string) string {
	if strings.HasPrefix(header, "Ce-") {
		return strings.ToLower(header)
	}
	return header
}

// settleAll acknowledges in batches, and renews the leases of the rest: the fake's clock may leap minutes in an
// instant, and a lease that ran out would deliver again what is still under way.
func (u *push) settleAll() {
	renewed := u.p.cfg.Now()
	for u.p.ctx.Err() == nil {
		u.mu.Lock()
		ids := u.settled
		u.settled = nil
		for _, id := range ids {
			delete(u.leased, id)
		}
		var renew []string
		if now := u.p.cfg.Now(); now.Sub(renewed) > leaseRenew {
			renew, renewed = slices.Collect(maps.Keys(u.leased)), now
		}
		u.mu.Unlock()
		for chunk := range slices.Chunk(ids, pullMost) {
			err := u.p.subs.Acknowledge(u.p.ctx, &pb.AcknowledgeRequest{Subscription: u.name, AckIds: chunk})
			if err != nil && u.p.ctx.Err() == nil {
				u.mu.Lock()
				u.settled = append(u.settled, chunk...) // try again: until then they count as pending
				u.mu.Unlock()
				continue
			}
			u.open.Add(-int64(len(chunk)))
		}
		for chunk := range slices.Chunk(renew, pullMost) {
			_ = u.p.subs.ModifyAckDeadline(u.p.ctx, &pb.ModifyAckDeadlineRequest{Subscription: u.name, AckIds: chunk, AckDeadlineSeconds: int32(ackDeadline / time.Second)})
		}
		if len(ids) == 0 {
			u.p.sleep(pullIdle)
		}
	}
}

func (p *PubSub) sleep(d time.Duration) {
	select {
	case <-p.ctx.Done():
	case <-time.After(d):
	}
}
