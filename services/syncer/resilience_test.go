package syncer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// fleet is a syncer for many users, in a bubble of synctest: its clock is the bubble's.
type fleet struct {
	t     *testing.T
	svc   *syncer.Service
	db    *mem.DB
	store *store.Store
	vault *mem.Vault
	fails func(ctx context.Context, keyID, op string) error // of the broker; nil: none

	mu      sync.Mutex
	calls   map[string]int // by key id and op
	results []syncer.Result
	turns   []string // of the breaker
}

func newFleet(t *testing.T, users int, change func(*syncer.Config)) *fleet {
	f := &fleet{t: t, vault: mem.NewVault(), calls: map[string]int{}}
	f.db = mem.NewDB(time.Now)
	f.store = store.New(f.db)
	for i := range users {
		f.add(fmt.Sprint("u", i))
	}
	cfg := syncer.DefaultConfig("p")
	if change != nil {
		change(&cfg)
	}
	var err error
	f.svc, err = syncer.New(cfg, syncer.Deps{
		Vault: f.vault, Broker: f, Snapshots: f.store, Health: f.store, Keys: f.store, Now: time.Now,
		Random: func() float64 { return 0.5 },
		Observe: func(_ context.Context, r syncer.Result) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.results = append(f.results, r)
		},
		Breaker: func(_, to string) { f.turns = append(f.turns, to) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) add(uid string) {
	if err := f.store.PutUser(f.t.Context(), user.User{ID: uid, Status: user.Active, KeyVersion: "1"}); err != nil {
		f.t.Fatal(err)
	}
	f.vault.Add(uid, []byte(`{"key_id":"`+uid+`","secret_key":"s"}`))
}

type fleetSession struct {
	f     *fleet
	keyID string
}

func (f *fleet) Open(_ broker.Env, c secret.Credentials) (broker.Session, error) {
	keyID, _ := c.Reveal()
	return fleetSession{f, keyID}, nil
}

func (s fleetSession) call(ctx context.Context, op string) error {
	s.f.mu.Lock()
	s.f.calls[s.keyID+" "+op]++
	s.f.mu.Unlock()
	if s.f.fails == nil {
		return nil
	}
	return s.f.fails(ctx, s.keyID, op)
}

func (s fleetSession) Account(ctx context.Context) (account.Reading, error) {
	at := time.Now()
	if err := s.call(ctx, "account"); err != nil {
		return account.Reading{}, err
	}
	raw := map[string]any{"id": s.keyID, "status": "ACTIVE", "cash": "1", "equity": "2", "buying_power": "3"}
	a, err := account.FromRaw(raw)
	return account.Reading{Account: a, Raw: raw, ObservedAt: at}, err
}

func (s fleetSession) Positions(ctx context.Context) ([]account.Position, error) {
	return nil, s.call(ctx, "positions")
}

func (s fleetSession) Flows(ctx context.Context, _ time.Time) ([]account.Flow, bool, error) {
	return nil, false, s.call(ctx, "flows")
}

func (s fleetSession) OpenOrders(ctx context.Context, _ int) ([]account.Order, bool, error) {
	return nil, false, s.call(ctx, "orders")
}

// hang is a broker that never answers.
func hang(ctx context.Context) error {
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &broker.Error{Kind: broker.Timeout}
}

// tick syncs users at the current minute, as the fanout would ask for them, all at once.
func (f *fleet) tick(uids ...string) map[string]error {
	f.t.Helper()
	now := tick.Of(time.Now())
	failing, err := f.store.Failing(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	p, err := f.store.Users(f.t.Context(), "", 0)
	if err != nil {
		f.t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, uid := range uids {
		asked[uid] = true
	}
	errs := map[string]error{}
	var wg sync.WaitGroup
	for _, u := range p.Users {
		if len(uids) > 0 && !asked[u.ID] || !failing[u.ID].Due(now, u.KeyVersion) {
			continue
		}
		e, err := event.NewSyncRequest(now, u, failing[u.ID])
		if err != nil {
			f.t.Fatal(err)
		}
		wg.Go(func() {
			err := f.svc.Handle(f.t.Context(), e)
			f.mu.Lock()
			defer f.mu.Unlock()
			errs[u.ID] = err
		})
	}
	wg.Wait()
	return errs
}

// minute waits for the next one.
func minute() {
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + time.Second)))
}

func (f *fleet) health(uid string) health.Health {
	f.t.Helper()
	d, err := f.db.Get(f.t.Context(), store.HealthPath(uid))
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		f.t.Fatal(err)
	}
	return store.ParseHealth(d)
}

func (f *fleet) called(keyID, op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[keyID+" "+op]
}

func refused(context.Context, string, string) error { return errRefused() }

func TestHealthOfABadKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, nil)
		f.fails = refused
		for i, want := range []health.State{health.Degraded, health.NeedsReauth} {
			if errs := f.tick(); event.ClassOf(errs["u0"]) != event.Settled {
				t.Fatalf("tick %d: %v, want settled", i, errs["u0"])
			}
			if h := f.health("u0"); h.State != want || h.Cause != health.Unauthorized || h.Failures != i+1 {
				t.Fatalf("tick %d: %+v, want %s", i, h, want)
			}
			minute()
		}
		if errs := f.tick(); len(errs) != 0 {
			t.Errorf("asked at once again: %v", errs)
		}
		if n := f.called("u0", "account"); n != 2 {
			t.Errorf("%d calls with a bad key, want one a tick", n)
		}
		// New keys: due at the next tick, and well.
		v := f.vault.Add("u0", []byte(`{"key_id":"new","secret_key":"s"}`))
		f.fails = nil
		note := event.New("1", event.TypeMessage, "secrets", "")
		body := fmt.Sprintf(`{"message":{"attributes":{"eventType":"SECRET_VERSION_ADD","secretId":"projects/1/secrets/alpaca-keys-u0","versionId":"projects/1/secrets/alpaca-keys-u0/versions/%s"}}}`, v)
		if err := note.SetData("application/json", []byte(body)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // delivered twice
			if err := f.svc.Handle(t.Context(), note); err != nil {
				t.Fatal(err)
			}
		}
		if errs := f.tick(); len(errs) != 1 || errs["u0"] != nil {
			t.Fatalf("with new keys: %v", errs)
		}
		if h := f.health("u0"); h.State != health.OK || h.Failures != 0 || !h.NextAttemptAt.IsZero() || f.called("new", "account") != 1 {
			t.Errorf("with new keys: %+v", h)
		}
	})
}

// A user who is well costs no read and no write of health.
func TestHealthyUsersCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, nil)
		f.db.SetHook(func(_ context.Context, op mem.Op) error {
			if op.Path == store.HealthPath("u0") {
				t.Errorf("%s of the health of a user who is well", op.Kind)
			}
			return nil
		})
		for range 5 {
			if err := f.svc.Handle(t.Context(), request(t, "u0")); err != nil {
				t.Error(err)
			}
			minute()
		}
	})
}

func request(t *testing.T, uid string) event.Event {
	t.Helper()
	e, err := event.NewSyncRequest(tick.Of(time.Now()), user.User{ID: uid, BrokerEnv: "paper", CadenceMinutes: 1, KeyVersion: "1"}, health.Health{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRetries(t *testing.T) {
	unavailable := &broker.Error{Kind: broker.Unavailable, Status: 500}
	for name, c := range map[string]struct {
		fail  func(ctx context.Context, n int) error
		calls int
		state health.State
	}{
		"well":            {func(context.Context, int) error { return nil }, 1, ""},
		"well the second": {func(_ context.Context, n int) error { return map[int]error{1: unavailable}[n] }, 2, ""},
		"well the third":  {func(_ context.Context, n int) error { return map[int]error{1: unavailable, 2: unavailable}[n] }, 3, ""},
		"down":            {func(context.Context, int) error { return unavailable }, 3, health.Degraded},
		"hung":            {func(ctx context.Context, _ int) error { return hang(ctx) }, 2, health.Degraded}, // half of the deadline each
		"hung once":       {func(ctx context.Context, n int) error { return map[bool]error{true: hang(hurry(ctx, n == 1))}[n == 1] }, 2, ""},
		"not retried":     {func(context.Context, int) error { return &broker.Error{Kind: broker.Malformed} }, 1, health.Degraded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1, nil)
				f.fails = func(ctx context.Context, _, op string) error {
					if op != "account" {
						return nil
					}
					return c.fail(ctx, f.called("u0", op))
				}
				began := time.Now()
				f.tick()
				if n := f.called("u0", "account"); n != c.calls {
					t.Errorf("%d calls, want %d", n, c.calls)
				}
				if h := f.health("u0"); h.State != c.state {
					t.Errorf("health %q, want %q", h.State, c.state)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %s, past the deadline", took)
				}
			})
		})
	}
}

// hurry is a context that is over at once, unless the call shall hang.
func hurry(ctx context.Context, hangs bool) context.Context {
	if hangs {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// However many users fail, retries stay a fifth of the calls and a few more.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 200
		f := newFleet(t, users, func(c *syncer.Config) { c.BreakerUsers = 1000 })
		f.fails = func(context.Context, string, string) error { return &broker.Error{Kind: broker.Unavailable} }
		f.tick()
		calls := 0
		for _, n := range f.calls {
			calls += n
		}
		if calls < users+20 || calls > users+users/5+10+5 { // the floor: ten at the start, one a second
			t.Errorf("%d calls for %d users who all fail: want about %d", calls, users, users+users/5+10)
		}
	})
}

// Positions that never come cost the deadline, not the snapshot: the store has its own time.
func TestHungDetail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, nil)
		f.fails = func(ctx context.Context, _, op string) error {
			if op == "positions" {
				return hang(ctx)
			}
			return nil
		}
		f.db.SetHook(func(ctx context.Context, _ mem.Op) error { return ctx.Err() })
		if errs := f.tick(); errs["u0"] != nil {
			t.Fatal(errs["u0"])
		}
		s, err := f.store.Snapshot(t.Context(), "u0")
		if err != nil || !s.Incomplete || s.Seq != 1 || f.results[0].Outcome != syncer.Written {
			t.Errorf("stored %+v, %v; want one incomplete snapshot", s, err)
		}
		if h := f.health("u0"); h.State != health.Degraded || h.Cause != health.Timeout {
			t.Errorf("health %+v, want degraded", h)
		}
		f.fails = nil
		minute()
		f.tick()
		if h := f.health("u0"); h.State != health.OK {
			t.Errorf("health %+v, want ok", h)
		}
	})
}

// A vault that names newer keys than those that were refused is believed.
func TestRefusedKeysAreFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, nil)
		f.vault.Add("u0", []byte(`{"key_id":"rotated","secret_key":"s"}`)) // the request still names version 1
		f.fails = func(_ context.Context, keyID, _ string) error {
			if keyID == "u0" {
				return errRefused()
			}
			return nil
		}
		if errs := f.tick(); errs["u0"] != nil {
			t.Fatal(errs["u0"])
		}
		if s, err := f.store.Snapshot(t.Context(), "u0"); err != nil || s.KeyVersion != "2" {
			t.Errorf("stored %+v, %v; want version 2", s, err)
		}
	})
}

// Many users who fail alike: the breaker opens, nobody stays marked, one probe at a time finds the broker again.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 30
		f := newFleet(t, users, func(c *syncer.Config) { c.Concurrency = 4 })
		f.fails = refused
		f.tick()
		f.wellBut(nil)
		if n := len(f.calls); n >= users/2 {
			t.Errorf("%d users were asked for in vain before the breaker opened", n)
		}
		minute()
		clear(f.calls)
		f.tick()
		if n := len(f.calls); n != 1 {
			t.Errorf("%d probes, want one", n)
		}
		f.wellBut(nil)
		f.fails = nil
		minute()
		f.tick("u3") // the probe
		f.tick()
		for i := range users {
			if _, err := f.store.Snapshot(t.Context(), fmt.Sprint("u", i)); err != nil {
				t.Errorf("u%d after the outage: %v", i, err)
			}
		}
		if got := fmt.Sprint(f.turns); got != "[open half-open open half-open closed]" {
			t.Errorf("the breaker went through %s", got)
		}
	})
}

// Users who fail for reasons of their own don't open it, and stay marked.
func TestBreakerStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 40, nil)
		bad := map[string]bool{}
		for i := range 12 {
			bad[fmt.Sprint("u", i)] = true
		}
		f.fails = func(_ context.Context, keyID, _ string) error {
			if bad[keyID] {
				return errRefused()
			}
			return nil
		}
		for range 2 {
			f.tick()
			minute()
		}
		f.wellBut(bad)
		if len(f.turns) > 0 {
			t.Errorf("the breaker went through %v", f.turns)
		}
		// Then the broker refuses everybody: the latest marks may be undone, but nobody else is marked.
		minute()
		f.fails = refused
		f.tick()
		f.wellBut(bad)
		if len(f.turns) != 1 {
			t.Errorf("the breaker went through %v, want open", f.turns)
		}
	})
}

// wellBut wants nobody marked but those.
func (f *fleet) wellBut(bad map[string]bool) {
	f.t.Helper()
	failing, err := f.store.Failing(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for uid, h := range failing {
		if !bad[uid] {
			f.t.Errorf("%s is marked %s (%s)", uid, h.State, h.Cause)
		}
	}
	for uid := range bad {
		if failing[uid].State != health.NeedsReauth {
			f.t.Errorf("%s is %q, want needs_reauth", uid, failing[uid].State)
		}
	}
}

// Users whose broker hangs wait for one another; the others don't wait for them.
func TestHungUsersDelayNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 60, func(c *syncer.Config) { c.Concurrency = 40 })
		f.fails = func(ctx context.Context, keyID, _ string) error {
			var n int
			_, _ = fmt.Sscanf(keyID, "u%d", &n)
			if n < 20 {
				return hang(ctx)
			}
			return nil
		}
		f.tick() // now they are known
		for range 3 {
			minute()
			var wg sync.WaitGroup
			wg.Go(func() { f.tick(names(0, 20)...) })
			synctest.Wait() // they hang: ten of them hold the quarter of the slots that is theirs
			began := time.Now()
			wg.Go(func() {
				for uid, err := range f.tick(names(20, 60)...) {
					if err != nil {
						t.Errorf("%s: %v", uid, err)
					}
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("users who are well waited %s", took)
				}
			})
			wg.Wait()
		}
	})
}

func names(from, to int) (uids []string) {
	for i := from; i < to; i++ {
		uids = append(uids, fmt.Sprint("u", i))
	}
	return uids
}

// A storm of one user's messages stays within the budget of the user's keys.
func TestKeyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, nil)
		for range 300 {
			if err := f.svc.Handle(t.Context(), request(t, "u0")); err != nil && event.ClassOf(err) != event.Settled {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		calls := 0
		for _, n := range f.calls {
			calls += n
		}
		if calls > 150 || calls < 30 {
			t.Errorf("%d requests in half a minute with one user's keys, want at most 150", calls)
		}
		if h := f.health("u0"); h.State != health.RateLimited {
			t.Errorf("health %+v, want rate_limited", h)
		}
	})
}

// A panic in the probe does not keep the breaker half open for ever.
func TestPanicOfAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 30, nil)
		f.fails = refused
		f.tick()
		minute()
		f.fails = func(context.Context, string, string) error { panic("nil map") }
		func() {
			defer func() { _ = recover() }()
			_ = f.svc.Handle(t.Context(), request(t, "u0"))
		}()
		f.fails = nil
		if errs := f.tick("u1"); errs["u1"] != nil {
			t.Errorf("the next probe: %v", errs["u1"])
		}
	})
}

// A user who is removed half-way leaves no record of health behind.
func TestRemovedUserHasNoHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, nil)
		f.fails = func(ctx context.Context, _, _ string) error {
			if err := f.db.Delete(ctx, store.UserPath("u0"), time.Time{}); err != nil {
				t.Error(err)
			}
			return errRefused()
		}
		if err := f.svc.Handle(t.Context(), request(t, "u0")); event.ClassOf(err) != event.Dropped {
			t.Errorf("%v, want dropped", err)
		}
		if h := f.health("u0"); h.State != "" {
			t.Errorf("health %+v was written", h)
		}
	})
}

func errRefused() error { return &broker.Error{Kind: broker.Unauthorized, Status: 401} }
