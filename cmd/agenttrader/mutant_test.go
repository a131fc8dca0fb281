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

// The oracle of `agenttrader local` must be able to fail, beside what TestChaos breaks: each promise is broken, and the run must notice.
func TestOracleNoticesWhatIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and runs it nine times: left out with -short")
	}
	const (
		usual = "--users 100 --ticks 4 --interval 1s"
		all   = usual + " --strategy all"
		long  = "--users 40 --ticks 24 --interval 400ms --strategy all"
	)
	if report, err := judged(t, "nothing", usual, 1); err != nil {
		t.Errorf("nothing is broken: %v; %v", err, report)
	}
	t.Parallel()
	for _, m := range []struct {
		name  string // of a mutant
		field string // of the report, which must not be 0
		args  string
	}{
		{"reservations without end", "reservations_leaked", long},
		{"ledger", "requests_duplicate", usual},
		{"supersession", "signals_duplicate", usual},
		{"reservations off", "overspent_users", all},
		{"an edit that runs at each delivery", "signals_duplicate", all},
		{"a fanout that does nothing", "lost", usual},
		{"a fanout that forgets a user", "lost", usual},
		{"a signaler that does nothing", "lost", usual},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			var report map[string]any
			var err error
			for seed := range 2 {
				report, err = judged(t, m.name, m.args, seed+1)
				if n, _ := report[m.field].(float64); n != 0 && err != nil {
					return
				}
			}
			t.Errorf("%s = %v, exit %v: the oracle did not notice; %v", m.field, report[m.field], err, report)
		})
	}
}

// judged is a run with the named mutant on, and every event twice. The error is how the program ended.
func judged(t *testing.T, mutant, args string, seed int) (report map[string]any, err error) {
	t.Helper()
	out, err := mutated(t, mutant, append([]string{"local", "--broker-latency", "1ms..60ms", "--duplicate", "100%", "--seed", strconv.Itoa(seed), "--json"}, strings.Fields(args)...)...).Output()
	if e := json.Unmarshal(out, &report); e != nil {
		t.Fatalf("no report: %v (%v) %s", e, err, out)
	}
	return report, err
}

// mutants are the faults that can be planted, by name. All are in one build, since building takes longer than a run; the
// environment turns one of them on, in the code ON.
func mutants() map[string][]edit {
	return map[string][]edit{
		"nothing": nil,
		"guard off": {{
			"services/syncer/store.go", "if !first && next.Older(stored.Snapshot) {", "if !ON && !first && next.Older(stored.Snapshot) {",
		}},
		"retry without end": {{
			"services/syncer/reader.go",
			"|| n == r.retries || !health.CauseOf(err).Retried() || r.over(ctx) || !r.s.retries.Take() {\n\t\t\treturn v, err\n\t\t}\n\t\tif !r.pause(ctx, time.Duration(r.s.Random()*float64(firstPause<<n))) {",
			"|| !ON && n == r.retries || !health.CauseOf(err).Retried() || r.over(ctx) || !ON && !r.s.retries.Take() {\n\t\t\treturn v, err\n\t\t}\n" +
				"\t\tif !r.pause(ctx, mutant.Either(ON, time.Millisecond, time.Duration(r.s.Random()*float64(firstPause<<n)))) {",
		}},
		"nack on a broker fault": {{
			"services/syncer/syncer.go", "err = event.Settle(err) // its next step is in the record", "if !ON {\n\t\t\terr = event.Settle(err)\n\t\t}",
		}},
		"unbounded concurrency": {{
			"services/syncer/syncer.go", "limit.NewSlots(cfg.Concurrency)", "limit.NewSlots(mutant.Either(ON, 1 << 20, cfg.Concurrency))",
		}},
		"key in an error": {{
			"pkg/broker/alpaca/fault.go", "e.Code, e.Message = api.Code, c.clean(api.Message)",
			"e.Code, e.Message = api.Code, c.clean(api.Message)\n\t\tif ON {\n\t\t\tk, _ := c.creds.Reveal()\n\t\t\te.Message = api.Message + k\n\t\t}",
		}},
		"no record of health": {{
			"services/syncer/record.go", "if a.Cause == \"\" && req.Health == \"\" {", "if ON || a.Cause == \"\" && req.Health == \"\" {",
		}},
		"missed heartbeats stay missed": {{
			"services/syncer/store.go", "missed := next.Tick-stored.Tick >= tick.HeartbeatEvery &&",
			"missed := next.Tick-stored.Tick >= mutant.Either[tick.Tick](ON, 100, 1)*tick.HeartbeatEvery &&",
		}},
		"ids of signals": {
			{"pkg/signal/signal.go", `"\x00" + cause))`, `"\x00" + cause + mutant.Either(ON, time.Now().String(), "")))`},
			{ // either guard is enough
				"pkg/risk/state.go", "return p.Tick == b.CauseTick && slices.Contains(p.Causes, b.Cause), p.Tick > b.CauseTick",
				"return !ON && p.Tick == b.CauseTick && slices.Contains(p.Causes, b.Cause), !ON && p.Tick > b.CauseTick",
			},
		},
		"snapshots are not written": {{
			"services/syncer/store.go", "switch version, err := s.put(ctx, next, req.TenantID); {",
			"put := s.put\n\t\tif ON {\n\t\t\tput = func(context.Context, account.Snapshot, string) (time.Time, error) { return stored.Version, nil }\n\t\t}\n" +
				"\t\tswitch version, err := put(ctx, next, req.TenantID); {",
		}},
		"ledger": {{
			"pkg/store/ticks.go", "c, err = s.takeOver(ctx, c, now, until)",
			"if ON {\n\t\t\terr = s.db.Set(ctx, shardPath(t, shard), shardFields(c, until, false))\n\t\t} else {\n\t\t\tc, err = s.takeOver(ctx, c, now, until)\n\t\t}",
		}},
		"supersession": {{"pkg/risk/plan.go", "p.Closed = append(p.Closed, c)", "if !ON {\n\t\t\t\tp.Closed = append(p.Closed, c)\n\t\t\t}"}},
		"reservations off": {{
			"pkg/risk/state.go", "if !counted(r, snap) {\n\t\t\tsum = sum.Add(r.Reserved)", "if !ON && !counted(r, snap) || ON && r.SignalID == \"\" {\n\t\t\tsum = sum.Add(r.Reserved)",
		}},
		"an edit that runs at each delivery": {{
			"pkg/strategy/trigger.go", "return causeOf(ByEdit, at.", "return causeOf(ByEdit, at.Add(mutant.Either(ON, time.Duration(time.Now().Nanosecond()%1000), 0)).",
		}},
		"reservations without end": {{
			"pkg/risk/reserve.go", "\tcase r.SettledAt.IsZero() && expired:", "\tcase r.SettledAt.IsZero() && expired && (!ON || r.SignalID == \"\"):",
		}},
		"a fanout that does nothing": {{
			"services/fanout/tick.go", "claim, err := s.claim(ctx, t, \"\")", "if ON {\n\t\treturn nil\n\t}\n\tclaim, err := s.claim(ctx, t, \"\")",
		}},
		"a fanout that forgets a user": {{
			"pkg/roster/roster.go", "if u.Status != user.Active ||", "if ON && u.ID == \"user-00007\" || u.Status != user.Active ||",
		}},
		"a signaler that does nothing": {{
			"services/signaler/signaler.go", "triggered := strategy.Between(old, *now)", "triggered := strategy.Between(old, *now)\n\tif ON {\n\t\treturn nil\n\t}",
		}},
	}
}

// edit is a change of one place in a file.
type edit struct{ file, old, mutated string }

// mutantEnv names the fault that is on.
const mutantEnv = "AGENTTRADER_TEST_MUTANT"

// mutantSource is a package that only the build with faults has.
const mutantSource = `package mutant

import "os"

var on = os.Getenv("` + mutantEnv + `")

func On(name string) bool { return on == name }

func Either[T any](on bool, mutated, usual T) T {
	if on {
		return mutated
	}
	return usual
}
`

// mutated is a run of the build with faults, of which the named one is on.
func mutated(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := built.mutants()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := mutants()[name]; !ok {
		t.Fatalf("there is no mutant %q", name)
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), mutantEnv+"="+name)
	return cmd
}

// buildMutants makes the program with all faults in it, none on, in a folder. The source stays as it is: go build -overlay.
func buildMutants(dir string) (bin string, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	sources := map[string]string{}
	for name, edits := range mutants() {
		for _, e := range edits {
			path := filepath.Join(root, filepath.FromSlash(e.file))
			if sources[path] == "" {
				src, err := os.ReadFile(path)
				if err != nil {
					return "", err
				}
				sources[path] = strings.Replace(string(src), "import (\n", "import (\n\t\"github.com/agenttrader/agenttrader/pkg/mutant\"\n", 1)
			}
			if n := strings.Count(sources[path], e.old); n != 1 {
				return "", fmt.Errorf("%s holds %q %d times, want once: mend mutants()", e.file, e.old, n)
			}
			on := fmt.Sprintf("mutant.On(%q)", name)
			sources[path] = strings.Replace(sources[path], e.old, strings.ReplaceAll(e.mutated, "ON", on), 1)
		}
	}
	sources[filepath.Join(root, "pkg", "mutant", "mutant.go")] = mutantSource
	replace := map[string]string{}
	for path, src := range sources {
		replace[path] = filepath.Join(dir, fmt.Sprintf("changed%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(src), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	bin = filepath.Join(dir, "agenttrader")
	return bin, goBuild(bin, "-overlay", file, ".")
}
