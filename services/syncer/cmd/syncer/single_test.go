package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/store"
)

func TestMain(m *testing.M) { emulator.Main(m) }

// logged finds the address in the log, and keeps all of it.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
	at  chan string
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var line struct{ URL string }
	if json.Unmarshal(b, &line) == nil && line.URL != "" {
		l.at <- line.URL
	}
	return l.all.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// The single-tenant mode from its environment to the documents, with canaries for keys: they are seen nowhere, whether
// syncs go well, the broker refuses them, or it quotes them.
func TestSingleTenantMode(t *testing.T) {
	const keyID, secretKey = "PKCANARYSINGLE", "canary-secret-single"
	e, projectID := emulator.For(t)
	simulated := sim.New(sim.Config{Now: time.Now, Seed: 1})
	t.Cleanup(simulated.Close)
	simulated.Register(keyID, secretKey)
	var mu sync.Mutex
	answer, seen := http.Handler(simulated), ""
	alpaca := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = r.Header.Get("Apca-Api-Key-Id") + " " + r.Header.Get("Apca-Api-Secret-Key")
		answer.ServeHTTP(w, r)
	}))
	t.Cleanup(alpaca.Close)
	t.Setenv("APCA_API_KEY_ID", keyID)
	t.Setenv("APCA_API_SECRET_KEY", secretKey)
	t.Setenv("APCA_API_BASE_URL", alpaca.URL+"/v2")
	t.Setenv("FIRESTORE_EMULATOR_HOST", e.Addr())
	t.Setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1") // nobody is asked
	environ := append(os.Environ(), "MODE=legacy", "LEGACY_TENANT=t", "GCP_PROJECT="+projectID, "HOST=127.0.0.1", "PORT=0",
		"LOG_LEVEL=debug")
	ctx, stop := context.WithCancel(t.Context())
	logs, ended := &logged{at: make(chan string, 1)}, make(chan error, 1)
	go func() { ended <- run(ctx, environ, logs) }()
	var url string
	select {
	case url = <-logs.at:
	case err := <-ended:
		t.Fatal(err)
	}
	if left := strings.Join(os.Environ(), " "); strings.Contains(left, "APCA_") {
		t.Error("the environment still has APCA_ variables")
	}
	answers := ""
	deliver := func(want int) {
		t.Helper()
		status, body := tickTo(t, url)
		if answers += body; status != want {
			t.Errorf("HTTP %d, want %d: %s", status, want, logs)
		}
	}
	deliver(http.StatusNoContent)
	deliver(http.StatusNoContent) // again
	mu.Lock()
	if seen != keyID+" "+secretKey {
		t.Error("the broker got other keys")
	}
	mu.Unlock()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadGateway} {
		mu.Lock()
		answer = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"code": 1, "message": "%s and %s are bad"}`, keyID, secretKey)
		})
		mu.Unlock()
		deliver(http.StatusNoContent)
		if !strings.Contains(logs.String(), fmt.Sprint("HTTP ", status)) {
			t.Errorf("no word of HTTP %d: %s", status, logs)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	client, err := e.Client(t.Context(), projectID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	db, found := gcp.NewFirestore(client), ""
	for _, path := range []string{account.GlobalPath, account.TenantPath("t")} {
		d, err := db.Get(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		found += fmt.Sprint(d.Fields)
		if s, err := store.New(db).SnapshotAt(t.Context(), path); err != nil || !s.Account.BuyingPower.Valid || time.Since(s.ObservedAt) > time.Minute || d.Fields["tenant_id"] != "t" || d.Fields["user_id"] != nil {
			t.Errorf("%s: %v, %v", path, d.Fields, err)
		}
	}
	users, err := db.Query(t.Context(), document.Query{Collection: store.Users})
	if err != nil || len(users) > 0 {
		t.Errorf("users: %v, %v; want none", users, err)
	}
	for name, text := range map[string]string{"logs": logs.String(), "documents": found, "answers": answers} {
		if strings.Contains(text, keyID) || strings.Contains(text, secretKey) {
			t.Errorf("a key is in the %s: %s", name, text)
		}
	}
}

// tickTo delivers a tick as Pub/Sub's push does.
func tickTo(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"Ce-Id": "1", "Ce-Specversion": "1.0", "Ce-Source": "//scheduler", "Ce-Type": event.TypeTick, "Content-Type": "application/json",
		"X-Goog-Pubsub-Publish-Time": time.Now().UTC().Format(time.RFC3339Nano),
	} {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A start with a bad environment names every fault of it, and no key; the environment is clean all the same.
func TestBadSingleTenantEnvironment(t *testing.T) {
	t.Setenv("APCA_API_KEY_ID", "canary")
	t.Setenv("APCA_API_BASE_URL", "http://example.com")
	err := run(t.Context(), append(os.Environ(), "MODE=legacy", "LEGACY_TENANT=a/b", "LEGACY_USER=u", "SYNCER_DEADLINE=5m", "HOST=0.0.0.0"), io.Discard)
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{"APCA_API_SECRET_KEY", "APCA_API_BASE_URL is", "LEGACY_TENANT", "LEGACY_USER", "SYNCER_DEADLINE", "PUSH_AUDIENCE", "GCP_PROJECT"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary") || strings.Contains(strings.Join(os.Environ(), " "), "APCA_") {
		t.Errorf("error tells a key, or the environment has it still: %v", err)
	}
}
