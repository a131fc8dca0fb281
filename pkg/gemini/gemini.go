package gemini

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"google.golang.org/genai"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

const (
	maxOutput = 2048 // tokens, thinking included; an answer has a hundred
	thinking  = 512  // tokens: a figure that all of Gemini 2.5 and 3 take; 2.0 takes none
	maxPause  = time.Second
)

// Advisor implements strategy.Advisor.
type Advisor struct {
	models  *genai.Models
	timeout time.Duration
	random  func() float64 // in [0, 1), for jitter
}

// New asks the models of a project, in its name: by the default credentials of where it runs, or by none on loopback. cfg
// must be valid, with a location. random is in [0, 1); nil is math/rand's.
func New(ctx context.Context, cfg Config, project string, random func() float64) (*Advisor, error) {
	client := &http.Client{Transport: bounded{newTransport()}}
	if cfg.Endpoint == "" {
		creds, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"}})
		if err != nil {
			return nil, fmt.Errorf("gemini: no credentials of Google Cloud: %w", err)
		}
		client, err = httptransport.NewClient(&httptransport.Options{Credentials: creds, BaseRoundTripper: client.Transport, DisableTelemetry: true})
		if err != nil {
			return nil, fmt.Errorf("gemini: %w", err)
		}
	}
	// With all of these named, no key of the environment's is used (GOOGLE_API_KEY, GEMINI_API_KEY), and no other address.
	c, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendVertexAI, Project: project, Location: cfg.Location, HTTPClient: client,
		HTTPOptions: genai.HTTPOptions{BaseURL: cfg.base(), APIVersion: "v1"},
	})
	if err != nil {
		return nil, errors.New("gemini: the client can't be made for this project and location") // the SDK's error prints its whole configuration
	}
	if random == nil {
		random = rand.Float64
	}
	return &Advisor{models: c.Models, timeout: cfg.Timeout, random: random}, nil
}

// Advise implements strategy.Advisor. A 429, a 5xx and a broken connection are tried once more, in the time that is left.
func (a *Advisor) Advise(ctx context.Context, _ string, q strategy.Question) (strategy.Answer, error) {
	within, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := a.models.GenerateContent(within, q.Model, genai.Text(q.Prompt), settings(q))
	if again(err) && pause(within, time.Duration(a.random()*float64(maxPause))) {
		resp, err = a.models.GenerateContent(within, q.Model, genai.Text(q.Prompt), settings(q))
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return strategy.Answer{}, fmt.Errorf("gemini: %w", ctx.Err()) // the caller's own doing
	case err != nil:
		return failure(within, err), nil
	}
	return answer(resp), nil
}

// settings are the same for every question but for its symbols. What is safe to say is left to the model's own defaults.
func settings(q strategy.Question) *genai.GenerateContentConfig {
	return &genai.GenerateContentConfig{
		SystemInstruction: genai.NewContentFromText(q.System, genai.RoleUser),
		Temperature:       genai.Ptr[float32](0),
		CandidateCount:    1,
		// By default the SDK asks again and again while an answer wants to be continued, and each time is billed.
		AutomaticContinuation: genai.Ptr(false),
		MaxOutputTokens:       maxOutput,
		ThinkingConfig:        &genai.ThinkingConfig{ThinkingBudget: genai.Ptr[int32](thinking)},
		ResponseMIMEType:      "application/json",
		ResponseSchema: &genai.Schema{
			Type: genai.TypeObject,
			Properties: map[string]*genai.Schema{
				"symbol":     {Type: genai.TypeString, Enum: q.Symbols},
				"action":     {Type: genai.TypeString, Enum: []string{"buy", "sell", "hold"}},
				"confidence": {Type: genai.TypeNumber, Minimum: genai.Ptr(0.0), Maximum: genai.Ptr(1.0)},
				"reason":     {Type: genai.TypeString},
			},
			Required:         []string{"symbol", "action", "confidence", "reason"},
			PropertyOrdering: []string{"reason", "symbol", "action", "confidence"}, // it thinks first, and answers then
		},
	}
}

// pause is false if the deadline comes first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
