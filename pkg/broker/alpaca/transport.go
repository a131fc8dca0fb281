package alpaca

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

const (
	maxBody  = 4 << 20 // of an answer; an account with thousands of orders is well under it
	maxConns = 512     // to one host: thousands of clients without a shared pool open thousands of connections
)

// NewTransport is one connection pool for all users.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        2 * maxConns,
		MaxIdleConnsPerHost: maxConns,
		MaxConnsPerHost:     maxConns,
		IdleConnTimeout:     90 * time.Second,
	}
}

// CheckEnv refuses an environment with APCA_ variables: the SDK would use them in place of a user's keys. The error
// names the variables, never their values.
func CheckEnv(environ []string) error {
	var names []string
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "APCA_") {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("environment holds %s: unset it, or one account's keys would be used for every user", strings.Join(names, ", "))
	}
	return nil
}

// call is the transport of one SDK call: the SDK takes no context and drops headers and body, so they are put on and
// kept here.
type call struct {
	ctx   context.Context
	next  http.RoundTripper
	creds secret.Credentials

	status int
	header http.Header
	body   []byte
}

var errForeignKey = errors.New("the SDK was about to send other credentials than the user's own: call refused")

// RoundTrip implements http.RoundTripper.
func (c *call) RoundTrip(req *http.Request) (*http.Response, error) {
	keyID, secretKey := c.creds.Reveal()
	if req.Header.Get("APCA-API-KEY-ID") != keyID || req.Header.Get("APCA-API-SECRET-KEY") != secretKey || req.Header.Get("Authorization") != "" {
		return nil, errForeignKey
	}
	resp, err := c.next.RoundTrip(req.WithContext(c.ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	c.status, c.header = resp.StatusCode, resp.Header
	c.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(c.body) > maxBody {
		return nil, fmt.Errorf("answer of more than %d bytes", maxBody)
	}
	resp.Body = io.NopCloser(bytes.NewReader(c.body))
	return resp, nil
}
