package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const project = "p"

// world is a project: the real Secret Manager client on a server of ours, envelopes in documents of the twin.
type world struct {
	t         *testing.T
	db        *mem.DB
	store     *store.Store
	vault     *mem.Vault
	kms       *mem.KMS
	secrets   *gcp.Vault
	envelopes *envelope.Vault                            // of the command; a new one is another process
	services  *envelope.Vault                            // of those who read and write meanwhile
	step      func(ctx context.Context, done bool) error // around each operation that changes something, before the others
	stepping  sync.WaitGroup                             // a call that was cut short may still be in its step
	kmsFault  error
	printed   strings.Builder // all output of all runs
	typed     string          // on standard input
	paper     string          // address of Alpaca
	live      string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, vault: mem.NewVault(), step: func(context.Context, bool) error { return nil }}
	clock := mem.NewClock(noon, 0)
	w.db = mem.NewDB(clock.Now)
	w.store = store.New(w.db)
	var err error
	if w.kms, err = mem.NewKMS(mem.KMSKey); err != nil {
		t.Fatal(err)
	}
	w.db.SetHook(func(ctx context.Context, op mem.Op) error { return w.steps(ctx, op.Done) })
	w.vault.SetChangeHook(func(ctx context.Context, op mem.SecretOp) error { return w.steps(ctx, op.Done) })
	w.vault.SetHook(func(ctx context.Context, _ string) error { return w.steps(ctx, false) })
	w.kms.SetHook(func(ctx context.Context) error { return errors.Join(w.kmsFault, w.steps(ctx, false)) })
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
	w.restart()
	return w
}

func (w *world) steps(ctx context.Context, done bool) error {
	w.stepping.Add(1)
	defer w.stepping.Done()
	return w.step(ctx, done)
}

// restart is other processes: they remember nothing.
func (w *world) restart() {
	w.t.Helper()
	for _, v := range []**envelope.Vault{&w.envelopes, &w.services} {
		var err error
		if *v, err = envelope.New(w.db, w.kms, envelope.DefaultConfig()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// keeper is a custody as the services see it.
func (w *world) keeper(custody string) secret.Keeper {
	if custody == gcp.Envelope {
		return w.services
	}
	return w.secrets
}

func other(custody string) string {
	return map[string]string{gcp.Envelope: gcp.SecretManager, gcp.SecretManager: gcp.Envelope}[custody]
}

func keysOf(t testing.TB, uid, version string) secret.Credentials {
	t.Helper()
	creds, err := secret.NewCredentials("PKCANARY"+uid+version, "canary-secret-"+uid+version)
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// onboard writes a user and the keys of a version.
func (w *world) onboard(custody, uid, version string) {
	w.t.Helper()
	if err := w.store.PutUser(w.t.Context(), user.User{ID: uid, Status: user.Active, KeyVersion: version}); err != nil {
		w.t.Fatal(err)
	}
	w.rotate(custody, uid, version)
}

func (w *world) rotate(custody, uid, version string) {
	w.t.Helper()
	if err := w.keeper(custody).Put(w.t.Context(), uid, keysOf(w.t, uid, version), version); err != nil {
		w.t.Fatal(err)
	}
}

// migrate runs the command.
func (w *world) migrate(ctx context.Context, args ...string) (stdout string, err error) {
	return w.run(ctx, append([]string{"migrate"}, args...)...)
}

func (w *world) run(ctx context.Context, args ...string) (stdout string, err error) {
	var out, errs bytes.Buffer
	c := command(&cli{
		open: func(context.Context, string, options) (*desk, error) {
			return &desk{where: "test", users: w.store, secrets: w.secrets, envelopes: w.envelopes, rewrap: envelope.Rewrapper{DB: w.db, To: w.kms}, close: func() error { return nil }}, nil
		},
		openKeys: w.openKeys,
		terminal: func(any) bool { return false },
	})
	c.SetIn(strings.NewReader(w.typed))
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(ctx)
	w.printed.WriteString(out.String() + errs.String())
	if err != nil {
		w.printed.WriteString(err.Error())
	}
	return out.String(), err
}

func (w *world) result(args ...string) report {
	w.t.Helper()
	out, err := w.migrate(w.t.Context(), append(args, "--json")...)
	var r report
	if e := json.Unmarshal([]byte(out), &r); e != nil {
		w.t.Fatalf("%v: %s, %v", e, out, err)
	}
	if (err != nil) != (len(r.Failed) > 0) {
		w.t.Errorf("%v: %d failed, and the command says %v", args, len(r.Failed), err)
	}
	return r
}

// readable: whichever custody the services prefer, they find the user's keys of this version or a newer one.
func (w *world) readable(uid, version string) error {
	for _, preferred := range []string{gcp.Envelope, gcp.SecretManager} {
		both := secret.NewEither(w.keeper(preferred), w.keeper(other(preferred)))
		for _, asked := range []string{version, ""} {
			creds, got, err := both.Credentials(w.t.Context(), uid, asked)
			switch {
			case err != nil:
				return fmt.Errorf("%s preferred, version %q: %w", preferred, asked, err)
			case asked != "" && secret.Number(got) < secret.Number(version):
				return fmt.Errorf("%s preferred, version %q: got the older %s", preferred, asked, got)
			case !creds.Same(keysOf(w.t, uid, version)):
				return fmt.Errorf("%s preferred, version %q: other keys, of version %s", preferred, asked, got)
			}
		}
	}
	return nil
}

// holds checks what one custody has: version "" is nothing.
func (w *world) holds(custody, uid, version string) {
	w.t.Helper()
	creds, got, err := w.keeper(custody).Credentials(w.t.Context(), uid, "")
	if version == "" {
		if !errors.Is(err, secret.ErrNotFound) {
			w.t.Errorf("%s of %s: version %s, %v; want nothing", custody, uid, got, err)
		}
		return
	}
	if err != nil || got != version || !creds.Same(keysOf(w.t, uid, version)) {
		w.t.Errorf("%s of %s: version %s, %v; want the keys of version %s", custody, uid, got, err, version)
	}
}

func (w *world) noLeak() {
	w.t.Helper()
	for _, part := range []string{"PKCANARY", "canary-secret"} {
		if strings.Contains(w.printed.String(), part) {
			w.t.Errorf("the command showed a key:\n%s", w.printed.String())
		}
	}
}
