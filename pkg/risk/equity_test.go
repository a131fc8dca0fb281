package risk_test

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// The broker moves last_equity on some time in the night. Until that was seen, nobody can say of which of two closes it is,
// and what was withdrawn between them is no loss.
func TestLastEquityMovesLate(t *testing.T) {
	utc := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	const known, unknown = true, false
	for name, c := range map[string]struct {
		last      string // last_equity
		changed   time.Time
		at        time.Time // Tuesday is the 24th; New York is 5 hours behind
		withdrawn time.Time
		known     bool
	}{
		"Tuesday in the evening":                     {"10000", utc(24, 7, 0), utc(25, 4, 50), utc(24, 15, 0), known},
		"after midnight, and it has not moved":       {"10000", utc(24, 7, 0), utc(25, 5, 10), utc(24, 15, 0), unknown},
		"nor was it ever seen to":                    {"10000", time.Time{}, utc(25, 5, 10), utc(24, 15, 0), unknown},
		"but nothing was withdrawn":                  {"5000", utc(24, 7, 0), utc(25, 5, 10), utc(20, 15, 0), known},
		"it has moved":                               {"5000", utc(25, 7, 0), utc(25, 7, 10), utc(24, 15, 0), known},
		"it moved in the evening already":            {"5000", utc(24, 22, 0), utc(24, 22, 10), utc(24, 15, 0), known},
		"it has not, and the exchanges have opened":  {"5000", utc(24, 7, 0), utc(25, 14, 30), utc(24, 15, 0), known},
		"a minute before they open":                  {"5000", utc(24, 7, 0), utc(25, 14, 29), utc(24, 15, 0), unknown},
		"Saturday, not moved since Friday's morning": {"10000", utc(20, 7, 0), utc(21, 15, 0), utc(20, 16, 0), unknown},
		"Saturday, moved in the night":               {"5000", utc(21, 7, 0), utc(21, 15, 0), utc(20, 16, 0), known},
	} {
		snap := fresh()
		snap.ObservedAt, snap.LastEquityAt = c.at, c.changed
		snap.Account.LastEquity, snap.Account.Equity = usd(c.last), usd("5000")
		snap.Flows = account.Flows{At: c.at, Since: c.at.AddDate(0, -1, 0), Total: dec("-5000"), Recent: []account.Flow{{ID: "w", At: c.withdrawn, Seen: c.withdrawn, Amount: usd("-5000")}}}
		s := &risk.State{}
		s.Watch(snap, risk.Levels(risk.Control{}, risk.Control{Limits: risk.ParseLimits(map[string]any{"max_daily_loss_share": "0.1"})}, "st", nil), c.at)
		if f := risk.FlowsOf(snap, s.Mark); f.SinceClose.Valid != c.known || len(s.Breaches) > 0 {
			t.Errorf("%s: flows since the close %+v, want known %t; breaches %+v", name, f.SinceClose, c.known, s.Breaches)
		}
	}
}

// A word on a strategy begins a mark of the strategy's own: the user's stays, and so does the user's limit.
func TestStrategyHasItsOwnMark(t *testing.T) {
	user := risk.Control{Limits: risk.ParseLimits(map[string]any{"max_drawdown_share": "0.2"})}
	own := map[string]any{"max_drawdown_share": "0.05"}
	s, snap := &risk.State{}, fresh()
	look := func(minute float64, equity, breached string) {
		t.Helper()
		snap.Account.Equity, snap.Account.LastEquity, snap.ObservedAt = usd(equity), usd(equity), at(minute)
		s.MarkEquity(snap)
		s.Watch(snap, risk.Levels(risk.Control{}, user, "st", own), at(minute))
		if stored, err := risk.ParseState(s.Fields()); err != nil {
			t.Fatal(err)
		} else {
			s = stored
		}
		got := ""
		for _, b := range s.Breaches {
			got += map[string]string{"": "user ", "st": "strategy "}[b.Strategy]
		}
		if got != breached {
			t.Errorf("minute %v, equity %s: breaches of %q, want %q; %+v", minute, equity, got, breached, s)
		}
	}
	look(0, "10000", "")
	look(1, "8200", "strategy ")
	user.Strategies = map[string]risk.Trading{"st": {State: risk.Active, At: at(2), Author: "a", Reason: "r"}}
	look(3, "8200", "")
	look(4, "7900", "user ") // 21 % of the user's mark, 4 % of the strategy's
	look(5, "7700", "user strategy ")
	user.Strategies["st"] = risk.Trading{State: risk.Active, At: at(6), Author: "a", Reason: "r"}
	look(7, "7700", "user ")
	look(8, "10000", "user ")
	if !s.Strategies["st"].Mark.At.IsZero() && !s.Strategies["st"].Mark.Equity.Decimal.Equal(s.Mark.Equity.Decimal) {
		t.Errorf("where nothing is lost any more the marks are one: %+v", s)
	}
	look(9, "10100", "user ")
	if p := s.Strategies["st"]; !p.Mark.At.IsZero() || !s.Mark.Equity.Decimal.Equal(dec("10100")) {
		t.Errorf("above both, the strategy's own mark is gone: %+v", s)
	}
}

// What securities were worth that came in nobody knows: drawdowns are known again after a person's word, those of the strategies'
// own marks too.
func TestUnvaluedFlowAndOwnMarks(t *testing.T) {
	limits := map[string]map[string]any{"st": {"max_drawdown_share": "0.05"}, "other": {"max_drawdown_share": "0.5"}}
	for name, c := range map[string]struct {
		user, strategy float64 // minutes at which a word is said, 0: none
		want           string  // of a purchase by the strategy
		other          string  // by one without a mark of its own
	}{
		"no word":                {0, 0, risk.DrawdownUnavailable, risk.DrawdownUnavailable},
		"the user's":             {6, 0, "", ""},
		"the strategy's":         {0, 6, "", risk.DrawdownUnavailable},
		"the user's from before": {4, 0, risk.DrawdownUnavailable, risk.DrawdownUnavailable},
		"both":                   {6, 6, "", ""},
	} {
		user := risk.Control{Strategies: map[string]risk.Trading{}}
		s, snap := &risk.State{}, fresh()
		if _, err := s.Turn(noon); err != nil {
			t.Fatal(err)
		}
		look := func(minute float64, equity string) {
			snap.Account.Equity, snap.Account.LastEquity, snap.ObservedAt = usd(equity), usd(equity), at(minute)
			s.MarkEquity(snap)
			for id, l := range limits {
				s.Watch(snap, risk.Levels(risk.Control{}, user, id, l), at(minute))
			}
		}
		word := func(minute float64) risk.Trading {
			return risk.Trading{State: risk.Active, At: at(minute), Author: "a", Reason: "r"}
		}
		look(0, "10000")
		look(1, "9000")
		user.Strategies["st"] = word(2)
		look(3, "9000")
		if m := s.Strategies["st"].Mark; !m.Equity.Decimal.Equal(dec("9000")) || len(s.Breaches) > 0 {
			t.Fatalf("the strategy has no mark of its own: %+v", s)
		}
		snap.Flows.Recent = []account.Flow{{ID: "f", At: at(5), Seen: at(5)}}
		look(5, "9000")
		if c.user > 0 {
			user.Trading = word(c.user)
		}
		if c.strategy > 0 {
			user.Strategies["st"] = word(c.strategy)
		}
		look(7, "9000")
		look(7+24*60, "9000")
		for id, want := range map[string]string{"st": c.want, "other": c.other} {
			in := input(nil)
			in.Now, in.StrategyID, in.State, in.Snapshot = snap.ObservedAt, id, s, snap
			in.Levels = risk.Levels(risk.Control{}, user, id, limits[id])
			if v := risk.New(in).Check(intent(signal.Buy, "AAPL", "1")); code(v) != want {
				t.Errorf("%s: %s: %v, want %q", name, id, v.Denial, want)
			}
		}
	}
}
