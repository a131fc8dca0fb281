package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The oracle of `agenttrader local` must be able to fail, beside what TestChaos breaks: each promise is broken in a build of its own (the source
// stays as it is: go build -overlay), and the run must notice.
func TestOracleNoticesWhatIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program nine times: left out with -short")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	const (
		usual = "--users 100 --ticks 4 --interval 1s"
		all   = usual + " --strategy all"
		long  = "--users 40 --ticks 24 --interval 400ms --strategy all"
	)
	for _, m := range []struct {
		name, file, old, mutated string
		field                    string // of the report, which must not be 0; "" is the unbroken build
		args                     string
	}{
		{"nothing", "pkg/signal/signal.go", "package signal", "package signal", "", usual},
		{"ledger", "pkg/store/ticks.go", "c, err = s.takeOver(ctx, c, now, until)", "err = s.db.Set(ctx, shardPath(t, shard), shardFields(c, until, false))", "requests_duplicate", usual},
		{"supersession", "pkg/risk/plan.go", "p.Closed = append(p.Closed, c)", "_ = c", "signals_duplicate", usual},
		{"reservations off", "pkg/risk/state.go", "if !counted(r, snap) {\n\t\t\tsum = sum.Add(r.Reserved)", "if r.SignalID == \"\" {\n\t\t\tsum = sum.Add(r.Reserved)", "overspent_users", all},
		{"an edit that runs at each delivery", "pkg/strategy/trigger.go", "return causeOf(ByEdit, at.", "return causeOf(ByEdit, at.Add(time.Duration(time.Now().Nanosecond()%1000)).", "signals_duplicate", all},
		{"reservations without end", "pkg/risk/reserve.go", "\tcase r.SettledAt.IsZero() && expired:", "\tcase r.SettledAt.IsZero() && expired && r.SignalID == \"\":", "reservations_leaked", long},
		{"a fanout that does nothing", "services/fanout/tick.go", "claim, err := s.claim(ctx, t, \"\")", "if t != 0 {\n\t\treturn nil\n\t}\n\tclaim, err := s.claim(ctx, t, \"\")", "lost", usual},
		{"a fanout that forgets a user", "pkg/roster/roster.go", "if u.Status != user.Active ||", "if u.ID == \"user-00007\" || u.Status != user.Active ||", "lost", usual},
		{"a signaler that does nothing", "services/signaler/signaler.go", "triggered := strategy.Between(old, *now)", "triggered := strategy.Between(old, *now)\n\tif userID != \"\" {\n\t\treturn nil\n\t}", "lost", usual},
	} {
		t.Run(m.name, func(t *testing.T) {
			bin := build(t, root, edit{m.file, m.old, m.mutated})
			var report map[string]any
			var out []byte
			for seed := range 2 {
				args := append([]string{"local", "--broker-latency", "1ms..60ms", "--duplicate", "100%", "--seed", strconv.Itoa(seed + 1), "--json"}, strings.Fields(m.args)...)
				run := exec.CommandContext(t.Context(), bin, args...)
				out, err = run.Output()
				report = nil
				if e := json.Unmarshal(out, &report); e != nil {
					t.Fatalf("no report: %v (%v) %s", e, err, out)
				}
				if n, _ := report[m.field].(float64); m.field == "" || n != 0 {
					break
				}
			}
			if m.field == "" {
				if err != nil {
					t.Errorf("the unbroken build: %v; %s", err, out)
				}
				return
			}
			if n, _ := report[m.field].(float64); n == 0 || err == nil {
				t.Errorf("%s = %v, exit %v: the oracle did not notice; %s", m.field, report[m.field], err, out)
			}
		})
	}
}

// build makes the program with one place of its source replaced.
func build(t *testing.T, root string, edits ...edit) string {
	t.Helper()
	dir := t.TempDir()
	replace, files := map[string]string{}, map[string][]byte{}
	for n, e := range edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), e.old); n != 1 {
			t.Fatalf("%s holds %q %d times, want once: mend this test", e.file, e.old, n)
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("changed%d.go", n))
		files[replace[path]] = []byte(strings.Replace(string(src), e.old, e.mutated, 1))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	files[filepath.Join(dir, "overlay.json")] = overlay
	bin := filepath.Join(dir, "agenttrader")
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// edit is a change of one place in a file.
type edit struct{ file, old, mutated string }
