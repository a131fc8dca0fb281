package telemetry_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/telemetry/otlptest"
)

// nothing is a database and a broker that take no time.
type nothing struct{ document.DB }

func (nothing) Get(context.Context, string) (document.Document, error) {
	return document.Document{}, nil
}

func (nothing) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Ratelimit-Limit": {"200"}, "X-Ratelimit-Remaining": {"199"}}}, nil
}

// One delivery with a broker call and a read, as a sync of an account at rest has.
func BenchmarkDelivery(b *testing.B) {
	receiver := httptest.NewServer(&otlptest.Receiver{})
	defer receiver.Close()
	for name, cfg := range map[string]telemetry.Config{
		"untraced": {To: telemetry.OTLP, Endpoint: receiver.URL, Sample: 0.001, Interval: time.Minute},
		"traced":   {To: telemetry.OTLP, Endpoint: receiver.URL, Sample: 1, Interval: time.Minute},
	} {
		b.Run(name, func(b *testing.B) {
			tel, err := telemetry.Open(b.Context(), cfg, telemetry.Source{Service: "syncer", Platform: "p"}, time.Now, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = tel.Close(context.Background()) }()
			db, calls, watch := tel.DB(nothing{}), tel.Transport(nothing{}), tel.Watch()
			e := tickEvent()
			e.SetType("com.agenttrader.sync.requested.v1")
			e.SetID("20261124T0930Z/user-00001") // not one of the sample
			b.ReportAllocs()
			for b.Loop() {
				e := e
				e.SetExtension("traceparent", nil)
				ctx, ended := watch(b.Context(), nil, &e)
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/v2/account", nil)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = calls.RoundTrip(req) //nolint:bodyclose // it has none
				_, _ = db.Get(ctx, "users/u/alpacaAccounts/snapshot")
				tel.Synced(ctx, "unchanged", "", at)
				ended(nil)
			}
		})
	}
}
