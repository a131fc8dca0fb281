package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
)

// Main runs a service's process until SIGTERM or SIGINT. An error of run ends it with status 1 and one line on standard
// error, in the logs' own form.
func Main(service string, run func(ctx context.Context, environ []string, logs io.Writer) error) {
	useMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Environ(), os.Stderr)
	stop()
	if err != nil {
		NewLogger(os.Stderr, Config{LogFormat: os.Getenv("LOG_FORMAT")}, Source{Service: service, Revision: os.Getenv("K_REVISION")}).Error(
			service + " ends: " + strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// What sending the last of the telemetry may take: what Drain leaves, within these. With gcp.Cloud's second it ends before
// Cloud Run kills.
const (
	flushAtLeast = 500 * time.Millisecond
	flushAtMost  = 2 * time.Second
)

// Events serves a handler of events until ctx ends, then lets work in flight end within Drain, and sends the last of the
// telemetry (nil: there is none) in what is left of it. Callers prove who they are by an identity token; c.Validate allows
// none on loopback alone.
func Events(ctx context.Context, c Config, r *event.Receiver, t *telemetry.Telemetry) error {
	r.Watch = t.Watch()
	var door func(http.Handler) http.Handler
	if c.checksCallers() {
		v, err := event.NewVerifier(c.callers(), nil, r.Log) //nolint:contextcheck // it fetches keys as long as it is used
		if err != nil {
			return err
		}
		door = v.Require
	}
	s, err := listen(ctx, c.addr(), slog.NewLogLogger(r.Log.Handler(), slog.LevelWarn), door, r)
	if err != nil {
		return err
	}
	r.Log.Info("listens", "url", s.URL(), "callers_checked", door != nil)
	select {
	case <-ctx.Done():
	case err := <-s.Failed():
		return fmt.Errorf("serve: %w", err)
	}
	r.Log.Info("stops: lets work in flight end", "limit", Drain)
	began := time.Now()
	err = s.Stop(ctx)
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(flushAtMost, max(flushAtLeast, Drain-time.Since(began))))
	defer cancel()
	return errors.Join(err, t.Close(flush))
}
