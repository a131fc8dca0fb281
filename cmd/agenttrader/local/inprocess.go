package local

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// inProcess mounts the services in this process, each behind a port of its own.
func (p *platform) inProcess(ctx context.Context) (at endpoints, err error) {
	broker, quotes, err := p.connectBroker()
	if err != nil {
		return at, err
	}
	fan, err := fanout.New(fanout.DefaultConfig(), fanout.Deps{
		Users: p.store, Ledger: p.store, Requests: p.meter.requests(p.publisher(topicRequests)),
		Now: p.now, NewOwner: uuid.NewString,
	})
	if err != nil {
		return at, err
	}
	sync, err := syncer.New(syncer.DefaultConfig(Project), syncer.Deps{
		Vault: p.vault, Broker: broker, Snapshots: p.store, Now: p.now, Observe: p.meter.synced,
		Fault: p.fault,
	})
	if err != nil {
		return at, err
	}
	sig, err := signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: p.store, Strategies: p.store, Signals: p.store, Quotes: quotes, Now: p.now,
		Fault: p.fault,
	})
	if err != nil {
		return at, err
	}
	if at.fanout, err = p.listen(ctx, "fanout", fan.Handle); err != nil {
		return at, err
	}
	if at.syncer, err = p.listen(ctx, "syncer", sync.Handle); err != nil {
		return at, err
	}
	at.signaler, err = p.listen(ctx, "signaler", sig.Handle)
	return at, err
}

func (p *platform) fault(_ context.Context, userID string, err error) {
	p.log.Warn(err.Error(), "user_id", userID)
}

// listen serves a handler of events on a port of its own.
func (p *platform) listen(ctx context.Context, name string, h event.Handler) (url string, err error) {
	s, err := serve.Listen(ctx, "127.0.0.1:0", &event.Receiver{Service: name, Handle: h, DeadLetters: p.dead, Log: p.log.With("service", name)})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	p.onClose(func() { _ = s.Stop(ctx) })
	return s.URL(), nil
}

func (p *platform) connectBroker() (*alpaca.Broker, market.Quotes, error) {
	pool := alpaca.NewTransport()
	p.onClose(pool.CloseIdleConnections)
	calls := &countingTransport{next: pool, calls: &p.calls}
	b, err := alpaca.New(alpaca.Config{PaperURL: p.trading, LiveURL: p.trading, Transport: calls, Now: p.now})
	if err != nil {
		return nil, nil, err
	}
	if p.data == "" {
		return b, market.None{}, nil
	}
	quotes, err := alpaca.NewQuotes(alpaca.QuotesConfig{BaseURL: p.data, Transport: calls}, p.accounts[0].creds)
	if err != nil {
		return nil, nil, err
	}
	return b, market.NewCache(quotes, p.now), nil
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
