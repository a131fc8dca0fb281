package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Vault counts what a vault is asked: put it behind the cache.
func (t *Telemetry) Vault(next secret.Vault) secret.Vault {
	if t == nil {
		return next
	}
	return &vault{t, next}
}

type vault struct {
	t    *Telemetry
	next secret.Vault
}

// Credentials implements secret.Vault.
func (v *vault) Credentials(ctx context.Context, userID, version string) (secret.Credentials, string, error) {
	ctx, span := v.t.call(ctx, "vault read")
	creds, got, err := v.next.Credentials(ctx, userID, version)
	result := "ok"
	switch cause := health.CauseOf(err); {
	case cause != "":
		result = strings.ToLower(string(cause))
	case err != nil:
		result = "fault"
	}
	end(span, unless(result))
	v.t.meters.vaultRead(ctx, result)
	return creds, got, err
}

// Transport counts the calls to Alpaca, and how much of the rate limit was left.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return &transport{t, next}
}

type transport struct {
	t    *Telemetry
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper. Neither the request's headers nor its query are told to anybody.
func (r *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	began, call := time.Now(), callOf(req.URL.Path)
	ctx, span := r.t.call(req.Context(), "alpaca "+call)
	if span != nil {
		req = req.WithContext(ctx)
	}
	resp, err := r.next.RoundTrip(req)
	answer := answerOf(resp, err)
	r.t.meters.called(ctx, call, answer, time.Since(began))
	end(span, unless(answer))
	if err == nil {
		if left, ok := headroom(resp.Header); ok {
			r.t.meters.headroom(ctx, left)
		}
	}
	return resp, err
}

// callOf is what is asked, in a word of ours: paths hold symbols.
func callOf(path string) string {
	for _, c := range []struct{ part, name string }{
		{"/account/activities", "flows"}, {"/account", "account"}, {"/positions", "positions"}, {"/orders", "orders"}, {"/calendar", "calendar"},
		{"/clock", "clock"}, {"/bars", "bars"}, {"/quotes", "quotes"}, {"/snapshots", "quotes"},
	} {
		if strings.Contains(path, c.part) {
			return c.name
		}
	}
	return "other"
}

// answerOf is an answer's status; of those that mean something of their own the number.
func answerOf(resp *http.Response, err error) string {
	switch {
	case err != nil:
		return "none"
	case resp.StatusCode < 400:
		return "ok"
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusTooManyRequests:
		return strconv.Itoa(resp.StatusCode)
	}
	return strconv.Itoa(resp.StatusCode/100) + "xx"
}

// headroom is the share of the rate limit that is left to the keys.
func headroom(h http.Header) (float64, bool) {
	limit, err := strconv.ParseFloat(h.Get("X-Ratelimit-Limit"), 64)
	if err != nil || !(limit > 0) {
		return 0, false
	}
	left, err := strconv.ParseFloat(h.Get("X-Ratelimit-Remaining"), 64)
	return left / limit, err == nil && left >= 0
}

// Advisor counts the questions to a model: put it behind the budget.
func (t *Telemetry) Advisor(next strategy.Advisor) strategy.Advisor {
	if t == nil {
		return next
	}
	return &advisor{t, next}
}

type advisor struct {
	t    *Telemetry
	next strategy.Advisor
}

// Advise implements strategy.Advisor.
func (a *advisor) Advise(ctx context.Context, userID string, q strategy.Question) (strategy.Answer, error) {
	ctx, span := a.t.call(ctx, "model ask")
	answer, err := a.next.Advise(ctx, userID, q)
	result := "ok"
	switch {
	case err != nil:
		result = "fault"
	case answer.Failure != "":
		result = code(answer.Failure)
	}
	end(span, unless(result))
	a.t.meters.asked(ctx, result)
	return answer, err
}

// unless is a result that is not well; "" if it is.
func unless(result string) string {
	if result == "ok" {
		return ""
	}
	return result
}
