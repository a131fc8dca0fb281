package event

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds what is read of Google's keys, which are a few KB.
const maxKeys = 1 << 20

// keySource fetches Google's keys. Whatever is wrong with the answer becomes an error of the round trip, and those
// come out of idtoken as a *url.Error: its other errors, which are the caller's fault, have no type to tell them by.
type keySource struct{ base http.RoundTripper }

func keyClient(client *http.Client) *http.Client {
	c := http.Client{Timeout: keysLimit}
	if client != nil {
		c = *client
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = keySource{c.Transport}
	return &c
}

// RoundTrip implements http.RoundTripper.
func (k keySource) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := k.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answer %d", resp.StatusCode)
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	var set struct { // as idtoken reads it
		Keys []struct{ Alg, Crv, Kid, Kty, Use, E, N, X, Y string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("answer is no set of keys: %w", err)
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("answer has no keys")
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// tell logs a refusal: of the token never more than three of its claims, and not more lines than the allowance.
func (v *Verifier) tell(ctx context.Context, r *refusal) {
	unsaid, ok := v.lines[r.status].take()
	if !ok {
		return
	}
	level, msg := slog.LevelWarn, "identity token refused: "
	if r.status == http.StatusServiceUnavailable {
		level, msg = slog.LevelError, "identity token not checked: "
	}
	attrs := []slog.Attr{slog.Int("status", r.status), slog.Int64("unsaid", unsaid)}
	if r.claims != nil {
		email, _ := r.claims.Claims["email"].(string)
		attrs = append(attrs, slog.String("email", clip(email, 100)), slog.String("audience", clip(r.claims.Audience, 100)), slog.String("issuer", clip(r.claims.Issuer, 100)))
	}
	v.log.LogAttrs(ctx, level, msg+clip(r.reason, 300), attrs...)
}

// allowance limits log lines, and counts those that it swallowed.
type allowance struct {
	limit  *rate.Limiter
	unsaid atomic.Int64
}

func newAllowance() *allowance {
	return &allowance{limit: rate.NewLimiter(rate.Every(10*time.Second), 5)}
}

// take says whether a line may be written, and how many were swallowed before it.
func (a *allowance) take() (unsaid int64, ok bool) {
	if !a.limit.Allow() {
		a.unsaid.Add(1)
		return 0, false
	}
	return a.unsaid.Swap(0), true
}
