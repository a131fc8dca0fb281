package local

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// inProcess mounts the services in this process, each behind a port of its own.
func (p *platform) inProcess(ctx context.Context) (at endpoints, err error) {
	tells, err := p.tells(ctx)
	if err != nil {
		return at, err
	}
	broker, err := p.connectBroker(tells.syncer)
	if err != nil {
		return at, err
	}
	timetable, err := p.timetable(broker)
	if err != nil {
		return at, err
	}
	quotes, bars, err := p.connectData(tells.signaler)
	if err != nil {
		return at, err
	}
	users := store.New(tells.fanout.DB(p.db))
	fan, err := fanout.New(fanout.DefaultConfig(), fanout.Deps{
		Users: users, Health: users, Trading: users, Roster: tells.fanout.Roster(users), Notes: users, Scan: users, Ledger: tells.fanout.Ledger(users),
		Requests: p.meter.requests(tells.fanout.Publisher(topicRequests, p.publisher(topicRequests))),
		Shards:   tells.fanout.Publisher(topicTicks, p.publisher(topicTicks)),
		Now:      p.now, NewOwner: uuid.NewString, Open: timetable.Open,
		Repaired: func(ctx context.Context, userID, wrong string) {
			p.log.WarnContext(ctx, "roster is put right", "user_id", userID, "wrong", wrong)
		},
		Fault: func(ctx context.Context, err error) { p.log.ErrorContext(ctx, "tick went on without", "error", err) },
	})
	if err != nil {
		return at, err
	}
	users = store.New(tells.signaler.DB(p.db))
	model := tells.signaler.Advisor(mem.NewAdvisor(p.opts.Seed))
	sig, err := signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: users, Strategies: users, Signals: tells.signaler.Book(users), Controls: users, Records: users, Quotes: quotes, Bars: bars, Now: p.now,
		Advisor: &advice.Budget{Config: advice.Config{CallsPerUserDay: 24 * 60}, Next: model, Tally: users, Now: p.now},
		Fault:   p.fault,
	})
	if err != nil {
		return at, err
	}
	if at.fanout, err = p.listen(ctx, "fanout", tells.fanout, fan.Handle); err != nil {
		return at, err
	}
	if at.syncer, err = p.listenSyncer(ctx, tells.syncer, broker); err != nil {
		return at, err
	}
	at.signaler, err = p.listen(ctx, "signaler", tells.signaler, sig.Handle)
	return at, err
}

// timetable is the market's, by the first user's keys.
func (p *platform) timetable(b *alpaca.Broker) (*market.Timetable, error) {
	sessions, err := b.Sessions("paper", p.accounts[0].creds)
	if err != nil {
		return nil, err
	}
	return market.NewTimetable(market.TimetableConfig{
		Sessions: sessions, Clocks: sessions, Now: p.now, Fault: func(err error) { p.log.Warn("market hours are not known: everybody is synced", "error", err) },
	}), nil
}

// listenSyncer serves one instance, which chaos may kill and replace.
func (p *platform) listenSyncer(ctx context.Context, tel *telemetry.Telemetry, b broker.Broker) (url string, err error) {
	instance := func() (event.Handler, error) {
		cfg := p.syncerConfig()
		keeper, err := p.keeper()
		if err != nil {
			return nil, err
		}
		vault, refused, err := cfg.Vault(tel.Vault(keeper), p.now)
		if err != nil {
			return nil, err
		}
		users := store.New(tel.DB(p.db))
		tel.BreakerTurned(ctx, "closed")
		s, err := syncer.New(cfg, syncer.Deps{
			Vault: vault, Refused: refused, Broker: b, Snapshots: users, Health: users, Keys: users, Now: p.now,
			Observe: func(ctx context.Context, r syncer.Result) {
				tel.Synced(ctx, string(r.Outcome), r.Cause(), r.Tick)
				p.meter.synced(ctx, r)
			},
			Changed: tel.HealthChanged,
			Fault:   p.fault,
			Breaker: func(from, to string) {
				tel.BreakerTurned(ctx, to)
				p.log.Error("circuit breaker of the broker", "from", from, "to", to)
			},
		})
		if err != nil {
			return nil, err
		}
		return s.Handle, nil
	}
	if p.opts.chaos != nil {
		handle, err := p.opts.chaos.replaceable(instance)
		if err != nil {
			return "", err
		}
		return p.listen(ctx, "syncer", tel, handle)
	}
	handle, err := instance()
	if err != nil {
		return "", err
	}
	return p.listen(ctx, "syncer", tel, handle)
}

// syncerConfig: one instance stands for the fleet, and a minute of the platform's clock is an interval of real time,
// in which the breaker's rest is counted.
func (p *platform) syncerConfig() syncer.Config {
	cfg := syncer.DefaultConfig(Project)
	cfg.EgressBudget, cfg.Concurrency = 1e5, 512
	cfg.BreakerOpen = max(10*time.Millisecond, time.Duration(float64(cfg.BreakerOpen)*p.opts.Interval.Minutes()))
	if c := p.opts.chaos; c != nil {
		cfg.Deadline, cfg.Concurrency = c.deadline(), chaosConcurrency
	}
	return cfg
}

func (p *platform) fault(_ context.Context, userID string, err error) {
	p.log.Warn(err.Error(), "user_id", userID)
}

// listen serves a handler of events on a port of its own.
func (p *platform) listen(ctx context.Context, name string, tel *telemetry.Telemetry, h event.Handler) (url string, err error) {
	var door http.Handler = &event.Receiver{
		Service: name, Handle: h, DeadLetters: tel.Publisher(topicDead, p.dead), Log: p.log.With("service", name), Watch: tel.Watch(),
	}
	if p.opts.chaos != nil {
		door = p.opts.chaos.answers(door)
	}
	s, err := serve.Listen(ctx, "127.0.0.1:0", door)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	p.onClose(func() { _ = s.Stop(ctx) })
	return s.URL(), nil
}

func (p *platform) connectBroker(tel *telemetry.Telemetry) (*alpaca.Broker, error) {
	return alpaca.New(alpaca.Config{PaperURL: p.trading, LiveURL: p.trading, Transport: p.calling(tel), Now: p.now})
}

// connectData asks for market data, if there is a server of it.
func (p *platform) connectData(tel *telemetry.Telemetry) (market.Quotes, market.Bars, error) {
	if p.data == "" {
		return market.None{}, market.NoBars{}, nil
	}
	data, err := alpaca.NewData(alpaca.DataConfig{BaseURL: p.data, Transport: p.calling(tel), Now: p.now}, func(ctx context.Context) (secret.Credentials, error) {
		return p.secrets.PlatformKeys(ctx, dataSecret)
	})
	if err != nil {
		return nil, nil, err
	}
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		return nil, nil, err
	}
	return market.NewQuoteCache(data, p.now), market.NewBarCache(data, grid, p.now), nil
}

// calling is a pool of connections to the broker, whose calls are counted.
func (p *platform) calling(tel *telemetry.Telemetry) http.RoundTripper {
	pool := alpaca.NewTransport()
	p.onClose(pool.CloseIdleConnections)
	return tel.Transport(&countingTransport{next: pool, calls: &p.calls})
}

// countingTransport counts the calls to the broker.
type countingTransport struct {
	next  http.RoundTripper
	calls *atomic.Int64
}

func (t *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.calls.Add(1)
	return t.next.RoundTrip(r)
}
