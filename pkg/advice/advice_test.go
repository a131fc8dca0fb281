package advice_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// fleet is some instances on one database, and a model that counts.
func fleet(t *testing.T, n, limit int, model *mem.Advisor) (instances []*advice.Budget, now *time.Time) {
	at := noon
	s := store.New(mem.NewDB(func() time.Time { return noon }))
	for _, id := range []string{"u", "v"} {
		must(t, s.PutUser(t.Context(), user.User{ID: id, Status: user.Active}))
		_, err := s.PutSnapshot(t.Context(), porttest.Snapshot(id, 1, noon))
		must(t, err)
	}
	for range n {
		instances = append(instances, &advice.Budget{Config: advice.Config{CallsPerUserDay: limit}, Next: model, Tally: s, Now: func() time.Time { return at }})
	}
	return instances, &at
}

func question(id string, at int) strategy.Question {
	return strategy.Question{StrategyID: id, Cause: strategy.Cause{Text: fmt.Sprint("c", at)}, Symbols: []string{"SPY", "TLT"}, Prompt: "{}"}
}

// A hundred questions at once, in three instances: exactly the budget's reach the model.
func TestBudgetAcrossInstances(t *testing.T) {
	const limit = 24
	var calls, answered, refused atomic.Int64
	model := mem.NewAdvisor(1)
	model.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) {
		calls.Add(1)
		return nil, nil
	})
	instances, now := fleet(t, 3, limit, model)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for {
				a, err := instances[i%3].Advise(t.Context(), "u", question(fmt.Sprint("s", i), 1))
				switch {
				case errors.Is(err, document.ErrConflict): // the event comes again; a question under way is counted again then
					continue
				case err != nil:
					t.Error(err)
				case a.Failure == strategy.ModelBudgetExceeded:
					refused.Add(1)
				default:
					answered.Add(1)
				}
				return
			}
		})
	}
	wg.Wait()
	if calls.Load() != limit || answered.Load() > limit || answered.Load()+refused.Load() != 100 {
		t.Errorf("%d calls, %d answered, %d refused; want %d calls", calls.Load(), answered.Load(), refused.Load(), limit)
	}
	if a, err := instances[0].Advise(t.Context(), "v", question("s", 1)); err != nil || a.Failure != "" {
		t.Errorf("another user: %+v, %v", a, err)
	}
	*now = now.Add(12 * time.Hour)
	if a, err := instances[0].Advise(t.Context(), "u", question("new", 2)); err != nil || a.Failure != "" {
		t.Errorf("the next day: %+v, %v", a, err)
	}
}

// One cause, one answer: a repeated delivery asks nobody, whatever the model would say by then.
func TestOneCauseOneAnswer(t *testing.T) {
	for name, first := range map[string]strategy.Answer{
		"an answer": {Text: "one", Finish: "STOP"}, "a failure": {Failure: strategy.ModelTimeout, Detail: "late"},
	} {
		model, calls := mem.NewAdvisor(1), 0
		model.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) {
			if calls++; calls > 1 {
				return &strategy.Answer{Text: "another"}, nil
			}
			return &first, nil
		})
		instances, _ := fleet(t, 2, 24, model)
		for i := range 4 {
			a, err := instances[i%2].Advise(t.Context(), "u", question("s", 1))
			if err != nil || a.Text != first.Text || a.Failure != first.Failure || calls != 1 {
				t.Errorf("%s, delivery %d: %+v, %v after %d calls", name, i, a, err, calls)
			}
		}
	}
}

// What is ours to mend is an error, keeps nothing and is asked again.
func TestErrorIsNoAnswer(t *testing.T) {
	model, fault := mem.NewAdvisor(1), errors.New("over")
	model.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) { return nil, fault })
	instances, _ := fleet(t, 1, 24, model)
	if _, err := instances[0].Advise(t.Context(), "u", question("s", 1)); !errors.Is(err, fault) {
		t.Errorf("%v, want the advisor's error", err)
	}
	model.SetHook(nil)
	if a, err := instances[0].Advise(t.Context(), "u", question("s", 1)); err != nil || a.Text == "" {
		t.Errorf("asked again: %+v, %v", a, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
