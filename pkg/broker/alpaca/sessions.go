package alpaca

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/alpaca"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Sessions implements market.Sessions and market.Clocks on one account's keys: Alpaca tells its calendar and its clock
// to nobody without. Each method is one call, is never retried, and returns a *broker.Error where the broker is at fault.
type Sessions struct {
	session *session
}

// Sessions asks in one environment, with an account's keys of it. It calls nobody. It refuses empty credentials.
func (b *Broker) Sessions(env broker.Env, creds secret.Credentials) (*Sessions, error) {
	s, err := b.open(env, creds)
	if err != nil {
		return nil, err
	}
	return &Sessions{session: s}, nil
}

// Calendar implements market.Sessions with GET /v2/calendar (https://docs.alpaca.markets/reference/getcalendar-1). The
// SDK leaves the extended session out, so the answer itself is read.
func (s *Sessions) Calendar(ctx context.Context, from, to time.Time) (market.Calendar, error) {
	zone, err := market.Zone()
	if err != nil {
		return market.Calendar{}, err
	}
	from, to = from.In(zone), to.In(zone)
	c, err := s.session.do(ctx, "calendar", func(client *alpaca.Client) error {
		_, err := client.GetCalendar(alpaca.GetCalendarRequest{Start: from, End: to})
		return err
	})
	if err != nil {
		return market.Calendar{}, err
	}
	list, err := decode[[]any](c)
	if err != nil {
		return market.Calendar{}, c.malformed("calendar", err)
	}
	days := make([]market.Day, 0, len(list))
	for i, e := range list {
		d, err := tradingDay(zone, e)
		if err != nil {
			return market.Calendar{}, c.malformed("calendar", fmt.Errorf("day %d: %w", i+1, err))
		}
		days = append(days, d)
	}
	calendar, err := market.NewCalendar(from, to, days)
	if err != nil {
		return market.Calendar{}, c.malformed("calendar", err)
	}
	return calendar, nil
}

func tradingDay(zone *time.Location, v any) (market.Day, error) {
	row, ok := v.(map[string]any)
	if !ok {
		return market.Day{}, fmt.Errorf("it is a %T, want an object", v)
	}
	text := map[string]string{}
	for _, name := range []string{"date", "open", "close", "session_open", "session_close"} {
		if text[name], ok = row[name].(string); !ok && row[name] != nil {
			return market.Day{}, fmt.Errorf("%s is a %T, want a text", name, row[name])
		}
	}
	return market.NewDay(zone, text["date"], text["open"], text["close"], text["session_open"], text["session_close"])
}

// Clock implements market.Clocks with GET /v2/clock (https://docs.alpaca.markets/reference/getclock-1). The SDK turns a
// missing is_open into false, so the answer itself is read.
func (s *Sessions) Clock(ctx context.Context) (market.Clock, error) {
	c, err := s.session.do(ctx, "clock", func(client *alpaca.Client) error {
		_, err := client.GetClock()
		return err
	})
	if err != nil {
		return market.Clock{}, err
	}
	row, err := decode[map[string]any](c)
	if err != nil {
		return market.Clock{}, c.malformed("clock", err)
	}
	var k market.Clock
	var ok bool
	if k.Open, ok = row["is_open"].(bool); !ok {
		return market.Clock{}, c.malformed("clock", errors.New("is_open is missing"))
	}
	for name, at := range map[string]*time.Time{"timestamp": &k.At, "next_open": &k.NextOpen, "next_close": &k.NextClose} {
		text, _ := row[name].(string)
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return market.Clock{}, c.malformed("clock", fmt.Errorf("%s is %.40q, want a time", name, text))
		}
		*at = t.UTC()
	}
	return k, nil
}

// UserSessions is Sessions on a user's account. The user's environment and keys are read when they are first needed, and
// again after the broker refused them: a rotation needs no new instance.
type UserSessions struct {
	broker *Broker
	users  user.Finder
	vault  secret.Vault
	userID string

	mu     sync.Mutex
	opened *Sessions
}

// NewUserSessions asks with a user's keys, of any status; the user's document says of which environment they are. It
// reads nothing yet, so that it can be made before there are any.
func NewUserSessions(b *Broker, users user.Finder, vault secret.Vault, userID string) *UserSessions {
	return &UserSessions{broker: b, users: users, vault: vault, userID: userID}
}

// Calendar implements market.Sessions.
func (u *UserSessions) Calendar(ctx context.Context, from, to time.Time) (market.Calendar, error) {
	return asked(ctx, u, func(s *Sessions) (market.Calendar, error) { return s.Calendar(ctx, from, to) })
}

// Clock implements market.Clocks.
func (u *UserSessions) Clock(ctx context.Context) (market.Clock, error) {
	return asked(ctx, u, func(s *Sessions) (market.Clock, error) { return s.Clock(ctx) })
}

func asked[T any](ctx context.Context, u *UserSessions, ask func(*Sessions) (T, error)) (T, error) {
	s, err := u.open(ctx)
	if err != nil {
		var none T
		return none, fmt.Errorf("keys of user %s for the market's hours: %w", u.userID, err)
	}
	v, err := ask(s)
	if kind := broker.KindOf(err); kind == broker.Unauthorized || kind == broker.Forbidden {
		u.forget(s)
	}
	return v, err
}

// open reads the keys outside of the lock: one reading too many does no harm, and one that hangs holds up no other.
func (u *UserSessions) open(ctx context.Context) (*Sessions, error) {
	u.mu.Lock()
	s := u.opened
	u.mu.Unlock()
	if s != nil {
		return s, nil
	}
	found, err := u.users.User(ctx, u.userID)
	if err != nil {
		return nil, err
	}
	creds, _, err := u.vault.Credentials(ctx, u.userID, found.KeyVersion)
	if err != nil {
		return nil, err
	}
	if s, err = u.broker.Sessions(broker.Env(found.BrokerEnv), creds); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.opened = s
	return s, nil
}

func (u *UserSessions) forget(s *Sessions) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.opened == s {
		u.opened = nil
	}
}
