package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGTERM while Pub/Sub does not answer: a binary ends before it would be killed.
func TestStopWithoutPubSub(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a binary: left out with -short")
	}
	bin := binaries(t) + "/syncer"
	t.Parallel()
	deaf, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // connections wait for ever
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin)
	cmd.Env = []string{
		"GCP_PROJECT=p-local", "HOST=127.0.0.1", "PORT=0", "LOG_FORMAT=json", "FIRESTORE_EMULATOR_HOST=127.0.0.1:1",
		"PUBSUB_EMULATOR_HOST=" + deaf.Addr().String(), "SECRET_MANAGER_ENDPOINT=127.0.0.1:1",
	}
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var began time.Time
	lines := bufio.NewScanner(logs)
	for lines.Scan() {
		var line struct{ Message, URL string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.URL == "" {
			continue
		}
		go poison(ctx, t, line.URL) // its dead letter is what Pub/Sub does not take
		time.Sleep(500 * time.Millisecond)
		began = time.Now()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if took := time.Since(began); began.IsZero() || took > 20*time.Second { // 8 s of drain, 1 s of closing; 30 s before
		t.Errorf("it ended %s after SIGTERM", took)
	}
}

func poison(ctx context.Context, t *testing.T, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header = http.Header{"Ce-Id": {"1"}, "Ce-Specversion": {"1.0"}, "Ce-Source": {"test"}, "Ce-Type": {"strange"}, "Content-Type": {"application/json"}}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("HTTP %d: Pub/Sub took the dead letter", resp.StatusCode)
	}
}
