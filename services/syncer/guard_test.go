package syncer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

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

// delivery is one delivery of one request to one of several instances.
type delivery struct {
	tick     int           // minutes after noon
	instance int           // each has a clock of its own
	after    time.Duration // the tick's beginning
	latency  time.Duration // of the broker's answer
	storing  time.Duration // the store takes before each operation
	refused  bool          // the broker answers 401
}

const instancesOfGuard = 3

// plan draws an hour's worth of deliveries: twice, late, slow, in any order, to machines whose clocks differ by up to a
// minute from the true time.
func plan(t *rapid.T) (skews []time.Duration, list []delivery) {
	seconds := func(most int, name string) time.Duration {
		return time.Duration(rapid.IntRange(0, most*1000).Draw(t, name)) * time.Millisecond
	}
	for range instancesOfGuard {
		skews = append(skews, time.Duration(rapid.IntRange(-60, 60).Draw(t, "skew"))*time.Second)
	}
	for minute := range rapid.IntRange(1, 6).Draw(t, "ticks") {
		for range rapid.IntRange(1, 3).Draw(t, "deliveries") {
			list = append(list, delivery{
				tick: minute, instance: rapid.IntRange(0, instancesOfGuard-1).Draw(t, "instance"),
				after: seconds(50, "after"), latency: seconds(4, "latency"), storing: seconds(2, "storing"),
				refused: rapid.IntRange(0, 4).Draw(t, "refused") == 0,
			})
		}
	}
	return skews, list
}

// Whatever the interleaving and the skew: seq counts 1, 2, 3 …, neither observed_at nor tick ever goes back, and the last
// document is of the newest observation that was written. The health ends with the newest attempt. So it is with the
// predecessor's documents, which are those of the snapshot.
func TestGuardInAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		skews, list := plan(rt)
		phase := rapid.SampledFrom([]account.Phase{account.Off, account.Both}).Draw(rt, "phase")
		var fault string
		synctest.Test(t, func(t *testing.T) { fault = interleave(t, phase, skews, list) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

func interleave(t *testing.T, phase account.Phase, skews []time.Duration, list []delivery) string {
	start := tick.Of(time.Now().Add(time.Hour))
	time.Sleep(time.Until(start.Time()))
	db := mem.NewDB(time.Now)
	s := store.New(db)
	if err := s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}); err != nil {
		return err.Error()
	}
	w := &witness{copies: map[string]account.Snapshot{}}
	db.Watch(w.see)
	db.SetHook(func(ctx context.Context, op mem.Op) error {
		if d, ok := ctx.Value(deliveryKey{}).(delivery); ok && !op.Done {
			time.Sleep(d.storing)
		}
		return nil
	})
	services := make([]*syncer.Service, len(skews))
	for i, skew := range skews {
		now := func() time.Time { return time.Now().Add(skew) }
		vault := mem.NewVault()
		vault.Add("u", []byte(`{"key_id":"k","secret_key":"s"}`))
		cfg := syncer.DefaultConfig("p")
		cfg.Legacy = account.Legacy{Phase: phase, User: "u"}
		var err error
		services[i], err = syncer.New(cfg, syncer.Deps{
			Vault: vault, Broker: &slowBroker{now}, Snapshots: s, Health: s, Keys: s, Now: now,
		})
		if err != nil {
			return err.Error()
		}
	}
	var wg sync.WaitGroup
	for _, d := range list {
		wg.Go(func() {
			time.Sleep(time.Duration(d.tick)*time.Minute + d.after)
			e, err := event.NewSyncRequest(start+tick.Tick(d.tick), user.User{ID: "u", BrokerEnv: "paper", CadenceMinutes: 1, TenantID: "t"}, health.Health{State: health.Degraded})
			if err != nil {
				w.fail("%v", err)
				return
			}
			ctx := context.WithValue(t.Context(), deliveryKey{}, d)
			for range 20 { // a nack comes again
				err := services[d.instance].Handle(ctx, e)
				if c := event.ClassOf(err); c != event.Busy && c != event.Retry {
					return
				}
				time.Sleep(time.Second)
			}
			w.fail("delivery %+v was never taken", d)
		})
	}
	wg.Wait()
	for _, path := range []string{account.TenantPath("t"), account.GlobalPath} {
		if c := w.copies[path]; phase == account.Both && !c.ObservedAt.Equal(w.last.ObservedAt) {
			w.fail("%s is of %s at last, the snapshot of %s", path, c.ObservedAt, w.last.ObservedAt)
		} else if phase == account.Off && c.Version != (time.Time{}) {
			w.fail("%s is written", path)
		}
	}
	return w.fault
}

type deliveryKey struct{}

// slowBroker answers each delivery in its own time with the equity of the moment at which it was asked.
type slowBroker struct{ now func() time.Time }

func (b *slowBroker) Open(broker.Env, secret.Credentials) (broker.Session, error) { return b, nil }

func (b *slowBroker) Account(ctx context.Context) (account.Reading, error) {
	at := b.now()
	d := ctx.Value(deliveryKey{}).(delivery)
	time.Sleep(d.latency)
	if d.refused {
		return account.Reading{}, &broker.Error{Kind: broker.Unauthorized}
	}
	raw := map[string]any{"id": "a", "status": "ACTIVE", "cash": fmt.Sprint(at.UnixMilli()), "equity": "1", "buying_power": "1"}
	a, err := account.FromRaw(raw)
	return account.Reading{Account: a, Raw: raw, ObservedAt: at}, err
}

func (b *slowBroker) Positions(context.Context) ([]account.Position, error) { return nil, nil }

func (b *slowBroker) Flows(context.Context, time.Time) ([]account.Flow, bool, error) {
	return nil, false, nil
}

func (b *slowBroker) OpenOrders(context.Context, int) ([]account.Order, bool, error) {
	return nil, false, nil
}

// witness sees every write, in the order of the commits.
type witness struct {
	mu     sync.Mutex
	last   account.Snapshot
	copies map[string]account.Snapshot // by path
	health health.Health
	fault  string
}

func (w *witness) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

func (w *witness) see(written mem.Written) {
	switch written.Path {
	case store.SnapshotPath("u"):
		d, err := document.Decode(written.New)
		if err != nil {
			w.fail("%v", err)
			return
		}
		s, err := store.ParseSnapshot("u", d)
		switch was := w.last; {
		case err != nil:
			w.fail("%v", err)
		case s.Seq != was.Seq+1:
			w.fail("seq went from %d to %d", was.Seq, s.Seq)
		case s.ObservedAt.Before(was.ObservedAt):
			w.fail("observed_at went back from %s to %s", was.ObservedAt, s.ObservedAt)
		case s.Tick < was.Tick:
			w.fail("tick went back from %s to %s", was.Tick, s.Tick)
		case s.Raw["cash"] != fmt.Sprint(s.ObservedAt.UnixMilli()):
			w.fail("cash %v is not of the observation at %d", s.Raw["cash"], s.ObservedAt.UnixMilli())
		}
		w.last = s
	case account.TenantPath("t"), account.GlobalPath:
		d, err := document.Decode(written.New)
		if err != nil {
			w.fail("%v", err)
			return
		}
		s, err := store.ParseSnapshot("u", d)
		if was := w.copies[written.Path]; err != nil || s.ObservedAt.Before(was.ObservedAt) || s.Raw["cash"] != fmt.Sprint(s.ObservedAt.UnixMilli()) {
			w.fail("%s went from %s to %s, with cash %v (%v)", written.Path, was.ObservedAt, s.ObservedAt, s.Raw["cash"], err)
		}
		w.copies[written.Path] = s
	case store.HealthPath("u"):
		d, err := document.Decode(written.New)
		h := store.ParseHealth(d)
		if err != nil || h.Tick < w.health.Tick {
			w.fail("health went back from %s to %s (%v)", w.health.Tick, h.Tick, err)
		}
		w.health = h
	}
}
