package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

// Three processes; one is killed in the middle of its work and started again. Nothing is lost, nothing happens twice.
func TestUpSurvivesKills(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all binaries: left out with -short")
	}
	emulator.Require(t)
	const users = 200
	dir := binaries(t)
	for _, name := range []string{"syncer", "signaler", "fanout"} {
		t.Run(name, func(t *testing.T) {
			var killed atomic.Int64
			custody := map[string]string{"signaler": gcp.Envelope}[name] // one of the three with keys in envelopes
			if custody == "" {
				custody = gcp.SecretManager
			}
			u := startUp(t, dir, "--users", fmt.Sprint(users), "--ticks", "1", "--broker-latency", "300ms..1500ms", "--duplicate", "20%", "--json", "--custody", custody)
			if name == "fanout" { // in the middle of its page: it holds the tick for 20 s
				killed.Store(u.killOften(t, name))
			} else {
				killed.Store(killInTheMiddle(t, u.firestore, u.pid(name)))
			}
			err := u.wait()
			var r map[string]any
			if e := json.Unmarshal(u.stdout.Bytes(), &r); e != nil {
				t.Fatalf("no report: %v (%v)\n%s%s", e, err, u.stdout.Bytes(), u.log())
			}
			if n := killed.Load(); name != "fanout" && (n < 5 || n >= users) {
				t.Fatalf("the %s was killed after %d of %d snapshots: not in the middle", name, n, users)
			}
			if !strings.Contains(u.log(), "service ended and is started again") {
				t.Errorf("nobody started the %s again:\n%s", name, u.log())
			}
			for field, want := range map[string]float64{
				"published": users, "synced": users, "lost": 0, "signals_duplicate": 0, "requests_duplicate": 0, "snapshots_regressed": 0, "dead_lettered": 0,
			} {
				if r[field] != want {
					t.Errorf("%s = %v, want %v", field, r[field], want)
				}
			}
			if err != nil || r["signals"] == 0.0 {
				t.Errorf("%v; report %s", err, u.stdout.Bytes())
			}
		})
	}
}

// However `up` ends, nothing of it stays behind.
func TestUpLeavesNothingBehind(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("builds all binaries, and reads /proc")
	}
	emulator.Require(t)
	u := startUp(t, binaries(t), "--users", "5", "--ticks", "0")
	pids := []int{u.pid("syncer"), u.pid("fanout"), u.pid("signaler")}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", u.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // the thread ended
		}
		for _, pid := range strings.Fields(string(children)) {
			n, _ := strconv.Atoi(pid)
			pids = append(pids, n)
		}
	}
	if len(pids) < 7 { // the three of them twice, and Java
		t.Fatalf("children are %v: Java is not among them", pids)
	}
	if err := u.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = u.wait()
	for _, pid := range pids {
		gone := false
		for range 500 {
			if gone = errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); gone {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !gone {
			t.Errorf("process %d outlived it", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// upRun is a running `agenttrader up`.
type upRun struct {
	cmd       *exec.Cmd
	stdout    bytes.Buffer
	firestore string
	read      chan struct{} // all of its log

	mu    sync.Mutex
	lines strings.Builder
	pids  map[string]int
}

// startUp returns when all services are up.
func startUp(t *testing.T, dir string, args ...string) *upRun {
	t.Helper()
	u := &upRun{cmd: exec.CommandContext(t.Context(), dir+"/agenttrader", append([]string{"up"}, args...)...), pids: map[string]int{}, read: make(chan struct{})}
	u.cmd.Cancel = func() error { return u.cmd.Process.Signal(syscall.SIGTERM) }
	u.cmd.Stdout = &u.stdout
	stderr, err := u.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make(chan string, 1)
	go func() {
		defer close(u.read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			u.line(lines.Text(), up)
		}
	}()
	select {
	case u.firestore = <-up:
	case <-u.read:
		t.Fatalf("up did not come up:\n%s", u.log())
	}
	return u
}

func (u *upRun) line(line string, up chan<- string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lines.WriteString(line + "\n")
	var name, address string
	var pid int
	if n, _ := fmt.Sscanf(line, "%s %s pid %d", &name, &address, &pid); n == 3 {
		u.pids[name] = pid
	}
	if n, _ := fmt.Sscanf(line, "firestore %s", &address); n == 1 {
		up <- address
	}
}

func (u *upRun) pid(name string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pids[name]
}

func (u *upRun) log() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lines.String()
}

func (u *upRun) wait() error {
	<-u.read
	return u.cmd.Wait()
}

// killOften kills a service whenever it is there, for a second; it says how often.
func (u *upRun) killOften(t *testing.T, name string) (n int64) {
	for range 100 {
		pids, err := exec.CommandContext(t.Context(), "pgrep", "-P", strconv.Itoa(u.cmd.Process.Pid), name).Output()
		if err == nil {
			for _, pid := range strings.Fields(string(pids)) {
				if id, err := strconv.Atoi(pid); err == nil && syscall.Kill(id, syscall.SIGKILL) == nil {
					n++
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
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
