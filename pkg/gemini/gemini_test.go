package gemini_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/gemini"
	"github.com/agenttrader/agenttrader/pkg/gemini/geminitest"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

const good = `{"symbol":"SPY","action":"buy","confidence":0.9,"reason":"because"}`

func question() strategy.Question {
	return strategy.Question{StrategyID: "g", Model: "gemini-2.5-flash", System: "rules", Prompt: `{"note":"prompt-canary"}`, Symbols: []string{"SPY", "TLT"}}
}

func advisor(t *testing.T, s *geminitest.Server, timeout time.Duration) *gemini.Advisor {
	a, err := gemini.New(t.Context(), gemini.Config{Location: "europe-west4", Endpoint: s.Endpoint(), Timeout: timeout}, "demo", func() float64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Each kind of answer, with what it becomes and how often the server is asked.
func TestAnswers(t *testing.T) {
	says, fault, raw := geminitest.Says, geminitest.Fault, geminitest.Raw
	candidates := func(c ...any) http.HandlerFunc { return geminitest.Body(200, map[string]any{"candidates": c}) }
	stop := func(part map[string]any) map[string]any {
		return map[string]any{"content": map[string]any{"parts": []any{part}}, "finishReason": "STOP"}
	}
	reset := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"candidates": [`))
	}
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		failure string
		text    string
		calls   int
	}{
		"good":                   {[]http.HandlerFunc{says("STOP", good)}, "", good, 1},
		"good in parts":          {[]http.HandlerFunc{says("STOP", good[:9], good[9:])}, "", good, 1},
		"thoughts are left out":  {[]http.HandlerFunc{geminitest.Body(200, map[string]any{"candidates": []any{map[string]any{"content": map[string]any{"parts": []any{map[string]any{"text": "hm", "thought": true}, map[string]any{"text": good}}}, "finishReason": "STOP"}}})}, "", good, 1},
		"fenced is for the code": {[]http.HandlerFunc{says("STOP", "```json\n{}\n```")}, "", "```json\n{}\n```", 1},
		"truncated":              {[]http.HandlerFunc{says("MAX_TOKENS", good[:20])}, strategy.ModelTruncated, good[:20], 1},
		"refused for safety":     {[]http.HandlerFunc{says("SAFETY")}, strategy.ModelRefused, "", 1},
		"refused, with a text":   {[]http.HandlerFunc{says("PROHIBITED_CONTENT", good)}, strategy.ModelRefused, good, 1},
		"the prompt is blocked":  {[]http.HandlerFunc{geminitest.Body(200, map[string]any{"promptFeedback": map[string]any{"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "prompt-canary"}})}, strategy.ModelRefused, "", 1},
		"an unknown end":         {[]http.HandlerFunc{says("BORED", good)}, strategy.ModelAnswerInvalid, good, 1},
		"no end":                 {[]http.HandlerFunc{says("", good)}, strategy.ModelAnswerInvalid, good, 1},
		"a lying end":            {[]http.HandlerFunc{says("prompt-canary", good)}, strategy.ModelAnswerInvalid, good, 1},
		"to be continued":        {[]http.HandlerFunc{candidates(map[string]any{"content": map[string]any{"parts": []any{map[string]any{"text": good}}}, "finishReason": "CONTINUATION", "continuationToken": "AAAA"})}, strategy.ModelAnswerInvalid, good, 1},
		"no candidate":           {[]http.HandlerFunc{candidates()}, strategy.ModelAnswerInvalid, "", 1},
		"null for a candidate":   {[]http.HandlerFunc{raw(200, `{"candidates":[null]}`)}, strategy.ModelAnswerInvalid, "", 1},
		"two candidates":         {[]http.HandlerFunc{candidates(stop(map[string]any{"text": good}), stop(map[string]any{"text": good}))}, strategy.ModelAnswerInvalid, "", 1},
		"a call of a function":   {[]http.HandlerFunc{candidates(stop(map[string]any{"functionCall": map[string]any{"name": "buy"}}))}, strategy.ModelAnswerInvalid, "", 1},
		"an empty object":        {[]http.HandlerFunc{raw(200, `{}`)}, strategy.ModelAnswerInvalid, "", 1},
		"nothing":                {[]http.HandlerFunc{raw(200, ``)}, strategy.ModelAnswerInvalid, "", 1},
		"no JSON":                {[]http.HandlerFunc{raw(200, `<html>prompt-canary</html>`)}, strategy.ModelAnswerInvalid, "", 1},
		"JSON of another shape":  {[]http.HandlerFunc{raw(200, `{"candidates":"prompt-canary"}`)}, strategy.ModelAnswerInvalid, "", 1},
		"a list":                 {[]http.HandlerFunc{raw(200, `[1]`)}, strategy.ModelAnswerInvalid, "", 1},
		"a long text":            {[]http.HandlerFunc{says("STOP", strings.Repeat("é", 3000))}, strategy.ModelAnswerInvalid, strings.Repeat("é", 2048), 1},
		"a huge body":            {[]http.HandlerFunc{says("STOP", strings.Repeat("x", 1<<20))}, strategy.ModelAnswerInvalid, "", 1},
		"429, then good":         {[]http.HandlerFunc{fault(429, "RESOURCE_EXHAUSTED"), says("STOP", good)}, "", good, 2},
		"503, then good":         {[]http.HandlerFunc{raw(503, "<html>"), says("STOP", good)}, "", good, 2},
		"reset, then good":       {[]http.HandlerFunc{reset, says("STOP", good)}, "", good, 2},
		"broken off, then good":  {[]http.HandlerFunc{cut, says("STOP", good)}, "", good, 2},
		"500 for ever":           {[]http.HandlerFunc{fault(500, "INTERNAL")}, strategy.ModelUnavailable, "", 2},
		"a huge 502":             {[]http.HandlerFunc{raw(502, strings.Repeat("x", 1<<20))}, strategy.ModelUnavailable, "", 2},
		"429 for ever":           {[]http.HandlerFunc{fault(429, "RESOURCE_EXHAUSTED")}, strategy.ModelUnavailable, "", 2},
		"400":                    {[]http.HandlerFunc{fault(400, "INVALID_ARGUMENT")}, strategy.ModelUnavailable, "", 1},
		"403":                    {[]http.HandlerFunc{fault(403, "PERMISSION_DENIED")}, strategy.ModelUnavailable, "", 1},
		"404":                    {[]http.HandlerFunc{fault(404, "NOT_FOUND")}, strategy.ModelUnavailable, "", 1},
		"a redirection":          {[]http.HandlerFunc{http.RedirectHandler("http://127.0.0.1:1/prompt-canary", http.StatusTemporaryRedirect).ServeHTTP}, strategy.ModelUnavailable, "", 1},
	} {
		s := geminitest.New(t, c.answers...)
		a, err := advisor(t, s, 20*time.Second).Advise(t.Context(), "u", question())
		if err != nil || a.Failure != c.failure || a.Text != c.text || len(s.Asked()) != c.calls {
			t.Errorf("%s: %+v, %v after %d calls; want %+v", name, a, err, len(s.Asked()), c)
		}
		if (a.Failure == "") != (a.Detail == "") || strings.Contains(a.Detail+a.Finish, "canary") {
			t.Errorf("%s: detail %q, finish %q", name, a.Detail, a.Finish)
		}
		if told := strings.Contains(a.Detail, "no such model"); told != (name == "400" || name == "404") {
			t.Errorf("%s: detail %q", name, a.Detail)
		}
		if name == "good" && (a.PromptTokens != 120 || a.OutputTokens != 80 || a.Finish != "STOP") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	s := geminitest.New(t, geminitest.Hangs)
	a, err := advisor(t, s, 50*time.Millisecond).Advise(t.Context(), "u", question())
	if err != nil || a.Failure != strategy.ModelTimeout || len(s.Asked()) != 1 {
		t.Errorf("a hang: %+v, %v after %d calls", a, err, len(s.Asked()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	s = geminitest.New(t, func(w http.ResponseWriter, r *http.Request) { cancel(); geminitest.Hangs(w, r) })
	if a, err = advisor(t, s, 20*time.Second).Advise(ctx, "u", question()); !errors.Is(err, context.Canceled) || a != (strategy.Answer{}) {
		t.Errorf("cancelled: %+v, %v; want the context's error: nothing is settled", a, err)
	}
	if strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("the error tells the prompt: %v", err)
	}
	s.Close()
	if a, err = advisor(t, s, 20*time.Second).Advise(t.Context(), "u", question()); err != nil || a.Failure != strategy.ModelUnavailable {
		t.Errorf("nobody there: %+v, %v", a, err)
	}
}

// What goes out: to the project's model, without any key of the environment's, and nothing of the user.
func TestRequest(t *testing.T) {
	s := geminitest.New(t, geminitest.Says("STOP", good))
	elsewhere := geminitest.New(t, geminitest.Says("STOP", good))
	for _, name := range []string{"GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"} {
		t.Setenv(name, "env-canary")
	}
	t.Setenv("GOOGLE_VERTEX_BASE_URL", elsewhere.URL)
	t.Setenv("GOOGLE_GENAI_USE_VERTEXAI", "false")
	if _, err := advisor(t, s, 20*time.Second).Advise(t.Context(), "user-canary", question()); err != nil {
		t.Fatal(err)
	}
	if len(s.Asked()) != 1 || len(elsewhere.Asked()) != 0 {
		t.Fatalf("%d requests, %d elsewhere", len(s.Asked()), len(elsewhere.Asked()))
	}
	r := s.Asked()[0]
	if r.Path != "/v1/projects/demo/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent" {
		t.Errorf("path %s", r.Path)
	}
	if all := fmt.Sprint(r.Header, r.Body); strings.Contains(all, "env-canary") || strings.Contains(all, "user-canary") || r.Header.Get("Authorization") != "" {
		t.Errorf("the request tells what it must not: %s", all)
	}
	want := map[string]any{
		"contents":          []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": `{"note":"prompt-canary"}`}}}},
		"systemInstruction": map[string]any{"role": "user", "parts": []any{map[string]any{"text": "rules"}}},
		"generationConfig": map[string]any{
			"temperature": 0.0, "candidateCount": 1.0, "maxOutputTokens": 2048.0, "thinkingConfig": map[string]any{"thinkingBudget": 512.0}, "responseMimeType": "application/json",
			"responseSchema": map[string]any{
				"type": "OBJECT", "required": []any{"symbol", "action", "confidence", "reason"}, "propertyOrdering": []any{"reason", "symbol", "action", "confidence"},
				"properties": map[string]any{
					"symbol": map[string]any{"type": "STRING", "enum": []any{"SPY", "TLT"}}, "action": map[string]any{"type": "STRING", "enum": []any{"buy", "sell", "hold"}},
					"confidence": map[string]any{"type": "NUMBER", "minimum": 0.0, "maximum": 1.0}, "reason": map[string]any{"type": "STRING"},
				},
			},
		},
	}
	if diff := cmp.Diff(want, r.Body); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestConfig(t *testing.T) {
	for want, change := range map[string]func(*gemini.Config){
		"":                                    func(*gemini.Config) {},
		"GEMINI_LOCATION is":                  func(c *gemini.Config) { c.Location = "us-central1.evil.example/" },
		"GEMINI_ENDPOINT is \"192.0.2.1:80\"": func(c *gemini.Config) { c.Endpoint = "192.0.2.1:80" },
		"GEMINI_ENDPOINT is \"http://127.0.0.1:80\"": func(c *gemini.Config) { c.Endpoint = "http://127.0.0.1:80" },
		"GEMINI_TIMEOUT is 26s":                      func(c *gemini.Config) { c.Timeout = 26 * time.Second },
	} {
		c := gemini.DefaultConfig()
		change(&c)
		if err := c.Validate(); (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	for _, location := range []string{"global", "us", "eu", "us-central1", "northamerica-northeast1"} {
		c := gemini.DefaultConfig()
		c.Location, c.Endpoint = location, "localhost:9000"
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", location, err)
		}
	}
}
