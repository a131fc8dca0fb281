package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// The bounds of one process that stands for the fleet. At 100 ms a call, 1,000 at once are 10,000 syncs a second: twice what
// two cores do.
const (
	inFlight = 1000
	project  = "bench"
)

// rig is what all designs stand on: the same users, store, vault, latencies and broker.
type rig struct {
	spec  Spec
	clock *mem.Clock
	db    *mem.DB
	store *store.Store
	vault *mem.Vault
	kms   *mem.KMS // nil: the keys are in the vault
	calls atomic.Int64
	alp   *alpaca.Broker
	tel   *telemetry.Telemetry // nil: none

	closers []func()
}

// inMemory is the most users whose documents lie in memory. Firestore's are in no service's; of more users they lie in a
// file, which costs some 5 % of the CPU, and no garbage collector walks them.
const inMemory = 50_000

func newRig(ctx context.Context, spec Spec) (*rig, error) {
	r := &rig{spec: spec, clock: mem.NewClock(time.Now(), time.Minute), vault: mem.NewVault()}
	r.db = mem.NewDB(r.clock.Now)
	if spec.Users > inMemory {
		if err := r.db.InFile(""); err != nil {
			return nil, err
		}
		r.closers = append(r.closers, func() { _ = r.db.Close() })
	}
	r.store = store.New(r.db)
	for i := range spec.Users {
		if err := r.onboard(ctx, userID(i), i); err != nil {
			return nil, err
		}
	}
	r.db.SetHook(func(ctx context.Context, op mem.Op) error {
		if !op.Done {
			sleep(ctx, spec.Store)
		}
		return nil
	})
	r.vault.SetHook(func(ctx context.Context, _ string) error { sleep(ctx, spec.Vault); return nil })
	pool := alpaca.NewTransport()
	pool.MaxIdleConnsPerHost, pool.MaxConnsPerHost, pool.MaxIdleConns = inFlight, inFlight, inFlight
	r.closers = append(r.closers, pool.CloseIdleConnections)
	var err error
	if r.tel, err = spec.telemetry(ctx, r.clock.Now); err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() { _ = r.tel.Close(context.WithoutCancel(ctx)) })
	r.store = store.New(r.tel.DB(r.db))
	r.alp, err = alpaca.New(alpaca.Config{PaperURL: spec.Broker, LiveURL: spec.Broker, Transport: r.tel.Transport(&counting{pool, &r.calls}), Now: r.clock.Now})
	return r, err
}

// telemetry is the design's, as a service has it; nil: none.
func (s Spec) telemetry(ctx context.Context, now func() time.Time) (*telemetry.Telemetry, error) {
	cfg := telemetry.DefaultConfig()
	cfg.Endpoint, cfg.Interval = s.OTLP, 5*time.Second // so that exports fall into what is measured
	switch s.Design {
	case Traced:
		cfg.To, cfg.Sample = telemetry.OTLP, 1
	case Told:
		cfg.To = telemetry.OTLP
	}
	return telemetry.Open(ctx, cfg, telemetry.Source{Service: "bench", Platform: project}, now, slog.Default())
}

func userID(i int) string { return fmt.Sprintf("user-%07d", i) }

func (r *rig) onboard(ctx context.Context, uid string, i int) error {
	payload, err := json.Marshal(map[string]string{"key_id": "PKBENCH" + strconv.Itoa(i), "secret_key": "bench-secret-" + strconv.Itoa(i)})
	if err != nil {
		return err
	}
	u := user.User{ID: uid, Status: user.Active, CadenceMinutes: 1, BrokerEnv: "paper", KeyVersion: r.vault.Add(uid, payload)}
	if err := r.store.PutUser(ctx, u); err != nil {
		return err
	}
	return r.store.PutStrategy(ctx, strategy.Definition{
		ID: "rebalance", UserID: uid, Kind: strategy.KindRebalance, Enabled: true,
		Params: map[string]any{"weights": map[string]any{"SPY": 0.6, "TLT": 0.4}, "drift_band": 0.05, "every_minutes": 240},
	})
}

func (r *rig) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// counting counts the calls to the broker.
type counting struct {
	next  http.RoundTripper
	calls *atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.calls.Add(1)
	return c.next.RoundTrip(r)
}

// syncer is one instance, as it is in the cloud, but for bounds that are the fleet's.
func (r *rig) syncer(observe func(context.Context, syncer.Result)) (*syncer.Service, error) {
	cfg := syncer.DefaultConfig(project)
	cfg.Concurrency, cfg.EgressBudget, cfg.Remembered = inFlight, 1e6, max(20_000, 2*r.spec.Users)
	keeper, err := r.keeper()
	if err != nil {
		return nil, err
	}
	vault, refused, err := cfg.Vault(r.tel.Vault(keeper), r.clock.Now)
	if err != nil {
		return nil, err
	}
	return syncer.New(cfg, syncer.Deps{
		Vault: vault, Refused: refused, Broker: r.alp, Snapshots: r.store, Health: r.store, Keys: r.store, Now: r.clock.Now,
		Observe: func(ctx context.Context, res syncer.Result) {
			r.tel.Synced(ctx, string(res.Outcome), res.Cause(), res.Tick)
			if observe != nil {
				observe(ctx, res)
			}
		},
	})
}

// pipeline is the whole platform: three services behind HTTP, messages pushed to them as Pub/Sub and Eventarc do.
type pipeline struct {
	*rig
	fan      *fanout.Service
	requests *queue
	changes  []*mem.Queue

	mu       sync.Mutex
	began    time.Time
	pending  int
	synced   int
	failed   int
	done     chan struct{}
	snapshot []float64 // ms from the tick
	signal   []float64
}

func (r *rig) pipeline(ctx context.Context) (*pipeline, error) {
	p := &pipeline{rig: r}
	sync, err := r.syncer(p.observe)
	if err != nil {
		return nil, err
	}
	syncerURL, err := p.listen(ctx, "syncer", sync.Handle)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r.closers = append(r.closers, cancel)
	p.requests = &queue{Queue: mem.StartQueue(ctx, delivery(syncerURL)), now: r.clock.Now, published: p.published}
	p.fan, err = fanout.New(fanout.DefaultConfig(), fanout.Deps{
		Users: r.store, Health: r.store, Trading: r.store, Roster: r.tel.Roster(r.store), Notes: r.store, Scan: r.store, Ledger: r.tel.Ledger(r.store),
		Requests: r.tel.Publisher("sync-requests", p.requests), Shards: r.tel.Publisher("sync-ticks", (*instances)(p)), Now: r.clock.Now, NewOwner: func() string { return "bench" },
		Fault: func(_ context.Context, err error) { slog.Error("fanout", "error", err) },
	})
	if err != nil {
		return nil, err
	}
	sig, err := signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: r.store, Strategies: r.store, Signals: r.tel.Book(r.store), Controls: r.store, Quotes: market.None{}, Now: r.clock.Now,
	})
	if err != nil {
		return nil, err
	}
	for _, to := range []struct {
		name   string
		handle event.Handler
		match  func(path string) bool
	}{
		{"signaler", sig.Handle, forSignaler},
		{"fanout", p.fan.Handle, forFanout},
	} {
		url, err := p.listen(ctx, to.name, to.handle)
		if err != nil {
			return nil, err
		}
		p.changes = append(p.changes, mem.StartEventarc(ctx, r.db, to.match, delivery(url)))
	}
	r.db.Watch(p.see)
	return p, nil
}

// forSignaler and forFanout say whether a service has a trigger for a document.
func forSignaler(path string) bool {
	return triggered(path, store.Accounts, store.Strategies, store.Signals)
}

func forFanout(path string) bool {
	p := strings.Split(path, "/")
	return (len(p) == 2 && p[0] == store.Users) || triggered(path, store.SyncHealth, store.Strategies)
}

func triggered(path string, collections ...string) bool {
	p := strings.Split(path, "/")
	return len(p) == 4 && p[0] == store.Users && slices.Contains(collections, p[2])
}

// none takes no dead letters: there must be none.
type none struct{}

// Publish implements event.Publisher.
func (none) Publish(_ context.Context, events ...event.Event) error {
	return fmt.Errorf("%d dead letters, %s the first", len(events), events[0].ID())
}

func delivery(url string) mem.DeliveryConfig {
	return mem.DeliveryConfig{URL: url, MaxInFlight: inFlight, MaxAttempts: 10}
}

func (p *pipeline) listen(ctx context.Context, name string, h event.Handler) (string, error) {
	s, err := serve.Listen(ctx, "127.0.0.1:0", &event.Receiver{Service: name, Handle: h, DeadLetters: none{}, Log: slog.New(slog.DiscardHandler), Watch: p.tel.Watch()})
	if err != nil {
		return "", err
	}
	p.closers = append(p.closers, func() { _ = s.Stop(context.WithoutCancel(ctx)) })
	return s.URL(), nil
}

// queue is a topic with one push subscription: Pub/Sub without its own cost.
type queue struct {
	*mem.Queue
	now       func() time.Time
	number    atomic.Int64
	published func(n int)
}

// Publish implements event.Publisher.
func (q *queue) Publish(_ context.Context, events ...event.Event) error {
	q.published(len(events))
	at := q.now().UTC().Format(time.RFC3339Nano)
	for _, e := range events {
		q.Add(func() mem.Message { // made when its turn comes: the messages that wait are Pub/Sub's, not this process's
			id := strconv.FormatInt(q.number.Add(1), 10)
			h := http.Header{mem.HeaderMessageID: {id}, mem.HeaderPublishTime: {at}}
			for k, v := range event.Attributes(e) {
				h.Set(k, v)
			}
			return mem.Message{ID: id, Header: h, Body: e.Data()}
		})
	}
	return nil
}

// instances publish the shards of a tick side by side, two at a time: there are two cores.
type instances pipeline

// Publish implements event.Publisher.
func (i *instances) Publish(ctx context.Context, events ...event.Event) error {
	p := (*pipeline)(i)
	p.published(len(events))
	go func() {
		var g errgroup.Group
		g.SetLimit(2)
		for _, e := range events {
			g.Go(func() error {
				defer p.settled()
				return p.fan.Handle(context.WithoutCancel(ctx), e)
			})
		}
		if err := g.Wait(); err != nil {
			slog.Error("shard of a tick", "error", err)
		}
	}()
	return nil
}

// settled ends one of what is pending; the last one ends the tick.
func (p *pipeline) settled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending--; p.pending == 0 {
		close(p.done)
	}
}

func (p *pipeline) published(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending += n
}

func (p *pipeline) observe(_ context.Context, r syncer.Result) {
	at := time.Now()
	p.mu.Lock()
	p.snapshot = append(p.snapshot, at.Sub(p.began).Seconds()*1000)
	p.synced++
	if r.Outcome == syncer.Failed || r.Outcome == syncer.Dropped {
		p.failed++
	}
	p.mu.Unlock()
	p.settled()
}

// see is told of every write.
func (p *pipeline) see(w mem.Written) {
	if w.Old != nil || !strings.Contains(w.Path, "/"+store.Signals+"/") {
		return
	}
	at := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal = append(p.signal, at.Sub(p.began).Seconds()*1000)
}

// tick runs one tick to its end: all users synced, and all changes handled. took is until the last user was synced.
func (p *pipeline) tick(ctx context.Context) (took time.Duration, err error) {
	t := tick.Of(p.clock.Step())
	p.mu.Lock()
	p.began, p.pending, p.done = time.Now(), 1, make(chan struct{}) // one: nothing is over before the fanout is
	done, began := p.done, p.began
	p.mu.Unlock()
	e := event.New("tick/"+t.String(), event.TypeTick, "scheduler", "")
	e.SetExtension("publishtime", t.Time())
	if err := p.handleTick(ctx, e); err != nil {
		return 0, err
	}
	p.settled()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		return 0, fmt.Errorf("tick %s did not end in 5 minutes", t)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	took = time.Since(began)
	for quiet := 0; quiet < 3; quiet++ {
		time.Sleep(2 * time.Millisecond)
		for _, q := range p.changes {
			if q.Pending() > 0 {
				quiet = 0
			}
		}
	}
	return took, nil
}

// handleTick is told to the telemetry as a receiver would.
func (p *pipeline) handleTick(ctx context.Context, e event.Event) error {
	watch := p.tel.Watch()
	if watch == nil {
		return p.fan.Handle(ctx, e)
	}
	ctx, ended := watch(ctx, nil, &e)
	err := p.fan.Handle(ctx, e)
	ended(err)
	return err
}

// session opens one user's account at the broker.
func (r *rig) session(ctx context.Context, uid string) (broker.Session, error) {
	creds, _, err := r.vault.Credentials(ctx, uid, "")
	if err != nil {
		return nil, err
	}
	return r.alp.Open(broker.Paper, creds)
}
