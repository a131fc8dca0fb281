// Package advice keeps what users ask of a model within bounds: so many questions a day, and one answer to one cause.
package advice

import (
	"context"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Tally counts the users' questions, and keeps the latest answer of each strategy. It is shared by all instances.
type Tally interface {
	// CountQuestion counts a question of a user on a day (UTC, "2026-11-24"). Where its cause has an answer already, that is
	// kept, and nothing is counted: a repeated delivery is told what the first one was. Where limit questions are counted
	// on that day, kept is a strategy.ModelBudgetExceeded, from then on the answer to this cause.
	// signal.ErrOutdated: the user was removed.
	CountQuestion(ctx context.Context, userID string, q strategy.Question, day string, limit int) (kept *strategy.Answer, err error)
	// KeepAnswer keeps a question's answer and returns the one that counts: the first to its cause. An answer to an older
	// cause than the kept one is returned, and not kept.
	KeepAnswer(ctx context.Context, userID string, q strategy.Question, a strategy.Answer) (strategy.Answer, error)
}

// Config is what an operator can set.
type Config struct {
	CallsPerUserDay int `env:"GEMINI_CALLS_PER_USER_DAY"` // questions that a user's strategies may ask on a day (UTC)
}

// DefaultConfig is a question an hour.
func DefaultConfig() Config { return Config{CallsPerUserDay: 24} }

const maxCalls = 10_000

// Validate names every fault.
func (c *Config) Validate() error {
	if c.CallsPerUserDay < 0 || c.CallsPerUserDay > maxCalls {
		return fmt.Errorf("GEMINI_CALLS_PER_USER_DAY is %d: want 0 to %d", c.CallsPerUserDay, maxCalls)
	}
	return nil
}

// Budget is a strategy.Advisor that asks another one, within a user's budget. A question is counted before it is asked:
// one whose instance dies meanwhile is asked, and counted, again. Since question and answer are bounded, so are tokens.
type Budget struct {
	Config
	Next  strategy.Advisor
	Tally Tally
	Now   func() time.Time
}

// Advise implements strategy.Advisor.
func (b *Budget) Advise(ctx context.Context, userID string, q strategy.Question) (strategy.Answer, error) {
	kept, err := b.Tally.CountQuestion(ctx, userID, q, b.Now().UTC().Format(time.DateOnly), b.CallsPerUserDay)
	if err != nil {
		return strategy.Answer{}, err
	}
	if kept != nil {
		return *kept, nil
	}
	a, err := b.Next.Advise(ctx, userID, q)
	if err != nil {
		return strategy.Answer{}, err
	}
	return b.Tally.KeepAnswer(ctx, userID, q, a)
}
