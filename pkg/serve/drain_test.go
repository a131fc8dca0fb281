package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
)

// A stop in the middle of 1,000 requests: what is in work ends and is acknowledged, the rest is delivered to the next
// instance. None is cut off, none is lost, none that was acknowledged comes again.
func TestStopInTheMiddle(t *testing.T) {
	const messages = 1000
	w := &drainWorld{ended: map[string]int{}, half: make(chan struct{}), of: messages / 2}
	first, at := w.start(t, "127.0.0.1:0")
	delivery := mem.NewDelivery(mem.DeliveryConfig{URL: at, MaxInFlight: 200, MinBackoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond, MaxAttempts: -1})
	defer delivery.Close()
	var acked sync.WaitGroup
	acked.Add(messages)
	go func() {
		for i := range messages {
			err := delivery.Send(t.Context(), mem.Message{
				ID: strconv.Itoa(i), Body: []byte("{}"),
				Header:  http.Header{"Ce-Id": {strconv.Itoa(i)}, "Ce-Specversion": {"1.0"}, "Ce-Source": {"test"}, "Ce-Type": {"t"}, "Content-Type": {"application/json"}},
				Settled: func(bool, int) { acked.Done() },
			})
			if err != nil {
				t.Error(err)
			}
		}
	}()
	<-w.half
	first.stop()
	if err := <-first.ended; err != nil {
		t.Errorf("the first instance: %v", err)
	}
	if n := w.working.Load(); n != 0 {
		t.Errorf("%d handlers were left behind", n)
	}
	done := w.count()
	if done >= messages {
		t.Fatalf("all %d were done before the stop: not in the middle", done)
	}
	second, _ := w.start(t, strings.TrimPrefix(at, "http://"))
	acked.Wait()
	second.stop()
	if err := <-second.ended; err != nil {
		t.Errorf("the second instance: %v", err)
	}
	if n := w.cut.Load(); n > 0 {
		t.Errorf("%d handlers were cut off", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range messages {
		if n := w.ended[strconv.Itoa(i)]; n != 1 {
			t.Errorf("message %d was done %d times", i, n)
		}
	}
}

// drainWorld is the work that two instances do.
type drainWorld struct {
	of      int
	half    chan struct{}
	working atomic.Int64
	cut     atomic.Int64

	mu    sync.Mutex
	ended map[string]int
}

func (w *drainWorld) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ended)
}

func (w *drainWorld) handle(ctx context.Context, e event.Event) error {
	w.working.Add(1)
	defer w.working.Add(-1)
	select { // a retry's pause among it
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		w.cut.Add(1)
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[e.ID()]++
	if len(w.ended) == w.of {
		close(w.half)
	}
	return nil
}

type running struct {
	stop  context.CancelFunc
	ended chan error
}

// start serves as a binary does; SIGTERM is the end of its context.
func (w *drainWorld) start(t *testing.T, addr string) (running, string) {
	t.Helper()
	u, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	at := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(urlIn(at), nil))
	ended := make(chan error, 1)
	go func() {
		ended <- Events(ctx, Config{Host: "127.0.0.1", Port: port}, &event.Receiver{Handle: w.handle, Log: log}, nil)
	}()
	select {
	case url := <-at:
		return running{stop, ended}, url
	case err := <-ended:
		t.Fatal(err)
		return running{}, ""
	}
}

// urlIn finds the address in the log.
type urlIn chan string

func (u urlIn) Write(b []byte) (int, error) {
	if _, rest, ok := strings.Cut(string(b), "url="); ok {
		u <- strings.Fields(rest)[0]
	}
	return len(b), nil
}

func TestHealthWhileDraining(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	s, err := Listen(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		w.WriteHeader(http.StatusNoContent)
	}))
	if err != nil {
		t.Fatal(err)
	}
	health := func() int {
		answer := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health", nil))
		return answer.Code
	}
	if got := health(); got != http.StatusOK {
		t.Errorf("health is %d, want 200", got)
	}
	answer := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), nil)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				if err = resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
					err = fmt.Errorf("HTTP %d", resp.StatusCode)
				}
			}
		}
		answer <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	for !s.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	if got := health(); got != http.StatusServiceUnavailable {
		t.Errorf("health while draining is %d, want 503", got)
	}
	close(release)
	if err := <-answer; err != nil {
		t.Errorf("work in flight: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
