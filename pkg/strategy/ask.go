package strategy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/signal"
)

// Asker is a strategy that decides on a model's answer. The answer comes in with the Input, so that Decide stays pure and
// a decision can be made again without the model.
type Asker interface {
	Strategy
	// Ask is the question whose answer Decide wants in Input.Answer: a pure function of its input, as Decide is. nil:
	// there is nothing to ask, and Decide says why.
	Ask(in Input) *Question
}

// Question is what a model is asked. None of it says whose it is.
type Question struct {
	StrategyID string
	Cause      Cause
	Model      string   // "gemini-2.5-flash"
	System     string   // the rules: ours, the same for everybody
	Prompt     string   // a JSON object: the data
	Symbols    []string // that the answer may be about
}

// The bounds of an answer.
const (
	MaxAnswer = 4 << 10 // bytes of its text
	MaxReason = 500     // bytes of the reason in it
)

// contextName is the parameter that tells a model the owner's views.
const contextName = "context"

// WithContext is a definition that tells its model more, for one run: what its owner wrote and then text. A kind that asks no
// model stays as it is. Both together may be too long; what else has no business in a prompt, New refuses.
func WithContext(d Definition, text string) (Definition, error) {
	if !slices.ContainsFunc(Parameters(d.Kind), func(p Parameter) bool { return p.Name == contextName }) {
		return d, nil
	}
	params := maps.Clone(d.Params)
	if params == nil {
		params = map[string]any{}
	}
	if own, _ := params[contextName].(string); own != "" {
		if len(own)+1+len(text) > maxContext {
			return d, fmt.Errorf("context: %d bytes of the owner's, a line's end and %d of --context: want at most %d together", len(own), len(text), maxContext)
		}
		text = own + "\n" + text
	}
	params[contextName] = text
	d.Params = params
	return d, nil
}

// CheckContext says what is wrong with a text that goes to a model. It tells nothing of what it found.
func CheckContext(text string) error { return checkContext(text) }

// Answer is what came of a question.
type Answer struct {
	Text         string // what the model said: at most MaxAnswer bytes of UTF-8
	Finish       string // why it ended, in its own word: "STOP"
	Failure      string // why there is no answer to decide on: one of the Model codes, or the risk engine's that lets nothing through; "": there is one, and it is whole
	Detail       string // of the failure; none of what was asked or said
	PromptTokens int
	OutputTokens int    // what it thought included
	Prompt       string // that it answers, if it is one kept since an earlier delivery; "": the question's
}

// Advisor asks a model.
type Advisor interface {
	// Advise asks q in the name of a user. What the model or its service can't do, or may not, is an Answer with a
	// Failure, and settled: the strategy's next run is the retry. An error is a fault of ours, or ctx is over.
	// Detail and error hold nothing of q, of the answer or of any token.
	Advise(ctx context.Context, userID string, q Question) (Answer, error)
}

// The codes of denials for want of an answer that can be traded on.
const (
	ModelUnavailable    = "MODEL_UNAVAILABLE"     // none is set up, or its service fails
	ModelTimeout        = "MODEL_TIMEOUT"         // no answer in time
	ModelBudgetExceeded = "MODEL_BUDGET_EXCEEDED" // the user has asked too often today
	ModelRefused        = "MODEL_REFUSED"         // it would not answer
	ModelTruncated      = "MODEL_TRUNCATED"       // it ran out of tokens
	ModelAnswerInvalid  = "MODEL_ANSWER_INVALID"  // anything but what the schema says
	ModelSymbolMismatch = "MODEL_SYMBOL_MISMATCH" // it speaks of something that it was not asked about
	ModelConfidenceLow  = "MODEL_CONFIDENCE_LOW"  // it is less sure than its owner wants
)

// RawOutput is what a signal keeps of a question and its answer: a JSON object of at most signal.MaxRawModelOutput bytes.
// What is longer is cut at the end, and marked.
func RawOutput(q Question, a Answer) string {
	kept := struct {
		Prompt string `json:"prompt"`
		Answer string `json:"answer"`
		Model  string `json:"model"`
		Finish string `json:"finish_reason"`
		Cut    bool   `json:"cut,omitempty"`
	}{Prompt: cmp.Or(a.Prompt, q.Prompt), Answer: Head(a.Text, MaxAnswer), Model: q.Model, Finish: Head(a.Finish, 40)}
	for {
		b, err := json.Marshal(kept)
		if err != nil {
			return ""
		}
		if len(b) <= signal.MaxRawModelOutput {
			return string(b)
		}
		kept.Cut = true
		longest := &kept.Prompt
		if len(kept.Answer) > len(kept.Prompt) {
			longest = &kept.Answer
		}
		*longest = Head(*longest, len(*longest)*3/4)
	}
}

// Head is the beginning of a text, at most n bytes of UTF-8.
func Head(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}
