package local

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// The topics, as in the cloud.
const (
	topicTicks    = "sync-ticks"
	topicRequests = "sync-requests"
	topicDead     = "dead-letters"
)

// Project stands in for the Google Cloud project.
const Project = "local"

// platform is everything that runs in the cloud, in this process: the real services behind real HTTP on loopback,
// on twins of what Google runs.
type platform struct {
	opts     Options
	accounts []account
	meter    *meter
	oracle   *oracle
	log      *slog.Logger

	clock  *mem.Clock
	db     *mem.DB
	store  *store.Store
	vault  *mem.Vault
	pubsub *mem.PubSub
	arc    *mem.Eventarc
	broker *alpaca.Broker
	quotes market.Quotes
	ticks  event.Publisher
	dead   event.Publisher
	calls  *countingTransport

	closers []func() // last opened, first closed
}

func start(ctx context.Context, opts Options, log *slog.Logger) (_ *platform, err error) {
	p := &platform{opts: opts, log: log, oracle: newOracle()}
	p.meter = newMeter(p.oracle)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.accounts, err = opts.accounts(); err != nil {
		return nil, err
	}
	p.clock = mem.NewClock(time.Now(), opts.Interval)
	p.db = mem.NewDB(p.clock.Now)
	p.store = store.New(p.db)
	p.vault = mem.NewVault()
	for _, step := range []func(context.Context) error{p.openBroker, p.openPubSub, p.seed, p.serve} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *platform) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
	p.closers = nil
}

func (p *platform) onClose(fn func()) { p.closers = append(p.closers, fn) }

// openBroker connects to the given server, or to a simulator of our own.
func (p *platform) openBroker(ctx context.Context) error {
	trading, data := p.opts.AlpacaURL, p.opts.DataURL
	if trading == "" {
		server := sim.New(sim.Config{Seed: p.opts.Seed, Now: p.clock.Now, Latency: p.opts.Latency, Faults: p.opts.Faults})
		for _, a := range p.accounts {
			server.Register(a.creds.Reveal())
		}
		s, err := serve.Listen(ctx, "127.0.0.1:0", server)
		if err != nil {
			return fmt.Errorf("simulated broker: %w", err)
		}
		p.onClose(func() { server.Close(); _ = s.Stop(ctx) })
		trading = s.URL()
		if data == "" {
			data = s.URL()
		}
	}
	pool := alpaca.NewTransport()
	p.onClose(pool.CloseIdleConnections)
	p.calls = &countingTransport{next: pool}
	var err error
	p.broker, err = alpaca.New(alpaca.Config{PaperURL: trading, LiveURL: trading, Transport: p.calls, Now: p.clock.Now})
	if err != nil {
		return err
	}
	if data == "" {
		p.quotes = market.None{}
		return nil
	}
	quotes, err := alpaca.NewQuotes(alpaca.QuotesConfig{BaseURL: data, Transport: p.calls}, p.accounts[0].creds)
	if err != nil {
		return err
	}
	p.quotes = market.NewCache(quotes, p.clock.Now)
	return nil
}

func (p *platform) openPubSub(ctx context.Context) (err error) {
	if p.pubsub, err = mem.StartPubSub(ctx, mem.PubSubConfig{Project: Project, Now: p.clock.Now}); err != nil {
		return err
	}
	p.onClose(p.pubsub.Close)
	for _, topic := range []string{topicTicks, topicRequests, topicDead} {
		if err := p.pubsub.CreateTopic(ctx, topic); err != nil {
			return err
		}
	}
	p.ticks = p.publisher(topicTicks)
	p.dead = p.meter.deadLetters(p.publisher(topicDead))
	return nil
}

func (p *platform) publisher(topic string) *gcp.Publisher {
	pub := gcp.NewPublisher(p.pubsub.Client(), topic)
	p.onClose(pub.Stop)
	return pub
}

// serve starts the three services, and what delivers to them.
func (p *platform) serve(ctx context.Context) error {
	fan, err := fanout.New(fanout.DefaultConfig(), fanout.Deps{
		Users: p.store, Ledger: p.store, Requests: p.meter.requests(p.publisher(topicRequests)),
		Now: p.clock.Now, NewOwner: uuid.NewString,
	})
	if err != nil {
		return err
	}
	sync, err := syncer.New(syncer.DefaultConfig(Project), syncer.Deps{
		Vault: p.vault, Broker: p.broker, Snapshots: p.store, Now: p.clock.Now, Observe: p.meter.synced,
	})
	if err != nil {
		return err
	}
	sig, err := signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: p.store, Strategies: p.store, Signals: p.store, Quotes: p.quotes, Now: p.clock.Now,
		Fault: func(_ context.Context, userID string, err error) { p.log.Warn(err.Error(), "user_id", userID) },
	})
	if err != nil {
		return err
	}
	if err := p.pushTo(ctx, "fanout", fan.Handle, topicTicks); err != nil {
		return err
	}
	if err := p.pushTo(ctx, "syncer", sync.Handle, topicRequests); err != nil {
		return err
	}
	url, err := p.listen(ctx, "signaler", sig.Handle)
	if err != nil {
		return err
	}
	if err := p.watch(ctx, url); err != nil {
		return err
	}
	p.onClose(p.pubsub.StopPush) // before the services: a server waits for connections that sent nothing yet
	return nil
}

// listen serves a handler of events on a port of its own.
func (p *platform) listen(ctx context.Context, name string, h event.Handler) (url string, err error) {
	s, err := serve.Listen(ctx, "127.0.0.1:0", &event.Receiver{Handle: h, DeadLetters: p.dead, Log: p.log.With("service", name)})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	p.onClose(func() { _ = s.Stop(ctx) })
	return s.URL(), nil
}

func (p *platform) pushTo(ctx context.Context, name string, h event.Handler, topic string) error {
	url, err := p.listen(ctx, name, h)
	if err != nil {
		return err
	}
	return p.pubsub.Push(ctx, topic, topic+"-"+name, topicDead, p.delivery(url))
}

// watch delivers the snapshots' changes to the signaler, and shows all writes to the oracle and the meter.
func (p *platform) watch(ctx context.Context, url string) error {
	ctx, cancel := context.WithCancel(ctx)
	w := newWatcher(p.oracle, p.meter)
	p.db.Watch(w.add)
	p.arc = mem.StartEventarc(ctx, p.db, isSnapshot, p.delivery(url))
	p.onClose(func() { cancel(); p.arc.Close(); w.close() })
	return nil
}

func (p *platform) delivery(url string) mem.DeliveryConfig {
	return mem.DeliveryConfig{
		URL: url, MaxInFlight: 1000, Timeout: time.Minute, MinBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
		MaxAttempts: 10, Duplicate: p.opts.Duplicate, Seed: p.opts.Seed, Log: p.log, DeadLetter: p.gaveUp,
	}
}

// gaveUp notes a message that was delivered in vain too often.
func (p *platform) gaveUp(m mem.Message, lastErr error) {
	p.meter.bury(1)
	p.log.Error("message is dead-lettered", "event_id", m.Header.Get("Ce-Id"), "error", lastErr)
	if r, ok := requestOf(m.Header.Get("Ce-Id")); ok {
		p.oracle.deadLettered(r)
	}
}

// pending is what is still under way.
func (p *platform) pending() int { return p.pubsub.Pending() + p.arc.Pending() }

func isSnapshot(path string) bool {
	return strings.HasSuffix(path, "/"+store.Accounts+"/"+store.SnapshotID) && strings.HasPrefix(path, store.Users+"/")
}

// countingTransport counts the calls to the broker where they leave.
type countingTransport struct {
	next  http.RoundTripper
	calls atomic.Int64
}

func (t *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.calls.Add(1)
	return t.next.RoundTrip(r)
}
