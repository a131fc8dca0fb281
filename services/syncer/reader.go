package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
)

const (
	retries    = 2                      // of one call, at most
	firstPause = 200 * time.Millisecond // the longest pause before the first retry; doubles
	retryShare = 0.2                    // of the instance's calls: the retry budget
	retryFloor = 1                      // retries a second besides
	attemptOf  = 2                      // one attempt may take half of the deadline, so that a hung one leaves time for another
)

// reader asks the broker for one user, within one deadline for all calls, and again where that may help.
type reader struct {
	s       *Service
	session broker.Session
	userID  string
	retries int
	until   time.Time
	detail  error // of the positions and open orders, if they were read in vain
	flows   error // of the flows, likewise
}

// reader for a user who is in trouble already does not ask again: the next tick is the retry.
func (s *Service) reader(req event.SyncRequest, session broker.Session) *reader {
	r := &reader{s: s, session: session, userID: req.UserID, retries: retries, until: time.Now().Add(s.cfg.Deadline)}
	if req.Health != "" {
		r.retries = 0
	}
	return r
}

func (r *reader) account(ctx context.Context) (account.Reading, error) {
	return ask(ctx, r, "account", r.session.Account)
}

// positionsAndOrders reads the orders first: of one that is no longer open, the positions show what it came to.
func (r *reader) positionsAndOrders(ctx context.Context) (positions []account.Position, orders []account.Order, more bool, err error) {
	orders, err = ask(ctx, r, "orders", func(ctx context.Context) (list []account.Order, err error) {
		list, more, err = r.session.OpenOrders(ctx, account.MaxOrders)
		return list, err
	})
	if err != nil {
		return nil, nil, false, err
	}
	positions, err = ask(ctx, r, "positions", r.session.Positions)
	return positions, orders, more, err
}

// partial is what was gone on without.
func (r *reader) partial() error {
	if r.detail != nil {
		return r.detail
	}
	return r.flows
}

// deposits are the flows since a time.
func (r *reader) deposits(ctx context.Context, after time.Time) (list []account.Flow, err error) {
	more := false
	list, err = ask(ctx, r, "flows", func(ctx context.Context) (list []account.Flow, err error) {
		list, more, err = r.session.Flows(ctx, after)
		return list, err
	})
	if err == nil && more {
		err = &broker.Error{Kind: broker.Malformed, Op: "flows", Message: fmt.Sprintf("more than %d deposits and withdrawals since %s", account.MaxFlows, after.Format(time.RFC3339))}
	}
	return list, err
}

// ask makes a call and, where health says that it may help and the budget has some left, at most two more, each after
// a pause with full jitter: a random time up to a bound that doubles.
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func ask[T any](ctx context.Context, r *reader, op string, call func(context.Context) (T, error)) (T, error) {
	r.s.retries.Called()
	for n := 0; ; n++ {
		v, err := once(ctx, r, op, call)
		if err == nil || n == r.retries || !health.CauseOf(err).Retried() || r.over(ctx) || !r.s.retries.Take() {
			return v, err
		}
		if !r.pause(ctx, time.Duration(r.s.Random()*float64(firstPause<<n))) {
			return v, err
		}
	}
}

// once makes one call, within the key's and the instance's budgets and the reader's deadline.
func once[T any](ctx context.Context, r *reader, op string, call func(context.Context) (T, error)) (v T, err error) {
	if ok, next := r.s.keys.Allow(r.userID); !ok {
		return v, &broker.Error{
			Kind: broker.RateLimited, Op: op, ResetAt: next,
			Message: fmt.Sprintf("not asked: %d requests a minute are our own bound for one user's keys", r.s.cfg.KeyBudget),
		}
	}
	if !r.s.egress.Allow() {
		if err := r.queue(ctx); err != nil {
			return v, err
		}
	}
	until := time.Now().Add(r.s.cfg.Deadline / attemptOf)
	if r.until.Before(until) {
		until = r.until
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return call(ctx)
}

// queue waits for the instance's budget of broker requests.
func (r *reader) queue(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	if err := r.s.egress.Wait(ctx); err != nil {
		return event.Defer(errors.Join(errEgress, context.Cause(ctx)))
	}
	return nil
}

var errEgress = errors.New("this instance's budget of broker requests is used up: SYNCER_EGRESS_BUDGET")

// over says that no time is left.
func (r *reader) over(ctx context.Context) bool {
	return ctx.Err() != nil || !time.Now().Before(r.until)
}

// pause is false if the deadline comes first.
func (r *reader) pause(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
