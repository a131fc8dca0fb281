package syncer_test

import (
	"fmt"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
)

// Equity that falls by 0.03 % a minute falls by more than the band each few minutes: losses are watched.
func TestSlowLossIsMaterial(t *testing.T) {
	w := newWorld(t)
	equity, changed := 100_000.0, 0
	for m := range 60 {
		w.now = noon.Add(time.Duration(m)*time.Minute + time.Second)
		w.equity = fmt.Sprintf("%.2f", equity)
		if err := w.sync(t, m); err != nil {
			t.Fatal(err)
		}
		if s := w.stored(t); s.Seq == s.ChangedSeq && w.outcome == "written" {
			changed++
		}
		equity *= 1 - 0.0003
	}
	if changed != 15 { // each fourth minute: 0.12 %
		t.Errorf("%d material changes in an hour, want 15", changed)
	}
}

// money goes through syncer and engine together: what came in and left trips nothing, whichever of cash and list knows of it first.
func TestFlowsTripNothing(t *testing.T) {
	type minute struct {
		cash, equity string
		listed       string // amount, by now; "" for nothing
		dateOnly     bool
		account      string
	}
	for name, minutes := range map[string][]minute{
		"a deposit, listed when something is bought": {{cash: "1010", equity: "2000"}, {cash: "1010", equity: "2000"}, {cash: "1005", equity: "2000", listed: "1000"}},
		"a deposit, listed a minute late":            {{cash: "1010", equity: "2000"}, {cash: "1010", equity: "2000", listed: "1000"}, {cash: "1005", equity: "2000", listed: "1000"}},
		"a deposit, listed first":                    {{cash: "9", equity: "1000", listed: "1000", dateOnly: true}, {cash: "1009", equity: "2000", listed: "1000", dateOnly: true}},
		"a withdrawal, listed a minute late":         {{cash: "-590", equity: "400"}, {cash: "-590", equity: "400", listed: "-600"}},
		"a withdrawal, listed first":                 {{cash: "9", equity: "1000", listed: "-600", dateOnly: true}, {cash: "-591", equity: "400", listed: "-600", dateOnly: true}},
		"another account":                            {{cash: "10", equity: "20", account: "b"}, {cash: "9", equity: "20", account: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cash, w.equity = "10", "1000"
			st := &risk.State{}
			levels := risk.Levels(risk.Control{}, risk.Control{Limits: risk.ParseLimits(map[string]any{"max_drawdown_share": "0.2"})}, "s", nil)
			step := func(m int) {
				t.Helper()
				w.now = noon.Add(time.Duration(m)*time.Minute + time.Second)
				if err := w.sync(t, m); err != nil {
					t.Fatal(err)
				}
				s := w.stored(t)
				st.MarkEquity(s)
				st.Watch(s, levels, w.now)
			}
			step(0)
			for i, m := range minutes {
				if w.cash, w.equity = m.cash, m.equity; m.account != "" {
					w.id = m.account
				}
				if m.listed != "" && len(w.listed) == 0 {
					at := noon.Add(time.Duration(i+1) * time.Minute)
					if m.dateOnly {
						at = time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)
					}
					w.listed = []account.Flow{{ID: "f", At: at, Amount: decimal.NewNullDecimal(decimal.RequireFromString(m.listed))}}
				}
				step(i + 1)
			}
			for m := range 20 {
				step(len(minutes) + 1 + m)
			}
			if len(st.Breaches) > 0 {
				t.Errorf("tripped: %+v, mark %+v", st.Breaches, st.Mark)
			}
			if s := w.stored(t); !s.Flows.KnownAt(w.now) || st.Mark.Equity.Decimal.String() != w.equity {
				t.Errorf("at the end: mark %s of equity %s, flows %+v", st.Mark.Equity.Decimal, w.equity, s.Flows)
			}
		})
	}
}
