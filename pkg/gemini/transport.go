package gemini

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxBody is the length of an answer, bytes: one of ours has a few thousand.
const maxBody = 256 << 10

var errBody = errors.New("the answer can't be taken")

// statusError is an answer by its HTTP status: a redirection too, since prompts go nowhere else.
type statusError struct {
	code int
	word string // Google's: "RESOURCE_EXHAUSTED"
}

func (e *statusError) Error() string {
	return fmt.Sprintf("its service answered HTTP %d %s", e.code, e.word)
}

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
	}
}

// bounded reads an answer before the SDK does, which would read one of any length, and put it into its errors.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "); {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", err)
	case len(body) > maxBody && resp.StatusCode < 300:
		return nil, fmt.Errorf("%w: it has more than %d bytes", errBody, maxBody)
	case token != "" && bytes.Contains(body, []byte(token)):
		return nil, fmt.Errorf("%w: it holds our token", errBody)
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		var fault struct{ Error struct{ Status string } }
		_ = json.Unmarshal(body, &fault) // a proxy's has none
		return nil, &statusError{code: resp.StatusCode, word: word(fault.Error.Status)}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
