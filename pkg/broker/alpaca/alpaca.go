// Package alpaca is the broker port and the market-data port on Alpaca's own Go SDK, made safe for many tenants:
// every call has a context and a deadline, one connection pool serves all users, nothing is retried behind the
// caller's back, and no key can come from the environment.
package alpaca

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/alpaca"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Alpaca's own hosts.
const (
	DefaultPaperURL = "https://paper-api.alpaca.markets"
	DefaultLiveURL  = "https://api.alpaca.markets"
	DefaultDataURL  = "https://data.alpaca.markets"
)

const defaultTimeout = 10 * time.Second

// Config says where Alpaca is. The zero Config is Alpaca itself.
type Config struct {
	PaperURL, LiveURL string
	Transport         http.RoundTripper // nil is NewTransport
	Timeout           time.Duration     // of one call; 0 is 10 s
	Now               func() time.Time  // nil is time.Now
}

// Broker implements broker.Broker.
type Broker struct {
	cfg Config
}

// New is a broker. It refuses to start while the environment holds APCA_ variables.
func New(cfg Config) (*Broker, error) {
	if err := secret.CheckEnv(os.Environ()); err != nil {
		return nil, err
	}
	if cfg.PaperURL == "" {
		cfg.PaperURL = DefaultPaperURL
	}
	if cfg.LiveURL == "" {
		cfg.LiveURL = DefaultLiveURL
	}
	cfg.PaperURL, cfg.LiveURL = strings.TrimRight(cfg.PaperURL, "/"), strings.TrimRight(cfg.LiveURL, "/")
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Broker{cfg: cfg}, nil
}

// Open implements broker.Broker.
func (b *Broker) Open(env broker.Env, creds secret.Credentials) (broker.Session, error) {
	s, err := b.open(env, creds)
	if err != nil {
		return nil, err // no session, and no interface around one
	}
	return s, nil
}

func (b *Broker) open(env broker.Env, creds secret.Credentials) (*session, error) {
	if creds.IsZero() {
		return nil, errors.New("alpaca: credentials are empty")
	}
	switch env {
	case broker.Paper:
		return &session{cfg: &b.cfg, url: b.cfg.PaperURL, creds: creds}, nil
	case broker.Live:
		return &session{cfg: &b.cfg, url: b.cfg.LiveURL, creds: creds}, nil
	}
	return nil, fmt.Errorf("alpaca: environment %.20q: want paper or live", env)
}

type session struct {
	cfg   *Config
	url   string
	creds secret.Credentials
}

// do makes one call through the SDK and turns its failure into a *broker.Error.
func (s *session) do(ctx context.Context, op string, fn func(*alpaca.Client) error) (*call, error) {
	if until, ok := ctx.Deadline(); !ok || time.Until(until) > s.cfg.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
	}
	c := &call{ctx: ctx, next: s.cfg.Transport, creds: s.creds}
	keyID, secretKey := s.creds.Reveal()
	client := alpaca.NewClient(alpaca.ClientOpts{
		APIKey: keyID, APISecret: secretKey, BaseURL: s.url,
		RetryLimit: -1, // 0 would be three blind retries
		HTTPClient: &http.Client{Transport: c, CheckRedirect: noRedirect},
	})
	if err := fn(client); err != nil {
		return c, c.fault(op, err)
	}
	return c, nil
}

// noRedirect: Alpaca's API does not redirect, and keys must not follow where something else leads.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Account implements broker.Session.
func (s *session) Account(ctx context.Context) (account.Reading, error) {
	at := s.cfg.Now().UTC()
	c, err := s.do(ctx, "account", func(client *alpaca.Client) error {
		_, err := client.GetAccount()
		return err
	})
	if err != nil {
		return account.Reading{}, err
	}
	raw, err := decode[map[string]any](c)
	if err != nil {
		return account.Reading{}, c.malformed("account", err)
	}
	a, err := account.FromRaw(raw)
	if err == nil && (a.ID == "" || a.Status == "") {
		err = errors.New("the account has no id or no status")
	}
	if err != nil {
		return account.Reading{}, c.malformed("account", err)
	}
	return account.Reading{Account: a, Raw: raw, ObservedAt: at}, nil
}

// Positions implements broker.Session.
func (s *session) Positions(ctx context.Context) ([]account.Position, error) {
	c, err := s.do(ctx, "positions", func(client *alpaca.Client) error {
		_, err := client.GetPositions()
		return err
	})
	if err != nil {
		return nil, err
	}
	list, err := decode[[]any](c)
	if err != nil {
		return nil, c.malformed("positions", err)
	}
	positions, err := account.PositionsFromRaw(list)
	if err != nil {
		return nil, c.malformed("positions", err)
	}
	for i, p := range positions {
		if side := list[i].(map[string]any)["side"]; side == "short" && p.Qty.IsPositive() {
			positions[i].Qty = p.Qty.Neg()
		}
	}
	return positions, nil
}

// OpenOrders implements broker.Session.
func (s *session) OpenOrders(ctx context.Context, limit int) ([]account.Order, bool, error) {
	const most = 500 // Alpaca's
	ask := min(limit+1, most)
	c, err := s.do(ctx, "orders", func(client *alpaca.Client) error {
		_, err := client.GetOrders(alpaca.GetOrdersRequest{Status: "open", Limit: ask, Direction: "desc"})
		return err
	})
	if err != nil {
		return nil, false, err
	}
	list, err := decode[[]any](c)
	if err != nil {
		return nil, false, c.malformed("orders", err)
	}
	more := len(list) > limit || len(list) == most
	orders, err := account.OrdersFromRaw(list[:min(len(list), limit)])
	if err != nil {
		return nil, false, c.malformed("orders", err)
	}
	return orders, more, nil
}
