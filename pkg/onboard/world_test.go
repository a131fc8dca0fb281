package onboard_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const project = "p"

// Where a world's keys are.
const (
	secrets   = "secret-manager"
	envelopes = "envelope"
	toward    = "moving to envelopes"
	away      = "moving to secret-manager"
)

func custodies() []string { return []string{secrets, envelopes, toward, away} }

// world is a platform without services: documents, keys in the custody that it is named after, Alpaca's two environments.
type world struct {
	t           testing.TB
	db          *mem.DB
	store       *store.Store
	vault       *mem.Vault // behind secrets
	secrets     *gcp.Vault
	sealed      *envelope.Vault
	custody     secret.Custody
	keys        *onboard.Keys
	remover     *onboard.Remover
	paper, live *sim.Server
	urls        [2]string

	mu       sync.Mutex
	stepping sync.WaitGroup                  // a call that was cut short may still be in its step
	step     func(ctx context.Context) error // around each operation of database and vault
}

func newWorld(t testing.TB, custody string) *world {
	t.Helper()
	w := &world{t: t, vault: mem.NewVault(), step: func(context.Context) error { return nil }}
	w.db = mem.NewDB(time.Now)
	w.store = store.New(w.db)
	kms, err := mem.NewKMS(mem.KMSKey)
	if err != nil {
		t.Fatal(err)
	}
	if w.sealed, err = envelope.New(w.db, kms, envelope.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	server, err := mem.ServeSecrets(t.Context(), "127.0.0.1:0", project, w.vault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := secretmanager.NewClient(t.Context(), option.WithEndpoint(server.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	w.secrets = gcp.NewVault(client, project)
	hook := func(ctx context.Context) error {
		w.stepping.Add(1)
		defer w.stepping.Done()
		w.mu.Lock()
		step := w.step
		w.mu.Unlock()
		return step(ctx)
	}
	w.db.SetHook(func(ctx context.Context, _ mem.Op) error { return hook(ctx) })
	w.vault.SetChangeHook(func(ctx context.Context, _ mem.SecretOp) error { return hook(ctx) })
	w.vault.SetHook(func(ctx context.Context, _ string) error { return hook(ctx) })
	switch custody {
	case secrets:
		w.custody = secret.Custody{Vault: w.secrets, Keepers: []secret.Keeper{w.secrets}}
	case envelopes:
		w.custody = secret.Custody{Vault: w.sealed, Keepers: []secret.Keeper{w.sealed}}
	case toward:
		w.custody = secret.Custody{Vault: secret.NewEither(w.sealed, w.secrets), Keepers: []secret.Keeper{w.sealed, w.secrets}}
	case away:
		w.custody = secret.Custody{Vault: secret.NewEither(w.secrets, w.sealed), Keepers: []secret.Keeper{w.secrets, w.sealed}, Into: w.sealed}
	}
	for i, s := range []**sim.Server{&w.paper, &w.live} {
		*s = sim.New(sim.Config{Seed: uint64(i + 1), Now: time.Now})
		server := httptest.NewServer(*s)
		t.Cleanup(server.Close)
		w.urls[i] = server.URL
	}
	w.keys = &onboard.Keys{Users: w.store, Custody: w.custody, Broker: w.alpaca(), Snapshots: w.store}
	w.remover = &onboard.Remover{DB: w.db, Users: w.store, Roster: w.store, Custody: w.custody}
	return w
}

func (w *world) alpaca() broker.Broker {
	w.t.Helper()
	b, err := alpaca.New(alpaca.Config{PaperURL: w.urls[0], LiveURL: w.urls[1]})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) steps(step func(ctx context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step = step
}

// killed makes the n-th operation, counted before and after, and all that follow fail, as if the process were gone. hit says
// whether there was an n-th.
func (w *world) killed(ctx context.Context, n int) (context.Context, func() (hit bool)) {
	ctx, cancel := context.WithCancel(ctx)
	count := 0
	w.steps(func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if count++; count >= n {
			cancel()
			return errors.New("killed")
		}
		return nil
	})
	return ctx, func() bool {
		cancel()
		w.stepping.Wait()
		w.steps(func(context.Context) error { return nil })
		return count >= n
	}
}

func creds(t testing.TB, name string) secret.Credentials {
	t.Helper()
	c, err := secret.NewCredentials("PKCANARY"+name, "canary-secret-"+name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// good makes Alpaca take keys.
func (w *world) good(server *sim.Server, name string) secret.Credentials {
	w.t.Helper()
	c := creds(w.t, name)
	server.Register(c.Reveal())
	return c
}

func (w *world) add(id string) {
	w.t.Helper()
	if err := w.store.Add(w.t.Context(), user.Profile{User: user.User{ID: id}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) profile(id string) user.Profile {
	w.t.Helper()
	p, err := w.store.Profile(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// inUse are the keys that the next request would use; they must be there, and of the environment that the document names.
func (w *world) inUse(id string) (secret.Credentials, user.Profile) {
	w.t.Helper()
	p := w.profile(id)
	c, _, err := w.custody.Vault.Credentials(w.t.Context(), id, p.KeyVersion)
	if err != nil {
		w.t.Fatalf("version %q of %s: %v", p.KeyVersion, id, err)
	}
	if _, err := onboard.Ask(w.t.Context(), w.keys.Broker, c, broker.Env(p.BrokerEnv)); err != nil {
		w.t.Fatalf("version %q of %s does not work in %s: %v", p.KeyVersion, id, p.BrokerEnv, err)
	}
	return c, p
}

func (w *world) number(id string) (n int64) {
	w.t.Helper()
	for _, k := range w.custody.Keepers {
		have, err := k.Newest(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		n = max(n, have)
	}
	return n
}

func version(n int64) string { return strconv.FormatInt(n, 10) }
