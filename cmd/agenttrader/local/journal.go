package local

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/deadletter"
	"github.com/agenttrader/agenttrader/pkg/serve"
)

// journal stands between Pub/Sub's push and a syncer in another process, and tells the oracle and the meter what an
// observer in the process would: which requests came, and which are acknowledged.
func (p *platform) journal(ctx context.Context, to string) (at string, err error) {
	target, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	j := &journal{oracle: p.oracle, meter: p.meter, messages: map[request]string{}}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1000, IdleConnTimeout: time.Minute}
	proxy.ModifyResponse = j.answered
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) { // the syncer is down: Pub/Sub pushes again
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	s, err := serve.Listen(ctx, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j.came(r)
		proxy.ServeHTTP(w, r)
	}))
	if err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	p.onClose(func() { _ = s.Stop(ctx) })
	return s.URL(), nil
}

type journal struct {
	oracle *oracle
	meter  *meter

	mu       sync.Mutex
	messages map[request]string // the message that brought it first: another one was published again
}

func (j *journal) came(r *http.Request) {
	req, ok := requestOf(r.Header.Get("Ce-Id"))
	if !ok || r.Header.Get("Ce-"+deadletter.ReplayOf) != "" { // an operator's replay is not the fanout's doing
		return
	}
	message := r.Header.Get("X-Goog-Pubsub-Message-Id")
	j.mu.Lock()
	first, known := j.messages[req]
	if !known {
		j.messages[req] = message
	}
	j.mu.Unlock()
	if !known {
		j.meter.with(req.tick, func(c *tickCount) { c.Published++ })
	}
	if !known || first != message {
		j.oracle.publishing(req)
	}
}

func (j *journal) answered(resp *http.Response) error {
	req, ok := requestOf(resp.Request.Header.Get("Ce-Id"))
	if ok && resp.StatusCode/100 == 2 && j.oracle.settled(req, true) {
		j.meter.with(req.tick, func(c *tickCount) { c.Synced++; c.ended = time.Now() })
	}
	return nil
}
