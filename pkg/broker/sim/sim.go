// Package sim is a simulated Alpaca: its trading and market-data API over HTTP, in its own wire format, for any
// number of keys. Accounts and prices are a random walk that the seed determines; prices can be those of a file.
package sim

import (
	"crypto/subtle"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// RateLimit is the number of requests a minute that each key has, as Alpaca's.
const RateLimit = 200

// Config is a simulation.
type Config struct {
	Seed    uint64
	Now     func() time.Time // moves the market and the rate limits
	Latency Latency          // real time
	Faults  []Fault
	Replay  *Replay // bars in place of the random walk; nil: none
	AnyKey  bool    // every pair of keys is an account; otherwise only registered ones

	Churn      float64 // share of the account reads at which a dollar's dividend has just come in: a material change
	Volatility float64 // of each price: the standard deviation of a minute's move; 0: DefaultVolatility
}

// Server serves the API; it is an http.Handler.
type Server struct {
	cfg    Config
	mux    *http.ServeMux
	market *exchange
	calls  atomic.Int64
	closed chan struct{}
	once   sync.Once

	mu       sync.RWMutex
	accounts map[string]*account // by key id
}

// New is a server without accounts.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), market: newExchange(cfg),
		closed: make(chan struct{}), accounts: map[string]*account{},
	}
	s.mux.HandleFunc("GET /v2/account", s.authorized(s.getAccount))
	s.mux.HandleFunc("GET /v2/account/activities", s.authorized(s.getActivities))
	s.mux.HandleFunc("GET /v2/account/activities/{type}", s.authorized(s.getActivities))
	s.mux.HandleFunc("GET /v2/positions", s.authorized(s.getPositions))
	s.mux.HandleFunc("GET /v2/orders", s.authorized(s.getOrders))
	s.mux.HandleFunc("GET /v2/calendar", s.authorized(s.getCalendar))
	s.mux.HandleFunc("GET /v2/clock", s.authorized(s.getClock))
	s.mux.HandleFunc("GET /v2/stocks/quotes/latest", s.authorized(s.getQuotes))
	s.mux.HandleFunc("GET /v2/stocks/bars", s.authorized(s.getBars))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, 40410000, "endpoint not found")
	})
	return s
}

// Register gives a pair of keys an account.
func (s *Server) Register(keyID, secretKey string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[keyID] = newAccount(s.cfg.Seed, keyID, secretKey, s.market.at(s.cfg.Now()))
}

// Calls is the number of requests so far.
func (s *Server) Calls() int64 { return s.calls.Load() }

// Close ends the requests that hang.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.calls.Add(1)
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("X-Request-ID", "sim-"+strconv.FormatInt(n, 10))
	if !s.cfg.Latency.wait(r.Context(), uint64(n)^s.cfg.Seed) {
		return // the client went away
	}
	s.mux.ServeHTTP(w, r)
}

type accountHandler func(w http.ResponseWriter, r *http.Request, a *account, prices prices)

// authorized finds the account of a request's keys, after the faults and within the rate limit.
func (s *Server) authorized(h accountHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		keyID, secretKey := r.Header.Get("APCA-API-KEY-ID"), r.Header.Get("APCA-API-SECRET-KEY")
		for _, f := range s.cfg.Faults {
			if f.kind.serve != nil && f.hits(s.cfg.Seed, keyID) {
				f.kind.serve(s, w, r)
				return
			}
		}
		a := s.account(keyID, secretKey)
		if a == nil || subtle.ConstantTimeCompare([]byte(a.secretKey), []byte(secretKey)) != 1 {
			unauthorized(w)
			return
		}
		now := s.cfg.Now()
		left, reset := a.spend(now)
		w.Header().Set("X-Ratelimit-Limit", strconv.Itoa(RateLimit))
		w.Header().Set("X-Ratelimit-Remaining", strconv.Itoa(max(0, left)))
		w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(reset, 10))
		if left < 0 {
			fail(w, http.StatusTooManyRequests, 42910000, "rate limit exceeded")
			return
		}
		h(w, r, a, s.market.at(now))
	}
}

func (s *Server) account(keyID, secretKey string) *account {
	s.mu.RLock()
	a := s.accounts[keyID]
	s.mu.RUnlock()
	if a != nil || !s.cfg.AnyKey || keyID == "" || secretKey == "" {
		return a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[keyID] == nil { // the first secret that comes with a key is its own
		s.accounts[keyID] = newAccount(s.cfg.Seed, keyID, secretKey, s.market.at(s.cfg.Now()))
	}
	return s.accounts[keyID]
}

func (s *Server) getAccount(w http.ResponseWriter, _ *http.Request, a *account, p prices) {
	if s.cfg.Churn > 0 && rand.Float64() < s.cfg.Churn {
		a.dividend(1_00)
	}
	o := a.object(p)
	for _, f := range s.cfg.Faults {
		if f.kind.spoil != nil && f.hits(s.cfg.Seed, a.keyID) {
			f.kind.spoil(o)
		}
	}
	answer(w, o)
}

func (s *Server) getPositions(w http.ResponseWriter, _ *http.Request, a *account, p prices) {
	answer(w, a.positions(p))
}

func (s *Server) getOrders(w http.ResponseWriter, r *http.Request, a *account, p prices) {
	status := r.URL.Query().Get("status")
	if status != "" && status != "open" && status != "all" {
		answer(w, []any{}) // nothing has been closed here
		return
	}
	answer(w, a.orders(p))
}

func (s *Server) getQuotes(w http.ResponseWriter, r *http.Request, _ *account, p prices) {
	quotes := map[string]any{}
	for symbol := range strings.SplitSeq(r.URL.Query().Get("symbols"), ",") {
		if cents, ok := s.market.quote(symbol, p); ok {
			quotes[symbol] = map[string]any{
				"t": p.at.UTC().Format(time.RFC3339Nano), "ax": "V", "ap": (cents + 1) / 100, "as": 3, "bx": "V", "bp": (cents - 1) / 100, "bs": 2,
				"c": []string{"R"}, "z": "B",
			}
		}
	}
	answer(w, map[string]any{"quotes": quotes})
}

func fail(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	answer(w, map[string]any{"code": code, "message": message})
}

func unauthorized(w http.ResponseWriter) {
	fail(w, http.StatusUnauthorized, 40110000, "request is not authorized")
}
