// Package broker is the port to a user's brokerage account, and the kinds of trouble it can answer with.
package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Env is which of the broker's environments a user trades in.
type Env string

// The broker's environments.
const (
	Paper Env = "paper"
	Live  Env = "live"
)

// Broker opens sessions; one Broker, with one connection pool, serves all users.
type Broker interface {
	// Open returns a session for one user's keys. It calls nobody. It refuses empty credentials.
	Open(env Env, creds secret.Credentials) (Session, error)
}

// Session reads one user's account. Each method is one call to the broker, is never retried, ends with its
// context, and returns a *Error where the broker or the way to it is at fault.
type Session interface {
	// Account reads the account.
	Account(ctx context.Context) (account.Reading, error)
	// Positions reads all open positions.
	Positions(ctx context.Context) ([]account.Position, error)
	// OpenOrders reads at most limit open orders, newest first; more says that there are others.
	OpenOrders(ctx context.Context, limit int) (orders []account.Order, more bool, err error)
	// Flows reads at most account.MaxFlows of what came into the account from outside or left it, money and securities,
	// booked after a time or on its day, newest first; more says that there may be others. Trades, dividends, interest and fees are none. What
	// was canceled is there with an amount of 0, what is pending is not there yet.
	Flows(ctx context.Context, after time.Time) (flows []account.Flow, more bool, err error)
}

// Kind is what sort of trouble an Error is.
type Kind string

// The kinds of trouble, told from the status, the headers and the error body's code, never from texts.
const (
	Unauthorized Kind = "unauthorized" // 401: bad key, or a key of the other environment
	Forbidden    Kind = "forbidden"    // 403: an account restriction, more often than a bad key
	RateLimited  Kind = "rate_limited" // 429: past 200 requests a minute
	Unavailable  Kind = "unavailable"  // 5xx, refused or reset connection
	Timeout      Kind = "timeout"      // no answer before the deadline
	Malformed    Kind = "malformed"    // an answer that can't be understood
	Rejected     Kind = "rejected"     // any other 4xx
)

// Error is a broker call that failed. It never holds a key.
type Error struct {
	Kind    Kind
	Op      string    // "account", "positions", "orders", "flows", "quotes", "bars", "calendar", "clock"
	Status  int       // HTTP status; 0 if there was no answer
	Code    int       // the error body's code; 0 if none
	Message string    // the broker's own words, bounded
	ResetAt time.Time // when the rate limit resets (X-Ratelimit-Reset); zero if not said
	Err     error     // the cause, if any
}

func (e *Error) Error() string {
	s := fmt.Sprintf("alpaca %s: %s", e.Op, e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d, code %d)", e.Status, e.Code)
	}
	if e.Message != "" {
		s += ": " + e.Message
	} else if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of a broker's error, "" if it is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
