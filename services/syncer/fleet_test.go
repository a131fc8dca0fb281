package syncer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// day is a day of one user, synced each minute by instances that Pub/Sub chooses at random.
type day struct {
	reads, writes int64 // of documents
	accesses      []int64
	oldest        time.Duration // the oldest that the snapshot was at the end of a tick
	behind        int           // ticks at whose end a material change was not stored yet
}

// account that changes materially at some ticks, and by less than the band at all others.
type drifting struct {
	now  func() time.Time
	cash *atomic.Int64
}

func (d drifting) Open(broker.Env, secret.Credentials) (broker.Session, error) { return d, nil }

func (d drifting) Account(context.Context) (account.Reading, error) {
	raw := map[string]any{
		"id": "a", "status": "ACTIVE", "cash": strconv.FormatInt(d.cash.Load(), 10),
		"equity": fmt.Sprintf("100000.%02d", d.now().Minute()), "buying_power": "100000",
	}
	a, err := account.FromRaw(raw)
	return account.Reading{Account: a, Raw: raw, ObservedAt: d.now()}, err
}

func (drifting) Positions(context.Context) ([]account.Position, error) { return nil, nil }

func (drifting) Flows(context.Context, time.Time) ([]account.Flow, bool, error) {
	return nil, false, nil
}

func (drifting) OpenOrders(context.Context, int) ([]account.Order, bool, error) {
	return nil, false, nil
}

func simulateDay(t *testing.T, instances int, material func(minute int) bool) day {
	t.Helper()
	var now atomic.Int64 // the cache looks at it in the background
	clock := func() time.Time { return time.Unix(0, now.Load()).UTC() }
	now.Store(noon.UnixNano())
	db := mem.NewDB(clock)
	s := store.New(db)
	if err := s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}); err != nil {
		t.Fatal(err)
	}
	var cash atomic.Int64
	cash.Store(1000)
	vaults, services := make([]*mem.Vault, instances), make([]*syncer.Service, instances)
	for i := range services {
		vaults[i] = mem.NewVault()
		vaults[i].Add("u", []byte(`{"key_id":"k","secret_key":"s"}`))
		cfg := syncer.DefaultConfig("p")
		vault, refused, err := cfg.Vault(vaults[i], clock)
		if err != nil {
			t.Fatal(err)
		}
		services[i], err = syncer.New(cfg, syncer.Deps{
			Vault: vault, Refused: refused, Broker: drifting{clock, &cash}, Snapshots: s, Health: s, Keys: s, Now: clock,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var d day
	route := rand.New(rand.NewPCG(1, uint64(instances)))
	reads, writes := db.Counts()
	for minute := range 24 * 60 {
		at := noon.Add(time.Duration(minute)*time.Minute + 5*time.Second)
		now.Store(at.UnixNano())
		if material(minute) {
			cash.Add(100)
		}
		e, err := event.NewSyncRequest(tick.Of(at), user.User{ID: "u", BrokerEnv: "paper", CadenceMinutes: 1, KeyVersion: "1"}, health.Health{})
		if err != nil {
			t.Fatal(err)
		}
		if err := services[route.IntN(instances)].Handle(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		stored, err := s.Snapshot(t.Context(), "u")
		if err != nil {
			t.Fatal(err)
		}
		reads++ // ours
		d.oldest = max(d.oldest, at.Add(55*time.Second).Sub(stored.ObservedAt))
		if stored.Account.Cash.Decimal.IntPart() != cash.Load() {
			d.behind++
		}
	}
	r, w := db.Counts()
	d.reads, d.writes = r-reads, w-writes
	for _, v := range vaults {
		d.accesses = append(d.accesses, v.Accesses())
	}
	return d
}

// Behind random routing, what one instance remembers is often wrong: it costs reads, and never a change or freshness.
func TestFleetsMemory(t *testing.T) {
	for _, instances := range []int{1, 4, 16} {
		idle := simulateDay(t, instances, func(int) bool { return false })
		busy := simulateDay(t, instances, func(minute int) bool { return minute%20 == 0 })
		t.Logf("%2d instances, per user and 30 days: idle %d reads, %d writes, at most %d accesses an instance; 5%% material %d reads, %d writes",
			instances, idle.reads*30, idle.writes*30, maxOf(idle.accesses)*30, busy.reads*30, busy.writes*30)
		for name, d := range map[string]day{"idle": idle, "busy": busy} {
			if d.oldest > 4*time.Minute || d.behind > 0 {
				t.Errorf("%d instances, %s: the snapshot was %s old, and behind at %d ticks; want 4m at most, and 0", instances, name, d.oldest, d.behind)
			}
			if maxOf(d.accesses) > 25 {
				t.Errorf("%d instances, %s: %v accesses to the secret a day, want one an hour and instance at most", instances, name, d.accesses)
			}
		}
		// A heartbeat that meets another instance's write reads once; what is missed is not taken for missed by many.
		if idle.writes > 490 || idle.reads > 480+8*int64(instances) {
			t.Errorf("%d instances, idle: %d writes and %d reads a day; want the heartbeats' 480 writes, and about as many reads at most", instances, idle.writes, idle.reads)
		}
		if instances == 1 && idle.reads > 5 {
			t.Errorf("one instance: %d reads a day, want a handful", idle.reads)
		}
	}
}

func maxOf(list []int64) (most int64) {
	for _, n := range list {
		most = max(most, n)
	}
	return most
}
