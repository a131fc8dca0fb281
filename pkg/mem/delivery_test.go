package mem_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
)

// endpoint counts what is delivered by ce-id, and answers as told.
type endpoint struct {
	mu      sync.Mutex
	count   map[string]int
	headers []http.Header
	answer  func(id string, n int) int
	url     string
}

func newEndpoint(t *testing.T, answer func(id string, n int) int) *endpoint {
	e := &endpoint{count: map[string]int{}, answer: answer}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Ce-Id")
		e.mu.Lock()
		e.count[id]++
		n := e.count[id]
		e.headers = append(e.headers, r.Header.Clone())
		e.mu.Unlock()
		w.WriteHeader(e.answer(id, n))
	}))
	t.Cleanup(s.Close)
	e.url = s.URL
	return e
}

func (e *endpoint) counts() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := map[string]int{}
	for id, n := range e.count {
		c[id] = n
	}
	return c
}

func ok(string, int) int { return http.StatusNoContent }

// until waits for a condition; a test that never meets it fails by the test's own time limit.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-t.Context().Done():
			t.Fatal("never: " + what)
		case <-time.After(time.Millisecond):
		}
	}
}

func startPubSub(t *testing.T, now func() time.Time, cfg mem.DeliveryConfig) (*mem.PubSub, *gcp.Publisher) {
	t.Helper()
	p, err := mem.StartPubSub(t.Context(), mem.PubSubConfig{Project: "p", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	cfg.MinBackoff, cfg.MaxBackoff = time.Millisecond, 5*time.Millisecond
	err = errors.Join(p.CreateTopic(t.Context(), "topic"), p.CreateTopic(t.Context(), "dead"), p.Push(t.Context(), "topic", "sub", "dead", cfg))
	if err != nil {
		t.Fatal(err)
	}
	pub := gcp.NewPublisher(p.Client(), "topic")
	t.Cleanup(pub.Stop)
	return p, pub
}

func events(n int) []event.Event {
	es := make([]event.Event, n)
	for i := range es {
		es[i] = event.New(fmt.Sprint("e", i), "t", "test", "subject")
		es[i].SetExtension("traceparent", "00-1")
		_ = es[i].SetData("application/json", map[string]int{"n": i})
	}
	return es
}

func TestPushDeliversAll(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	e := newEndpoint(t, ok)
	p, pub := startPubSub(t, func() time.Time { return at }, mem.DeliveryConfig{URL: e.url, Duplicate: 1})
	if err := pub.Publish(t.Context(), events(300)...); err != nil {
		t.Fatal(err)
	}
	until(t, "all settled", func() bool { return p.Pending() == 0 })
	got := e.counts()
	for i := range 300 {
		if n := got[fmt.Sprint("e", i)]; n != 2 {
			t.Fatalf("event %d was delivered %d times, want twice", i, n)
		}
	}
	for name, want := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Type": "t", "Ce-Subject": "subject", "Ce-Traceparent": "00-1", "Content-Type": "application/json",
		"X-Goog-Pubsub-Publish-Time": "2026-11-24T09:30:00Z", "X-Goog-Pubsub-Subscription-Name": "projects/p/subscriptions/sub",
	} {
		if h := e.headers[0].Get(name); h != want {
			t.Errorf("header %s is %q, want %q", name, h, want)
		}
	}
}

func TestNackIsDeliveredAgainThenDeadLettered(t *testing.T) {
	e := newEndpoint(t, func(id string, n int) int {
		if id == "e0" || n < 3 {
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	})
	var dead atomic.Int64
	p, pub := startPubSub(t, nil, mem.DeliveryConfig{URL: e.url, MaxAttempts: 4, DeadLetter: func(mem.Message, error) { dead.Add(1) }})
	_, err := p.Client().SubscriptionAdminClient.CreateSubscription(t.Context(), subscription("p", "dead"))
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(t.Context(), events(5)...); err != nil {
		t.Fatal(err)
	}
	until(t, "all settled", func() bool { return p.Pending() == 0 })
	if got := e.counts(); got["e0"] != 4 || got["e1"] != 3 || dead.Load() != 1 || p.DeadLettered() != 1 {
		t.Errorf("deliveries %v, %d dead letters; want e0 four times and dead, the others three times", got, dead.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = p.Client().Subscriber("dead").Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		if m.Attributes["ce-id"] != "e0" || m.Attributes["CloudPubSubDeadLetterSourceSubscription"] != "sub" || m.Attributes["CloudPubSubDeadLetterSourceDeliveryCount"] != "4" {
			t.Errorf("dead letter's attributes: %v", m.Attributes)
		}
		m.Ack()
		cancel()
	})
	if err != nil {
		t.Error(err)
	}
}

// The platform's clock leaps minutes in an instant: what is in flight must not come again for that.
func TestLeapingClock(t *testing.T) {
	var minutes atomic.Int64
	release := make(chan struct{})
	e := newEndpoint(t, func(string, int) int { <-release; return http.StatusNoContent })
	start := time.Now()
	p, pub := startPubSub(t, func() time.Time { return start.Add(time.Duration(minutes.Load()) * time.Minute) }, mem.DeliveryConfig{URL: e.url})
	if err := pub.Publish(t.Context(), events(3)...); err != nil {
		t.Fatal(err)
	}
	until(t, "all in flight", func() bool { return len(e.counts()) == 3 })
	for range 30 {
		minutes.Add(1)
		time.Sleep(5 * time.Millisecond)
	}
	close(release)
	until(t, "all settled", func() bool { return p.Pending() == 0 })
	for id, n := range e.counts() {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
}

// A held-back message is overtaken by later ones.
func TestReorder(t *testing.T) {
	var mu sync.Mutex
	var order []string
	e := newEndpoint(t, func(id string, _ int) int {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, id)
		return http.StatusNoContent
	})
	d := mem.NewDelivery(mem.DeliveryConfig{URL: e.url, Reorder: 0.5, HoldBack: 50 * time.Millisecond, Seed: 3})
	defer d.Close()
	for i := range 40 {
		id := fmt.Sprintf("%02d", i)
		if err := d.Send(t.Context(), mem.Message{ID: id, Header: http.Header{"Ce-Id": {id}}}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all delivered", func() bool { return d.Pending() == 0 })
	overtaken := false
	for i := range order[1:] {
		overtaken = overtaken || order[i] > order[i+1]
	}
	if len(order) != 40 || !overtaken {
		t.Errorf("%d delivered in the order %v, want 40 and some overtaken", len(order), order)
	}
}

func TestClock(t *testing.T) {
	start := time.Date(2026, 11, 24, 9, 30, 59, 0, time.UTC)
	c := mem.NewClock(start, time.Millisecond)
	for i := 1; i < 100; i++ {
		want := start.Truncate(time.Minute).Add(time.Duration(i) * time.Minute)
		if got := c.Step(); !got.Equal(want) {
			t.Fatalf("step %d = %s, want %s", i, got, want)
		}
		if i%20 == 0 {
			time.Sleep(3 * time.Millisecond) // more than a minute of its time
		}
		if now := c.Now(); now.Before(want) || !now.Before(want.Add(time.Minute)) {
			t.Fatalf("after step %d it is %s, want within the minute", i, now)
		}
	}
}

func subscription(project, id string) *pb.Subscription {
	return &pb.Subscription{Name: "projects/" + project + "/subscriptions/" + id, Topic: "projects/" + project + "/topics/" + id}
}
