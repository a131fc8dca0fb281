package mem

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"strconv"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Advisor is a strategy.Advisor in memory, of firm opinions: the same seed, user and question make the same answer.
type Advisor struct {
	seed uint64
	hook func(ctx context.Context, userID string, q strategy.Question) (*strategy.Answer, error)
}

// NewAdvisor makes one.
func NewAdvisor(seed uint64) *Advisor { return &Advisor{seed: seed} }

// SetHook makes the advisor call h before each answer: what h returns, an answer or an error, is said in its place. A hook
// that sleeps delays. Not while it is in use.
func (a *Advisor) SetHook(h func(ctx context.Context, userID string, q strategy.Question) (*strategy.Answer, error)) {
	a.hook = h
}

// Advise implements strategy.Advisor.
func (a *Advisor) Advise(ctx context.Context, userID string, q strategy.Question) (strategy.Answer, error) {
	if err := ctx.Err(); err != nil {
		return strategy.Answer{}, err
	}
	if a.hook != nil {
		if said, err := a.hook(ctx, userID, q); said != nil || err != nil {
			if said == nil {
				said = &strategy.Answer{}
			}
			return *said, err
		}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(userID + "|" + q.StrategyID + "|" + q.Cause.Text))
	draw := rand.New(rand.NewPCG(a.seed, h.Sum64()))
	text, err := json.Marshal(map[string]any{
		"symbol":     q.Symbols[draw.IntN(len(q.Symbols))],
		"action":     []string{"buy", "buy", "sell", "hold"}[draw.IntN(4)],
		"confidence": json.Number(strconv.FormatFloat(0.4+0.01*float64(draw.IntN(60)), 'f', 2, 64)),
		"reason":     "drawn by lot, for a look at how it works",
	})
	return strategy.Answer{Text: string(text), Finish: "STOP", PromptTokens: len(q.Prompt) / 4, OutputTokens: len(text) / 4}, err
}
