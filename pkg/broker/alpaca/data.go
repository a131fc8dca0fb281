package alpaca

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/marketdata"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/limit"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// DefaultDataLimit is the requests a minute of Alpaca's Basic plan (https://docs.alpaca.markets/docs/about-market-data-api).
const DefaultDataLimit = 200

// DataConfig says where Alpaca's market data is, and what the plan of the keys allows. The zero DataConfig is Alpaca
// itself on the Basic plan.
type DataConfig struct {
	BaseURL   string
	Feed      string // of shares: "iex", which every plan has, or "sip"; "" is iex
	Limit     int    // requests a minute, pages counted; 0 is DefaultDataLimit
	Calendar  market.Calendar
	Transport http.RoundTripper // nil is NewTransport
	Timeout   time.Duration     // of one call, its pages together; 0 is 10 s
	Now       func() time.Time  // nil is time.Now
}

// CheckFeed says what is wrong with a feed, if anything is.
func CheckFeed(feed string) error {
	if feed != "" && feed != marketdata.IEX && feed != marketdata.SIP {
		return fmt.Errorf("feed %.20q: want %s or %s", feed, marketdata.IEX, marketdata.SIP)
	}
	return nil
}

// Data implements market.Quotes and market.Bars on Alpaca's market-data API, with the platform's own keys. Pairs of
// currencies, like BTC/USD, go to its crypto endpoints. Its errors are *broker.Error; one that is for a symbol is a
// market.ErrRejected too. It is safe for concurrent use.
type Data struct {
	cfg    DataConfig
	grid   market.Grid
	keys   *dataKeys
	budget *budget
}

// NewData asks with the keys that read gives. They are read when they are first needed, hourly from then on, and after
// Alpaca refused them: a rotation needs no new instance.
func NewData(cfg DataConfig, read func(context.Context) (secret.Credentials, error)) (*Data, error) {
	if err := errors.Join(secret.CheckEnv(os.Environ()), CheckFeed(cfg.Feed)); err != nil {
		return nil, err
	}
	grid, err := market.NewGrid(cfg.Calendar)
	if err != nil {
		return nil, err
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultDataURL
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.Feed == "" {
		cfg.Feed = marketdata.IEX
	}
	if cfg.Limit == 0 {
		cfg.Limit = DefaultDataLimit
	}
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Data{
		cfg: cfg, grid: grid, keys: &dataKeys{read: read, now: cfg.Now},
		budget: &budget{keys: limit.NewKeys(cfg.Limit, cfg.Now), now: cfg.Now},
	}, nil
}

// do makes one call through the SDK, of as many requests as it has pages.
func (d *Data) do(ctx context.Context, op string, fn func(*marketdata.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	creds, err := d.keys.get(ctx)
	if err != nil {
		return err
	}
	pages := 0
	c := &call{ctx: ctx, next: d.cfg.Transport, creds: creds, before: func() error {
		if pages++; pages > maxPages {
			return &broker.Error{Kind: broker.Malformed, Op: op, Err: fmt.Errorf("more than %d pages", maxPages)}
		}
		return d.budget.take(op)
	}}
	keyID, secretKey := creds.Reveal()
	client := marketdata.NewClient(marketdata.ClientOpts{
		APIKey: keyID, APISecret: secretKey, BaseURL: d.cfg.BaseURL, Feed: d.cfg.Feed,
		RetryLimit: -1, // 0 would be ten blind retries
		HTTPClient: &http.Client{Transport: c, CheckRedirect: noRedirect},
	})
	if err := fn(client); err != nil {
		return d.refused(c.fault(op, err), creds)
	}
	return nil
}

// maxPages is more than 500 symbols need; a server that always has one more page would never end.
const maxPages = 60

// refused draws the consequences of an error.
func (d *Data) refused(err error, creds secret.Credentials) error {
	var e *broker.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case broker.Unauthorized, broker.Forbidden: // the data API says 403 to a bad key too
		d.keys.forget(creds)
	case broker.RateLimited:
		d.budget.stop(e.ResetAt)
	case broker.Rejected:
		return fmt.Errorf("%w: %w", market.ErrRejected, err)
	}
	return err
}

// budget bounds the requests of all calls.
type budget struct {
	keys *limit.Keys
	now  func() time.Time

	mu    sync.Mutex
	until time.Time // Alpaca says when it answers again
}

func (b *budget) take(op string) error {
	b.mu.Lock()
	until := b.until
	b.mu.Unlock()
	if b.now().Before(until) {
		return &broker.Error{Kind: broker.RateLimited, Op: op, ResetAt: until, Err: errors.New("Alpaca's limit is used up")} //nolint:staticcheck // a name
	}
	if ok, next := b.keys.Allow(""); !ok {
		return &broker.Error{Kind: broker.RateLimited, Op: op, ResetAt: next, Err: errors.New("our own limit of requests a minute is used up")}
	}
	return nil
}

// stop believes a time within the next five minutes.
func (b *budget) stop(until time.Time) {
	if until.Sub(b.now()) > 5*time.Minute {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = until
}

// split tells shares from pairs of currencies; what is no symbol is in neither.
func split(symbols []string) (shares, pairs []string) {
	for _, s := range symbols {
		switch {
		case market.CheckSymbol(s) != nil:
		case market.IsCrypto(s):
			pairs = append(pairs, s)
		default:
			shares = append(shares, s)
		}
	}
	return shares, pairs
}
