package sim

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func BenchmarkCalls(b *testing.B) {
	s := New(Config{Seed: 1, Now: time.Now, AnyKey: true})
	for _, path := range []string{"/v2/account", "/v2/positions", "/v2/orders?status=open"} {
		b.Run(path, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Header.Set("APCA-API-KEY-ID", "k"+string(rune('a'+i%26))+time.Duration(i/150).String())
				r.Header.Set("APCA-API-SECRET-KEY", "s")
				s.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
