package main_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/local"
)

// The short form of `make chaos`; and each invariant must be able to fail: a promise is broken in a build of its own, and
// the run must say which.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program ten times: left out with -short")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		name, file, old, mutated string
		also                     edit
		broken                   string // the invariant; "": all hold
	}{
		{name: "nothing", file: "pkg/signal/signal.go", old: "package signal", mutated: "package signal"},
		{
			name: "guard off", file: "services/syncer/store.go", old: "if !first && next.Older(stored.Snapshot) {", mutated: "if false {",
			broken: "seq and observed_at never go back",
		},
		{
			name: "retry without end", file: "services/syncer/reader.go",
			old:     "|| n == r.retries || !health.CauseOf(err).Retried() || r.over(ctx) || !r.s.retries.Take() {\n\t\t\treturn v, err\n\t\t}\n\t\tif !r.pause(ctx, time.Duration(r.s.Random()*float64(firstPause<<n))) {",
			mutated: "|| !health.CauseOf(err).Retried() || r.over(ctx) {\n\t\t\treturn v, err\n\t\t}\n\t\tif !r.pause(ctx, time.Millisecond) {",
			broken:  "retries end",
		},
		{
			name: "nack on a broker fault", file: "services/syncer/syncer.go", old: "err = event.Settle(err) // its next step is in the record",
			mutated: "err = errors.Join(err)", broken: "a user's fault is acknowledged, and buries nothing",
		},
		{
			name: "unbounded concurrency", file: "services/syncer/syncer.go", old: "limit.NewSlots(cfg.Concurrency)", mutated: "limit.NewSlots(1 << 20)",
			broken: "broker calls at once are bounded",
		},
		{
			name: "key in an error", file: "pkg/broker/alpaca/fault.go", old: "e.Code, e.Message = api.Code, c.clean(api.Message)",
			mutated: "k, _ := c.creds.Reveal()\n\t\te.Code, e.Message = api.Code, api.Message+k", broken: "no key in a log, error, document or response",
		},
		{
			name: "no record of health", file: "services/syncer/record.go", old: "if a.Cause == \"\" && req.Health == \"\" {", mutated: "if true {",
			broken: "each user in the right state, with advice",
		},
		{
			name: "missed heartbeats stay missed", file: "services/syncer/store.go", old: "missed := next.Tick-stored.Tick >= tick.HeartbeatEvery &&", mutated: "missed := next.Tick-stored.Tick >= 100*tick.HeartbeatEvery &&",
			broken: "fresh again two ticks after a fault of the platform",
		},
		{
			name: "ids of signals", file: "pkg/signal/signal.go", old: `"\x00" + cause))`, mutated: `"\x00" + cause + time.Now().String()))`,
			also:   edit{"pkg/risk/state.go", "return p.Tick == b.CauseTick && slices.Contains(p.Causes, b.Cause), p.Tick > b.CauseTick", "return false && slices.Contains(p.Causes, b.Cause), false"}, // either guard is enough
			broken: "no signal twice",
		},
		{
			name: "snapshots are not written", file: "services/syncer/store.go", old: "switch version, err := s.put(ctx, next, req.TenantID); {", mutated: "switch version, err := stored.Version, error(nil); {",
			broken: "no request is lost",
		},
	} {
		t.Run(m.name, func(t *testing.T) {
			edits := []edit{{m.file, m.old, m.mutated}}
			if m.also.file != "" {
				edits = append(edits, m.also)
			}
			bin := build(t, root, edits...)
			args := []string{"chaos", "--users", "120", "--ticks", "8", "--interval", "700ms", "--compare=false", "--json"}
			var report local.ChaosReport
			for seed := range 8 { // a race may be missed now and then
				out, err := exec.CommandContext(t.Context(), bin, slices.Concat(args, []string{"--seed", strconv.Itoa(seed + 1)})...).Output()
				report = local.ChaosReport{}
				if e := json.Unmarshal(out, &report); e != nil {
					t.Fatalf("no report: %v (%v) %s", e, err, out)
				}
				if m.broken == "" && err != nil {
					t.Errorf("seed %d: %v; %s", seed+1, err, out)
				}
				if broken(report)[m.broken] && err != nil {
					return
				}
				if m.broken == "" {
					return
				}
			}
			t.Errorf("nothing noticed: %+v", report.Invariants)
		})
	}
}

func broken(r local.ChaosReport) map[string]bool {
	names := map[string]bool{}
	for _, i := range r.Invariants {
		names[i.Name] = i.Broken > 0
	}
	return names
}
