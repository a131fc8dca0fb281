package event_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// BenchmarkRequest is the way of one sync request: made, put into a message, received.
func BenchmarkRequest(b *testing.B) {
	r := event.SyncRequest{UserID: "uid-of-28-characters-0000001", Tick: tick.Tick(29_000_000).String(), CadenceMinutes: 1, BrokerEnv: "paper", KeyVersion: "1"}
	b.Run("make", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e, err := r.Event()
			if err != nil {
				b.Fatal(err)
			}
			_ = event.Attributes(e)
		}
	})
	e, err := r.Event()
	if err != nil {
		b.Fatal(err)
	}
	h := http.Header{}
	for k, v := range event.Attributes(e) {
		h.Set(k, v)
	}
	door := &event.Receiver{Service: "bench", Log: slog.New(slog.DiscardHandler), Handle: func(_ context.Context, e event.Event) error {
		_, _, err := event.ParseSyncRequest(e)
		return err
	}}
	b.Run("receive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(e.Data()))
			req.Header = h
			w := httptest.NewRecorder()
			door.ServeHTTP(w, req)
			if w.Code != http.StatusNoContent {
				b.Fatal(w.Code, w.Body)
			}
		}
	})
}
