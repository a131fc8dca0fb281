package gemini

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/genai"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// answer tells a whole answer from all that is none, by what the model says of itself. Whether its text can be traded on is
// the strategy's to judge.
func answer(r *genai.GenerateContentResponse) strategy.Answer {
	a := strategy.Answer{}
	if u := r.UsageMetadata; u != nil {
		a.PromptTokens, a.OutputTokens = int(max(0, u.PromptTokenCount)), int(max(0, u.CandidatesTokenCount))+int(max(0, u.ThoughtsTokenCount))
	}
	fail := func(code, detail string) strategy.Answer {
		a.Failure, a.Detail = code, detail
		return a
	}
	if f := r.PromptFeedback; f != nil && f.BlockReason != "" {
		a.Finish = word(string(f.BlockReason))
		return fail(strategy.ModelRefused, "the prompt was blocked: "+a.Finish)
	}
	if len(r.Candidates) != 1 || r.Candidates[0] == nil {
		return fail(strategy.ModelAnswerInvalid, "it has "+strconv.Itoa(len(r.Candidates))+" candidates, want one")
	}
	c := r.Candidates[0]
	text, plain := said(c.Content)
	a.Text, a.Finish = strategy.Head(text, strategy.MaxAnswer), word(string(c.FinishReason))
	switch c.FinishReason {
	case genai.FinishReasonStop:
	case genai.FinishReasonMaxTokens:
		return fail(strategy.ModelTruncated, "it ran out of tokens")
	case genai.FinishReasonSafety, genai.FinishReasonRecitation, genai.FinishReasonLanguage, genai.FinishReasonBlocklist,
		genai.FinishReasonProhibitedContent, genai.FinishReasonSPII, "MODEL_ARMOR":
		return fail(strategy.ModelRefused, "it refused: "+a.Finish)
	default:
		return fail(strategy.ModelAnswerInvalid, "it ended for the reason "+a.Finish)
	}
	switch {
	case !plain:
		return fail(strategy.ModelAnswerInvalid, "it is not text alone")
	case len(text) > strategy.MaxAnswer:
		return fail(strategy.ModelAnswerInvalid, "it has more than "+strconv.Itoa(strategy.MaxAnswer)+" bytes")
	}
	return a
}

// said is the text of an answer, without the thoughts; plain is false if there is anything else in it.
func said(c *genai.Content) (text string, plain bool) {
	if c == nil {
		return "", true
	}
	var b strings.Builder
	for _, p := range c.Parts {
		switch {
		case p == nil || p.Thought:
		case p.FunctionCall != nil || p.FunctionResponse != nil || p.ExecutableCode != nil || p.CodeExecutionResult != nil || p.InlineData != nil || p.FileData != nil:
			return b.String(), false
		default:
			b.WriteString(p.Text)
		}
	}
	return b.String(), true
}

// failure is what an error of the call comes to. The SDK's texts hold the answer, and Google's may hold the question: of
// both, nothing but the status is told.
func failure(within context.Context, err error) strategy.Answer {
	status, isStatus := errors.AsType[*statusError](err)
	_, onTheWay := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(err, errBody):
		return strategy.Answer{Failure: strategy.ModelAnswerInvalid, Detail: "it is too long, or holds what it must not"}
	case isStatus && (status.code == http.StatusBadRequest || status.code == http.StatusNotFound):
		return strategy.Answer{Failure: strategy.ModelUnavailable, Detail: status.Error() + ": there may be no such model at GEMINI_LOCATION, or it takes no thinking budget or schema; try another"}
	case isStatus:
		return strategy.Answer{Failure: strategy.ModelUnavailable, Detail: status.Error()}
	case within.Err() != nil:
		return strategy.Answer{Failure: strategy.ModelTimeout, Detail: "it took longer than GEMINI_TIMEOUT"}
	case onTheWay:
		return strategy.Answer{Failure: strategy.ModelUnavailable, Detail: "its service can't be reached, or the connection broke"}
	}
	return strategy.Answer{Failure: strategy.ModelAnswerInvalid, Detail: "its service answered something that is no JSON of this API"}
}

// again says that an error may be gone at the next attempt.
func again(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return status.code == 429 || status.code >= 500
	}
	_, onTheWay := errors.AsType[*url.Error](err)
	return onTheWay && !errors.Is(err, errBody)
}

// word is a code of Google's: capitals, digits and underscores, and nothing else that may have come in its place.
func word(s string) string {
	if len(s) == 0 || len(s) > 40 || strings.ContainsFunc(s, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
		return "(none)"
	}
	return s
}
