// Package geminitest is a local server that speaks the one call of Vertex AI's API that is made, and answers what it is told.
package geminitest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Server keeps what it was asked.
type Server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []Request
}

// Request is one question as it came.
type Request struct {
	Path   string
	Header http.Header
	Body   map[string]any
}

// New answers each request with the next of these, and with the last from then on.
func New(t testing.TB, answers ...http.HandlerFunc) *Server {
	s := &Server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		asked := Request{Path: r.URL.Path, Header: r.Header.Clone()}
		if err != nil || r.Method != http.MethodPost || json.Unmarshal(body, &asked.Body) != nil {
			http.Error(w, "want a POST of JSON", http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, asked)
		answer := answers[min(len(s.asked), len(answers))-1]
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// Endpoint is host:port.
func (s *Server) Endpoint() string { return strings.TrimPrefix(s.URL, "http://") }

// Asked is all that came, in order.
func (s *Server) Asked() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.asked...)
}

// Says is a whole answer: what the model says, and why it ended.
func Says(finish string, parts ...string) http.HandlerFunc {
	list := make([]any, len(parts))
	for i, p := range parts {
		list[i] = map[string]any{"text": p}
	}
	return Body(http.StatusOK, map[string]any{
		"candidates":    []any{map[string]any{"content": map[string]any{"role": "model", "parts": list}, "finishReason": finish}},
		"usageMetadata": map[string]any{"promptTokenCount": 120, "candidatesTokenCount": 30, "thoughtsTokenCount": 50, "totalTokenCount": 200},
		"modelVersion":  "gemini-2.5-flash",
	})
}

// Fault is an error of Google's form, which quotes the request as theirs do.
func Fault(code int, status string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		Body(code, map[string]any{"error": map[string]any{"code": code, "status": status, "message": "Invalid value at 'contents[0].parts[0].text': prompt-canary " + r.URL.String()}})(w, r)
	}
}

// Body is any JSON.
func Body(code int, v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
}

// Raw is any bytes.
func Raw(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// Hangs answers nothing until the asker has gone.
func Hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
