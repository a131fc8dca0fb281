package alpaca

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
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

// call is the transport of one SDK call: the SDK takes no context and drops headers and body, so they are put on and
// kept here.
type call struct {
	ctx    context.Context
	next   http.RoundTripper
	creds  secret.Credentials
	before func() error // of each request; its error takes the request's place. nil: none

	status int
	header http.Header
	body   []byte
}

var (
	errForeignKey = errors.New("the SDK was about to send other credentials than the user's own: call refused")
	errCut        = errors.New("the answer broke off")
)

// RoundTrip implements http.RoundTripper.
func (c *call) RoundTrip(req *http.Request) (*http.Response, error) {
	keyID, secretKey := c.creds.Reveal()
	if req.Header.Get("APCA-API-KEY-ID") != keyID || req.Header.Get("APCA-API-SECRET-KEY") != secretKey || req.Header.Get("Authorization") != "" {
		return nil, errForeignKey
	}
	if c.before != nil {
		if err := c.before(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := oneConnection(c.ctx)
	defer cancel()
	resp, err := c.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	c.status, c.header = resp.StatusCode, resp.Header
	body, err := plain(resp)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	c.body, err = io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	if len(c.body) > maxBody {
		return nil, fmt.Errorf("answer of more than %d bytes", maxBody)
	}
	resp.Body = io.NopCloser(bytes.NewReader(c.body))
	return resp, nil
}

// plain unpacks an answer here, where its size is bounded: the market-data SDK asks for gzip, and unpacks whatever comes.
func plain(resp *http.Response) (io.Reader, error) {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body, nil
	}
	resp.Header.Del("Content-Encoding")
	return gzip.NewReader(resp.Body)
}

// oneConnection ends a request that would be sent again: net/http repeats a GET on the next pooled connection when one
// was reset, as often as there are connections. Whether to ask again is the caller's to decide, within its budget.
func oneConnection(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var taken atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) {
		if taken.Swap(true) {
			cancel()
		}
	}}), cancel
}
