package serve_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/serve"
)

type sample struct {
	Wait  time.Duration `env:"SAMPLE_WAIT"`
	Count int           `env:"SAMPLE_COUNT"`
	Names []string      `env:"SAMPLE_NAMES"`
}

func (s *sample) Validate() error {
	if s.Count > 10 {
		return errors.New("SAMPLE_COUNT is over 10")
	}
	return nil
}

func TestReadEnv(t *testing.T) {
	got := sample{Wait: time.Second, Count: 3, Names: []string{"x"}}
	if err := serve.ReadEnv([]string{"SAMPLE_WAIT=5s", "SAMPLE_COUNT=", "SAMPLE_NAMES=a,b", "OTHER=1"}, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample{5 * time.Second, 3, []string{"a", "b"}}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// One start shows all that is wrong.
func TestReadEnvNamesEveryFault(t *testing.T) {
	http := serve.DefaultConfig()
	err := serve.ReadEnv([]string{"SAMPLE_WAIT=5", "SAMPLE_COUNT=many", "PORT=70000", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "APCA_API_KEY_ID=canary"},
		&sample{Count: 11}, &http)
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{
		`SAMPLE_WAIT is "5", which is no duration`, `SAMPLE_COUNT is "many", which is no whole number`, "SAMPLE_COUNT is over 10",
		"PORT is 70000", `LOG_LEVEL is "loud"`, `LOG_FORMAT is "xml"`, "APCA_API_KEY_ID", "PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNTS are not set",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error tells a key: %v", err)
	}
}

func TestConfigCallers(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		want    string
	}{
		{"all addresses, nobody checked", nil, "are not set"},
		{"a name, nobody checked", []string{"HOST=example.com"}, "are not set"},
		{"loopback", []string{"HOST=127.0.0.1"}, ""},
		{"loopback, version 6", []string{"HOST=::1"}, ""},
		{"checked", []string{"PUSH_AUDIENCE=https://syncer", "PUSH_SERVICE_ACCOUNTS=push@p.iam.gserviceaccount.com"}, ""},
		{"half", []string{"PUSH_AUDIENCE=https://syncer"}, "PUSH_SERVICE_ACCOUNTS"},
		{"half, on loopback", []string{"HOST=127.0.0.1", "PUSH_SERVICE_ACCOUNTS=push@p.iam.gserviceaccount.com"}, "PUSH_AUDIENCE"},
	} {
		cfg := serve.DefaultConfig()
		err := serve.ReadEnv(c.environ, &cfg)
		if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want one that says %q", c.name, err, c.want)
		}
	}
}

// https://cloud.google.com/logging/docs/structured-logging
func TestLoggerUsesCloudsNames(t *testing.T) {
	var b bytes.Buffer
	log := serve.NewLogger(&b, serve.Config{LogLevel: slog.LevelWarn}, serve.Source{Service: "syncer"})
	log.Info("not shown")
	log.Warn("look", "user_id", "u", slog.Group("g", "level", "inner", "msg", "inner"))
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, b.Bytes())
	}
	if _, err := time.Parse(time.RFC3339Nano, got["time"].(string)); err != nil {
		t.Error(err)
	}
	delete(got, "time")
	want := map[string]any{"severity": "WARNING", "message": "look", "service": "syncer", "user_id": "u", "g": map[string]any{"level": "inner", "msg": "inner"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestListen(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "example.com:80", "nonsense"} {
		if s, err := serve.Listen(t.Context(), addr, http.NotFoundHandler()); err == nil {
			_ = s.Stop(t.Context())
			t.Errorf("Listen(%q) took an address that strangers reach", addr)
		}
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	s, err := serve.Listen(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		w.WriteHeader(http.StatusTeapot)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := status(t, s.URL()+"/health"); got != http.StatusOK {
		t.Errorf("health = %d", got)
	}
	answer := make(chan int, 1)
	go func() { answer <- status(t, s.URL()+"/work") }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	select {
	case err := <-stopped:
		t.Fatalf("Stop = %v while work is in flight", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if got := <-answer; got != http.StatusTeapot {
		t.Errorf("work in flight was answered %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func status(t *testing.T, url string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
