package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

const (
	modelStateID = "model"
	maxAnswers   = 20 // of a user's strategies: the document stays small
)

// ModelPath is what a user asked of the model, and was told.
func ModelPath(uid string) string { return UserPath(uid) + "/" + RiskState + "/" + modelStateID }

// CountQuestion implements advice.Tally.
func (s *Store) CountQuestion(ctx context.Context, userID string, q strategy.Question, day string, limit int) (kept *strategy.Answer, err error) {
	err = s.tally(ctx, userID, q, func(m *modelState) bool {
		if kept = m.answer(q); kept != nil {
			return false
		}
		if m.day != day {
			m.day, m.calls, m.tokens = day, 0, 0
		}
		if m.calls >= int64(limit) {
			kept = &strategy.Answer{Failure: strategy.ModelBudgetExceeded, Detail: fmt.Sprintf("%d questions were asked on %s, and more are not allowed on a day", m.calls, day)}
			m.keep(q, *kept)
			return true
		}
		m.calls++
		return true
	})
	return kept, err
}

// KeepAnswer implements advice.Tally.
func (s *Store) KeepAnswer(ctx context.Context, userID string, q strategy.Question, a strategy.Answer) (strategy.Answer, error) {
	told := a
	err := s.tally(ctx, userID, q, func(m *modelState) bool {
		told = a
		m.tokens += int64(a.PromptTokens) + int64(a.OutputTokens)
		if first := m.answer(q); first != nil {
			told = *first
			return true
		}
		m.keep(q, a)
		return true
	})
	return told, err
}

// tally changes the state in a transaction. A removed user gets none.
func (s *Store) tally(ctx context.Context, userID string, q strategy.Question, change func(*modelState) (write bool)) error {
	err := s.db.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		if _, err := tx.Get(ctx, SnapshotPath(userID)); errors.Is(err, document.ErrNotFound) {
			return signal.ErrOutdated
		} else if err != nil {
			return err
		}
		d, err := tx.Get(ctx, ModelPath(userID))
		if err != nil && !errors.Is(err, document.ErrNotFound) {
			return err
		}
		m := modelState{day: text(d.Fields, "day"), calls: integer(d.Fields, "calls"), tokens: integer(d.Fields, "tokens")}
		if m.answers, _ = d.Fields["answers"].(map[string]any); m.answers == nil {
			m.answers = map[string]any{}
		}
		if !change(&m) {
			return nil
		}
		return tx.Set(ModelPath(userID), document.Fields{
			"day": m.day, "calls": m.calls, "tokens": m.tokens, "answers": m.answers, "updated_at": document.ServerTime,
		})
	})
	if err != nil {
		return fmt.Errorf("questions of user %s, strategy %s: %w", userID, q.StrategyID, err)
	}
	return nil
}

// modelState is users/{uid}/riskState/model.
type modelState struct {
	day           string // UTC
	calls, tokens int64  // on that day
	answers       map[string]any
}

// answer is the kept one to a question's cause, nil if there is none.
func (m *modelState) answer(q strategy.Question) *strategy.Answer {
	f, _ := m.answers[q.StrategyID].(map[string]any)
	if f == nil || text(f, "cause") != q.Cause.Text {
		return nil
	}
	return &strategy.Answer{
		Prompt: text(f, "prompt"), Text: text(f, "text"), Finish: text(f, "finish_reason"), Failure: text(f, "failure"), Detail: text(f, "detail"),
		PromptTokens: int(integer(f, "prompt_tokens")), OutputTokens: int(integer(f, "output_tokens")),
	}
}

func (m *modelState) keep(q strategy.Question, a strategy.Answer) {
	if f, _ := m.answers[q.StrategyID].(map[string]any); integer(f, "tick") > int64(q.Cause.Tick) {
		return
	}
	m.answers[q.StrategyID] = present(document.Fields{
		"cause": q.Cause.Text, "tick": int64(q.Cause.Tick), "model": q.Model, "prompt": strategy.Head(q.Prompt, signal.MaxRawModelOutput), "text": strategy.Head(a.Text, strategy.MaxAnswer),
		"finish_reason": orNil(a.Finish), "failure": orNil(a.Failure), "detail": orNil(a.Detail),
		"prompt_tokens": int64(a.PromptTokens), "output_tokens": int64(a.OutputTokens),
	})
	if len(m.answers) > maxAnswers { // of strategies that are gone
		oldest := slices.MinFunc(slices.Sorted(maps.Keys(m.answers)), func(a, b string) int {
			return cmp.Compare(tickOf(m.answers[a]), tickOf(m.answers[b]))
		})
		delete(m.answers, oldest)
	}
}

func tickOf(answer any) int64 {
	f, _ := answer.(map[string]any)
	return integer(f, "tick")
}
