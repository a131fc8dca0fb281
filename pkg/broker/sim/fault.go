package sim

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// faultKind is one sort of fault: serve answers in the account's place, or spoil changes the account's object.
type faultKind struct {
	name  string
	serve func(s *Server, w http.ResponseWriter, r *http.Request)
	spoil func(object map[string]any)
}

// faultKinds: a further kind is a further row.
func faultKinds() []faultKind {
	return []faultKind{
		{name: "401", serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) { unauthorized(w) }},
		{name: "403", serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			fail(w, http.StatusForbidden, 40310000, "account is restricted")
		}},
		{name: "429", serve: func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ratelimit-Limit", strconv.Itoa(RateLimit))
			w.Header().Set("X-Ratelimit-Remaining", "0")
			w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt((s.cfg.Now().Unix()/60+1)*60, 10))
			fail(w, http.StatusTooManyRequests, 42910000, "rate limit exceeded")
		}},
		{name: "5xx", serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			fail(w, http.StatusInternalServerError, 50010000, "internal server error occurred")
		}},
		{name: "html", serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) { // of a proxy before Alpaca
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<html><body><h1>502 Bad Gateway</h1></body></html>"))
		}},
		{name: "hang", serve: hang},
		{name: "reset", serve: reset},
		{name: "cut", serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) { // an answer that ends in the middle
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"id":"e6fe16f3-64a4-4921-8928-cadf02f92f98","equity":"10382`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "odd", serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) { // JSON, and nothing that was asked for
			answer(w, []any{"surprise", 7})
		}},
		{name: "null", spoil: func(o map[string]any) { o["equity"], o["buying_power"], o["cash"] = nil, nil, nil }},
		{name: "missing", spoil: func(o map[string]any) {
			delete(o, "buying_power")
			delete(o, "trading_blocked")
		}},
	}
}

// hang gives no answer until the client gives up.
func hang(s *Server, _ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
	panic(http.ErrAbortHandler) // the connection ends without one
}

// reset makes the client see a reset connection.
func reset(_ *Server, w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// Fault makes the calls of some keys fail.
type Fault struct {
	kind  faultKind
	share float64 // of the keys; the same ones for the same seed
	key   string  // or this one
}

// ParseFault reads "401=2%" (a share of the keys) or "hang=PKSIM0000007" (that key).
func ParseFault(text string) (Fault, error) {
	name, value, ok := strings.Cut(text, "=")
	var f Fault
	var known []string
	for _, k := range faultKinds() {
		known = append(known, k.name)
		if k.name == name {
			f.kind = k
		}
	}
	if !ok || f.kind.name == "" || value == "" {
		return Fault{}, fmt.Errorf("fault %q: want one of %s with a share of the keys or a key, like 401=2%%", text, strings.Join(known, ", "))
	}
	number, isShare := strings.CutSuffix(value, "%")
	if !isShare {
		f.key = value
		return f, nil
	}
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || !(share >= 0 && share <= 100) {
		return Fault{}, fmt.Errorf("fault %q: want a share from 0%% to 100%%", text)
	}
	f.share = share / 100
	return f, nil
}

// Of is the name of the fault that the account calls of a key meet, "" if none: the first of the list that hits it.
func Of(faults []Fault, seed uint64, keyID string) string {
	for _, f := range faults {
		if f.hits(seed, keyID) {
			return f.kind.name
		}
	}
	return ""
}

func (f Fault) hits(seed uint64, keyID string) bool {
	if f.key != "" {
		return f.key == keyID
	}
	return float64(hash(seed, f.kind.name+"/"+keyID)>>11)/(1<<53) < f.share
}
