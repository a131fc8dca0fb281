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
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// inProcess mounts the services in this process, each behind a port of its own.
func (p *platform) inProcess(ctx context.Context) (at endpoints, err error) {
	broker, quotes, bars, err := p.connectBroker()
	if err != nil {
		return at, err
	}
	timetable, err := p.timetable(broker)
	if err != nil {
		return at, err
	}
	fan, err := fanout.New(fanout.DefaultConfig(), fanout.Deps{
		Users: p.store, Health: p.store, Trading: p.store, Roster: p.store, Notes: p.store, Scan: p.store, Ledger: p.store,
		Requests: p.meter.requests(p.publisher(topicRequests)), Shards: p.publisher(topicTicks),
		Now: p.now, NewOwner: uuid.NewString, Open: timetable.Open,
		Repaired: func(ctx context.Context, userID, wrong string) {
			p.log.WarnContext(ctx, "roster is put right", "user_id", userID, "wrong", wrong)
		},
		Fault: func(ctx context.Context, err error) { p.log.ErrorContext(ctx, "tick went on without", "error", err) },
	})
	if err != nil {
		return at, err
	}
	sig, err := signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: p.store, Strategies: p.store, Signals: p.store, Controls: p.store, Records: p.store, Quotes: quotes, Bars: bars, Now: p.now,
		Advisor: &advice.Budget{Config: advice.Config{CallsPerUserDay: 24 * 60}, Next: mem.NewAdvisor(p.opts.Seed), Tally: p.store, Now: p.now},
		Fault:   p.fault,
	})
	if err != nil {
		return at, err
	}
	if at.fanout, err = p.listen(ctx, "fanout", fan.Handle); err != nil {
		return at, err
	}
	if at.syncer, err = p.listenSyncer(ctx, broker); err != nil {
		return at, err
	}
	at.signaler, err = p.listen(ctx, "signaler", sig.Handle)
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
func (p *platform) listenSyncer(ctx context.Context, b broker.Broker) (url string, err error) {
	instance := func() (event.Handler, error) {
		cfg := p.syncerConfig()
		keeper, err := p.keeper()
		if err != nil {
			return nil, err
		}
		vault, refused, err := cfg.Vault(keeper, p.now)
		if err != nil {
			return nil, err
		}
		s, err := syncer.New(cfg, syncer.Deps{
			Vault: vault, Refused: refused, Broker: b, Snapshots: p.store, Health: p.store, Keys: p.store, Now: p.now, Observe: p.meter.synced,
			Fault:   p.fault,
			Breaker: func(from, to string) { p.log.Error("circuit breaker of the broker", "from", from, "to", to) },
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
		return p.listen(ctx, "syncer", handle)
	}
	handle, err := instance()
	if err != nil {
		return "", err
	}
	return p.listen(ctx, "syncer", handle)
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
func (p *platform) listen(ctx context.Context, name string, h event.Handler) (url string, err error) {
	var door http.Handler = &event.Receiver{Service: name, Handle: h, DeadLetters: p.dead, Log: p.log.With("service", name)}
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

func (p *platform) connectBroker() (*alpaca.Broker, market.Quotes, market.Bars, error) {
	pool := alpaca.NewTransport()
	p.onClose(pool.CloseIdleConnections)
	calls := &countingTransport{next: pool, calls: &p.calls}
	b, err := alpaca.New(alpaca.Config{PaperURL: p.trading, LiveURL: p.trading, Transport: calls, Now: p.now})
	if err != nil {
		return nil, nil, nil, err
	}
	if p.data == "" {
		return b, market.None{}, market.NoBars{}, nil
	}
	data, err := alpaca.NewData(alpaca.DataConfig{BaseURL: p.data, Transport: calls, Now: p.now}, func(ctx context.Context) (secret.Credentials, error) {
		return p.secrets.PlatformKeys(ctx, dataSecret)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		return nil, nil, nil, err
	}
	return b, market.NewQuoteCache(data, p.now), market.NewBarCache(data, grid, p.now), nil
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
