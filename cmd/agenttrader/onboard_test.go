package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

// The way of a new user as docs/onboarding.md has it, with the binaries: added, with keys, synced, looked at, removed.
func TestOnboarding(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all binaries, and waits for a full minute: left out with -short")
	}
	emulator.Require(t)
	dir := binaries(t)
	t.Parallel()
	u := startUp(t, dir, "--users", "0", "--ticks", "0", "--fault", "401=PKWRONG", "--custody", gcp.Envelope, "--json")
	p := &operator{t: t, program: dir + "/agenttrader", env: u.environment(t)}

	doctor := p.does("", "doctor")
	checks, _ := doctor["checks"].([]any)
	for _, name := range []string{"environment", "database", "keys", "topics"} {
		if !slices.ContainsFunc(checks, func(c any) bool { return c.(map[string]any)["check"] == name && c.(map[string]any)["status"] == "ok" }) {
			t.Errorf("doctor: %s is not ok: %v", name, doctor)
		}
	}
	if doctor["ok"] != false {
		t.Errorf("doctor: of an emulator not all is known: %v", doctor)
	}
	p.fails("no user me", "", "keys", "set", "me")
	p.does("", "users", "add", "me", "--email", "me@example.com", "--display-name", "Me", "--cadence", "1")
	p.fails("Alpaca refuses these keys", "PKWRONG\ncanary-secret\n", "keys", "set", "me")
	p.fails("secret not found", "", "keys", "check", "me")
	if me := p.does("", "users", "show", "me"); me["status"] != "pending" || me["key_version"] != nil {
		t.Fatalf("refused keys left a trace: %v", me)
	}
	p.fails("not ok", "", "health")
	if set := p.does(`{"key_id": "PKCANARYme", "secret_key": "canary-secret-me"}`, "keys", "set", "me"); set["version"] != "1" || set["broker_env"] != "paper" || set["path"] != "keyEnvelopes/me" {
		t.Fatalf("keys set: %v", set)
	}
	var me map[string]any
	for began := time.Now(); me["snapshot"] == nil; time.Sleep(time.Second) { // one tick, at the next full minute
		if me = p.does("", "users", "show", "me"); time.Since(began) > 3*time.Minute {
			t.Fatalf("not synced: %v\n%s", me, u.log())
		}
	}
	snapshot, _ := me["snapshot"].(map[string]any)
	if me["status"] != "active" || snapshot["key_version"] != "1" || snapshot["account_status"] != "ACTIVE" || snapshot["equity"] == nil || me["last_active_at"] == nil {
		t.Errorf("synced: %v", me)
	}
	if health := p.does("", "health"); health["users"] != 1.0 || health["not_ok"] != 0.0 {
		t.Errorf("health: %v", health)
	}
	if check := p.does("", "keys", "check", "me"); check["ok"] != true {
		t.Errorf("keys check: %v", check)
	}
	p.fails("another account", "PKCANARYother\ncanary-secret-other\n", "keys", "rotate", "me")

	file := filepath.Join(t.TempDir(), "me.jsonl")
	gone := p.does("", "users", "remove", "me", "--yes", "--export", file)
	documents, _ := gone["documents"].(map[string]any)
	if documents["users/{uid}"] != 1.0 || documents["users/{uid}/alpacaAccounts"] != 1.0 || gone["exported"].(float64) < 2 || gone["vaults"] != 1.0 {
		t.Errorf("removed: %v", gone)
	}
	if export, err := os.ReadFile(file); err != nil || !strings.Contains(string(export), "alpacaAccounts/snapshot") || strings.Contains(string(export), "canary") {
		t.Errorf("export: %v\n%s", err, export)
	}
	p.fails("no user me", "", "users", "show", "me")
	p.fails("nothing of theirs", "", "users", "remove", "me", "--yes")

	if err := u.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := u.wait(); err != nil {
		t.Errorf("up: %v\n%s%s", err, u.stdout.Bytes(), u.log())
	}
	var r map[string]any
	if err := json.Unmarshal(u.stdout.Bytes(), &r); err != nil || r["published"] == 0.0 || r["synced"] != r["published"] || r["lost"] != 0.0 {
		t.Errorf("report: %v, %s", err, u.stdout.Bytes())
	}
	if all := p.printed.String() + u.log() + u.stdout.String(); strings.Contains(all, "canary") || strings.Contains(all, "CANARY") {
		t.Error("a key was shown")
	}
}

// environment is what `up` says that commands need.
func (u *upRun) environment(t *testing.T) []string {
	t.Helper()
	for range 500 {
		for line := range strings.Lines(u.log()) {
			if env, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(line, "commands")), "export "); ok && strings.HasPrefix(line, "commands") {
				return strings.Fields(env)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("up does not say how to reach it:\n%s", u.log())
	return nil
}

// operator runs commands.
type operator struct {
	t       *testing.T
	program string
	env     []string
	printed bytes.Buffer
}

func (p *operator) run(stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(p.t.Context(), p.program, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = slices.Concat(p.env, []string{"HOME=" + p.t.TempDir()}), strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	p.printed.WriteString(out.String() + errs.String())
	return out.String(), errs.String(), err
}

// does runs a command that must succeed, and reads its object.
func (p *operator) does(stdin string, args ...string) (v map[string]any) {
	p.t.Helper()
	out, errs, err := p.run(stdin, append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil {
		p.t.Fatalf("%v: %v\n%s%s", args, err, out, errs)
	}
	return v
}

// fails runs a command that must end with one line that says why.
func (p *operator) fails(why, stdin string, args ...string) {
	p.t.Helper()
	_, errs, err := p.run(stdin, args...)
	last := errs[strings.LastIndexByte(strings.TrimSpace(errs), '\n')+1:]
	if err == nil || !strings.Contains(last, why) || !strings.HasPrefix(last, "agenttrader: ") {
		p.t.Errorf("%v: %v, %q; want a line with %q", args, err, errs, why)
	}
}
