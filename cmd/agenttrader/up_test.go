package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

// Three processes; the syncer is killed in the middle of its work and a new one is started. Nothing is lost, nothing
// happens twice.
func TestUpSurvivesKilledSyncer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all binaries: left out with -short")
	}
	emulator.Require(t)
	const users = 200
	dir := t.TempDir()
	prefix := "github.com/agenttrader/agenttrader/"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, prefix+"cmd/agenttrader",
		prefix+"services/fanout/cmd/fanout", prefix+"services/syncer/cmd/syncer", prefix+"services/signaler/cmd/signaler")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	up := exec.CommandContext(t.Context(), dir+"/agenttrader", "up", "--users", fmt.Sprint(users), "--ticks", "1",
		"--broker-latency", "300ms..1500ms", "--duplicate", "20%", "--json")
	up.Cancel = func() error { return up.Process.Signal(syscall.SIGTERM) }
	var stdout bytes.Buffer
	up.Stdout = &stdout
	stderr, err := up.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	var written atomic.Int64 // snapshots when the syncer was killed
	var syncer int
	var log strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		log.WriteString(line + "\n")
		var address string
		_, _ = fmt.Sscanf(line, "syncer %s pid %d", &address, &syncer)
		if n, _ := fmt.Sscanf(line, "firestore %s", &address); n == 1 {
			go func() { written.Store(killInTheMiddle(t, address, syncer)) }()
		}
	}
	err = up.Wait()
	var r map[string]any
	if e := json.Unmarshal(stdout.Bytes(), &r); e != nil {
		t.Fatalf("no report: %v (%v)\n%s%s", e, err, stdout.Bytes(), log.String())
	}
	if n := written.Load(); n < 5 || n >= users {
		t.Fatalf("the syncer was killed after %d of %d snapshots: not in the middle", n, users)
	}
	if !strings.Contains(log.String(), "service ended and is started again") {
		t.Errorf("nobody started the syncer again:\n%s", log.String())
	}
	for field, want := range map[string]float64{
		"published": users, "synced": users, "lost": 0, "signals_duplicate": 0, "requests_duplicate": 0, "snapshots_regressed": 0, "dead_lettered": 0,
	} {
		if r[field] != want {
			t.Errorf("%s = %v, want %v", field, r[field], want)
		}
	}
	if err != nil || r["signals"] == 0.0 {
		t.Errorf("%v; report %s", err, stdout.Bytes())
	}
}

// killInTheMiddle waits for the first snapshots, kills, and says how many there were.
func killInTheMiddle(t *testing.T, firestore string, pid int) int64 {
	query := `{"structuredAggregationQuery":{"aggregations":[{"alias":"n","count":{}}],"structuredQuery":{"from":[{"collectionId":"alpacaAccounts","allDescendants":true}]}}}`
	for range 2000 {
		time.Sleep(10 * time.Millisecond)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, firestore+"/v1/projects/local/databases/(default)/documents:runAggregationQuery", strings.NewReader(query))
		if err != nil {
			return -1
		}
		req.Header.Set("Authorization", "Bearer owner")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return -1
		}
		var answer []struct {
			Result struct {
				AggregateFields struct {
					N struct {
						IntegerValue int64 `json:"integerValue,string"`
					} `json:"n"`
				} `json:"aggregateFields"`
			} `json:"result"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close()
		if err != nil || len(answer) == 0 {
			continue
		}
		if n := answer[0].Result.AggregateFields.N.IntegerValue; n >= 5 {
			p, err := os.FindProcess(pid)
			if err != nil || p.Kill() != nil {
				return -1
			}
			return n
		}
	}
	return 0
}
