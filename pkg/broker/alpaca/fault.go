package alpaca

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alpacahq/alpaca-trade-api-go/v3/alpaca"

	"github.com/agenttrader/agenttrader/pkg/broker"
)

// fault says what kind of trouble a failed call met.
func (c *call) fault(op string, err error) error {
	if errors.Is(err, context.Canceled) && errors.Is(c.ctx.Err(), context.Canceled) {
		return fmt.Errorf("alpaca %s: %w", op, context.Canceled) // the caller's own doing, not the broker's
	}
	if own := (*broker.Error)(nil); errors.As(err, &own) {
		return own // ours, from before the request
	}
	e := &broker.Error{Op: op, Status: c.status, ResetAt: resetAt(c.header)}
	var api *alpaca.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = api.Code, c.clean(api.Message)
	}
	switch {
	case errors.Is(err, errForeignKey):
		return err
	case c.status == 0 && errors.Is(c.ctx.Err(), context.DeadlineExceeded):
		e.Kind, e.Err = broker.Timeout, errors.New("no answer before the deadline")
	case c.status == 0:
		e.Kind, e.Err = broker.Unavailable, errors.New(c.clean(err.Error()))
	default:
		e.Kind = kindOf(c.status)
	}
	if e.Kind == broker.Malformed && errors.Is(err, errCut) {
		e.Kind, e.Err = broker.Unavailable, errors.New(c.clean(err.Error()))
	}
	if c.ctx.Err() != nil && (e.Kind == broker.Malformed || errors.Is(err, errCut)) {
		e.Kind = broker.Timeout // in the middle of the body
	}
	return e
}

func (c *call) malformed(op string, err error) error {
	return &broker.Error{Kind: broker.Malformed, Op: op, Status: c.status, Err: errors.New(c.clean(err.Error()))}
}

func kindOf(status int) broker.Kind {
	switch {
	case status == http.StatusUnauthorized:
		return broker.Unauthorized
	case status == http.StatusForbidden:
		return broker.Forbidden
	case status == http.StatusTooManyRequests:
		return broker.RateLimited
	case status >= 500:
		return broker.Unavailable
	case status >= 400:
		return broker.Rejected
	}
	return broker.Malformed // an answer that is fine by its status, and can't be read
}

// clean bounds a message, and takes the keys out should the broker send them back.
func (c *call) clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, c.redact(s))
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}

func (c *call) redact(s string) string {
	keyID, secretKey := c.creds.Reveal()
	if !strings.Contains(s, secretKey) && !strings.Contains(s, keyID) {
		return s
	}
	return strings.NewReplacer(secretKey, "[redacted]", keyID, "[redacted]").Replace(s)
}

// maxEpoch is in the year 2514; what is past it is no count of seconds, and no time that a document can hold.
const maxEpoch = 1 << 34

func resetAt(h http.Header) time.Time {
	epoch, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	if err != nil || epoch <= 0 || epoch > maxEpoch {
		return time.Time{}
	}
	return time.Unix(epoch, 0).UTC()
}
