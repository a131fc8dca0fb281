package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// Ops are operations, as they are billed.
type Ops struct {
	Reads    float64 `json:"store_reads"`
	Writes   float64 `json:"store_writes"`
	Accesses float64 `json:"secret_accesses"` // of all instances together
	KMS      float64 `json:"kms_calls"`       // the same
	Calls    float64 `json:"broker_calls"`
	Messages float64 `json:"messages"` // sync requests
	Events   float64 `json:"requests"` // to the services: messages and change events
}

// combine is f of each of both.
func combine(a, b Ops, f func(a, b float64) float64) Ops {
	return Ops{f(a.Reads, b.Reads), f(a.Writes, b.Writes), f(a.Accesses, b.Accesses), f(a.KMS, b.KMS), f(a.Calls, b.Calls), f(a.Messages, b.Messages), f(a.Events, b.Events)}
}

// Month is what 30 days take: by user, and by tick whoever is there.
type Month struct {
	Name     string `json:"name"`
	Syncers  int    `json:"syncers"`
	Envelope bool   `json:"envelope"`
	PerUser  Ops    `json:"per_user"`
	Fixed    Ops    `json:"per_tick"`
}

// KMSOfMonth is how often KMS is called, whatever the number of users.
func (m Month) KMSOfMonth() float64 { return m.Fixed.KMS * ticksPerDay * daysPerMonth }

// Scenario is a day to simulate.
type Scenario struct {
	Name     string
	Syncers  int
	Topics   bool // each syncer has a topic of its own; false: Pub/Sub chooses one at random
	Hours    market.Hours
	Material float64 // share of the account reads that find a material change
	Envelope bool    // keys in envelopes, not in Secret Manager
}

// scenarios are the days that are told of.
func scenarios() []Scenario {
	return []Scenario{
		{Name: "idle, round the clock, 1 syncer, Secret Manager", Syncers: 1, Hours: market.Always},
		{Name: "idle, round the clock, 4 syncers on 4 topics, Secret Manager", Syncers: 4, Topics: true, Hours: market.Always},
		{Name: "idle, round the clock, 4 syncers on one topic, Secret Manager", Syncers: 4, Hours: market.Always},
		{Name: "idle, round the clock, 4 syncers on 4 topics, envelope keys", Syncers: 4, Topics: true, Hours: market.Always, Envelope: true},
		{Name: "5% material, regular hours, 4 syncers on 4 topics, Secret Manager", Syncers: 4, Topics: true, Hours: market.Regular, Material: 0.05},
		{Name: "5% material, regular hours, 4 syncers on 4 topics, envelope keys", Syncers: 4, Topics: true, Hours: market.Regular, Material: 0.05, Envelope: true},
		{Name: "5% material, regular hours, 4 syncers on one topic, envelope keys", Syncers: 4, Hours: market.Regular, Material: 0.05, Envelope: true},
	}
}

// month simulates a Tuesday minute by minute, on a fast clock, with two numbers of users: what grows with them is each
// user's, the rest is the tick's. In regular hours a month has 21 such days and 9 on which all is closed.
func month(ctx context.Context, s Scenario) (Month, error) { return monthOf(ctx, s, ticksPerDay) }

// monthOf counts so many minutes for a day; fewer than a day has do for a user who is synced round the clock.
func monthOf(ctx context.Context, s Scenario, minutes int) (Month, error) {
	const few, many = 12, 24 // whole parts of the scan
	a, err := day(ctx, s, few, minutes)
	if err != nil {
		return Month{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	b, err := day(ctx, s, many, minutes)
	if err != nil {
		return Month{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	days := float64(daysPerMonth)
	if s.Hours != market.Always {
		days = tradingDays
	}
	days *= ticksPerDay / float64(minutes)
	m := Month{Name: s.Name, Syncers: s.Syncers, Envelope: s.Envelope}
	m.PerUser = combine(a, b, func(a, b float64) float64 { return (b - a) / (many - few) * days })
	m.Fixed = combine(a, b, func(a, b float64) float64 { return max(0, (a*many-b*few)/(many-few)) / float64(minutes) })
	// Data keys are nobody's own: the world has one, a fleet all. Each call of KMS goes with a read of the data key.
	m.PerUser.KMS, m.Fixed.KMS = 0, dataKeys()*b.KMS/float64(minutes)
	m.Fixed.Reads += (dataKeys() - 1) * b.KMS / float64(minutes)
	return m, nil
}

// dataKeys are a fleet's.
func dataKeys() float64 { return float64(envelope.DefaultConfig().Shards) }

// day counts from the second day on: the first fills the caches.
func day(ctx context.Context, s Scenario, users, minutes int) (Ops, error) {
	w, err := newWorld(ctx, s, users)
	if err != nil {
		return Ops{}, err
	}
	defer w.close()
	if err := w.run(ctx, minutes); err != nil {
		return Ops{}, err
	}
	before := w.ops()
	if err := w.run(ctx, minutes); err != nil {
		return Ops{}, err
	}
	return combine(w.ops(), before, func(a, b float64) float64 { return a - b }), nil
}

// world is the platform without messages: each event is handed on as it comes, to a syncer chosen at random.
type world struct {
	*rig
	fan      *fanout.Service
	sig      *signaler.Service
	syncers  []*syncer.Service
	route    *rand.Rand
	topics   bool
	requests []event.Event
	changes  []mem.Written
	messages float64
	events   float64
}

func newWorld(ctx context.Context, s Scenario, users int) (*world, error) {
	start := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC) // a Monday's midnight in New York: Tuesday is counted
	w := &world{rig: &rig{clock: mem.NewClock(start, 0), vault: mem.NewVault()}, route: rand.New(rand.NewPCG(1, uint64(s.Syncers))), topics: s.Topics}
	w.db = mem.NewDB(w.clock.Now)
	w.store = store.New(w.db)
	broker := sim.New(sim.Config{Seed: 1, Now: w.clock.Now, AnyKey: true, Churn: s.Material, Volatility: 1e-9})
	server, err := serve.Listen(ctx, "127.0.0.1:0", broker)
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, func() { broker.Close(); _ = server.Stop(context.WithoutCancel(ctx)) })
	pool := alpaca.NewTransport()
	w.closers = append(w.closers, pool.CloseIdleConnections)
	if w.alp, err = alpaca.New(alpaca.Config{PaperURL: server.URL(), LiveURL: server.URL(), Transport: &counting{pool, &w.calls}, Now: w.clock.Now}); err != nil {
		return nil, err
	}
	if s.Envelope {
		if w.kms, err = mem.NewKMS(mem.KMSKey); err != nil {
			return nil, err
		}
	}
	keeper, err := w.keeper()
	if err != nil {
		return nil, err
	}
	for i := range users {
		const version = "1"
		uid := userID(i)
		creds, err := secret.NewCredentials(fmt.Sprintf("PKDAY%d", i), fmt.Sprintf("s%d", i))
		if err != nil {
			return nil, err
		}
		if err := keeper.Put(ctx, uid, creds, version); err != nil {
			return nil, err
		}
		if err := w.store.PutUser(ctx, user.User{ID: uid, Status: user.Active, CadenceMinutes: 1, BrokerEnv: "paper", KeyVersion: version, SyncHours: s.Hours}); err != nil {
			return nil, err
		}
	}
	w.db.Watch(func(c mem.Written) { w.changes = append(w.changes, c) })
	return w, w.start(ctx, s)
}

// keeper is where the keys are, for one instance.
func (r *rig) keeper() (secret.Keeper, error) {
	if r.kms == nil {
		return r.vault, nil
	}
	cfg := envelope.DefaultConfig()
	cfg.Shards, cfg.Now = 1, r.clock.Now // with few users, each would have a data key of its own
	return envelope.New(r.db, r.kms, cfg)
}

func (w *world) start(ctx context.Context, s Scenario) error {
	keeper, err := w.keeper()
	if err != nil {
		return err
	}
	creds, _, err := keeper.Credentials(ctx, userID(0), "")
	if err != nil {
		return err
	}
	sessions, err := w.alp.Sessions(broker.Paper, creds)
	if err != nil {
		return err
	}
	timetable := market.NewTimetable(market.TimetableConfig{Sessions: sessions, Now: w.clock.Now})
	owners := 0
	w.fan, err = fanout.New(fanout.DefaultConfig(), fanout.Deps{
		Users: w.store, Health: w.store, Trading: w.store, Roster: w.store, Notes: w.store, Scan: w.store, Ledger: w.store,
		Requests: (*publishing)(w), Shards: none{}, Now: w.clock.Now, Open: timetable.Open,
		NewOwner: func() string { owners++; return fmt.Sprint(owners) },
	})
	if err != nil {
		return err
	}
	w.sig, err = signaler.New(signaler.DefaultConfig(), signaler.Deps{Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Quotes: market.None{}, Now: w.clock.Now})
	for range s.Syncers {
		one, err := w.syncer(nil)
		if err != nil {
			return err
		}
		w.syncers = append(w.syncers, one)
	}
	return err
}

// publishing keeps the requests for their turn.
type publishing world

// Publish implements event.Publisher.
func (p *publishing) Publish(_ context.Context, events ...event.Event) error {
	p.requests = append(p.requests, events...)
	return nil
}

func (w *world) run(ctx context.Context, minutes int) error {
	for range minutes {
		t := tick.Of(w.clock.Step())
		e := event.New("tick/"+t.String(), event.TypeTick, "scheduler", "")
		e.SetExtension("publishtime", t.Time())
		if err := w.fan.Handle(ctx, e); err != nil {
			return err
		}
		requests := w.requests
		w.requests = nil
		for _, r := range requests {
			w.messages++
			w.events++
			if err := w.syncerOf(r).Handle(ctx, r); err != nil {
				return err
			}
		}
		if err := w.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

// syncerOf is the one that a request is pushed to.
func (w *world) syncerOf(r event.Event) *syncer.Service {
	if w.topics {
		return w.syncers[fanout.Partition(strings.TrimPrefix(r.Subject(), store.Users+"/"), len(w.syncers))]
	}
	return w.syncers[w.route.IntN(len(w.syncers))]
}

// tell delivers the change events that the triggers are for.
func (w *world) tell(ctx context.Context) error {
	for len(w.changes) > 0 {
		c := w.changes[0]
		w.changes = w.changes[1:]
		for _, to := range []struct {
			match  func(path string) bool
			handle event.Handler
		}{{forSignaler, w.sig.Handle}, {forFanout, w.fan.Handle}} {
			if !to.match(c.Path) {
				continue
			}
			w.events++
			e := event.New("change", event.TypeDocument, "firestore", "")
			if err := e.SetData("application/protobuf", document.EncodeChange(c.Old, c.New)); err != nil {
				return err
			}
			if err := to.handle(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) ops() Ops {
	reads, writes := w.db.Counts()
	ops := Ops{
		Reads: float64(reads), Writes: float64(writes), Accesses: float64(w.vault.Accesses()), Calls: float64(w.calls.Load()),
		Messages: w.messages, Events: w.events,
	}
	if w.kms != nil {
		ops.KMS = float64(w.kms.Calls())
	}
	return ops
}
