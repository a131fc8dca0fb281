package main_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// A syncer whose way to Firestore is slow, reset or a black hole: it refuses the event, takes it when the way is free
// again, and leaves no goroutine behind. The broker's part is done each time: nobody is marked for our trouble.
func TestSyncerOnABadWayToFirestore(t *testing.T) {
	e, project := emulator.For(t)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "firestore", "127.0.0.1:0", e.Addr())
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer proxy.Stop()
	before := goleak.IgnoreCurrent()
	itsOwn := goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run") // leaked by a removed toxic
	late := goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*Proxy).freeBlocker")      // begun by Start after it has returned, now and then
	defer func() { goleak.VerifyNone(t, before, itsOwn, late) }()

	t.Setenv("FIRESTORE_EMULATOR_HOST", proxy.Listen)
	cloud := gcp.Open(gcp.Config{Project: project})
	defer func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	}()
	db, err := cloud.Firestore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &toxicWorld{t: t, store: store.New(db), minute: tick.Of(time.Now())}
	w.open()
	if got := w.send(); got != http.StatusNoContent {
		t.Fatalf("on a good way: HTTP %d, want 204", got)
	}
	for _, c := range []struct {
		name, toxics string
		want         int
	}{
		{"slow", `{"type":"latency","attributes":{"latency":200}}`, http.StatusNoContent},
		{"reset", `{"type":"reset_peer","attributes":{"timeout":0}}`, http.StatusServiceUnavailable},
		{"a black hole", `{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`, http.StatusServiceUnavailable},
	} {
		toxic, err := proxy.Toxics.AddToxicJson(strings.NewReader(c.toxics))
		if err != nil {
			t.Fatal(err)
		}
		w.minute++
		if got := w.send(); got != c.want {
			t.Errorf("%s: HTTP %d, want %d", c.name, got, c.want)
		}
		if err := proxy.Toxics.RemoveToxic(t.Context(), toxic.Name); err != nil {
			t.Fatal(err)
		}
		if !w.taken() {
			t.Fatalf("%s: not taken again when the way was free", c.name)
		}
		snap, err := w.store.Snapshot(t.Context(), "u")
		if err != nil || snap.Tick != w.minute {
			t.Errorf("%s: stored tick %s, %v; want %s", c.name, snap.Tick, err, w.minute)
		}
	}
	failing, err := w.store.Failing(t.Context())
	if err != nil || len(failing) > 0 {
		t.Errorf("marked for our own trouble: %v, %v", failing, err)
	}
}

// toxicWorld is one user's syncer behind the front door of a service.
type toxicWorld struct {
	t       *testing.T
	store   *store.Store
	minute  tick.Tick
	cash    int
	handler http.Handler
}

func (w *toxicWorld) open() {
	u := user.User{ID: "u", Status: user.Active, CadenceMinutes: 1, BrokerEnv: "paper"}
	if err := w.store.PutUser(w.t.Context(), u); err != nil {
		w.t.Fatal(err)
	}
	vault := mem.NewVault()
	vault.Add("u", []byte(`{"key_id":"k","secret_key":"s"}`))
	s, err := syncer.New(syncer.DefaultConfig("p"), syncer.Deps{
		Vault: vault, Broker: w, Snapshots: w.store, Health: w.store, Keys: w.store, Now: func() time.Time { return w.minute.Time().Add(time.Second) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.handler = &event.Receiver{
		Handle: func(ctx context.Context, e event.Event) error {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // in place of the adapter's own 10 s a call
			defer cancel()
			return s.Handle(ctx, e)
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

// send delivers the minute's request once.
func (w *toxicWorld) send() int {
	e, err := event.NewSyncRequest(w.minute, user.User{ID: "u", BrokerEnv: "paper", CadenceMinutes: 1}, health.Health{})
	if err != nil {
		w.t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/", strings.NewReader(string(e.Data())))
	for k, v := range gcp.Message(e).Attributes {
		req.Header.Set(k, v)
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, req)
	return answer.Code
}

// taken delivers until it is.
func (w *toxicWorld) taken() bool {
	for range 20 {
		if w.send() == http.StatusNoContent {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

func (w *toxicWorld) Open(broker.Env, secret.Credentials) (broker.Session, error) { return w, nil }

func (w *toxicWorld) Account(context.Context) (account.Reading, error) {
	w.cash++ // always something to write
	raw := map[string]any{"id": "a", "status": "ACTIVE", "cash": fmt.Sprint(w.cash), "equity": "1", "buying_power": "1"}
	a, err := account.FromRaw(raw)
	return account.Reading{Account: a, Raw: raw, ObservedAt: w.minute.Time().Add(time.Second)}, err
}

func (w *toxicWorld) Positions(context.Context) ([]account.Position, error) { return nil, nil }

func (w *toxicWorld) Flows(context.Context, time.Time) ([]account.Flow, bool, error) {
	return nil, false, nil
}

func (w *toxicWorld) OpenOrders(context.Context, int) ([]account.Order, bool, error) {
	return nil, false, nil
}
