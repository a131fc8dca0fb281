package risk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

func at(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }

// reserved is a state with one reservation, "a": a buy of GLD for 100 at noon, of which 2 shares are held; it expires a quarter of
// an hour later.
func reserved(t *testing.T) *risk.State {
	t.Helper()
	s := &risk.State{}
	if _, err := s.Turn(noon); err != nil {
		t.Fatal(err)
	}
	if !s.Reserve(signal.Signal{ID: "a", StrategyID: "st", Symbol: "GLD", Action: signal.Buy, Notional: dec("100"), CreatedAt: noon, ExpiresAt: at(15)}, dec("100"), account.Snapshot{Positions: []account.Position{{Symbol: "GLD", Qty: dec("2")}}}) {
		t.Fatal("no room")
	}
	return s
}

// What releases a reservation, and what does not.
func TestRelease(t *testing.T) {
	snap := func(minute float64, held string, orders ...account.Order) account.Snapshot {
		return account.Snapshot{ObservedAt: at(minute), DetailAt: at(minute), Positions: []account.Position{{Symbol: "GLD", Qty: dec(held), CurrentPrice: usd("1")}}, OpenOrders: orders}
	}
	late := snap(3, "3")
	late.DetailAt = at(1)
	blind := snap(3, "3")
	blind.Incomplete = true
	mine, other := account.Order{ClientOrderID: "a", Symbol: "GLD"}, account.Order{ClientOrderID: "by hand", Symbol: "GLD"}
	executed, rejected := risk.Word{Status: signal.Executed, At: at(2)}, risk.Word{Status: signal.Rejected, At: at(2)}
	lately := risk.Word{Status: signal.Executed, At: at(14)}
	for name, c := range map[string]struct {
		word     risk.Word
		snap     account.Snapshot
		now      float64
		next     float64 // a second snapshot, which shows no order any more; 0: there is none
		held     bool
		reserved string
		ended    signal.Status
	}{
		"no word":                                     {risk.Word{}, snap(3, "3"), 14.9, 0, true, "100", ""},
		"no word, its order is there":                 {risk.Word{}, snap(3, "2", mine), 3, 0, true, "100", ""},
		"no word, a snapshot since":                   {risk.Word{}, snap(3, "2", mine), 3, 4, true, "0", ""},
		"no word, expired":                            {risk.Word{}, snap(3, "2"), 15, 0, false, "0", signal.Expired},
		"no word, expired, order there":               {risk.Word{}, snap(3, "2", mine), 15, 0, true, "100", ""},
		"no word, expired, but its order was there":   {risk.Word{}, snap(3, "2", mine), 15, 4, false, "0", signal.Executed},
		"executed, snapshot from before":              {executed, snap(2, "3"), 4, 0, true, "100", ""},
		"executed, snapshot shows nothing":            {executed, snap(3, "2"), 4, 5, true, "100", ""},
		"executed, the position moved":                {executed, snap(3, "102"), 4, 0, true, "100", ""},
		"executed, it moved, and a snapshot since":    {executed, snap(3, "102"), 4, 3.1, false, "0", ""},
		"executed, it moved, others are on their way": {executed, snap(3, "102", other), 4, 5, true, "100", ""},
		"executed, half of it in the position":        {executed, snap(3, "52"), 4, 5, false, "0", ""},
		"executed, something else in the position":    {executed, snap(3, "51"), 4, 5, true, "100", ""},
		"executed, the position moved the other way":  {executed, snap(3, "1"), 4, 5, true, "100", ""},
		"executed, positions from before the word":    {executed, late, 4, 0, true, "100", ""},
		"executed, positions are incomplete":          {executed, blind, 4, 0, true, "100", ""},
		"executed, the order is there":                {executed, snap(3, "2", mine), 4, 0, true, "100", ""},
		"executed, the same again":                    {executed, snap(3, "2", mine), 4, 3, true, "100", ""},
		"executed, a snapshot since":                  {executed, snap(3, "2", mine), 4, 3.1, false, "0", ""},
		"executed, never shown, expired":              {executed, snap(16, "2"), 17, 0, true, "100", ""},
		"executed, never shown, a minute later":       {executed, snap(16.1, "2"), 17, 0, false, "0", ""},
		"executed, never shown, no snapshot since":    {executed, snap(2, "2"), 500, 0, true, "100", ""},
		"executed late, expired":                      {lately, snap(19, "2"), 100, 0, true, "100", ""},
		"executed late, five minutes later":           {lately, snap(19.1, "2"), 100, 0, false, "0", ""},
		"rejected, snapshot from before":              {rejected, snap(2, "2"), 4, 0, true, "100", ""},
		"rejected, a snapshot since":                  {rejected, snap(2.1, "2"), 4, 0, false, "0", ""},
		"rejected, expired":                           {rejected, snap(2, "2"), 15, 0, false, "0", ""},
		"rejected, and its order is there":            {rejected, snap(2.1, "2", mine), 15, 0, true, "100", ""},
		"the document is gone, snapshot from before":  {risk.Word{At: at(2)}, snap(1, "2"), 4, 0, true, "100", ""},
		"the document is gone, a snapshot since then": {risk.Word{At: at(2)}, snap(3, "2"), 4, 0, false, "0", ""},
	} {
		s := reserved(t)
		if !c.word.At.IsZero() && !s.Settle("a", c.word) {
			t.Errorf("%s: the word was not taken", name)
		}
		s.Observe(c.snap)
		ended := s.Release(c.snap, at(c.now))
		if c.next != 0 {
			next := snap(c.next, "2")
			next.Positions = c.snap.Positions
			s.Observe(next)
			ended, c.snap = append(ended, s.Release(next, at(c.now))...), next
		}
		var status signal.Status
		if len(ended) > 0 {
			status = ended[0].Status
		}
		if got := s.Reserved(c.snap); (len(s.Reservations) == 1) != c.held || !got.Equal(dec(c.reserved)) || status != c.ended {
			t.Errorf("%s: %d left, %s reserved, ended %q; want %t, %s, %q", name, len(s.Reservations), got, status, c.held, c.reserved, c.ended)
		}
	}
}

// A word may come twice, and be taken back; the first time it was heard counts.
func TestSettle(t *testing.T) {
	s := reserved(t)
	for _, c := range []struct {
		id       string
		word     risk.Word
		changed  bool
		executed bool
		at       float64
		notional string // of the day
		orders   int64
	}{
		{"b", risk.Word{Status: signal.Executed, At: at(1)}, false, false, 0, "100", 1},
		{"a", risk.Word{Status: signal.Pending, At: at(1)}, false, false, 0, "100", 1},
		{"a", risk.Word{Status: signal.Rejected, At: at(2)}, true, false, 2, "0", 1},
		{"a", risk.Word{Status: signal.Rejected, At: at(3)}, false, false, 2, "0", 1},
		{"a", risk.Word{Status: signal.Executed, At: at(4)}, true, true, 4, "100", 1},
		{"a", risk.Word{Status: signal.Executed, At: at(5)}, false, true, 4, "100", 1},
	} {
		changed := s.Settle(c.id, c.word)
		r := s.Reservations[0]
		if changed != c.changed || r.Executed != c.executed || (c.at != 0 && !r.SettledAt.Equal(at(c.at))) || !s.Day.Notional.Equal(dec(c.notional)) || s.Day.Orders != c.orders {
			t.Errorf("%+v: changed %t, %+v, day %+v", c, changed, r, s.Day)
		}
	}
	if !s.Traded["GLD"].Equal(at(4)) {
		t.Errorf("the cool-down runs from %s, want the word", s.Traded["GLD"])
	}
}

// The day's counts turn at midnight in New York; what was never traded is taken back, on its day.
func TestDay(t *testing.T) {
	s := reserved(t)
	if want := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC); !s.Day.Start.Equal(want) || !s.Day.End.Equal(want.Add(24*time.Hour)) {
		t.Errorf("day = %+v", s.Day)
	}
	if c, ok := s.Supersede("st", "GLD", "b"); !ok || c != (risk.Closing{SignalID: "a", Status: signal.Expired, By: "b"}) {
		t.Errorf("superseded: %+v, %t", c, ok)
	}
	if !s.Day.Notional.IsZero() || s.Day.Orders != 0 || s.Strategies["st"].Orders != 0 {
		t.Errorf("day after supersession = %+v", s.Day)
	}
	s = reserved(t)
	if changed, err := s.Turn(s.Day.End.Add(-time.Second)); changed || err != nil {
		t.Errorf("turned within the day: %v", err)
	}
	if changed, err := s.Turn(s.Day.End); !changed || err != nil || s.Day.Orders != 0 || s.Strategies["st"].Orders != 0 {
		t.Errorf("at midnight: %t, %v, %+v", changed, err, s.Day)
	}
	s.Settle("a", risk.Word{Status: signal.Rejected, At: at(2)})
	if s.Day.Notional.IsNegative() {
		t.Error("yesterday's signal was taken from today's count")
	}
	for date, hours := range map[string]int{"2026-03-08": 23, "2026-11-01": 25, "2026-11-02": 24} {
		noon, err := time.Parse(time.DateOnly+" 15:04", date+" 17:00")
		if err != nil {
			t.Fatal(err)
		}
		d, err := risk.NewDay(noon)
		if err != nil || d.End.Sub(d.Start) != time.Duration(hours)*time.Hour {
			t.Errorf("%s is %s long (%v), want %d hours", date, d.End.Sub(d.Start), err, hours)
		}
	}
}

// A deposit or a withdrawal trips nothing and hides nothing: the share lost stays what it was.
func TestFlows(t *testing.T) {
	levels := risk.Levels(risk.Control{}, risk.Control{Limits: risk.ParseLimits(map[string]any{"max_daily_loss_share": "0.21", "max_drawdown_share": "0.21"})}, "st", nil)
	type step struct {
		equity, flow string // flow since the step before
	}
	for name, c := range map[string]struct {
		steps []step
		lost  string // share of the mark at the end, to 4 places
		trips bool
	}{
		"a loss":                                    {[]step{{"80", "0"}}, "0.2", false},
		"a larger loss":                             {[]step{{"78", "0"}}, "0.22", true},
		"all but a little is withdrawn":             {[]step{{"5", "-95"}}, "0", false},
		"ten times as much is paid in":              {[]step{{"1100", "1000"}}, "0", false},
		"a withdrawal after a loss":                 {[]step{{"80", "0"}, {"40", "-40"}}, "0.2", false},
		"a deposit after a loss":                    {[]step{{"80", "0"}, {"480", "400"}}, "0.2", false},
		"a third of a cent, again and again":        {[]step{{"80", "0"}, {"79.997", "-0.003"}, {"79.994", "-0.003"}, {"79.991", "-0.003"}}, "0.2", false},
		"a withdrawal, and then the rest is halved": {[]step{{"80", "0"}, {"40", "-40"}, {"20", "0"}}, "0.6", true},
		"a deposit, and then a quarter is lost":     {[]step{{"80", "0"}, {"480", "400"}, {"360", "0"}}, "0.4", true},
		"a deposit does not raise the mark":         {[]step{{"90", "0"}, {"290", "200"}, {"290", "0"}}, "0.1", false},
		"a gain does":                               {[]step{{"200", "0"}, {"160", "0"}}, "0.2", false},
	} {
		s, snap := &risk.State{}, fresh()
		equity := func(v string, minute int) {
			snap.Account.Equity, snap.ObservedAt = usd(v), at(float64(minute))
			snap.Account.LastEquity = snap.Account.Equity // the day's loss is the next test's
		}
		equity("100", 0)
		s.MarkEquity(snap)
		for i, step := range c.steps {
			equity(step.equity, i+1)
			snap.Flows.Total = snap.Flows.Total.Add(dec(step.flow))
			s.MarkEquity(snap)
			s.Watch(snap, levels, snap.ObservedAt)
		}
		lost := s.Mark.Equity.Decimal.Sub(snap.Account.Equity.Decimal).DivRound(s.Mark.Equity.Decimal, 4)
		if !lost.Equal(dec(c.lost)) || (len(s.Breaches) > 0) != c.trips {
			t.Errorf("%s: lost %s of %s, breaches %v; want %s, %t", name, lost, s.Mark.Equity.Decimal, s.Breaches, c.lost, c.trips)
		}
	}
	for name, c := range map[string]struct {
		last, equity, flow string
		trips              bool
	}{
		"a loss": {"100", "79", "0", false}, "a larger loss": {"100", "78.99", "0", true}, "a withdrawal": {"100", "10", "-90", false},
		"a loss and a withdrawal": {"100", "30", "-50", false}, "a loss and a deposit": {"100", "1080", "1000", false}, "a loss of the deposit": {"100", "850", "1000", true},
		"a gain hides no withdrawal": {"100", "60", "-50", false},
	} {
		snap := fresh()
		snap.Account.LastEquity, snap.Account.Equity = usd(c.last), usd(c.equity)
		s := &risk.State{}
		snap.Flows.Recent = []account.Flow{
			{ID: "before", At: time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC), Amount: usd("-1000000")}, // the close itself
			{ID: "since", At: time.Date(2026, 11, 23, 21, 0, 1, 0, time.UTC), Amount: usd(c.flow)},
		}
		s.Watch(snap, levels, noon)
		if (len(s.Breaches) > 0) != c.trips {
			t.Errorf("%s: %+v, want a breach: %t", name, s.Breaches, c.trips)
		}
	}
}

// What is left where all was withdrawn, or where all was lost and more was paid in.
func TestNothingIsLeft(t *testing.T) {
	levels := risk.Levels(risk.Control{}, risk.Control{Limits: risk.ParseLimits(map[string]any{"max_drawdown_share": "0.21"})}, "st", nil)
	for name, c := range map[string]struct {
		equity, flow string
		trips        bool
	}{
		"all is withdrawn": {"0", "-10000", false}, "all but a fifth is lost, and the rest withdrawn": {"0", "-8000", false}, "a half is lost, and the rest withdrawn": {"0", "-5000", true},
		"all is lost": {"0", "0", true}, "all is lost and paid in again": {"10000", "10000", true}, "more is lost than there was": {"900", "1000", true},
	} {
		s, snap := &risk.State{}, fresh()
		s.MarkEquity(snap)
		snap.Account.Equity, snap.Account.LastEquity, snap.ObservedAt, snap.Flows.Total = usd(c.equity), usd(c.equity), at(1), dec(c.flow)
		s.MarkEquity(snap)
		s.Watch(snap, levels, at(1))
		if (len(s.Breaches) > 0) != c.trips {
			t.Errorf("%s: %+v, want a breach: %t", name, s.Breaches, c.trips)
		}
	}
}

// Where flows are not known, nothing is tripped, and nothing forgotten; where they are counted anew, the mark begins anew.
func TestFlowsUnknown(t *testing.T) {
	levels := risk.Levels(risk.Control{}, risk.Control{Limits: risk.ParseLimits(map[string]any{"max_daily_loss_share": "0.1", "max_drawdown_share": "0.1"})}, "st", nil)
	s, snap := &risk.State{}, fresh()
	look := func(minute float64, equity string, change func(*account.Flows)) {
		t.Helper()
		snap.Account.Equity, snap.ObservedAt = usd(equity), at(minute)
		change(&snap.Flows)
		s.MarkEquity(snap)
		s.Watch(snap, levels, snap.ObservedAt)
	}
	want := func(name, mark string, breaches int) {
		t.Helper()
		if s.Mark.Equity.Valid != (mark != "") || (mark != "" && !s.Mark.Equity.Decimal.Equal(dec(mark))) || len(s.Breaches) != breaches {
			t.Errorf("%s: mark %+v, breaches %+v; want %s, %d", name, s.Mark, s.Breaches, mark, breaches)
		}
	}
	look(0, "10000", func(f *account.Flows) { f.Gap = at(-1) })
	want("at first", "", 0)
	look(1, "10000", func(f *account.Flows) { f.Gap = time.Time{} })
	want("then they are known", "10000", 0)
	look(2, "1000", func(f *account.Flows) { f.Gap = at(1) })
	want("a loss or a withdrawal", "10000", 0)
	look(3, "1000", func(f *account.Flows) {
		f.Gap, f.Total, f.Recent = time.Time{}, dec("-9000"), []account.Flow{{ID: "w", At: at(1), Seen: at(3), Amount: usd("-9000")}}
	})
	want("it was a withdrawal", "1000", 0)
	look(4, "11000", func(f *account.Flows) {
		f.Total, f.Recent = dec("1000"), append(f.Recent, account.Flow{ID: "d", At: at(4), Seen: at(4), Amount: usd("10000")})
	})
	look(5, "10500", func(*account.Flows) {})
	want("a deposit of ten times as much, and a small loss", "11000", 0)
	look(6, "12500", func(*account.Flows) {}) // money came, and is not listed yet: taken for a gain
	look(7, "12500", func(f *account.Flows) {
		f.Total, f.Recent = dec("3000"), append(f.Recent, account.Flow{ID: "late", At: at(5.5), Seen: at(7), Amount: usd("2000")})
	})
	want("a deposit that was booked late", "12500", 0)
	look(8, "12500", func(f *account.Flows) {
		f.Recent = append(f.Recent, account.Flow{ID: "shares", At: at(8), Seen: at(8)})
	})
	levels[1].Trading = risk.Trading{State: risk.Active, At: at(7.5)}
	look(9, "9000", func(*account.Flows) {})
	want("shares of unknown value, and an older word", "12500", 0)
	levels[1].Trading.At = at(9.5)
	look(10, "9000", func(*account.Flows) {})
	want("a person's word", "9000", 0)
	look(11, "9100", func(f *account.Flows) { f.Since, f.Total = at(11), dec("0") })
	want("counted anew", "9100", 0)
	snap.Flows.Recent = nil
	look(12, "8000", func(*account.Flows) {})
	want("a loss", "9100", 2)
}

// A breach moves down by itself and up by a person's word alone: Active, of the same level, later, and not from the future.
func TestBreach(t *testing.T) {
	snap := fresh()
	limits := risk.ParseLimits(map[string]any{"max_drawdown_share": "0.1"})
	word := func(state risk.TradingState, minute float64) risk.Trading {
		return risk.Trading{State: state, Reason: "looked at", Author: "a", At: at(minute)}
	}
	for name, c := range map[string]struct {
		platform, user, strategy risk.Trading
		own                      bool // the limit is the strategy's
		lifted                   bool
	}{
		"nobody says anything":         {risk.Trading{}, risk.Trading{}, risk.Trading{}, false, false},
		"the user":                     {risk.Trading{}, word(risk.Active, 5), risk.Trading{}, false, true},
		"the user, before the breach":  {risk.Trading{}, word(risk.Active, -1), risk.Trading{}, false, false},
		"the user, in the future":      {risk.Trading{}, word(risk.Active, 12), risk.Trading{}, false, false},
		"the user says reducing":       {risk.Trading{}, word(risk.Reducing, 5), risk.Trading{}, false, false},
		"the platform":                 {word(risk.Active, 5), risk.Trading{}, risk.Trading{}, false, false},
		"the strategy, a user's limit": {risk.Trading{}, risk.Trading{}, word(risk.Active, 5), false, false},
		"the strategy, its own limit":  {risk.Trading{}, risk.Trading{}, word(risk.Active, 5), true, true},
		"the user, a strategy's limit": {risk.Trading{}, word(risk.Active, 5), risk.Trading{}, true, false},
	} {
		s := &risk.State{Mark: risk.Mark{Equity: usd("12000"), At: at(-60)}}
		levels := risk.Levels(risk.Control{Trading: c.platform}, risk.Control{Trading: c.user, Strategies: map[string]risk.Trading{"st": c.strategy}}, "st", nil)
		if levels[1].Limits = limits; c.own {
			levels[1].Limits, levels[2].Limits = risk.Limits{}, limits
		}
		if !s.Watch(snap, levels, noon) || len(s.Breaches) != 1 || s.Watch(snap, levels, at(0.5)) {
			t.Errorf("%s: breaches %+v, want one, once", name, s.Breaches)
		}
		s.Mark.Equity = usd("10000") // what was lost is made up for: the breach stays
		s.Watch(snap, levels, at(10))
		if (len(s.Breaches) == 0) != c.lifted {
			t.Errorf("%s: breaches %+v, want it lifted: %t", name, s.Breaches, c.lifted)
		}
	}
	// After a drawdown was lifted the mark begins anew: the same loss does not trip again.
	s := &risk.State{Mark: risk.Mark{Equity: usd("12000"), At: at(-60)}}
	levels := risk.Levels(risk.Control{}, risk.Control{Limits: limits}, "st", nil)
	s.Watch(snap, levels, noon)
	levels[1].Trading = word(risk.Active, 5)
	s.Watch(snap, levels, at(6))
	if s.Watch(snap, levels, at(7)); len(s.Breaches) != 0 || !s.Mark.Equity.Decimal.Equal(dec("10000")) {
		t.Errorf("after the word: %+v, mark %s", s.Breaches, s.Mark.Equity.Decimal)
	}
}

// What is stored is read back, through the database's own form.
func TestStateRoundTrip(t *testing.T) {
	s := reserved(t)
	s.Settle("a", risk.Word{Status: signal.Executed, At: at(1)})
	s.Mark = risk.Mark{Equity: usd("12.34567891"), At: noon, Flow: dec("-7.5")}
	s.Breaches = []risk.Breach{{Code: risk.DrawdownExceeded, At: noon, Value: dec("5"), Bound: dec("4.5")}, {Strategy: "st", Code: risk.DailyLossExceeded, At: noon}}
	b := signal.Batch{StrategyID: "st", Cause: "c1", CauseTick: 7}
	s.Ran(b, strategy.State{"in": "SPY"})
	aside := signal.Batch{StrategyID: "st", Cause: "demand:d", CauseTick: 99, Aside: true} // by a clock that is ahead
	s.Ran(aside, nil)
	body, err := document.Encode("projects/p/databases/(default)", document.Document{Path: "users/u/riskState/current", Fields: s.Fields()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := risk.ParseState(d.Fields)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if done, outdated := got.Seen(b); !done || outdated {
		t.Errorf("Seen = %t, %t", done, outdated)
	}
	if done, outdated := got.Seen(aside); !done || outdated {
		t.Errorf("Seen of a demand = %t, %t", done, outdated)
	}
	if done, outdated := got.Seen(signal.Batch{StrategyID: "st", Cause: "edit:e", CauseTick: 6, Aside: true}); done || outdated {
		t.Errorf("Seen of another, earlier by its clock = %t, %t", done, outdated)
	}
	if done, outdated := got.Seen(signal.Batch{StrategyID: "st", Cause: "schedule:s", CauseTick: 8}); done || outdated {
		t.Errorf("Seen of a slot before the demand = %t, %t", done, outdated)
	}
	if _, outdated := got.Seen(signal.Batch{StrategyID: "st", Cause: "c0", CauseTick: 6}); !outdated {
		t.Error("an earlier cause is not outdated")
	}
	for name, f := range map[string]map[string]any{
		"reservations": {"reservations": "none"}, "notional": {"reservations": []any{map[string]any{"notional": "much"}}}, "day_start": {"day_start": "today"},
		"high_water_mark": {"high_water_mark": true}, "last_cause": {"strategies": map[string]any{"st": map[string]any{"last_cause": "7"}}},
	} {
		if _, err := risk.ParseState(f); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v, want an error that names %s", f, err, name)
		}
	}
	// The shape from before there were reservations.
	former, err := risk.ParseState(map[string]any{"open": map[string]any{"st|SPY": "id"}, "last_cause": map[string]any{"st": int64(7)}})
	if err != nil || len(former.Doubtful("other", noon)) != 1 || former.Strategies["st"].Tick != 7 {
		t.Errorf("former shape: %+v, %v", former, err)
	}
}

// However long a user trades, the state stays within its bounds, and within the document's.
func TestStateIsBounded(t *testing.T) {
	s := &risk.State{}
	for i := range 3000 {
		now := noon.Add(time.Duration(i) * time.Second)
		if _, err := s.Turn(now); err != nil {
			t.Fatal(err)
		}
		sig := signal.Signal{ID: signal.ID("u", fmt.Sprint(i), "SYM", "cause"), StrategyID: fmt.Sprintf("strategy-%d", i%100), Symbol: fmt.Sprintf("SYM%d", i), CreatedAt: now, ExpiresAt: now.Add(time.Hour), Notional: dec("123456.78")}
		s.Reserve(sig, dec("123456.78"), account.Snapshot{Positions: []account.Position{{Symbol: sig.Symbol, Qty: dec("0.123456789")}}})
		s.Settle(sig.ID, risk.Word{Status: signal.Executed, At: now})
		s.Ran(signal.Batch{StrategyID: sig.StrategyID, Cause: "schedule:20261124T0930Z", CauseTick: 9}, strategy.State{"k": strings.Repeat("v", 100)})
	}
	if len(s.Reservations) != 400 || len(s.Strategies) != 100 || len(s.Traded) > 500 {
		t.Errorf("%d reservations, %d strategies, %d symbols", len(s.Reservations), len(s.Strategies), len(s.Traded))
	}
}

// The state that has all that its bounds allow still fits its document, and can be read.
func TestStateAtItsWorst(t *testing.T) {
	const most = "-1234567890123456789012345678901.123456789012345678901234567891" // as long as figures are read
	memory := strategy.State{}
	for i := range strategy.MaxEntries {
		memory[fmt.Sprintf("key%02d", i)] = strings.Repeat("v", strategy.MaxEntry-5)
	}
	if err := memory.Check(); err != nil {
		t.Fatal(err)
	}
	s, snap := &risk.State{Traded: map[string]time.Time{}}, fresh()
	if _, err := s.Turn(noon); err != nil {
		t.Fatal(err)
	}
	wide := func(i int, prefix string, n int) string { return prefix + fmt.Sprintf("%0*d", n-len(prefix), i) }
	l := risk.Lookout{Now: noon, Strategies: map[string]map[string]any{}}
	for i := range 200 {
		l.Strategies[wide(i, "st", strategy.MaxID)] = map[string]any{"max_drawdown_share": "0.1", "max_daily_loss_share": "0.123456789012345678901234567891"}
	}
	s.Mark, snap.Account.Equity, snap.Account.LastEquity = risk.Mark{Equity: usd("12000"), At: at(-60)}, usd("5000"), usd("10000.01")
	l.Mark(risk.View{Snapshot: snap, State: s})
	for i := range 500 {
		sig := signal.Signal{ID: signal.ID("u", fmt.Sprint(i), "", ""), StrategyID: wide(i%100, "st", strategy.MaxID), Symbol: wide(i, "S", 20), Action: signal.Sell, Notional: dec("1234567890123456789012345678.12"), Qty: usd(most), CreatedAt: noon, ExpiresAt: at(15)}
		s.Reserve(sig, dec(most), account.Snapshot{Positions: []account.Position{{Symbol: sig.Symbol, Qty: dec(most)}}})
		s.Settle(sig.ID, risk.Word{Status: signal.Executed, At: noon})
		s.Traded[sig.Symbol] = noon
	}
	for i := range s.Reservations {
		s.Reservations[i].ShownAt, s.Reservations[i].Mixed = noon, true
	}
	for i := range s.Breaches {
		s.Breaches[i].Value = dec(most)
	}
	for id := range l.Strategies {
		for n := range 10 {
			cause := wide(n, "demand:", 107)
			s.Ran(signal.Batch{StrategyID: id, Cause: cause, CauseTick: tick.Of(noon), Now: noon}, memory)
			s.Ran(signal.Batch{StrategyID: id, Cause: cause, Aside: true, Now: noon}, memory)
		}
		if p, ok := s.Strategies[id]; ok {
			p.Notional, p.Orders, p.Mark = dec(most), 1<<40, risk.Mark{Equity: usd(most), At: noon, Flow: dec(most)}
			s.Strategies[id] = p
		}
	}
	body, err := document.Encode("projects/p/databases/(default)", document.Document{Path: "users/u/riskState/current", Fields: s.Fields()})
	if err != nil || len(body) > 900<<10 || len(body)>>10 != 775 {
		t.Errorf("%d bytes, %v; want the 775 KiB that state.go tells of, and 900 at most", len(body), err)
	}
	if len(s.Reservations) != 400 || len(s.Strategies) != 100 || len(s.Traded) != 500 || len(s.Breaches) != 202 {
		t.Errorf("%d reservations, %d strategies, %d symbols, %d breaches", len(s.Reservations), len(s.Strategies), len(s.Traded), len(s.Breaches))
	}
	stored(t, s)
}

// An id that is too long gets no place, no reservation and no breach: nothing of it can fill the state.
func TestLongID(t *testing.T) {
	s, id := &risk.State{Mark: risk.Mark{Equity: usd("12000"), At: at(-60)}}, strings.Repeat("x", strategy.MaxID+1)
	l := risk.Lookout{Now: noon, Strategies: map[string]map[string]any{id: {"max_drawdown_share": "0.1"}}}
	l.Mark(risk.View{Snapshot: fresh(), State: s})
	if s.Ran(signal.Batch{StrategyID: id, Cause: "edit:e", Aside: true, Now: noon}, nil) || s.Reserve(signal.Signal{ID: "a", StrategyID: id}, dec("1"), fresh()) ||
		len(s.Strategies)+len(s.Reservations)+len(s.Breaches) != 0 {
		t.Errorf("%+v; want nothing in it", s)
	}
}

func TestControls(t *testing.T) {
	c := risk.ParseControl(map[string]any{
		"trading_state": " reducing ", "reason": "r", "author": "a", "set_at": noon, "updated_at": noon,
		"limits":     map[string]any{"max_trade_usd": " 5.5 ", "allow_symbols": []any{"spy "}, "max_day_usd": nil, "hours": "ANY"},
		"strategies": map[string]any{"st": map[string]any{"trading_state": "Halted"}},
	})
	if len(c.Limits.Invalid) != 0 || c.Trading != (risk.Trading{State: risk.Reducing, Reason: "r", Author: "a", At: noon}) || c.Strategies["st"].State != risk.Halted || !cmp.Equal(c.Limits.Allow, []string{"SPY"}) {
		t.Errorf("controls = %+v", c)
	}
	for _, f := range []map[string]any{
		{"limit": map[string]any{}}, {"limits": "none"}, {"trading_state": "HALT"}, {"trading_state": true}, {"strategies": []any{}},
		{"strategies": map[string]any{"st": "HALTED"}}, {"strategies": map[string]any{"st": map[string]any{"state": "HALTED"}}}, {"strategies": map[string]any{"st": map[string]any{"trading_state": "off"}}},
		{"limits": map[string]any{"max_trade": 5.0}}, {"limits": map[string]any{"max_trade_usd": "much"}}, {"limits": map[string]any{"max_trade_usd": true}}, {"limits": map[string]any{"max_trade_usd": -1.0}},
		{"limits": map[string]any{"max_trade_usd": ""}}, {"limits": map[string]any{"max_daily_loss_share": 5.0}}, {"limits": map[string]any{"max_positions": 1.5}}, {"limits": map[string]any{"hours": "night"}},
		{"limits": map[string]any{"deny_symbols": "GME"}}, {"limits": map[string]any{"deny_symbols": []any{"GME", 7.0}}}, {"limits": map[string]any{"allow_symbols": []any{"G M E"}}},
	} {
		if c := risk.ParseControl(f); len(c.Limits.Invalid) != 1 {
			t.Errorf("%v: invalid %v, want one field", f, c.Limits.Invalid)
		}
	}
	if l := risk.Levels(c, risk.Control{}, "st", nil); len(l[0].Limits.Invalid) != 1 || len(c.Limits.Invalid) != 0 {
		t.Error("strategies among the platform's controls were ignored")
	}
	for _, c := range []struct {
		state          risk.TradingState
		reason, author string
		at             time.Time
		ok             bool
	}{
		{"halted", "r", "a", noon, true}, {"", "r", "a", noon, false}, {"off", "r", "a", noon, false}, {risk.Active, " ", "a", noon, false}, {risk.Active, "r", "", noon, false}, {risk.Active, "r", "a", time.Time{}, false},
	} {
		if _, err := risk.SetTrading(c.state, c.reason, c.author, c.at); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// placed is what a buy of GLD comes to on a snapshot, in a transaction at that time.
func placed(t *testing.T, s *risk.State, snap account.Snapshot, strategyID, usd string, now time.Time) signal.Signal {
	t.Helper()
	ended, changed, err := s.Refresh(nil, snap, now)
	if err != nil {
		t.Fatal(err)
	}
	r := risk.Run{
		Batch: signal.Batch{UserID: "u", StrategyID: strategyID, Cause: "c", CauseTick: 1, Now: now}, Input: risk.Input{MaxSnapshotAge: 5 * time.Minute},
		Life: 15 * time.Minute, Intents: []strategy.Intent{intent(signal.Buy, "GLD", usd)},
	}
	return r.Plan(risk.View{Snapshot: snap, State: s, Ended: ended, Changed: changed}).Signals[0]
}

// A snapshot's account is read before the order comes to the broker, its orders after that: the buying power is spent, and not
// counted yet.
func TestTornSnapshot(t *testing.T) {
	s, snap := &risk.State{}, fresh()
	first := placed(t, s, snap, "one", "1000", noon)
	s.Settle(first.ID, risk.Word{Status: signal.Executed, At: at(1)})
	snap.ObservedAt, snap.DetailAt, snap.Version = at(1.001), at(1.001), at(1.01)
	snap.OpenOrders = []order{{ClientOrderID: first.ID, Symbol: "GLD", Side: "buy", Notional: usd("1000")}}
	if sig := placed(t, s, snap, "two", "1000", at(1.02)); sig.DenialCode != risk.BuyingPowerExceeded {
		t.Errorf("%s on the snapshot that shows the order first; want a denial", sig.Status)
	}
	snap.ObservedAt, snap.Version = at(1.005), at(1.03) // begun before that one was written
	if sig := placed(t, s, snap, "three", "1000", at(1.04)); sig.DenialCode != risk.BuyingPowerExceeded {
		t.Errorf("%s on another that was read at the same time; want a denial", sig.Status)
	}
	snap.ObservedAt, snap.Version = at(2), at(2.1)
	if sig := placed(t, s, snap, "four", "1000", at(2.2)); sig.Status != signal.Pending {
		t.Errorf("%s %s on a snapshot that was begun later, with the same buying power", sig.Status, sig.DenialCode)
	}
}

// Another order's fill is not taken for the fill of one that is claimed and not sent yet.
func TestAnothersFill(t *testing.T) {
	for name, c := range map[string]struct{ byHand, between bool }{"another signal's": {}, "the owner's own, open then": {byHand: true}, "the owner's own, open later": {byHand: true, between: true}} {
		s, snap := &risk.State{}, fresh()
		other := order{ClientOrderID: "by hand", Symbol: "GLD", Side: "buy", Notional: usd("500")}
		if !c.byHand {
			first := placed(t, s, snap, "one", "500", noon)
			s.Settle(first.ID, risk.Word{Status: signal.Executed, At: at(0.1)})
			other.ClientOrderID = first.ID
		}
		snap.Account.BuyingPower = usd("500") // it counts the order
		if !c.between {
			snap.ObservedAt, snap.DetailAt, snap.OpenOrders = at(1), at(1), []order{other}
			s.Observe(snap)
			snap.ObservedAt = at(1.05)
		}
		claimed := placed(t, s, snap, "two", "500", at(1.1))
		s.Settle(claimed.ID, risk.Word{Status: signal.Executed, At: at(1.2)})
		if c.between {
			snap.ObservedAt, snap.DetailAt, snap.OpenOrders = at(1.5), at(1.5), []order{other}
			risk.Lookout{Now: at(1.6)}.Mark(risk.View{Snapshot: snap, State: s}) // no strategy ran
		}
		snap.ObservedAt, snap.DetailAt, snap.OpenOrders = at(2), at(2), nil
		snap.Positions = append(snap.Positions, account.Position{Symbol: "GLD", Qty: dec("2.5"), MarketValue: usd("500"), CurrentPrice: usd("200")})
		for minute := 2.1; minute < 3; minute += 0.5 {
			if sig := placed(t, s, snap, "three", "500", at(minute)); claimed.Status != signal.Pending || sig.DenialCode != risk.BuyingPowerExceeded {
				t.Errorf("%s: at minute %v: %s %s after %s; want a denial", name, minute, sig.Status, sig.DenialCode, claimed.Status)
			}
			snap.ObservedAt = at(minute + 0.2)
		}
	}
}
