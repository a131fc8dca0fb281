package account_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
)

var day = time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC) // midnight in New York

func flow(id string, at time.Time, amount string) account.Flow {
	f := account.Flow{ID: id, At: at}
	if amount != "" {
		f.Amount = usd(amount)
	}
	return f
}

// Each flow counts once, however often, late and in whatever order it is listed.
func TestFlowsAfter(t *testing.T) {
	noon := day.Add(12 * time.Hour)
	a, b, late := flow("a", noon.Add(time.Minute), "100"), flow("b", day, "-30.5"), flow("late", noon.Add(-72*time.Hour), "7")
	var f account.Flows
	if f.KnownAt(noon) || !f.Due(noon) {
		t.Error("flows that were never read are known")
	}
	f = f.After([]account.Flow{flow("old", noon.Add(-24*time.Hour), "1000")}, time.Time{}, noon, true)
	last := noon
	step := func(name, total string, known bool, moved bool, listed ...account.Flow) {
		t.Helper()
		now := last.Add(5 * time.Minute)
		f = f.After(listed, last, now, moved)
		last = now
		if !f.Total.Equal(decimal.RequireFromString(total)) || f.KnownAt(now) != known || !f.Since.Equal(noon) || !slices.IsSortedFunc(f.Recent, func(a, b account.Flow) int { return a.At.Compare(b.At) }) {
			t.Errorf("%s: %+v, want a total of %s, known %t", name, f, total, known)
		}
	}
	step("what was there at first is not counted", "0", true, false, flow("old", noon.Add(-24*time.Hour), "1000"))
	step("a deposit", "100", true, true, a)
	step("listed again, twice", "100", true, true, a, a)
	step("a withdrawal with a date alone", "69.5", true, true, b, a)
	if i := slices.IndexFunc(f.Recent, func(k account.Flow) bool { return k.ID == "b" }); !f.Recent[i].At.Equal(last.Add(-5 * time.Minute)) {
		t.Errorf("it came between two snapshots, not at midnight: %+v", f.Recent[i])
	}
	step("one that was booked late, and not listed before", "76.5", true, false, late, b)
	if k := f.Recent[0]; k.ID != "late" || !k.At.Equal(late.At) || !k.Seen.Equal(last) {
		t.Errorf("booked late: %+v", k)
	}
	step("nothing is listed", "76.5", true, false)
	step("one is taken back", "-23.5", true, false, flow("a", a.At, "0"))
	step("securities of unknown value", "-23.5", true, true, flow("s", last, ""))
	f = f.Unread(last)
	if f.KnownAt(last) || !f.Kept || f.Recent != nil || !f.Unread(last.Add(time.Hour)).Gap.Equal(last) {
		t.Errorf("after a failure: %+v", f)
	}
	// After the failure, what came in between began to count after the last snapshot that was known.
	gap := account.Flows{At: noon, Since: noon, Gap: noon.Add(time.Hour)}.After([]account.Flow{b}, noon.Add(2*time.Hour), noon.Add(3*time.Hour), false)
	if !gap.KnownAt(noon.Add(3*time.Hour)) || !gap.Recent[0].At.Equal(noon.Add(time.Hour)) {
		t.Errorf("after a gap: %+v", gap)
	}
	// One that was booked just after the account was read may be in its equity.
	soon := account.Flows{At: noon, Since: noon}.After([]account.Flow{flow("x", noon.Add(61*time.Minute), "5")}, noon, noon.Add(time.Hour+59*time.Second), true)
	if soon.KnownAt(noon.Add(time.Hour+59*time.Second)) || !soon.Total.IsZero() || len(soon.Recent) != 0 {
		t.Errorf("booked just after: %+v", soon)
	}
}

// What is kept is bounded, and a count that was interrupted for long begins anew.
func TestFlowsAreBounded(t *testing.T) {
	f := account.Flows{}.After(nil, day, day, false)
	for i := range 200 {
		now := day.Add(time.Duration(i+1) * 24 * time.Hour)
		f = f.After([]account.Flow{flow(now.String(), now, "1")}, now.Add(-time.Minute), now, true)
		if len(f.Recent) > 36 || !f.KnownAt(now) || !f.Total.Equal(decimal.NewFromInt(int64(i+1))) {
			t.Fatalf("day %d: %d flows, %s, known %t", i, len(f.Recent), f.Total, f.KnownAt(now))
		}
	}
	now := f.At.Add(29 * 24 * time.Hour)
	if g := f.After(nil, now, now, false); !g.Since.Equal(now) || !g.Total.IsZero() || !f.From(now).Equal(now.Add(-account.FlowLife)) {
		t.Errorf("after a month: %+v from %s", g, f.From(now))
	}
	many := make([]account.Flow, account.MaxFlows+1)
	for i := range many {
		many[i] = flow(string(rune('0'+i)), f.At.Add(time.Minute), "1")
	}
	if g := f.After(many, f.At, f.At.Add(time.Hour), true); len(g.Recent) != account.MaxFlows || g.KnownAt(f.At.Add(time.Hour)) {
		t.Errorf("%d flows, known", len(g.Recent))
	}
	shares := account.Flows{At: day, Since: day, Recent: []account.Flow{{ID: "s", At: day, Seen: day}}}
	if g := shares.After(nil, day, day.Add(20*24*time.Hour), false); !g.Since.Equal(day) || len(g.Recent) != 1 {
		t.Errorf("%+v", g)
	}
	shares.At = day.Add(30 * 24 * time.Hour)
	if g := shares.After(nil, day, day.Add(36*24*time.Hour), false); g.Since.Equal(day) || len(g.Recent) != 0 {
		t.Errorf("what had no value is forgotten, and who compares with equity before must begin anew: %+v", g)
	}
}
