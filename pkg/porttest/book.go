package porttest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Buy is an intent.
func Buy(symbol, usd string) strategy.Intent {
	return strategy.Intent{Symbol: symbol, Action: signal.Buy, Notional: decimal.RequireFromString(usd)}
}

// Run is a run of a strategy on a snapshot, at the snapshot's time.
func Run(s account.Snapshot, strategyID, cause string, at tick.Tick, intents ...strategy.Intent) risk.Run {
	return risk.Run{
		Batch: signal.Batch{
			UserID: s.UserID, StrategyID: strategyID, ChangedSeq: s.ChangedSeq, Cause: cause, CauseTick: at, Now: s.ObservedAt,
		},
		Input: risk.Input{MaxSnapshotAge: 5 * time.Minute}, Life: 15 * time.Minute, Intents: intents,
	}
}

func withSnapshot(t *testing.T, s Stores) account.Snapshot {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	put(t, s, Snapshot("u", 1, noon))
	return stored(t, s)
}

func stored(t *testing.T, s Stores) account.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	return snap
}

// heartbeat writes the next snapshot, changed or not, and returns it.
func heartbeat(t *testing.T, s Stores, at time.Time, change func(*account.Snapshot)) account.Snapshot {
	t.Helper()
	was := stored(t, s)
	next := Snapshot("u", was.Seq+1, at)
	next.ChangedSeq, next.Version = was.ChangedSeq, was.Version
	if change != nil {
		change(&next)
	}
	put(t, s, next)
	return stored(t, s)
}

func place(t *testing.T, s Stores, want int, r risk.Run) {
	t.Helper()
	if got, err := s.Place(t.Context(), r.Batch, r.Plan); err != nil || len(got) != want {
		t.Errorf("Place = %v, %v; want %d signals", got, err, want)
	}
}

func bookOnce(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	place(t, s, 2, Run(snap, "st", "c1", 10, Buy("SPY", "10"), Buy("TLT", "10")))
	place(t, s, 0, Run(snap, "st", "c1", 10, Buy("SPY", "10"), Buy("TLT", "10"), Buy("GLD", "10"))) // delivered again, and decided otherwise
	got := signals("u")
	if len(got) != 2 || got[0]["status"] != "pending" || got[1]["status"] != "pending" || got[0]["notional_usd"] != 10.0 {
		t.Errorf("signals = %v", got)
	}
}

// bookReused: a snapshot that was made anew counts its changes from 1 again, and a change of it may bear the name of one whose
// signals are there. It is told from one that is delivered again.
func bookReused(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	place(t, s, 1, Run(snap, "st", "c1", tick.Of(noon), Buy("SPY", "10")))
	place(t, s, 1, Run(snap, "st", "c2", tick.Of(noon)+1, Buy("TLT", "10")))
	for _, later := range []tick.Tick{0, 24 * 60} {
		r := Run(snap, "st", "c1", tick.Of(noon)+1+later, Buy("SPY", "20"))
		r.Batch.Now = r.Batch.CauseTick.Time()
		got, err := s.Place(t.Context(), r.Batch, r.Plan)
		if len(got) != 0 || errors.Is(err, signal.ErrReused) != (later > 0) || err != nil && later == 0 {
			t.Errorf("an older change's name, %d minutes later: %v, %v", later, got, err)
		}
	}
	if got := signals("u"); len(got) != 2 {
		t.Errorf("signals = %v", got)
	}
}

// bookRecords: a record is written with its run's signals, or not at all; and a run that is asked for is placed once, whatever
// the tick and the wishes of the next asking.
func bookRecords(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	ask := func(at tick.Tick, want int, intents ...strategy.Intent) {
		r := Run(snap, "st", "demand:x", at, intents...)
		r.Batch.Once = true
		got, err := s.Place(t.Context(), r.Batch, func(v risk.View) risk.Plan {
			p := r.Plan(v)
			p.Record = &risk.Record{ID: signal.RunID("u", "st", "demand:x"), StrategyID: "st", Cause: "demand:x", At: noon, ExpireAt: noon.Add(time.Hour), Signals: []string{p.Signals[0].ID}, Outcome: []string{"buy"}, Body: []byte{1, 0, 255}}
			return p
		})
		if err != nil || len(got) != want {
			t.Errorf("Place at %s = %v, %v; want %d signals", at, got, err, want)
		}
	}
	id := signal.RunID("u", "st", "demand:x")
	if _, err := s.Decision(t.Context(), "u", id); !errors.Is(err, risk.ErrNoRecord) {
		t.Errorf("before: %v, want ErrNoRecord", err)
	}
	ask(10, 1, Buy("SPY", "10"))
	ask(11, 0, Buy("TLT", "10"))
	r, err := s.Decision(t.Context(), "u", id)
	want := risk.Record{ID: id, StrategyID: "st", Cause: "demand:x", At: noon, ExpireAt: noon.Add(time.Hour), Signals: []string{signal.ID("u", "st", "SPY", "demand:x")}, Outcome: []string{"buy"}, Body: []byte{1, 0, 255}}
	if d := cmp.Diff(want, r); d != "" || err != nil || len(signals("u")) != 1 {
		t.Errorf("%v, %d signals, record (-want +got):\n%s", err, len(signals("u")), d)
	}
	want.Body = nil
	on, err := s.DecisionsOn(t.Context(), "u", noon)
	before, err2 := s.DecisionsOn(t.Context(), "u", noon.AddDate(0, 0, -1))
	if d := cmp.Diff([]risk.Record{want}, on); d != "" || err != nil || err2 != nil || len(before) != 0 {
		t.Errorf("%v, %v, %d the day before, that day (-want +got):\n%s", err, err2, len(before), d)
	}
}

func bookSupersede(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	place(t, s, 1, Run(snap, "st", "c1", 10, Buy("SPY", "1000")))
	place(t, s, 1, Run(snap, "st", "c2", 11, Buy("SPY", "1000"))) // what the first reserved is free again
	place(t, s, 1, Run(snap, "st", "c3", 12, Buy("SPY", "1001")))
	for _, f := range signals("u") {
		switch f["cause"] {
		case "c1":
			if f["status"] != "expired" || f["superseded_by"] != signal.ID("u", "st", "SPY", "c2") {
				t.Errorf("the first signal = %v, want expired in favour of the second", f)
			}
		case "c2":
			if f["status"] != "expired" || f["superseded_by"] != signal.ID("u", "st", "SPY", "c3") {
				t.Errorf("the second signal = %v, want expired in favour of the denial", f)
			}
		case "c3":
			if f["status"] != "rejected" || f["denial_code"] != risk.BuyingPowerExceeded || f["action"] != "flat" {
				t.Errorf("the third signal = %v, want a denial", f)
			}
		}
	}
	// A redelivery of the first must not open it again, nor close what is newer.
	r := Run(snap, "st", "c1", 10, Buy("SPY", "10"))
	if _, err := s.Place(t.Context(), r.Batch, r.Plan); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("an older cause: %v, want ErrOutdated", err)
	}
}

// bookWithdraw: open signals are taken back, and no others, and what they reserved is free.
func bookWithdraw(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	withdraw := func(want int, w risk.Withdrawal) {
		t.Helper()
		if n, err := s.Withdraw(t.Context(), "u", w, noon); err != nil || n != want {
			t.Errorf("Withdraw(%+v) = %d, %v; want %d", w, n, err, want)
		}
	}
	withdraw(0, risk.Withdrawal{Why: "X"})
	place(t, s, 3, Run(snap, "st", "c1", 10, Buy("SPY", "300"), Buy("TLT", "300"), Buy("GLD", "300")))
	place(t, s, 1, Run(snap, "other", "c1", 10, Buy("SPY", "100")))
	must(t, s.PutStatus(t.Context(), "u", signal.ID("u", "st", "GLD", "c1"), "executed")) // and nobody told the platform yet
	withdraw(0, risk.Withdrawal{StrategyID: "none", Why: "X"})
	withdraw(1, risk.Withdrawal{StrategyID: "st", Symbols: []string{"SPY", "QQQ"}, Why: "X"})
	withdraw(1, risk.Withdrawal{StrategyID: "st", Opening: true, Why: "Y"})
	withdraw(0, risk.Withdrawal{StrategyID: "st", Why: "Z"})
	want := map[string]string{"st SPY": "expired X", "st TLT": "expired Y", "st GLD": "executed <nil>", "other SPY": "pending <nil>"}
	got := map[string]string{}
	for _, f := range signals("u") {
		got[fmt.Sprint(f["strategy_id"], " ", f["symbol"])] = fmt.Sprint(f["status"], " ", f["ended_code"])
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("signals (-want +got):\n%s", d)
	}
	open, err := s.Open(t.Context(), "u")
	if err != nil || len(open) != 2 || !open[0].Executed || open[1].StrategyID != "other" {
		t.Errorf("open = %+v, %v; want what was claimed and the other strategy's", open, err)
	}
	place(t, s, 1, Run(snap, "st", "c2", 11, Buy("SPY", "600"))) // 1000, less 300 and 100
	withdraw(2, risk.Withdrawal{Why: "all"})
}

func bookOutdated(t *testing.T, s Stores, signals func(string) []map[string]any) {
	gone := Run(Snapshot("u", 1, noon), "st", "c1", 10, Buy("SPY", "10"))
	if _, err := s.Place(t.Context(), gone.Batch, gone.Plan); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("Place for a removed user: %v, want ErrOutdated", err)
	}
	old := withSnapshot(t, s)
	r := Run(old, "st", "c1", 10, Buy("SPY", "10"))
	heartbeat(t, s, noon.Add(time.Minute), nil)
	var seen int64
	_, err := s.Place(t.Context(), r.Batch, func(v risk.View) risk.Plan {
		seen = v.Snapshot.Seq
		return risk.Plan{}
	})
	if err != nil || seen != old.Seq+1 {
		t.Errorf("the event is older than a heartbeat: decided on snapshot %d (%v), want the stored %d", seen, err, old.Seq+1)
	}
	heartbeat(t, s, noon.Add(2*time.Minute), func(n *account.Snapshot) { n.ChangedSeq = n.Seq })
	if _, err := s.Place(t.Context(), r.Batch, r.Plan); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("decided before a change: %v, want ErrOutdated", err)
	}
	if got := signals("u"); len(got) != 0 {
		t.Errorf("signals = %v, want none", got)
	}
}

// Watch shows what is stored, and writes the state or leaves it.
func bookWatch(t *testing.T, s Stores, signals func(string) []map[string]any) {
	must(t, s.Watch(t.Context(), "u", func(risk.View) bool { t.Error("a user without a snapshot is watched"); return true }))
	snap := withSnapshot(t, s)
	place(t, s, 1, Run(snap, "st", "c1", 10, Buy("SPY", "10")))
	must(t, s.SetLimits(t.Context(), "u", risk.ParseLimits(map[string]any{"max_drawdown_share": 0.5})))
	for _, write := range []bool{false, true} {
		must(t, s.Watch(t.Context(), "u", func(v risk.View) bool {
			if v.Snapshot.Seq != snap.Seq || len(v.State.Reservations) != 1 || !v.Control.Limits.Figures[risk.MaxDrawdown].Valid {
				t.Errorf("the view = %+v", v)
			}
			v.State.Breaches = []risk.Breach{{Code: risk.DrawdownExceeded, At: noon}}
			return write
		}))
		state, err := s.RiskState(t.Context(), "u")
		must(t, err)
		if (len(state.Breaches) == 1) != write || len(state.Reservations) != 1 {
			t.Errorf("written %t: state = %+v", write, state)
		}
	}
	if got := signals("u"); len(got) != 1 || got[0]["status"] != "pending" {
		t.Errorf("signals = %v", got)
	}
}

func bookRace(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r := Run(snap, "st", "c1", 10, Buy("SPY", "10"))
			_, _ = s.Place(t.Context(), r.Batch, r.Plan)
		})
	}
	wg.Wait()
	if got := signals("u"); len(got) != 1 {
		t.Errorf("%d signals of one cause, want 1", len(got))
	}
}

// bookAllPower: two strategies at once, each of which wants all the buying power.
func bookAllPower(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	if fault := AllPower(t, s, snap, signals); fault != "" {
		t.Error(fault)
	}
}

// bookWord: the owner's word keeps the reservation until a snapshot that began after it shows what became of it.
func bookWord(t *testing.T, s Stores, _ func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	id := signal.ID("u", "st", "GLD", "c1")
	place(t, s, 1, Run(snap, "st", "c1", 10, Buy("GLD", "600")))
	reserved := func(when, want string) *risk.State {
		t.Helper()
		snap := stored(t, s)
		state, err := s.RiskState(t.Context(), "u")
		must(t, err)
		if got := state.Reserved(snap); !got.Equal(decimal.RequireFromString(want)) {
			t.Errorf("%s: %s reserved, want %s", when, got, want)
		}
		return state
	}
	for _, noise := range []any{"done", int64(3), nil, true, "PENDING", map[string]any{}} {
		must(t, s.PutStatus(t.Context(), "u", id, noise))
		must(t, s.Settle(t.Context(), "u", id))
		if state := reserved("after noise", "600"); len(state.Reservations) != 1 || !state.Reservations[0].SettledAt.IsZero() {
			t.Errorf("status %v was taken for a word", noise)
		}
	}
	must(t, s.PutStatus(t.Context(), "u", id, " Executed "))
	must(t, s.Settle(t.Context(), "u", id))
	first := reserved("after the word", "600").Reservations[0]
	must(t, s.Settle(t.Context(), "u", id)) // delivered again
	if again := reserved("after the word, again", "600").Reservations[0]; !again.SettledAt.Equal(first.SettledAt) || !again.Executed {
		t.Errorf("settled again: %+v, was %+v", again, first)
	}
	for _, other := range []string{"nothing", signal.ID("u", "st", "SPY", "c0")} {
		must(t, s.Settle(t.Context(), "u", other))
	}
	must(t, s.Settle(t.Context(), "nobody", id))
	// A snapshot begun before the word shows nothing; one begun after it, with the order, does.
	before := first.SettledAt.Add(-time.Second)
	snap = heartbeat(t, s, before, nil)
	place(t, s, 1, Run(snap, "other", "c2", 11, Buy("SPY", "500")))
	reserved("a snapshot begun before the word", "600")
	snap = heartbeat(t, s, first.SettledAt.Add(time.Second), func(n *account.Snapshot) {
		n.OpenOrders = append(n.OpenOrders, account.Order{ID: "o2", ClientOrderID: id, Symbol: "GLD", Side: "buy", Notional: usd("600")})
	})
	place(t, s, 1, Run(snap, "other", "c3", 12, Buy("SPY", "400"))) // its account was read before its orders
	reserved("a snapshot with the order", "1000")
	snap = heartbeat(t, s, first.SettledAt.Add(time.Minute), func(n *account.Snapshot) { n.OpenOrders = nil })
	place(t, s, 1, Run(snap, "other", "c4", 13, Buy("SPY", "500")))
	if state := reserved("a snapshot begun after the one with the order", "500"); len(state.Reservations) != 1 {
		t.Errorf("reservations = %+v, want the other strategy's alone", state.Reservations)
	}
}

// bookExpiry: at expires_at a signal is over, in the next run's transaction, and what it reserved is free. An owner who
// spoke just before is heard.
func bookExpiry(t *testing.T, s Stores, signals func(string) []map[string]any) {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	now := time.Now().UTC().Truncate(time.Microsecond) // the word's time is the database's own
	put(t, s, Snapshot("u", 1, now))
	snap := stored(t, s)
	r := Run(snap, "st", "c1", 10, Buy("GLD", "500"), Buy("TLT", "400"))
	r.Life = 2 * time.Minute
	place(t, s, 2, r)
	must(t, s.PutStatus(t.Context(), "u", signal.ID("u", "st", "TLT", "c1"), "executed")) // its event has not come yet
	snap = heartbeat(t, s, now.Add(r.Life), func(n *account.Snapshot) { n.OpenOrders = nil })
	place(t, s, 1, Run(snap, "other", "c2", 11, Buy("SPY", "600")))
	status := map[any]any{}
	for _, f := range signals("u") {
		status[f["symbol"]] = f["status"]
	}
	if want := map[any]any{"GLD": "expired", "TLT": "executed", "SPY": "pending"}; !cmp.Equal(status, want) {
		t.Errorf("statuses = %v, want %v", status, want)
	}
	state, err := s.RiskState(t.Context(), "u")
	must(t, err)
	if got := state.Reserved(snap); !got.Equal(decimal.NewFromInt(1000)) {
		t.Errorf("%s reserved, want the 400 of the word and the new 600", got)
	}
}

func storeControls(t *testing.T, s Stores, signals func(string) []map[string]any) {
	for _, read := range []func() (risk.Control, error){
		func() (risk.Control, error) { return s.PlatformControl(t.Context()) },
		func() (risk.Control, error) { return s.UserControl(t.Context(), "u") },
	} {
		if c, err := read(); err != nil || len(c.Limits.Invalid) > 0 || c.Trading.State != risk.Active {
			t.Errorf("nothing set: %+v, %v", c, err)
		}
	}
	halt, err := risk.SetTrading(risk.Halted, "drill", "ops@example.com", noon)
	must(t, err)
	limits := risk.ParseLimits(map[string]any{"max_trade_usd": 100.5, "allow_symbols": []any{}, "deny_symbols": []any{"GME"}, "hours": "regular"})
	must(t, s.SetLimits(t.Context(), "u", limits))
	must(t, s.SetTrading(t.Context(), "u", "st", halt))
	must(t, s.SetTrading(t.Context(), "", "", halt))
	if err := s.SetTrading(t.Context(), "", "st", halt); err == nil {
		t.Error("a strategy of nobody was halted")
	}
	c, err := s.UserControl(t.Context(), "u")
	must(t, err)
	if diff := cmp.Diff(risk.Control{Limits: limits, Trading: risk.Trading{State: risk.Active}, Strategies: map[string]risk.Trading{"st": halt}}, c); diff != "" {
		t.Errorf("the user's controls (-want +got):\n%s", diff)
	}
	if c, err = s.PlatformControl(t.Context()); err != nil || c.Trading != halt {
		t.Errorf("the platform's: %+v, %v", c, err)
	}
	// They hold in the transaction.
	snap := withSnapshot(t, s)
	place(t, s, 1, Run(snap, "st", "c1", 10, Buy("SPY", "10")))
	place(t, s, 1, Run(snap, "other", "c1", 10, Buy("SPY", "101")))
	got := map[any]bool{}
	for _, f := range signals("u") {
		got[f["denial_code"]] = true
	}
	if !got[risk.TradingHalted] || !got[risk.SymbolNotAllowed] && !got[risk.MarketUnknown] {
		t.Errorf("denials = %v", got)
	}
}

// AllPower lets two strategies run at once, each of which wants all the buying power of a snapshot without reservations:
// one signal and one coded denial must come of it. It says what came instead.
func AllPower(t *testing.T, s risk.Book, snap account.Snapshot, signals func(string) []map[string]any) (fault string) {
	var wg sync.WaitGroup
	for _, id := range []string{"one", "two"} {
		wg.Go(func() {
			r := Run(snap, id, "c1", 10, Buy("GLD", snap.Account.BuyingPower.Decimal.String()))
			for range 20 { // a conflict is nacked, and comes again
				if _, err := s.Place(t.Context(), r.Batch, r.Plan); err == nil {
					return
				}
			}
			t.Error("20 attempts were not enough")
		})
	}
	wg.Wait()
	var placed, denied int
	got := signals(snap.UserID)
	for _, f := range got {
		if f["status"] == "pending" && f["action"] == "buy" {
			placed++
		}
		if f["denial_code"] == risk.BuyingPowerExceeded {
			denied++
		}
	}
	if placed != 1 || denied != 1 || len(got) != 2 {
		return "want one signal and one denial, got " + cmp.Diff(nil, got)
	}
	return ""
}

// AllPowerOften is AllPower for so many users, some of them at once.
func AllPowerOften(t *testing.T, rounds, atOnce int, db document.DB) {
	s := store.New(db)
	list := func(uid string) (all []map[string]any) {
		docs, err := db.Query(t.Context(), document.Query{Collection: store.UserPath(uid) + "/" + store.Signals})
		if err != nil {
			t.Error(err)
		}
		for _, d := range docs {
			all = append(all, d.Fields)
		}
		return all
	}
	users := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := range users {
				snap := Snapshot(fmt.Sprintf("u%d", i), 1, noon)
				err := s.PutUser(t.Context(), user.User{ID: snap.UserID, Status: user.Active})
				if err == nil {
					_, err = s.PutSnapshot(t.Context(), snap)
				}
				if err != nil {
					t.Error(err)
					continue
				}
				if fault := AllPower(t, s, snap, list); fault != "" {
					t.Errorf("user %s: %s", snap.UserID, fault)
				}
			}
		})
	}
	for i := range rounds {
		users <- i
	}
	close(users)
	wg.Wait()
}
