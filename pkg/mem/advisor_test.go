package mem_test

import (
	"context"
	"errors"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// The same seed says the same; what it is told to say, or to fail with, comes first.
func TestAdvisor(t *testing.T) {
	ask := func(a *mem.Advisor, cause string) strategy.Answer {
		t.Helper()
		got, err := a.Advise(t.Context(), "u", strategy.Question{StrategyID: "s", Cause: strategy.Cause{Text: cause}, Symbols: []string{"SPY", "TLT"}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, two := mem.NewAdvisor(7), mem.NewAdvisor(7)
	different := map[string]bool{}
	for _, cause := range []string{"a", "b", "c", "d", "e", "f"} {
		if ask(one, cause) != ask(two, cause) {
			t.Errorf("cause %s: the same seed says different things", cause)
		}
		different[ask(one, cause).Text] = true
	}
	if len(different) == 1 {
		t.Errorf("it says always the same: %v", different)
	}
	one.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) {
		return &strategy.Answer{Text: "nonsense"}, nil
	})
	if got := ask(one, "a"); got.Text != "nonsense" {
		t.Errorf("told to talk nonsense, it says %+v", got)
	}
	fault := errors.New("down")
	one.SetHook(func(context.Context, string, strategy.Question) (*strategy.Answer, error) { return nil, fault })
	if _, err := one.Advise(t.Context(), "u", strategy.Question{}); !errors.Is(err, fault) {
		t.Errorf("told to fail: %v", err)
	}
}
