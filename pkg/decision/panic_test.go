package decision_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// panics is a strategy that does.
type panics struct{}

func (panics) Triggers() strategy.Triggers { return strategy.Triggers{Account: true} }
func (panics) Needs() strategy.Needs       { return strategy.Needs{} }
func (panics) Decide(strategy.Input) (strategy.Decision, error) {
	panic("out of its depth")
}

// Ask does too.
func (panics) Ask(strategy.Input) *strategy.Question { panic("nothing to ask") }

// calm asks in panic, and decides calmly.
type calm struct{ panics }

func (calm) Decide(strategy.Input) (strategy.Decision, error) { return strategy.Decision{}, nil }

// A question that panics denies the run, whatever the strategy would decide without an answer.
func TestPanicOfAnAsker(t *testing.T) {
	now := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	snap := account.Snapshot{ObservedAt: now}
	c := &decision.Case{Strategy: calm{}, Now: now, MaxSnapshotAge: time.Minute}
	if q := c.Question(snap); q != nil {
		t.Errorf("question = %+v", q)
	}
	run := c.Decide(snap, &risk.State{})
	if wants, _ := c.Wants(snap); run.Denial == nil || run.Denial.Code != "STRATEGY_FAILED" || !strings.Contains(run.Denial.Reason, "nothing to ask") || !wants {
		t.Errorf("denial = %+v", run.Denial)
	}
}

// hoarder is a strategy that keeps too much.
type hoarder struct {
	calm
	keeps strategy.State
}

func (h hoarder) Decide(strategy.Input) (strategy.Decision, error) {
	return strategy.Decision{State: h.keeps, Intents: []strategy.Intent{porttest.Buy("SPY", "1")}}, nil
}

// What a strategy keeps in mind is bounded: too much of it is its failure, and none of it is kept.
func TestTooMuchInMind(t *testing.T) {
	now := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	many := strategy.State{}
	for i := range 21 {
		many[strconv.Itoa(i)] = ""
	}
	for want, keeps := range map[string]strategy.State{"21 entries": many, "101 bytes": {"k": strings.Repeat("v", 100)}, "": {"k": strings.Repeat("v", 99)}} {
		c := &decision.Case{Strategy: hoarder{keeps: keeps}, Now: now, MaxSnapshotAge: time.Minute}
		run := c.Decide(account.Snapshot{ObservedAt: now}, &risk.State{})
		failed := run.Denial != nil && run.Denial.Code == "STRATEGY_FAILED" && strings.Contains(run.Denial.Reason, want) && run.Keep == nil && run.Intents == nil
		if failed != (want != "") {
			t.Errorf("%s: %+v, keeps %d entries", want, run.Denial, len(run.Keep))
		}
	}
}

// A strategy that panics is denied, and takes nobody else's run away.
func TestPanicOfAStrategy(t *testing.T) {
	now := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	c := &decision.Case{Strategy: panics{}, Now: now, MaxSnapshotAge: time.Minute}
	run := c.Decide(account.Snapshot{ObservedAt: now}, &risk.State{})
	if run.Denial == nil || run.Denial.Code != "STRATEGY_FAILED" || !strings.Contains(run.Denial.Reason, "out of its depth") {
		t.Errorf("denial = %+v", run.Denial)
	}
}
