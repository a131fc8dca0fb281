package account_test

import (
	"slices"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

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
	last := seen(noon, "1000")
	f = f.After([]account.Flow{flow("old", noon.Add(-24*time.Hour), "1000")}, account.Seen{}, last, true)
	step := func(name, total string, known bool, cash string, listed ...account.Flow) {
		t.Helper()
		now := seen(last.At.Add(5*time.Minute), cash)
		recent := f.Recent
		f = f.After(listed, last, now, false)
		last = now
		if f.Kept { // the store has them
			f.Recent, f.Kept = recent, false
		}
		if !f.Total.Equal(decimal.RequireFromString(total)) || f.KnownAt(now.At) != known || !f.Since.Equal(noon) || !slices.IsSortedFunc(f.Recent, func(a, b account.Flow) int { return a.At.Compare(b.At) }) {
			t.Errorf("%s: %+v, want a total of %s, known %t", name, f, total, known)
		}
	}
	step("what was there at first is not counted", "0", true, "1000", flow("old", noon.Add(-24*time.Hour), "1000"))
	step("a deposit", "100", true, "1100", a)
	step("listed again, twice", "100", true, "1100", a, a)
	step("a withdrawal with a date alone", "69.5", true, "1069.5", b, a)
	if i := slices.IndexFunc(f.Recent, func(k account.Flow) bool { return k.ID == "b" }); !f.Recent[i].At.Equal(last.At.Add(-5 * time.Minute)) {
		t.Errorf("it came between two snapshots, not at midnight: %+v", f.Recent[i])
	}
	step("one that was booked late is not to be seen in cash", "69.5", false, "1069.5", late, b)
	step("nor a little later", "69.5", false, "1069.5", late, b)
	step("nor after a quarter of an hour", "76.5", true, "1069.5", late, b)
	if k := f.Recent[0]; k.ID != "late" || !k.At.Equal(late.At.Add(-15*time.Minute)) || !k.Seen.Equal(last.At) {
		t.Errorf("booked late: %+v", k)
	}
	step("nothing is listed", "76.5", true, "1069.5")
	step("one is taken back", "-23.5", true, "1069.5", flow("a", a.At, "0"))
	step("a dividend", "-23.5", true, "1074")
	step("securities of unknown value, before they are there", "-23.5", false, "1074", kind(flow("s", last.At, "")))
	step("nor soon after", "-23.5", false, "1074", kind(flow("s", last.At, "")))
	step("by all that can be known", "-23.5", true, "1074", kind(flow("s", last.At, "")))
	f = f.Unread(last)
	if f.KnownAt(last.At) || !f.Kept || f.Recent != nil {
		t.Errorf("after a failure: %+v", f)
	}
	gap := account.Flows{At: noon, Since: noon, Gap: noon.Add(time.Hour)}.After([]account.Flow{b}, seen(noon.Add(2*time.Hour), "5"), seen(noon.Add(3*time.Hour), "5"), false)
	if !gap.KnownAt(noon.Add(3*time.Hour)) || !gap.Recent[0].At.Equal(noon.Add(time.Hour)) {
		t.Errorf("after a gap of which cash is not known: %+v", gap)
	}
	soon := account.Flows{At: noon, Since: noon}.After([]account.Flow{flow("x", noon.Add(61*time.Minute), "5")}, seen(noon, "5"), seen(noon.Add(time.Hour+59*time.Second), "5"), true)
	if soon.KnownAt(noon.Add(time.Hour+59*time.Second)) || !soon.Total.IsZero() || len(soon.Recent) != 0 {
		t.Errorf("booked just after, it may be in its equity: %+v", soon)
	}
}

// The list and the account may each be ahead of the other, and something may be bought in between.
func TestFlowsAgainstCash(t *testing.T) {
	noon := day.Add(12 * time.Hour)
	type minute struct {
		cash   string
		traded bool
		listed string // amount of the one flow, "" for none
		known  bool
		total  string
	}
	for name, minutes := range map[string][]minute{
		"cash first":                  {{"2000", false, "", false, "0"}, {"2000", false, "1000", true, "1000"}},
		"the list first":              {{"1000", false, "1000", false, "0"}, {"2000", false, "1000", true, "1000"}},
		"a withdrawal, cash first":    {{"400", false, "", false, "0"}, {"400", false, "-600", true, "-600"}},
		"a withdrawal, list first":    {{"1000", false, "-600", false, "0"}, {"400", false, "-600", true, "-600"}},
		"with a purchase":             {{"1995", true, "1000", true, "1000"}},
		"cash, a purchase, then both": {{"2000", false, "", false, "0"}, {"1200", true, "", false, "0"}, {"1200", false, "1000", false, "0"}},
		"a purchase":                  {{"200", true, "", true, "0"}},
		"a small dividend":            {{"1004", false, "", true, "0"}},
	} {
		last := seen(noon, "1000")
		f := account.Flows{}.After(nil, account.Seen{}, last, false)
		for i, m := range minutes {
			now := seen(last.At.Add(time.Minute), m.cash)
			var listed []account.Flow
			if m.listed != "" {
				listed = append(listed, flow("f", day, m.listed)) // a date alone
			}
			f = f.After(listed, last, now, m.traded)
			if f.KnownAt(now.At) != m.known || f.Total.String() != m.total {
				t.Errorf("%s, minute %d: known %t, total %s; want %t, %s: %+v", name, i+1, f.KnownAt(now.At), f.Total, m.known, m.total, f)
			}
			last = now
		}
		if !f.Gap.IsZero() && !f.Gap.Equal(noon) {
			t.Errorf("%s: the gap began at %s, want %s", name, f.Gap, noon)
		}
		for range 16 {
			now := seen(last.At.Add(time.Minute), last.Cash.Decimal.String())
			f, last = f.After(nil, last, now, false), now
		}
		if !f.KnownAt(last.At) {
			t.Errorf("%s: not known for ever: %+v", name, f)
		}
	}
}

func seen(at time.Time, cash string) account.Seen {
	return account.Seen{At: at, Cash: usd(cash), Equity: usd("1000")}
}

func kind(f account.Flow) account.Flow {
	f.InKind = true
	return f
}

// What is kept is bounded, and a count that was interrupted for long begins anew.
func TestFlowsAreBounded(t *testing.T) {
	f := account.Flows{}.After(nil, seen(day, "0"), seen(day, "0"), false)
	for i := range 200 {
		now := day.Add(time.Duration(i+1) * 24 * time.Hour)
		f = f.After([]account.Flow{flow(now.String(), now, "1")}, seen(now.Add(-time.Minute), "0"), seen(now, "1"), false)
		if len(f.Recent) > 36 || !f.KnownAt(now) || !f.Total.Equal(decimal.NewFromInt(int64(i+1))) {
			t.Fatalf("day %d: %d flows, %s, known %t", i, len(f.Recent), f.Total, f.KnownAt(now))
		}
	}
	now := f.At.Add(29 * 24 * time.Hour)
	if g := f.After(nil, seen(now, "1"), seen(now, "1"), false); !g.Since.Equal(now) || !g.Total.IsZero() || !f.From(now).Equal(now.Add(-account.FlowLife)) {
		t.Errorf("after a month: %+v from %s", g, f.From(now))
	}
	many := make([]account.Flow, account.MaxFlows+1)
	for i := range many {
		many[i] = flow(string(rune('0'+i)), f.At.Add(time.Minute), "1")
	}
	if g := f.After(many, seen(f.At, "0"), seen(f.At.Add(time.Hour), "501"), false); len(g.Recent) != account.MaxFlows || g.KnownAt(f.At.Add(time.Hour)) {
		t.Errorf("%d flows, known", len(g.Recent))
	}
	shares := account.Flows{At: day, Since: day, Recent: []account.Flow{{ID: "s", At: day, Seen: day}}}
	if g := shares.After(nil, seen(day, "0"), seen(day.Add(20*24*time.Hour), "0"), false); !g.Since.Equal(day) || len(g.Recent) != 1 {
		t.Errorf("%+v", g)
	}
	shares.At = day.Add(30 * 24 * time.Hour)
	if g := shares.After(nil, seen(day, "0"), seen(day.Add(36*24*time.Hour), "0"), false); g.Since.Equal(day) || len(g.Recent) != 0 {
		t.Errorf("what had no value is forgotten, and who compares with equity before must begin anew: %+v", g)
	}
}
