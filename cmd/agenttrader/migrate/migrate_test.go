package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func execute(t *testing.T, c *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return executeIn(t.Context(), c, args...)
}

func executeIn(ctx context.Context, c *cobra.Command, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

type world struct {
	t  *testing.T
	db *mem.DB
}

func newWorld(t *testing.T) *world {
	return &world{t, mem.NewDB(mem.NewClock(noon, 0).Now)}
}

func (w *world) command() *cobra.Command {
	return command(func(context.Context, string) (*desk, error) {
		return &desk{where: "test", db: w.db, close: func() error { return nil }}, nil
	}, func(any) bool { return false })
}

func (w *world) set(path string, f document.Fields) {
	w.t.Helper()
	if err := w.db.Set(w.t.Context(), path, f); err != nil {
		w.t.Fatal(err)
	}
}

// result is the report of a command, without what differs from run to run.
func (w *world) result(args ...string) (r report, err error) {
	w.t.Helper()
	stdout, stderr, err := execute(w.t, w.command(), append(args, "--json", "--rate", "0")...)
	if e := json.Unmarshal([]byte(stdout), &r); e != nil {
		w.t.Fatalf("%v: %s %s, %v", e, stdout, stderr, err)
	}
	r.Seconds, r.PerSecond = 0, 0
	return r, err
}

func snapshotOf(tenant string, power float64) document.Fields {
	return document.Fields{"buying_power": power, "updated_at_iso": noon.Format(time.RFC3339), "external_account_id": tenant, "tenant_id": tenant}
}

func (w *world) seed() string {
	w.set("tenants/t1/accounts/primary", snapshotOf("t1", 1))
	w.set("tenants/t2/accounts/primary", document.Fields{"syncedAt": noon, "buying_power": "2", "account": map[string]any{}})
	w.set("tenants/local/accounts/primary", snapshotOf("local", 3))
	w.set("alpacaAccounts/snapshot", snapshotOf("local", 4))
	w.set("users/bob", document.Fields{"email": "bob@example.com"})
	for i := range 250 {
		w.set(fmt.Sprintf("tradingSignals/s%03d", i), document.Fields{"tenant_id": "t1", "status": "pending"})
	}
	w.set("tradingSignals/zz", document.Fields{"user_id": "zoe"})
	return writeList(w.t, "users.csv", "user_id,tenant_id,email,display_name\nann,t1,ann@example.com,Ann\nbob,t2,other@example.com,Bob\n")
}

func (w *world) want(name string, got, want report) {
	w.t.Helper()
	for _, m := range []*map[string]int{&want.Snapshots, &want.Signals} {
		if *m == nil {
			*m = map[string]int{}
		}
	}
	a, _ := json.MarshalIndent(&want, "", " ")
	got.Nobodys, got.Failed, got.Differences, got.Faults = nil, nil, nil, nil
	b, _ := json.MarshalIndent(&got, "", " ")
	if d := cmp.Diff(string(a), string(b)); d != "" {
		w.t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestWay(t *testing.T) {
	w := newWorld(t)
	users := w.seed()
	_, wrote := w.db.Counts()
	first := report{Command: "plan", DryRun: true, Users: 3, Created: 2, Merged: 1, Snapshots: map[string]int{"copied": 3}, Signals: map[string]int{"copied": 250}, Unclaimed: 2}
	r, err := w.result("plan", "--users-file", users, "--legacy-user", "me")
	w.want("plan", r, first)
	if err != nil || r.Nobodys[0].Path != "tenants/local/accounts/primary" || r.Nobodys[1].Path != "tradingSignals/zz" {
		t.Errorf("%v, %+v", err, r.Nobodys)
	}
	if _, now := w.db.Counts(); now != wrote {
		t.Error("a plan wrote something")
	}
	if _, err := w.result("verify"); err == nil {
		t.Error("verify of nothing is content")
	}
	r, err = w.result("run", "--users-file", users, "--legacy-user", "me")
	first.Command, first.DryRun = "run", false
	if w.want("run", r, first); err != nil {
		t.Error(err)
	}
	again := report{Command: "run", Users: 3, There: 3, Snapshots: map[string]int{"same": 3}, Signals: map[string]int{"same": 250}, Unclaimed: 2}
	r, err = w.result("run", "--users-file", users, "--legacy-user", "me")
	if w.want("run again", r, again); err != nil {
		t.Error(err)
	}
	compared := report{Command: "verify", Users: 3, Signals: map[string]int{"compared": 250}, Unclaimed: 1}
	r, err = w.result("verify")
	if w.want("verify", r, compared); err != nil {
		t.Error(err)
	}
	// What the old system writes since is a difference, until the next run.
	w.set("tenants/t1/accounts/primary", func() document.Fields {
		f := snapshotOf("t1", 5)
		f["updated_at_iso"] = noon.Add(time.Minute).Format(time.RFC3339)
		return f
	}())
	r, err = w.result("verify", "--users-file", users)
	if err == nil || r.Different != 1 || r.Differences[0].Path != store.SnapshotPath("ann") || !strings.Contains(r.Differences[0].What, "older than tenants/t1") {
		t.Errorf("verify of a copy that is behind: %v, %+v", err, r.Differences)
	}
	again.Snapshots = map[string]int{"same": 2, "copied_anew": 1}
	again.Pruned = 253
	r, err = w.result("run", "--users-file", users, "--legacy-user", "me", "--prune")
	if w.want("prune", r, again); err != nil {
		t.Error(err)
	}
	compared.Signals, compared.Pruned = nil, 253
	r, err = w.result("verify")
	if w.want("verify what was pruned", r, compared); err != nil {
		t.Error(err)
	}
	r, err = w.result("rollback", "--dry-run")
	if w.want("a dry rollback", r, report{Command: "rollback", DryRun: true, Users: 3, Restored: 253, TakenBack: 3}); err != nil {
		t.Error(err)
	}
	if _, err := w.db.Update(t.Context(), "users/ann", document.Fields{"status": "paused"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := execute(t, w.command(), "rollback", "--rate", "0")
	if err == nil || !strings.Contains(err.Error(), "left as before: 1 of 3 users") || !strings.Contains(stdout, "status of users/ann: changed since") || !strings.Contains(stderr, "2 taken back") {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
	r, err = w.result("rollback", "--force")
	if w.want("rollback by force", r, report{Command: "rollback", Users: 1, TakenBack: 1}); err != nil {
		t.Error(err)
	}
	docs, err := w.db.Query(t.Context(), document.Query{Collection: "users"})
	if err != nil || len(docs) != 1 || cmp.Diff(document.Fields{"email": "bob@example.com"}, docs[0].Fields) != "" {
		t.Errorf("users after the rollback: %v %v", docs, err)
	}
}

func TestTenants(t *testing.T) {
	w := newWorld(t)
	w.seed()
	r, err := w.result("run", "--tenants", "--status", "active")
	w.want("run", r, report{Command: "run", Users: 3, Created: 2, There: 1, Snapshots: map[string]int{"copied": 2, "none": 1}, Signals: map[string]int{"copied": 250}, Unclaimed: 3})
	if err != nil {
		t.Error(err)
	}
	d, err := w.db.Get(t.Context(), "users/t1")
	if err != nil || d.Fields["status"] != "active" || d.Fields["tenant_id"] != "t1" {
		t.Errorf("%v, %v", d.Fields, err)
	}
	if stdout, stderr, err := execute(t, w.command(), "verify", "--tenants"); err != nil || !strings.Contains(stderr, "0 differences, 3 nobody's") || !strings.Contains(stdout, "say whose it is with --legacy-user") {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
}

// One user's trouble is that user's: the others are moved. The platform's own trouble ends the run.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.set("tenants/t1/accounts/primary", document.Fields{"user_id": "mallory"})
	users := writeList(t, "users.json", `[{"user_id":"ann","tenant_id":"t1"},{"user_id":"bob","tenant_id":"t2"}]`)
	r, err := w.result("run", "--users-file", users)
	if err == nil || len(r.Failed) != 1 || r.Failed[0].UserID != "ann" || !strings.Contains(r.Failed[0].Reason, `is of user "mallory"`) || r.Users != 1 || r.Signals["left"] != 250 {
		t.Errorf("%v, %+v", err, r.Failed)
	}
	w = newWorld(t)
	w.seed()
	w.set("users/carl", document.Fields{"tenant_id": "t1"})
	_, wrote := w.db.Counts()
	stdout, stderr, err := execute(t, w.command(), "run", "--users-file", users)
	if err == nil || !strings.Contains(stderr, `users.json: row 1: tenant "t1" of user ann is user carl's already`) || stdout != "" {
		t.Errorf("a tenant of another's: %v\n%s%s", err, stdout, stderr)
	}
	if _, now := w.db.Counts(); now != wrote {
		t.Error("something was half done")
	}
	var many strings.Builder
	many.WriteString("user_id\n")
	for i := range 100 {
		fmt.Fprintf(&many, "u%03d\n", i)
	}
	w = newWorld(t)
	w.db.SetHook(func(_ context.Context, op mem.Op) error {
		if op.Kind == "commit" {
			return document.ErrUnavailable
		}
		return nil
	})
	r, err = w.result("run", "--users-file", writeList(t, "u.csv", many.String()), "--concurrency", "4")
	if err == nil || !strings.Contains(err.Error(), "20 in a row failed") || len(r.Failed) > 30 {
		t.Errorf("the database is down: %v, %d failed", err, len(r.Failed))
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.db.SetHook(func(context.Context, mem.Op) error { cancel(); return nil })
	if _, _, err := executeIn(ctx, w.command(), "run", "--users-file", writeList(t, "u.csv", many.String())); err == nil || !strings.Contains(err.Error(), "interrupted: run it again") {
		t.Errorf("interrupted: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, args := range []string{"run", "plan", "run --users-file x.csv --tenants", "run --tenants --status asleep", "run --legacy-user a/b", "run --tenants --concurrency 0", "run --tenants --rate -1", "rollback --users-file x.csv", "run x"} {
		if _, _, err := execute(t, newWorld(t).command(), strings.Fields(args)...); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
	for _, sub := range []string{"plan", "run", "verify", "rollback"} {
		if stdout, _, err := execute(t, newWorld(t).command(), sub, "--help"); err != nil || !strings.Contains(stdout, "agenttrader migrate "+sub) || !strings.Contains(stdout, "--json") {
			t.Errorf("%s: %v\n%s", sub, err, stdout)
		}
	}
}

// People at a terminal see how far it is; nobody else does.
func TestBar(t *testing.T) {
	var list strings.Builder
	list.WriteString("user_id\n")
	for i := range 40 {
		fmt.Fprintf(&list, "u%02d\n", i)
	}
	users := writeList(t, "u.csv", list.String())
	for _, terminal := range []bool{true, false} {
		w := newWorld(t)
		w.db.SetHook(func(context.Context, mem.Op) error { time.Sleep(time.Millisecond); return nil }) // a bar is drawn every 50 ms
		c := w.command()
		if terminal {
			c = command(func(context.Context, string) (*desk, error) {
				return &desk{where: "test", db: w.db, close: func() error { return nil }}, nil
			}, func(any) bool { return true })
		}
		_, stderr, err := execute(t, c, "run", "--users-file", users, "--rate", "0", "--concurrency", "1")
		if err != nil || strings.Contains(stderr, "migrating users") != terminal {
			t.Errorf("terminal %t: %v\n%q", terminal, err, stderr)
		}
	}
}

// nowhere is a Firestore without such a project.
type nowhere struct {
	firestorepb.UnimplementedFirestoreServer
	code codes.Code
}

func (n nowhere) BatchGetDocuments(*firestorepb.BatchGetDocumentsRequest, firestorepb.Firestore_BatchGetDocumentsServer) error {
	return status.Error(n.code, "The database (default) does not exist for project nope")
}

func TestNoSuchProject(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.PermissionDenied} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := grpc.NewServer()
		firestorepb.RegisterFirestoreServer(srv, nowhere{code: code})
		go func() { _ = srv.Serve(l) }()
		t.Cleanup(srv.Stop)
		t.Setenv("FIRESTORE_EMULATOR_HOST", l.Addr().String())
		_, _, err = execute(t, Command(), "run", "--project", "nope", "--users-file", writeList(t, "u.csv", "user_id\nann\n"))
		if err == nil || !strings.Contains(err.Error(), "nope") || !strings.Contains(err.Error(), "nothing was done") || !strings.Contains(err.Error(), "is the project's name right") {
			t.Errorf("%s: %v", code, err)
		}
	}
	t.Setenv("GCP_PROJECT", "")
	t.Setenv("GCLOUD_PROJECT", "")
	if _, _, err := execute(t, Command(), "run", "--tenants"); err == nil || !strings.Contains(err.Error(), "Missing GCP_PROJECT") {
		t.Errorf("no project: %v", err)
	}
}
