package mem

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestWindowGrowsAndShrinks(t *testing.T) {
	ctx := context.Background()
	w := newWindow(10)
	verdict := func(ok bool, times, want int) {
		t.Helper()
		for range times {
			if err := w.acquire(ctx); err != nil {
				t.Fatal(err)
			}
			w.done(ok)
		}
		if limit, used := w.size(); limit != want || used != 0 {
			t.Errorf("window is %d with %d in use, want %d and 0", limit, used, want)
		}
	}
	verdict(true, 0, 4)
	verdict(true, 3, 7)
	verdict(true, 20, 10)
	verdict(false, 1, 5)
	verdict(false, 5, 4)
}

func TestWindowWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := newWindow(1)
	if err := w.acquire(ctx); err != nil {
		t.Fatal(err)
	}
	gaveUp, got := make(chan error, 1), make(chan error, 1)
	go func() { gaveUp <- w.acquire(ctx) }()
	awaitCond(t, "a waiter", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.waiters) == 1 })
	go func() { got <- w.acquire(context.Background()) }()
	awaitCond(t, "another", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.waiters) == 2 })
	cancel()
	if err := <-gaveUp; err == nil {
		t.Error("a cancelled waiter got in")
	}
	w.release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestBackoffHoldsNoSlot(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Bad") != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	d := NewDelivery(DeliveryConfig{URL: srv.URL, MaxInFlight: 1, MinBackoff: time.Hour, MaxBackoff: time.Hour})
	var good, bad atomic.Int64
	ctx := context.Background()
	for range 8 { // twice the window's start, all of them backing off for an hour
		m := Message{Header: http.Header{"Bad": {"1"}}, Settled: func(ok bool, _ int) {
			if !ok {
				bad.Add(1)
			}
		}}
		if err := d.Send(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Send(ctx, Message{Settled: func(bool, int) { good.Add(1) }}); err != nil {
		t.Fatal(err)
	}
	awaitCond(t, "the good one", func() bool { return good.Load() == 1 })
	awaitCond(t, "all first attempts", func() bool { return d.Attempts() == 9 })
	if n := d.Pending(); n != 8 {
		t.Errorf("%d pending, want the 8 that back off", n)
	}
	d.Close()
	if bad.Load() != 8 || !d.Idle() {
		t.Errorf("Close settled %d of 8, %d pending", bad.Load(), d.Pending())
	}
	if err := d.Send(ctx, Message{}); err == nil {
		t.Error("a closed Delivery took a message")
	}
}

func TestCloseCutsOffAndWakes(t *testing.T) {
	stuck := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stuck <- struct{}{}
		<-r.Context().Done()
	}))
	defer srv.Close()
	d := NewDelivery(DeliveryConfig{URL: srv.URL, MaxInFlight: 1})
	settled, sent := make(chan bool, 2), make(chan error, 1)
	if err := d.Send(context.Background(), Message{Settled: func(ok bool, n int) { settled <- ok || n != 0 }}); err != nil {
		t.Fatal(err)
	}
	<-stuck
	go func() { sent <- d.Send(context.Background(), Message{}) }()
	awaitCond(t, "a blocked Send", func() bool {
		d.window.mu.Lock()
		defer d.window.mu.Unlock()
		return len(d.window.waiters) == 1
	})
	d.Close()
	if err := <-sent; err == nil {
		t.Error("a blocked Send was taken after Close")
	}
	if wrong := <-settled; wrong || len(settled) != 0 {
		t.Error("a message cut off by Close was not settled once, undelivered, without a verdict")
	}
}

func TestDuplicateSettlesOnce(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	d := NewDelivery(DeliveryConfig{URL: srv.URL, Duplicate: 1, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, MaxAttempts: -1})
	defer d.Close()
	const n = 50
	var settled, delivered atomic.Int64
	for range n {
		err := d.Send(context.Background(), Message{Header: http.Header{"A": {"b"}}, Body: []byte("{}"), Settled: func(ok bool, _ int) {
			settled.Add(1)
			if ok {
				delivered.Add(1)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	awaitCond(t, "all settled", d.Idle)
	if settled.Load() != n || delivered.Load() != n || requests.Load() != d.Attempts() || requests.Load() < 2*n {
		t.Errorf("%d settled, %d delivered of %d, %d requests, %d attempts", settled.Load(), delivered.Load(), n, requests.Load(), d.Attempts())
	}
}

// awaitCond waits for a condition, for as long as the test may run.
func awaitCond(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for !cond() {
		if t.Context().Err() != nil {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
