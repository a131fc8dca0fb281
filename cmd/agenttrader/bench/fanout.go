package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/services/fanout"
)

// measureFanout publishes ticks of users who are in the roster and nowhere else, through the real Pub/Sub client to a
// server that takes all messages and keeps none.
func measureFanout(ctx context.Context, spec Spec) (Result, error) {
	r := &rig{spec: spec, clock: mem.NewClock(time.Now(), time.Minute)}
	r.db = mem.NewDB(r.clock.Now)
	r.store = store.New(r.db)
	entries := make([]roster.Entry, spec.Users)
	for i := range entries {
		entries[i] = roster.Entry{UserID: fmt.Sprintf("uid-of-28-characters-%07d", i), BrokerEnv: "paper", SyncHours: market.Always, Trades: true, SlotMinutes: account.NoSlots, KeyVersion: "1"}
	}
	if err := r.store.Build(ctx, roster.Split("bench", "", entries, roster.MaxPacked)); err != nil {
		return Result{}, err
	}
	topic, stop, err := sink(ctx)
	if err != nil {
		return Result{}, err
	}
	defer stop()
	shards := &collected{}
	cfg := fanout.DefaultConfig()
	cfg.ScanEvery = 0 // there are no users to compare with
	fan, err := fanout.New(cfg, fanout.Deps{
		Users: r.store, Health: r.store, Trading: r.store, Roster: r.store, Notes: r.store, Scan: r.store, Ledger: r.store,
		Requests: topic, Shards: shards, Now: r.clock.Now, NewOwner: func() string { return "bench" },
		Fault: func(_ context.Context, err error) { slog.Error("fanout", "error", err) },
	})
	if err != nil {
		return Result{}, err
	}
	r.db.SetHook(func(ctx context.Context, op mem.Op) error {
		if !op.Done {
			sleep(ctx, spec.Store)
		}
		return nil
	})
	res, err := r.measure(ctx, 1, func(ctx context.Context) (time.Duration, error) {
		t := tick.Of(r.clock.Step())
		e := event.New("tick/"+t.String(), event.TypeTick, "scheduler", "")
		e.SetExtension("publishtime", t.Time())
		began, before := time.Now(), topic.taken.Load()
		if err := fan.Handle(ctx, e); err != nil {
			return 0, err
		}
		for _, e := range shards.take() { // one instance does them all, one after the other
			if err := fan.Handle(ctx, e); err != nil {
				return 0, err
			}
		}
		took := time.Since(began)
		if n := topic.taken.Load() - before; n != int64(spec.Users) {
			return 0, fmt.Errorf("tick %s: %d messages were published, want %d", t, n, spec.Users)
		}
		return took, nil
	})
	res.BytesPerMessage = float64(topic.bytes.Load()) / float64(max(1, topic.taken.Load()))
	return res, err
}

// collected are the shards that a tick hands out.
type collected struct{ events []event.Event }

// Publish implements event.Publisher.
func (c *collected) Publish(_ context.Context, events ...event.Event) error {
	c.events = append(c.events, events...)
	return nil
}

func (c *collected) take() []event.Event {
	events := c.events
	c.events = nil
	return events
}

// sinkTopic is a publisher to a server that counts.
type sinkTopic struct {
	*gcp.Publisher
	taken, bytes atomic.Int64
}

// sinkServer is the topic's other end.
type sinkServer struct {
	pubsubpb.UnimplementedPublisherServer
	to *sinkTopic
}

// Publish takes the messages.
func (s *sinkServer) Publish(_ context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	ids := make([]string, len(r.Messages))
	for i, m := range r.Messages {
		ids[i] = "1"
		n := len(m.Data)
		for k, v := range m.Attributes {
			n += len(k) + len(v)
		}
		s.to.bytes.Add(int64(n))
	}
	s.to.taken.Add(int64(len(ids)))
	return &pubsubpb.PublishResponse{MessageIds: ids}, nil
}

func sink(ctx context.Context) (*sinkTopic, func(), error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	topic := &sinkTopic{}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(32 << 20))
	pubsubpb.RegisterPublisherServer(server, &sinkServer{to: topic})
	go func() { _ = server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	client, err := pubsub.NewClient(ctx, project, option.WithGRPCConn(conn))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	topic.Publisher = gcp.NewPublisher(client, "requests")
	return topic, func() {
		topic.Stop()
		_ = client.Close()
		server.Stop()
	}, nil
}
