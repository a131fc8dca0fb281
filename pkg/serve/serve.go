// Package serve runs a service's HTTP side: it listens, answers /health, and stops without losing work.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Drain is how long work in flight may take after a stop was asked for; Cloud Run kills two seconds later.
const Drain = 8 * time.Second

// Server is a listening service.
type Server struct {
	http     *http.Server
	listener net.Listener
	draining atomic.Bool
	failed   chan error
}

// Listen opens addr and serves h at "/" and the state at "/health". Since callers don't have to prove who they are, it
// refuses every address that is not loopback.
func Listen(ctx context.Context, addr string, h http.Handler) (*Server, error) {
	return listen(ctx, addr, nil, nil, h)
}

// listen puts door, if there is one, before h, and logs what the server itself has to say; nil: as package log does.
func listen(ctx context.Context, addr string, faults *log.Logger, door func(http.Handler) http.Handler, h http.Handler) (*Server, error) {
	if door != nil {
		h = door(h)
	} else if err := checkLoopback(addr); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	s := &Server{listener: l, failed: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", s.health)
	mux.Handle("/", h)
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      11 * time.Minute, // above Pub/Sub's longest ack deadline: it must not cut off a handler
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          faults,
		MaxHeaderBytes:    160 << 10, // a message may have 100 attributes of 1,280 bytes, name and value
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
		close(s.failed)
	}()
	return s, nil
}

// URL is where the server listens.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Failed gives the error that ended serving, if one did.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop closes the listener, lets work in flight end within Drain, and cuts off what is left: it was not
// acknowledged, so it is delivered again.
func (s *Server) Stop(ctx context.Context) error {
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), s.http.Close())
	}
	return nil
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: want host:port, like 127.0.0.1:8080", addr)
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("address %q is not loopback: callers don't have to prove who they are here, so use 127.0.0.1", addr)
}
