package gemini

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"you": "` + r.Header.Get("Authorization") + `"}`))}, nil
}

// An answer that sends our token back is not taken: it would be kept.
func TestTokenIsNotTakenBack(t *testing.T) {
	for header, want := range map[string]error{"Bearer token-canary": errBody, "": nil} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		if _, err = (bounded{echo{}}).RoundTrip(r); !errors.Is(err, want) || (err != nil && strings.Contains(err.Error(), "canary")) {
			t.Errorf("%q: %v, want %v", header, err, want)
		}
	}
}

func TestBase(t *testing.T) {
	for location, want := range map[string]string{
		"global": "https://aiplatform.googleapis.com", "eu": "https://aiplatform.eu.rep.googleapis.com", "us-central1": "https://us-central1-aiplatform.googleapis.com",
	} {
		if got := (&Config{Location: location}).base(); got != want {
			t.Errorf("%s: %s, want %s", location, got, want)
		}
	}
}
