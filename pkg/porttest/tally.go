package porttest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

func question(id string, at tick.Tick) strategy.Question {
	return strategy.Question{StrategyID: id, Cause: strategy.Cause{Text: "schedule:" + at.String(), Tick: at}, Model: "gemini-2.5-flash", Prompt: fmt.Sprintf(`{"at":%d}`, at)}
}

func storeQuestions(t *testing.T, s Stores, _ func(string) []map[string]any) {
	first, second := question("s", 100), question("s", 101)
	count := func(q strategy.Question, day string) *strategy.Answer {
		t.Helper()
		kept, err := s.CountQuestion(t.Context(), "u", q, day, 2)
		must(t, err)
		return kept
	}
	if _, err := s.CountQuestion(t.Context(), "u", first, "2026-11-24", 2); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("a question of a removed user: %v, want ErrOutdated", err)
	}
	withSnapshot(t, s)
	for range 2 { // the first to ask died before it had the answer
		if kept := count(first, "2026-11-24"); kept != nil {
			t.Errorf("an answer %+v to what nobody answered", kept)
		}
	}
	said := strategy.Answer{Text: `{"symbol":"SPY"}`, Finish: "STOP", PromptTokens: 7, OutputTokens: 3}
	told, err := s.KeepAnswer(t.Context(), "u", first, said)
	must(t, err)
	if told != said {
		t.Errorf("the first answer is told as %+v", told)
	}
	said.Prompt = first.Prompt
	told, err = s.KeepAnswer(t.Context(), "u", first, strategy.Answer{Text: "another"}) // by a second delivery, at the same time
	must(t, err)
	if diff := cmp.Diff(said, told); diff != "" {
		t.Errorf("a second answer to one cause (-want +got):\n%s", diff)
	}
	if kept := count(first, "2026-11-24"); kept == nil || *kept != said {
		t.Errorf("asked again: %+v, want the first answer", kept)
	}
	if kept := count(second, "2026-11-24"); kept == nil || kept.Failure != strategy.ModelBudgetExceeded {
		t.Errorf("past the budget: %+v", kept)
	}
	if kept := count(second, "2026-11-25"); kept == nil || kept.Failure != strategy.ModelBudgetExceeded {
		t.Errorf("the same cause, delivered after midnight: %+v, want what it was told before", kept)
	}
	if kept := count(question("s", 102), "2026-11-25"); kept != nil {
		t.Errorf("the next day: %+v, want a new budget", kept)
	}
	// An older cause is answered, and does not take the newer one's place.
	must1(t)(s.KeepAnswer(t.Context(), "u", question("s", 102), strategy.Answer{Failure: strategy.ModelTimeout, Detail: "late"}))
	must1(t)(s.KeepAnswer(t.Context(), "u", question("s", 99), said))
	if kept := count(question("s", 102), "2026-11-25"); kept == nil || kept.Failure != strategy.ModelTimeout || kept.Detail != "late" {
		t.Errorf("after an older cause's answer: %+v, want the newer one's", kept)
	}
	// Long answers of many strategies fit into a document.
	for i := range 40 {
		must1(t)(s.KeepAnswer(t.Context(), "u", question(fmt.Sprint("s", i), tick.Tick(200+i)), strategy.Answer{Text: strings.Repeat("é", 9000)}))
	}
	if kept := count(question("s39", 239), "2026-11-25"); kept == nil || len(kept.Text) > strategy.MaxAnswer {
		t.Errorf("the newest answer of many is %+v", kept)
	}
}

// However many instances ask at the same time, exactly so many questions pass.
func storeQuestionRace(t *testing.T, s Stores, _ func(string) []map[string]any) {
	withSnapshot(t, s)
	const limit, racers = 4, 9 // many more wait longer for one document of the emulator than a call may take
	var passed, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			for delivery := 1; ; delivery++ {
				kept, err := s.CountQuestion(t.Context(), "u", question(fmt.Sprint("s", i), 100), "2026-11-24", limit)
				switch {
				case delivery < 20 && (errors.Is(err, document.ErrConflict) || errors.Is(err, document.ErrUnavailable)):
					continue // the event comes again: a call that ran out of time may have counted, and must not count twice
				case err != nil:
					t.Error(err)
				case kept == nil:
					passed.Add(1)
				case kept.Failure == strategy.ModelBudgetExceeded:
					refused.Add(1)
				}
				return
			}
		})
	}
	wg.Wait()
	if passed.Load() != limit || refused.Load() != racers-limit {
		t.Errorf("%d passed, %d were refused; want %d and the rest", passed.Load(), refused.Load(), limit)
	}
}

func must1(t *testing.T) func(strategy.Answer, error) {
	return func(_ strategy.Answer, err error) { t.Helper(); must(t, err) }
}
