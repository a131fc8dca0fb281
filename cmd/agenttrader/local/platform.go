package local

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
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

	now     func() time.Time // the platform's clock
	step    func() time.Time // the time of the next tick
	db      database
	store   *store.Store
	vault   *mem.Vault
	kms     *mem.KMS // nil: the keys are in Secret Manager
	secrets *mem.PlatformSecrets
	pubsub  *mem.PubSub
	feed    feed
	owners  *owners // nil: nobody acts on signals
	ticks   event.Publisher
	dead    event.Publisher
	calls   atomic.Int64 // to the broker

	trading, data string // the broker's addresses
	at            endpoints
	processes     []*process // the services, if they don't run in this one
	env           []string   // that commands find everything by, if other processes can

	seedReads, seedWrites int64 // of the database, before the first tick
	seedKMS               int64

	closers   []func() // last opened, first closed
	databases int      // how many of the closers are the database's
}

func start(ctx context.Context, opts Options, log *slog.Logger) (_ *platform, err error) {
	p := &platform{opts: opts, log: log}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.accounts, err = opts.accounts(); err != nil {
		return nil, err
	}
	users := make([]string, len(p.accounts))
	for i, a := range p.accounts {
		users[i] = a.userID
	}
	p.oracle = newOracle(users)
	p.meter = newMeter(p.oracle)
	p.now, p.step = time.Now, time.Now
	if opts.Binaries == "" { // the processes know the real time only
		clock := mem.NewClock(opts.begin(time.Now()), opts.Interval)
		p.now, p.step = clock.Now, clock.Step
	}
	p.vault, p.secrets = mem.NewVault(), mem.NewPlatformSecrets()
	if opts.Custody == gcp.Envelope {
		if p.kms, err = mem.NewKMS(mem.KMSKey); err != nil {
			return nil, err
		}
	}
	for _, step := range []func(context.Context) error{p.openDatabase, p.openBroker, p.openPubSub, p.seed, p.serve} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *platform) close() { p.closeTo(0) }

// closeTo closes, last opened first, all but the first n.
func (p *platform) closeTo(n int) {
	for i := len(p.closers) - 1; i >= n; i-- {
		p.closers[i]()
	}
	p.closers = p.closers[:min(n, len(p.closers))]
}

func (p *platform) onClose(fn func()) { p.closers = append(p.closers, fn) }

func (p *platform) openDatabase(ctx context.Context) (err error) {
	if p.opts.Firestore != Emulator {
		db := mem.NewDB(p.now)
		if p.opts.chaos != nil {
			p.opts.chaos.openDatabase(db)
		}
		p.db = twin{db}
	} else if p.db, err = p.startEmulator(ctx); err != nil {
		return err
	}
	p.store = store.New(p.db)
	p.databases = len(p.closers)
	return nil
}

// openBroker finds the given server, or starts a simulator of our own.
func (p *platform) openBroker(ctx context.Context) error {
	p.trading, p.data = p.opts.AlpacaURL, p.opts.DataURL
	if p.trading != "" {
		if len(p.accounts) == 0 {
			return nil // nobody's keys for market data
		}
		return p.addDataKeys(p.accounts[0].creds)
	}
	cfg := sim.Config{
		Seed: p.opts.Seed, Now: p.now, Latency: p.opts.Latency, Faults: p.opts.Faults, Replay: p.opts.Replay, AnyKey: p.opts.Users == 0,
	}
	if p.opts.chaos != nil {
		cfg.Volatility = chaosVolatility
	}
	server := sim.New(cfg)
	for _, a := range p.accounts {
		server.Register(a.creds.Reveal())
	}
	data, err := p.dataKeys()
	if err != nil {
		return err
	}
	server.Register(data.Reveal())
	if err := p.addDataKeys(data); err != nil {
		return err
	}
	handler := p.counting(server)
	if p.opts.chaos != nil {
		handler = p.opts.chaos.broker(handler)
	}
	s, err := serve.Listen(ctx, "127.0.0.1:0", handler)
	if err != nil {
		return fmt.Errorf("simulated broker: %w", err)
	}
	p.onClose(func() { server.Close(); _ = s.Stop(ctx) })
	p.trading = s.URL()
	if p.data == "" {
		p.data = s.URL()
	}
	return nil
}

// dataSecret holds the platform's own keys, for market data.
const dataSecret = "alpaca-market-data"

// dataKeys are the platform's own with the simulator, and the first user's with another server of market data, which
// knows no others.
func (p *platform) dataKeys() (secret.Credentials, error) {
	if p.data != "" {
		return p.accounts[0].creds, nil
	}
	return secret.NewCredentials("PKSIMDATA", fmt.Sprintf("sim-secret-%d-data", p.opts.Seed))
}

func (p *platform) addDataKeys(creds secret.Credentials) error {
	keyID, secretKey := creds.Reveal()
	payload, err := json.Marshal(map[string]string{"key_id": keyID, "secret_key": secretKey})
	if err != nil {
		return err
	}
	p.secrets.Add(dataSecret, payload)
	return nil
}

// counting counts the calls of other processes where they arrive; those of this one are counted where they leave.
func (p *platform) counting(h http.Handler) http.Handler {
	if p.opts.Binaries == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		h.ServeHTTP(w, r)
	})
}

func (p *platform) openPubSub(ctx context.Context) (err error) {
	if p.pubsub, err = mem.StartPubSub(ctx, mem.PubSubConfig{Project: Project, Now: p.now}); err != nil {
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

// endpoints are the addresses of the three services.
type endpoints struct{ fanout, syncer, signaler string }

// serve starts the three services, and what delivers to them.
func (p *platform) serve(ctx context.Context) error {
	start := p.inProcess
	if p.opts.Binaries != "" {
		start = p.asProcesses
	}
	at, err := start(ctx)
	if err != nil {
		return err
	}
	p.at = at
	// A tick has no end of attempts: after a crash it must outlast the dead delivery's claim, and a tick too old is
	// dropped by the fanout itself.
	ticks := p.delivery(at.fanout)
	ticks.MaxAttempts = -1
	if err := p.pubsub.Push(ctx, topicTicks, topicTicks+"-fanout", topicDead, ticks); err != nil {
		return err
	}
	if err := p.pubsub.Push(ctx, topicRequests, topicRequests+"-syncer", topicDead, p.delivery(at.syncer)); err != nil {
		return err
	}
	if err := p.watch(ctx, at); err != nil {
		return err
	}
	p.onClose(p.pubsub.StopPush) // before the services: a server waits for connections that sent nothing yet
	return nil
}

// watch delivers the changes of documents to the services that have triggers for them, and shows all writes to the oracle
// and the meter.
func (p *platform) watch(ctx context.Context, at endpoints) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	speaks := map[string]bool{}
	for n, a := range p.accounts {
		if p.opts.kindOf(n) == strategy.KindRebalance {
			speaks[a.userID] = true
		}
	}
	if p.opts.Executor > 0 {
		p.owners = &owners{
			db: p.db, store: p.store, oracle: p.oracle, share: p.opts.Executor, seed: p.opts.Seed, delay: p.holdBack(), now: p.now, life: ctx,
		}
	}
	w := newWatcher(p.oracle, p.meter, p.owners, speaks)
	if p.feed, err = p.db.Watch(ctx, w.add, []route{{signalerPaths(), p.delivery(at.signaler)}, {rosterPaths(), p.delivery(at.fanout)}}); err != nil {
		cancel()
		w.close()
		return err
	}
	p.onClose(func() {
		cancel()
		p.feed.Close()
		w.close()
		p.owners.wait()
	})
	return nil
}

func (p *platform) delivery(url string) mem.DeliveryConfig {
	cfg := mem.DeliveryConfig{
		URL: url, MaxInFlight: 1000, Timeout: time.Minute, MinBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
		MaxAttempts: 10, Duplicate: p.opts.Duplicate, Reorder: p.opts.Reorder, HoldBack: p.holdBack(), Seed: p.opts.Seed, Log: p.log, DeadLetter: p.gaveUp,
	}
	if p.opts.chaos != nil {
		p.opts.chaos.delivery(&cfg)
	}
	return cfg
}

// holdBack is how late an event that is out of order may come: within a tick of its own.
func (p *platform) holdBack() time.Duration { return min(5*time.Second, p.opts.Interval/2) }

// gaveUp notes a message that was delivered in vain too often.
func (p *platform) gaveUp(m mem.Message, lastErr error) {
	p.meter.bury(1)
	p.log.Error("message is dead-lettered", "event_id", m.Header.Get("Ce-Id"), "error", lastErr)
	if r, ok := requestOf(m.Header.Get("Ce-Id")); ok && m.Header.Get("Ce-Type") == event.TypeSyncRequest {
		p.oracle.deadLettered(r)
		return
	}
	p.oracle.lostForGood()
}

// pending is what is still under way.
func (p *platform) pending() int { return p.pubsub.Pending() + p.feed.Pending() + p.owners.underway() }
