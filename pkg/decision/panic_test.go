package decision_test

import (
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
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

// A strategy that panics is denied, and takes nobody else's run away.
func TestPanicOfAStrategy(t *testing.T) {
	now := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	c := &decision.Case{Strategy: panics{}, Now: now, MaxSnapshotAge: time.Minute}
	run := c.Decide(account.Snapshot{ObservedAt: now}, &risk.State{})
	if run.Denial == nil || run.Denial.Code != "STRATEGY_FAILED" || !strings.Contains(run.Denial.Reason, "out of its depth") {
		t.Errorf("denial = %+v", run.Denial)
	}
}
