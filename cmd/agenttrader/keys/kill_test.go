package keys

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/child"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// childArgs makes this test binary the command itself.
const childArgs = "AGENTTRADER_TEST_KEYS"

func TestMain(m *testing.M) {
	args := os.Getenv(childArgs)
	if args == "" {
		emulator.Main(m)
		return
	}
	c := Command()
	c.SetArgs(strings.Fields(args))
	c.SilenceUsage = true
	if err := c.ExecuteContext(context.Background()); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// The command as a process, on the official Firestore and the real clients, is killed (-9) again and again at whatever it is
// doing. In the end everybody's keys are where they should be, in both directions.
func TestKilled(t *testing.T) {
	e, project := emulator.For(t)
	client, err := e.Client(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	db := gcp.NewFirestore(client)
	w := &world{t: t, vault: mem.NewVault(), store: store.New(db)}
	if w.kms, err = mem.NewKMS(mem.KMSKey); err != nil {
		t.Fatal(err)
	}
	var left atomic.Int64 // operations until the kill
	kill := make(chan struct{}, 1)
	step := func() {
		if left.Add(-1) == 0 {
			kill <- struct{}{}
			time.Sleep(20 * time.Millisecond) // it dies waiting for this answer, most of the time
		}
	}
	left.Store(1 << 40)
	w.vault.SetHook(func(context.Context, string) error { step(); return nil })
	w.vault.SetChangeHook(func(context.Context, mem.SecretOp) error { step(); return nil })
	secrets, err := mem.ServeSecrets(t.Context(), "127.0.0.1:0", project, w.vault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secrets.Close)
	kms, err := mem.ServeKMS(t.Context(), "127.0.0.1:0", w.kms)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kms.Close)
	cfg := gcp.Config{Project: project, SecretEndpoint: secrets.Addr()}
	cloud := gcp.Open(cfg)
	t.Cleanup(func() { _ = cloud.Close() })
	if w.secrets, err = cloud.Secrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.services, err = envelope.New(db, w.kms, envelope.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	const users = 40
	version := func(i int) string { return fmt.Sprint(1 + i%3) }
	uid := func(i int) string { return fmt.Sprintf("u%02d", i) }
	for i := range users {
		if err := w.store.PutUser(t.Context(), user.User{ID: uid(i), Status: user.Active, KeyVersion: version(i)}); err != nil {
			t.Fatal(err)
		}
		w.rotate(gcp.SecretManager, uid(i), version(i))
	}
	migrate := func(to string, after int64) (killed bool) {
		t.Helper()
		cmd := exec.Command(os.Args[0]) //nolint:gosec // itself
		cmd.Env = []string{
			childArgs + "=migrate --prune --rate 60000 --concurrency 4 --to " + to, "GCP_PROJECT=" + project, "KMS_KEY=" + mem.KMSKey,
			"FIRESTORE_EMULATOR_HOST=" + e.Addr(), "SECRET_MANAGER_ENDPOINT=" + secrets.Addr(), "KMS_ENDPOINT=" + kms.Addr(),
		}
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		left.Store(after)
		defer left.Store(1 << 40)
		p, err := child.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-kill:
			killed = true
			_ = p.Kill()
			_ = p.Wait()
		case <-p.Ended():
			if err := p.Wait(); err != nil {
				t.Errorf("%v: %s", err, out.String())
			}
		}
		w.printed.WriteString(out.String())
		return killed
	}
	for _, to := range []string{gcp.Envelope, gcp.SecretManager} {
		kills := 0
		for migrate(to, 25+int64(kills*7)) {
			kills++
			for i := range users {
				if err := w.readable(uid(i), version(i)); err != nil {
					t.Fatalf("to %s, after kill %d: %s: %v", to, kills, uid(i), err)
				}
			}
		}
		if kills < 2 {
			t.Errorf("to %s: %d kills, want some", to, kills)
		}
		for i := range users {
			w.holds(to, uid(i), version(i))
			w.holds(other(to), uid(i), "")
		}
	}
	for i := range users {
		if n := w.vault.Alive(uid(i)); n > 3 { // two kills in a row may meet one user
			t.Errorf("%s: %d versions are alive; want one, and one more at most that each kill left behind", uid(i), n)
		}
	}
	w.noLeak()
}
