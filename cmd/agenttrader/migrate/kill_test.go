package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/child"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// childArgs makes this test binary the command itself.
const childArgs = "AGENTTRADER_TEST_MIGRATE"

var legacyUsers = flag.Int("migrate.users", 160, "how many legacy users TestKilled has")

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

// legacy is a deployment of the predecessor's on the official Firestore, and the command as a process of its own.
type legacy struct {
	t       *testing.T
	e       *emulator.Emulator
	project string
	db      *gcp.Firestore
	n       int
}

func newLegacy(t *testing.T, n int) *legacy {
	e, project := emulator.For(t)
	client, err := e.Client(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	l := &legacy{t: t, e: e, project: project, db: gcp.NewFirestore(client), n: n}
	l.seed()
	return l
}

func uid(i int) string { return fmt.Sprintf("u%05d", i) }

// sources are the documents of user i: both of the predecessor's shapes, at the tenant's path and at the user's own, users who
// are there and who are not, and signals that name the user or the tenant.
func sources(i int) map[string]document.Fields {
	at := noon.Add(time.Duration(i) * time.Second)
	tenant, power := fmt.Sprintf("t%05d", i), float64(i)+0.25
	f := document.Fields{
		"broker": "alpaca", "external_account_id": "acc-" + tenant, "status": "ACTIVE", "equity": 2 * power, "buying_power": power, "cash": power,
		"updated_at": at.Add(time.Millisecond), "updated_at_iso": at.Format(time.RFC3339Nano), "tenant_id": tenant, "raw": map[string]any{"id": "acc-" + tenant, "multiplier": "4"},
	}
	if i%2 == 1 {
		f = document.Fields{"syncedAt": at, "account": map[string]any{"id": "acc-" + tenant}, "equity": fmt.Sprint(2 * power), "buying_power": fmt.Sprint(power), "cash": fmt.Sprint(power)}
	}
	docs := map[string]document.Fields{"tenants/" + tenant + "/accounts/primary": f}
	if i%4 == 3 {
		docs["users/"+uid(i)] = document.Fields{"email": uid(i) + "@example.com", "displayName": "User", "created_at": noon}
		older := maps.Clone(f)
		older["syncedAt"], older["buying_power"] = at.Add(-time.Minute), "0.5"
		docs[store.SnapshotPath(uid(i))] = older
	}
	docs["tradingSignals/s"+uid(i)] = document.Fields{
		"created_at": at, "symbol": "SPY", "action": "buy", "notional_usd": power, "reason": "r", "status": []any{"pending", "executed"}[i%2], "strategy_id": "x", "user_id": uid(i),
	}
	if i%3 == 0 {
		docs["tradingSignals/t"+uid(i)] = document.Fields{"created_at": at, "symbol": "QQQ", "status": "rejected", "tenant_id": tenant}
	}
	return docs
}

func (l *legacy) seed() {
	l.t.Helper()
	ws := []document.Write{{Op: document.ToSet, Path: "alpacaAccounts/snapshot", Fields: snapshotOf("local", 7)}}
	for i := range l.n {
		for path, f := range sources(i) {
			ws = append(ws, document.Write{Op: document.ToSet, Path: path, Fields: f})
		}
	}
	g, ctx := errgroup.WithContext(l.t.Context())
	g.SetLimit(8)
	for chunk := range slices.Chunk(ws, 100) {
		g.Go(func() error {
			err := l.db.Commit(ctx, chunk)
			for n := 0; n < 5 && errors.Is(err, document.ErrUnavailable); n++ { // a cold emulator on a busy machine
				err = l.db.Commit(ctx, chunk)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *legacy) list() string {
	var b strings.Builder
	b.WriteString("user_id,tenant_id,email,display_name\n")
	for i := range l.n {
		fmt.Fprintf(&b, "%s,t%05d,%s@example.com,User %d\n", uid(i), i, uid(i), i)
	}
	return writeList(l.t, "users.csv", b.String())
}

// dump is every document, except for what the migration keeps.
func (l *legacy) dump() map[string]document.Fields {
	l.t.Helper()
	all := map[string]document.Fields{}
	for _, name := range []string{"users", "alpacaAccounts", "accounts", "tradingSignals"} {
		for after := ""; ; {
			docs, err := l.db.Query(l.t.Context(), document.Query{Collection: name, Group: true, After: after, Limit: 1000})
			if err != nil {
				l.t.Fatal(err)
			}
			for _, d := range docs {
				all[d.Path], after = d.Fields, d.Path
			}
			if len(docs) == 0 {
				break
			}
		}
	}
	return all
}

// read is the predecessor's read path: the user's own, or without a user the global one.
func (l *legacy) read(userID string) string {
	path := "alpacaAccounts/snapshot"
	if userID != "" {
		path = "users/" + userID + "/alpacaAccounts/snapshot"
	}
	d, err := l.db.Get(l.t.Context(), path)
	if errors.Is(err, document.ErrNotFound) {
		return "Missing warm-cache snapshot at Firestore doc " + path
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("%#v", d.Fields)
}

func (l *legacy) answers() map[string]string {
	all := map[string]string{"": l.read("")}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(32)
	for i := range l.n {
		g.Go(func() error {
			answer := l.read(uid(i))
			mu.Lock()
			defer mu.Unlock()
			all[uid(i)] = answer
			return nil
		})
	}
	_ = g.Wait()
	return all
}

// command runs the command as a process. With until it is killed (-9) as soon as until holds, which must be before its end.
func (l *legacy) command(until func() bool, args ...string) (r report) {
	l.t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // itself
	cmd.Env = []string{childArgs + "=" + strings.Join(args, " ") + " --json", "GCP_PROJECT=" + l.project, "FIRESTORE_EMULATOR_HOST=" + l.e.Addr()}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	p, err := child.Start(cmd)
	if err != nil {
		l.t.Fatal(err)
	}
	if until == nil {
		if err := p.Wait(); err != nil {
			l.t.Fatalf("%v: %v: %s", args, err, errs.String())
		}
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			l.t.Fatalf("%v: %v: %s", args, err, out.String())
		}
		l.t.Logf("%v: %s", args[0], strings.TrimSpace(errs.String()))
		return r
	}
	for !until() {
		select {
		case <-p.Ended():
			l.t.Fatalf("%v ended before it was killed: %s", args, errs.String())
		case <-time.After(time.Millisecond):
		}
	}
	_ = p.Kill()
	if err := p.Wait(); err == nil {
		l.t.Fatalf("%v ended before it was killed", args)
	}
	l.t.Logf("%v: killed", args[0])
	return r
}

// there says whether a document is.
func (l *legacy) there(path string) bool {
	_, err := l.db.Get(l.t.Context(), path)
	if err != nil && !errors.Is(err, document.ErrNotFound) {
		l.t.Fatal(err)
	}
	return err == nil
}

// On the official Firestore, the command is killed three times at whatever it is doing, and run again: nothing differs. Taken back,
// killed again, the predecessor's read path answers as before; with what was pruned, too.
func TestKilled(t *testing.T) {
	n := *legacyUsers
	l := newLegacy(t, n)
	users := l.list()
	before, answers := l.dump(), l.answers()
	run := []string{"run", "--rate", "0", "--legacy-user", "owner", "--users-file", users}
	migrated := func(i int) func() bool { return func() bool { return l.there("migrations/" + uid(i)) } }
	l.command(migrated(n/5), run...)
	l.command(migrated(n*3/5), run...)
	l.command(func() bool { return l.there(store.SignalPath(uid(n/3), "s"+uid(n/3))) }, run...)
	if r := l.command(nil, run...); r.Users != n+1 || len(r.Failed) > 0 || r.There == 0 {
		t.Errorf("run: %+v", r)
	}
	if r := l.command(nil, "verify", "--users-file", users, "--legacy-user", "owner"); r.Users != n+1 || r.Different > 0 || r.Signals["compared"] != n+(n+2)/3 || r.Unclaimed > 0 {
		t.Errorf("verify: %+v", r)
	}
	l.copied(before)

	prune := append([]string{}, append(run, "--prune")...)
	l.command(func() bool { return !l.there(fmt.Sprintf("tenants/t%05d/accounts/primary", n/2)) }, prune...)
	l.command(nil, prune...)
	if l.there("alpacaAccounts/snapshot") || l.there("tenants/t00000/accounts/primary") || l.there("tradingSignals/s"+uid(0)) {
		t.Error("something was not pruned")
	}
	if r := l.command(nil, "verify"); r.Different > 0 || r.Pruned != n+n+(n+2)/3+1 {
		t.Errorf("verify what was pruned: %+v", r)
	}

	l.command(func() bool { return l.there(fmt.Sprintf("tenants/t%05d/accounts/primary", n/3)) }, "rollback", "--rate", "0")
	l.command(nil, "rollback", "--rate", "0")
	if d := cmp.Diff(answers, l.answers()); d != "" {
		t.Errorf("the predecessor's read path (-before +after the rollback):\n%.4000s", d)
	}
	if d := cmp.Diff(before, l.dump()); d != "" {
		t.Errorf("documents (-before +after the rollback):\n%.4000s", d)
	}
	if r := l.command(nil, run...); r.Created != n-n/4+1 { // at one go, for the figure
		t.Errorf("run after the rollback: %+v", r)
	}
}

// copied compares without the command's own notion of a copy.
func (l *legacy) copied(before map[string]document.Fields) {
	l.t.Helper()
	now := l.dump()
	for path, f := range before {
		if !strings.HasPrefix(path, "users/") && cmp.Diff(f, now[path]) != "" {
			l.t.Fatalf("%s was changed", path)
		}
	}
	for i := range l.n {
		for path, f := range sources(i) {
			target, want := "", maps.Clone(f)
			want["user_id"] = uid(i)
			switch {
			case strings.HasPrefix(path, "tenants/"):
				target = store.SnapshotPath(uid(i))
				delete(want, "tenant_id")
			case strings.HasPrefix(path, "tradingSignals/"):
				target = "users/" + uid(i) + "/" + path
				if want["status"] == "pending" {
					want["status"] = "expired"
				}
			default:
				continue
			}
			if d := cmp.Diff(want, now[target]); d != "" {
				l.t.Fatalf("%s is no copy of %s (-want +got):\n%s", target, path, d)
			}
		}
	}
}
