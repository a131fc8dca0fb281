package mem

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	defaultProject = "local"
	// trimAt is how many spent messages the fake may hold before it is made to forget them.
	trimAt = 20_000
	// maxPullBytes bounds one answer of Pull: 1,000 messages are more than gRPC's 4 MiB easily.
	maxPullBytes = 256 << 20
)

// PubSubConfig says how a PubSub runs.
type PubSubConfig struct {
	Project string           // default "local"
	Now     func() time.Time // publish times come from it; default time.Now
}

// PubSub is Pub/Sub in the process: the client library's own fake behind the real client, over loopback gRPC,
// and around it what the fake lacks: push in the unwrapped form, retries, dead letters, memory that stays within
// bounds. Ack deadlines do not run on the injected clock, so it may step at will. Safe for concurrent use.
type PubSub struct {
	project string
	srv     *pstest.Server
	conn    *grpc.ClientConn
	client  *pubsub.Client
	ledger  *ledger
	gate    sync.RWMutex // held by publish calls; taken whole to make the fake forget

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	pushes  []*push
	collect map[string][]*collector // by topic ID

	dead   atomic.Int64
	shared atomic.Bool // Addr was given away
	unlink func() bool
	once   sync.Once
}

// StartPubSub starts one. It runs until Close or until ctx is done.
func StartPubSub(ctx context.Context, cfg PubSubConfig) (*PubSub, error) {
	if cfg.Project == "" {
		cfg.Project = defaultProject
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &PubSub{project: cfg.Project, ledger: newLedger(cfg.Now), collect: map[string][]*collector{}}
	p.srv = pstest.NewServerWithAddress("127.0.0.1:0", p.ledger.reactors()...)
	p.srv.SetTimeNowFunc(p.ledger.time)
	p.ctx, p.cancel = context.WithCancel(ctx)

	var err error
	p.conn, err = grpc.NewClient(p.srv.Addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxPullBytes), grpc.MaxCallSendMsgSize(maxPullBytes)),
		grpc.WithChainUnaryInterceptor(p.gated))
	if err == nil {
		p.client, err = pubsub.NewClient(ctx, cfg.Project, option.WithGRPCConn(p.conn))
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("mem: Pub/Sub did not start: no client on %s: %w", p.srv.Addr, err)
	}
	p.unlink = context.AfterFunc(ctx, p.Close)
	return p, nil
}

// Client returns the real client, connected. It is closed by Close. Subscriptions made through it work, but they
// keep the fake from forgetting messages: not for endless runs.
func (p *PubSub) Client() *pubsub.Client { return p.client }

// Addr is host:port of the fake, for PUBSUB_EMULATOR_HOST of another process. From then on it keeps what was published,
// about a kilobyte a message: it can't forget while somebody else may be publishing.
func (p *PubSub) Addr() string {
	p.shared.Store(true)
	return p.srv.Addr
}

// CreateTopic creates the topic of that ID. That it exists already is an error, as in the cloud.
func (p *PubSub) CreateTopic(ctx context.Context, id string) error {
	_, err := p.client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: p.topicName(id)})
	if err != nil {
		return fmt.Errorf("mem: create topic %s: %w", id, err)
	}
	return nil
}

// Pending returns the number of messages published to the subscriptions of Push and Collect and not yet acked:
// 0 when all that was published has been delivered, dead-lettered or collected, dead letters included.
func (p *PubSub) Pending() int { return p.ledger.pending() }

// Attempts returns the number of push requests made, over all subscriptions.
func (p *PubSub) Attempts() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int64
	for _, s := range p.pushes {
		n += s.delivery.Attempts()
	}
	return n
}

// DeadLettered returns the number of messages that ran out of attempts.
func (p *PubSub) DeadLettered() int64 { return p.dead.Load() }

// StopPush ends all pushing and collecting and waits for it; what is not delivered stays where it is, and the client
// still publishes. It may be called more than once.
func (p *PubSub) StopPush() {
	p.cancel()
	p.mu.Lock()
	pushes := p.pushes
	p.mu.Unlock()
	for _, s := range pushes {
		s.stop()
	}
}

// Close stops all pushing, the client and the fake, and waits for them. Messages not delivered are lost with it.
// It may be called more than once.
func (p *PubSub) Close() {
	p.once.Do(func() {
		if p.unlink != nil {
			p.unlink()
		}
		p.mu.Lock()
		p.closed = true
		pushes := p.pushes
		var collects []*collector
		for _, cs := range p.collect {
			collects = append(collects, cs...)
		}
		p.mu.Unlock()
		p.cancel()
		for _, s := range pushes {
			s.close()
		}
		for _, c := range collects {
			c.source.wait()
		}
		if p.client != nil {
			_ = p.client.Close() // closes the connection too, or finds it closed
		}
		if p.conn != nil {
			_ = p.conn.Close()
		}
		_ = p.srv.Close() // its errors are nil
		p.srv.Wait()
	})
}

func (p *PubSub) topicName(id string) string {
	return "projects/" + p.project + "/topics/" + id
}

func (p *PubSub) subscriptionName(id string) string {
	return "projects/" + p.project + "/subscriptions/" + id
}

// gated keeps publishing out while the fake forgets. A publish call cannot be cut short by its context: one that
// ran on at the server would escape the gate, and the server's answer takes no time worth cutting.
func (p *PubSub) gated(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if method == pubsubpb.Publisher_Publish_FullMethodName {
		p.gate.RLock()
		defer p.gate.RUnlock()
		ctx = context.WithoutCancel(ctx)
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

// trim makes the fake forget spent messages, which it keeps for ever. It forgets all or nothing, so this waits
// for a moment in which nothing else is held.
func (p *PubSub) trim() {
	if p.shared.Load() || !p.ledger.idleWith(trimAt) || !p.gate.TryLock() {
		return
	}
	defer p.gate.Unlock()
	if p.ledger.idleWith(trimAt) {
		p.srv.ClearMessages()
		p.ledger.forgot()
	}
}
