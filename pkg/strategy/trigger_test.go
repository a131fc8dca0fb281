package strategy_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

func TestBarTriggers(t *testing.T) {
	at := func(s string) tick.Tick {
		parsed, err := tick.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	day, hour := strategy.Triggers{Bar: market.OneDay}, strategy.Triggers{Bar: market.OneHour}
	both := strategy.Triggers{Account: true, Every: 30 * time.Minute, Bar: market.OneHour}
	late := strategy.Triggers{Every: time.Hour, Offset: 35 * time.Minute}
	for name, c := range map[string]struct {
		triggers strategy.Triggers
		old, now string
		changed  int64
		cause    string
	}{
		"before the close":         {day, "20261124T2057Z", "20261124T2059Z", 0, ""},
		"at the close":             {day, "20261124T2059Z", "20261124T2100Z", 0, "bar:1Day:20261124T2100Z"},
		"after the close":          {day, "20261124T2100Z", "20261124T2103Z", 0, ""},
		"over the close":           {day, "20261124T2058Z", "20261124T2101Z", 0, "bar:1Day:20261124T2100Z"},
		"an hour after the close":  {day, "20261124T2100Z", "20261124T2200Z", 0, ""},
		"in summer":                {day, "20260714T1959Z", "20260714T2002Z", 0, "bar:1Day:20260714T2000Z"},
		"in summer, winter's hour": {day, "20260714T2059Z", "20260714T2102Z", 0, ""},
		"on a Saturday":            {day, "20261128T2059Z", "20261128T2102Z", 0, ""},
		"over a weekend":           {day, "20261127T2200Z", "20261130T0900Z", 0, ""},
		"of a week the newest":     {day, "20261120T2200Z", "20261129T0900Z", 0, "bar:1Day:20261127T2100Z"},
		"of hours the newest":      {hour, "20261124T0959Z", "20261124T1301Z", 0, "bar:1Hour:20261124T1300Z"},
		"an hour, at night":        {hour, "20261128T0359Z", "20261128T0400Z", 0, "bar:1Hour:20261128T0400Z"},
		"an account's change too":  {both, "20261124T0959Z", "20261124T1000Z", 7, "bar:1Hour:20261124T1000Z"},
		"a later slot":             {both, "20261124T0959Z", "20261124T1031Z", 0, "schedule:20261124T1030Z"},
		"an account's change":      {both, "20261124T1031Z", "20261124T1032Z", 7, "changed_seq:7"},
		"a slot with an offset":    {late, "20261124T1034Z", "20261124T1035Z", 0, "schedule:20261124T1035Z"},
		"not at the hour":          {late, "20261124T1059Z", "20261124T1134Z", 0, ""},
		"no bars":                  {strategy.Triggers{}, "20261124T2059Z", "20261124T2100Z", 7, ""},
		"an unknown timeframe":     {strategy.Triggers{Bar: "2Min"}, "20261124T2059Z", "20261124T2100Z", 0, ""},
	} {
		e := strategy.Between(&account.Snapshot{Tick: at(c.old)}, account.Snapshot{Tick: at(c.now), ChangedSeq: c.changed})
		cause, ok := e.Cause(c.triggers)
		if cause.Text != c.cause || ok != (c.cause != "") || (ok && !e.Any()) {
			t.Errorf("%s: %q, %t, any %t; want %q", name, cause.Text, ok, e.Any(), c.cause)
		}
		if by := cause.Trigger(); ok && by != strategy.ByAccount && c.cause[len(c.cause)-14:] != cause.Tick.String() {
			t.Errorf("%s: %s at %s, by %s", name, cause.Text, cause.Tick, by)
		}
	}
	first := strategy.Between(nil, account.Snapshot{Tick: at("20261124T2100Z"), ChangedSeq: 1})
	if cause, ok := first.Cause(day); ok {
		t.Errorf("a first snapshot knows no bar, and there is %s", cause.Text)
	}
}

func TestEdit(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 3, 59, 123456000, time.FixedZone("", 3600))
	c, ok := strategy.Edit(strategy.Definition{Enabled: true}, at)
	if want := (strategy.Cause{Text: "edit:2026-11-24T11:03:59.123456Z", Tick: tick.Of(at)}); !ok || c != want || c.Trigger() != strategy.ByEdit {
		t.Errorf("%+v, %t; want %+v", c, ok, want)
	}
	if c, ok := strategy.Edit(strategy.Definition{}, at); ok {
		t.Errorf("a strategy that is not enabled: %+v", c)
	}
	if c, ok := strategy.Edit(strategy.Definition{Enabled: true}, time.Time{}); ok {
		t.Errorf("no update time: %+v", c)
	}
}

// definitions are good ones of every kind, with every kind of trigger.
func definitions() *rapid.Generator[strategy.Definition] {
	return rapid.Custom(func(t *rapid.T) strategy.Definition {
		kind := rapid.SampledFrom(strategy.Kinds()).Draw(t, "kind")
		every := rapid.SampledFrom([]int64{5, 10, 15, 20, 30, 60, 90, 120, 360, 720, 1440}).Draw(t, "every")
		frame := string(rapid.SampledFrom(market.Timeframes()).Draw(t, "timeframe"))
		params := map[string]map[string]any{
			strategy.KindBreakout:     {"symbols": list("SPY"), "timeframe": frame},
			strategy.KindDCA:          {"symbol": "SPY", "notional_usd": int64(5), "every_minutes": every, "offset_minutes": 5 * rapid.Int64Range(0, every/5-1).Draw(t, "offset")},
			strategy.KindGemini:       {"symbols": list("SPY"), "every_minutes": every},
			strategy.KindRebalance:    {"weights": map[string]any{"SPY": 0.5}, "every_minutes": every},
			strategy.KindRSIReversion: {"symbols": list("SPY"), "timeframe": frame},
			strategy.KindSMACross:     {"symbols": list("SPY"), "timeframe": frame},
			strategy.KindVolTarget:    {"symbol": "SPY"},
		}[kind]
		if kind == strategy.KindRebalance && rapid.Bool().Draw(t, "no schedule") {
			delete(params, "every_minutes")
		}
		return strategy.Definition{ID: "s", Kind: kind, Params: params}
	})
}

// Whatever the strategies, and whatever is between two snapshots: if any strategy has a cause, the event is not
// suppressed. And no slot or bar is lost between events, nor comes twice.
func TestNothingIsSuppressed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := rapid.SliceOfN(definitions(), 1, 4).Draw(t, "strategies")
		slots := strategy.Slots(ds)
		if rapid.Bool().Draw(t, "not known") {
			slots = 0
		}
		old := account.Snapshot{Tick: tick.Tick(rapid.Int64Range(29_000_000, 31_000_000).Draw(t, "tick")), ChangedSeq: 1, SlotMinutes: slots}
		seen := map[string]bool{}
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			now := old
			now.Tick += tick.Tick(rapid.SampledFrom([]int{1, 3, 3, 4, 60, 300, 1440, 5000}).Draw(t, "minutes"))
			now.ChangedSeq += rapid.Int64Range(0, 1).Draw(t, "changed")
			e := strategy.Between(&old, now)
			for i, d := range ds {
				s, err := strategy.New(d)
				if err != nil {
					t.Fatal(err)
				}
				cause, ok := e.Cause(s.Triggers())
				if ok && !e.Any() {
					t.Fatalf("%s has cause %s, and the event from %s to %s is suppressed: slots of %d minutes", d.Kind, cause.Text, old.Tick, now.Tick, slots)
				}
				if key := fmt.Sprint(i, cause.Text); ok && seen[key] {
					t.Fatalf("%s comes twice", cause.Text)
				} else {
					seen[key] = true
				}
				if wanted(s.Triggers(), old.Tick, now.Tick) && (!ok || cause.Trigger() == strategy.ByAccount) {
					t.Fatalf("%s: %+v from %s to %s is lost, for %q", d.Kind, s.Triggers(), old.Tick, now.Tick, cause.Text)
				}
			}
			old = now
		}
	})
}

// wanted looks at each minute for a slot or a close, without the arithmetic under test.
func wanted(t strategy.Triggers, from, to tick.Tick) bool {
	zone, err := market.Zone()
	if err != nil {
		panic(err)
	}
	for m := from + 1; m <= to; m++ {
		at := m.Time()
		minute := at.Hour()*60 + at.Minute()
		if every := int(t.Every.Minutes()); every != 0 && minute%every == int(t.Offset.Minutes()) {
			return true
		}
		switch ny := at.In(zone); {
		case t.Bar == "":
		case t.Bar != market.OneDay:
			if minute%int(t.Bar.Duration().Minutes()) == 0 {
				return true
			}
		case ny.Weekday() != time.Saturday && ny.Weekday() != time.Sunday && ny.Hour() == 16 && ny.Minute() == 0:
			return true
		}
	}
	return false
}
