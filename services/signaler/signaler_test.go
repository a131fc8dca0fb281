package signaler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/signaler"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a signaler on an in-memory database, with the change events of what is written there.
type world struct {
	now    time.Time
	db     *mem.DB
	store  *store.Store
	svc    *signaler.Service
	events []event.Event
	faults int
}

func newWorld(t *testing.T) *world {
	w := &world{now: noon}
	w.db = mem.NewDB(func() time.Time { return w.now })
	w.store = store.New(w.db)
	w.db.Watch(func(x mem.Written) {
		if x.Path != store.SnapshotPath("u") {
			return
		}
		e := event.New("e", event.TypeDocument, "db", "")
		_ = e.SetData("application/protobuf", document.EncodeChange(x.Old, x.New))
		w.events = append(w.events, e)
	})
	must(t, w.store.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	w.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5}})
	var err error
	w.svc, err = signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Quotes: market.None{}, Now: func() time.Time { return w.now },
		Fault: func(context.Context, string, error) { w.faults++ },
	})
	must(t, err)
	return w
}

func (w *world) strategy(t *testing.T, id string, params map[string]any) {
	must(t, w.store.PutStrategy(t.Context(), strategy.Definition{UserID: "u", ID: id, Kind: strategy.KindRebalance, Params: params, Enabled: true}))
}

// write stores the next snapshot: equity of $1,000 in cash, with the given buying power.
func (w *world) write(t *testing.T, minute int, material bool, power string, change func(*account.Snapshot)) {
	t.Helper()
	stored, err := w.store.Snapshot(t.Context(), "u")
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		t.Fatal(err)
	}
	w.now = noon.Add(time.Duration(minute) * time.Minute)
	raw := map[string]any{"id": "a", "status": "ACTIVE", "equity": "1000", "cash": "1000", "buying_power": power, "trading_blocked": false, "account_blocked": false}
	a, err := account.FromRaw(raw)
	must(t, err)
	s := account.Snapshot{UserID: "u", Account: a, Raw: raw, ObservedAt: w.now, Tick: tick.Of(w.now), Seq: stored.Seq + 1, ChangedSeq: stored.ChangedSeq, Version: stored.Version}
	if material {
		s.ChangedSeq = s.Seq
	}
	if change != nil {
		change(&s)
	}
	_, err = w.store.PutSnapshot(t.Context(), s)
	must(t, err)
}

// deliver handles the n-th change event.
func (w *world) deliver(t *testing.T, n int) {
	t.Helper()
	must(t, w.svc.Handle(t.Context(), w.events[n]))
}

func (w *world) signals(t *testing.T) map[string]map[string]any {
	t.Helper()
	docs, err := w.db.Query(t.Context(), document.Query{Collection: "users/u/tradingSignals"})
	must(t, err)
	byCause := map[string]map[string]any{}
	for _, d := range docs {
		byCause[d.Fields["cause"].(string)] = d.Fields
	}
	if len(byCause) != len(docs) {
		t.Errorf("%d signals of %d causes", len(docs), len(byCause))
	}
	return byCause
}

func TestSignal(t *testing.T) {
	w := newWorld(t)
	w.write(t, 1, true, "1000", nil)
	for range 3 { // delivered again, and again
		w.deliver(t, 0)
	}
	f := w.signals(t)["changed_seq:1"]
	if f["action"] != "buy" || f["symbol"] != "SPY" || f["notional_usd"] != 500.0 || f["status"] != "pending" || f["strategy_id"] != "r" || f["snapshot_seq"] != int64(1) {
		t.Errorf("signal = %v", f)
	}
	if exp, _ := f["expires_at"].(time.Time); !exp.Equal(w.now.Add(15 * time.Minute)) {
		t.Errorf("expires_at = %v", f["expires_at"])
	}
}

func TestDenials(t *testing.T) {
	for name, c := range map[string]struct {
		power  string
		change func(*account.Snapshot)
		later  time.Duration
		code   string
		reason string
	}{
		"unaffordable":    {"499.99", nil, 0, "BUYING_POWER_EXCEEDED", "Refusing to trade: requested notional $500.00 exceeds buying power $499.99."},
		"no buying power": {"0", nil, 0, "BUYING_POWER_UNAVAILABLE", "Warm-cache buying power unavailable/zero; refusing to trade."},
		"stale":           {"1000", nil, 6 * time.Minute, "SNAPSHOT_STALE", "Warm-cache buying power unavailable/zero or snapshot stale; refusing to generate trade."},
		"incomplete":      {"1000", func(s *account.Snapshot) { s.Incomplete = true }, 0, "SNAPSHOT_INCOMPLETE", ""},
		"no equity":       {"1000", func(s *account.Snapshot) { delete(s.Raw, "equity"); s.Account.Equity = decimal.NullDecimal{} }, 0, "EQUITY_UNAVAILABLE", ""},
	} {
		w := newWorld(t)
		w.write(t, 1, true, c.power, c.change)
		w.now = w.now.Add(c.later)
		w.deliver(t, 0)
		w.deliver(t, 0)
		f := w.signals(t)["changed_seq:1"]
		if f["action"] != "flat" || f["notional_usd"] != 0.0 || f["status"] != "rejected" || f["denial_code"] != c.code || (c.reason != "" && f["reason"] != c.reason) {
			t.Errorf("%s: %v, want a denial %s", name, f, c.code)
		}
	}
}

// How old a snapshot may be follows from how often its user is synced.
func TestSlowCadence(t *testing.T) {
	for later, want := range map[time.Duration]string{12 * time.Minute: "buy", 12*time.Minute + time.Second: "flat"} {
		w := newWorld(t)
		w.write(t, 1, true, "1000", func(s *account.Snapshot) { s.CadenceMinutes = 10 })
		w.now = w.now.Add(later)
		w.deliver(t, 0)
		if f := w.signals(t)["changed_seq:1"]; f["action"] != want {
			t.Errorf("%s old at a cadence of 10: %v, want %s", later, f, want)
		}
	}
}

// What triggers nothing costs no read.
func TestQuietEventReadsNothing(t *testing.T) {
	w := newWorld(t)
	w.write(t, 1, true, "1000", nil)
	w.write(t, 4, false, "1000", nil)
	before, _ := w.db.Counts()
	w.deliver(t, 1)
	if after, _ := w.db.Counts(); after != before {
		t.Errorf("a heartbeat between two slots made %d reads", after-before)
	}
}

func TestSchedule(t *testing.T) {
	w := newWorld(t)
	w.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5}, "every_minutes": int64(5)})
	w.write(t, 4, true, "1000", nil)
	w.write(t, 7, false, "1000", nil)
	w.deliver(t, 1)
	w.deliver(t, 1)
	if got := w.signals(t); len(got) != 1 || got["schedule:20261124T1205Z"]["action"] != "buy" {
		t.Errorf("signals = %v, want one buy of 12:05's slot", got)
	}
}

// Events in the wrong order: the older change is left to the newer one; a heartbeat in between costs it nothing.
func TestWrongOrder(t *testing.T) {
	w := newWorld(t)
	w.write(t, 1, true, "1000", nil)
	w.write(t, 2, false, "1000", nil) // a heartbeat came after the change; the change's event is late
	w.deliver(t, 1)
	w.deliver(t, 0)
	if f := w.signals(t)["changed_seq:1"]; f["action"] != "buy" || f["snapshot_seq"] != int64(2) {
		t.Errorf("after a heartbeat: %v, want a buy decided on snapshot 2", f)
	}
	w.write(t, 3, true, "1000", nil)
	w.write(t, 4, true, "1000", nil)
	w.deliver(t, 3)
	w.deliver(t, 2)
	got := w.signals(t)
	if got["changed_seq:3"] != nil || got["changed_seq:4"] != nil || got["changed_seq:1"]["status"] != "pending" {
		t.Errorf("signals = %v, want :1 open, which does all that :4 wants, and none of :3", got)
	}
}

func TestBrokenStrategyIsItsOwnersTrouble(t *testing.T) {
	w := newWorld(t)
	w.strategy(t, "a-broken", map[string]any{"weights": "SPY"})
	w.write(t, 1, true, "1000", nil)
	w.deliver(t, 0)
	if got := w.signals(t); len(got) != 2 || got["changed_seq:1"]["status"] != "pending" || w.faults == 0 {
		t.Errorf("%v, %d faults told; want the other strategy's signal, a denial and a fault", got, w.faults)
	}
}

// Its owner is told at the edit, once, and not at each event.
func TestBrokenStrategyIsSaid(t *testing.T) {
	e := newEverything(t)
	e.write(t, 1, true, "1000", nil)
	next := e.settle(t, 0)
	e.kind(t, strategy.KindSMACross, map[string]any{"symbols": "SPY", "fast": int64(9), "slow": int64(3)})
	for range 3 {
		e.settle(t, next)
	}
	var said []document.Fields
	for _, f := range e.signals(t) {
		if f["denial_code"] == "STRATEGY_INVALID" {
			said = append(said, f)
		}
	}
	e.write(t, 2, true, "1000", nil)
	e.settle(t, len(e.all)-1)
	if len(said) != 1 || said[0]["status"] != "rejected" || !strings.Contains(said[0]["reason"].(string), "want a list") || !strings.Contains(said[0]["reason"].(string), "fast is 9 and slow is 3") {
		t.Errorf("said: %v", said)
	}
}

// A strategy whose id is too long for the risk state does not run; its owner is told at the edit, and the state holds nothing of it.
func TestLongStrategyID(t *testing.T) {
	e := newEverything(t)
	e.write(t, 1, true, "1000", nil)
	next := e.settle(t, 0)
	id := strings.Repeat("x", 1405)
	e.strategy(t, id, map[string]any{"weights": map[string]any{"TLT": 0.1}})
	for range 3 {
		e.settle(t, next)
	}
	e.write(t, 2, true, "1000", nil)
	e.settle(t, next)
	var said []string
	for _, f := range e.signals(t) {
		if f["strategy_id"] == id {
			said = append(said, fmt.Sprint(f["denial_code"], ": ", f["reason"]))
		}
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "STRATEGY_INVALID: ") || !strings.Contains(said[0], "id of 1405 bytes") || e.faults == 0 {
		t.Errorf("said: %.300q, %d faults", said, e.faults)
	}
	state, err := e.store.RiskState(t.Context(), "u")
	must(t, err)
	if _, kept := state.Strategies[id]; kept || len(state.Strategies) != 1 {
		t.Errorf("the state remembers %d strategies, this one too: %t", len(state.Strategies), kept)
	}
}

func TestBadEvents(t *testing.T) {
	w := newWorld(t)
	w.write(t, 1, true, "1000", nil)
	good := w.events[0].Data()
	doc := func(path string, f document.Fields) []byte {
		b, err := document.Encode(mem.Database, document.Document{Path: path, Fields: f})
		must(t, err)
		return document.EncodeChange(nil, b)
	}
	for name, c := range map[string]struct {
		data []byte
		want event.Class
	}{
		"empty":              {nil, event.Poison},
		"noise":              {[]byte("\xff\xff noise"), event.Poison},
		"cut in the middle":  {good[:len(good)/2], event.Poison},
		"wrong types":        {doc("users/u/alpacaAccounts/snapshot", document.Fields{"seq": "one"}), event.Poison},
		"a bad user id":      {doc("users/a b/alpacaAccounts/snapshot", document.Fields{}), event.Poison},
		"another document":   {doc("users/u/settings/x", document.Fields{}), event.Done},
		"a deleted snapshot": {document.EncodeChange(w.lastBody(t), nil), event.Done},
		"the older shape":    {doc("users/u/alpacaAccounts/snapshot", document.Fields{"syncedAt": noon, "buying_power": "5"}), event.Done},
	} {
		e := event.New("e", event.TypeDocument, "db", "")
		must(t, e.SetData("application/protobuf", c.data))
		if err := w.svc.Handle(t.Context(), e); event.ClassOf(err) != c.want {
			t.Errorf("%s: %v, want class %s", name, err, c.want)
		}
	}
	if err := w.svc.Handle(t.Context(), event.New("e", "other", "db", "")); event.ClassOf(err) != event.Poison {
		t.Errorf("another type: %v", err)
	}
	if len(w.signals(t)) != 0 {
		t.Errorf("signals = %v", w.signals(t))
	}
}

func (w *world) lastBody(t *testing.T) []byte {
	d, err := w.db.Get(t.Context(), store.SnapshotPath("u"))
	must(t, err)
	b, err := document.Encode(mem.Database, d)
	must(t, err)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A material change is looked at for losses, for three reads, whether or not a strategy wants anything; and only then.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	w.strategy(t, "r", map[string]any{"weights": map[string]any{"SPY": 0.5}, "drift_band": 0.9})
	must(t, w.store.SetLimits(t.Context(), "u", risk.ParseLimits(map[string]any{"max_drawdown_share": 0.1, "max_daily_loss_share": 0.1})))
	equity := func(usd string, f account.Flows) func(*account.Snapshot) {
		return func(s *account.Snapshot) {
			s.SlotMinutes, s.Raw["equity"], s.Raw["last_equity"], s.Flows = 720, usd, "1000", f
		}
	}
	known := account.Flows{At: noon, Since: noon}
	step := func(material bool, usd string, f account.Flows, breaches int, mark string) {
		t.Helper()
		n := len(w.events)
		w.write(t, n+1, material, "1000", equity(usd, f))
		before, _ := w.db.Counts()
		w.deliver(t, n)
		after, _ := w.db.Counts()
		if reads := after - before; material && n > 1 && reads != 5 || !material && reads != 0 {
			t.Errorf("%s: %d reads, want the strategy, the platform's word and three", usd, reads)
		}
		w.deliver(t, n)
		state, err := w.store.RiskState(t.Context(), "u")
		must(t, err)
		if len(state.Breaches) != breaches || state.Mark.Equity.Valid != (mark != "") || (mark != "" && state.Mark.Equity.Decimal.String() != mark) {
			t.Errorf("%s: %+v, want %d breaches, a mark of %s", usd, state, breaches, mark)
		}
	}
	step(true, "1000", account.Flows{}, 0, "")
	step(true, "1000", known, 0, "1000")
	step(false, "800", known, 0, "1000")
	step(true, "950", known, 0, "1000")
	step(true, "1200", known, 0, "1200")
	lost := known
	lost.Gap = noon
	step(true, "500", lost, 0, "1200")
	step(true, "500", known, 2, "1200")
	step(true, "1200", known, 2, "1200")
	must(t, w.store.SetTrading(t.Context(), "u", "", risk.Trading{State: risk.Active, Reason: "r", Author: "a", At: w.now.Add(time.Second)}))
	step(true, "1190", known, 0, "1190")
	if got := w.signals(t); len(got) != 0 {
		t.Errorf("signals = %v", got)
	}
	// Nobody's strategy runs: nobody needs a mark.
	must(t, w.db.Delete(t.Context(), store.StrategyPath("u", "r"), time.Time{}))
	n := len(w.events)
	w.write(t, n+1, true, "1000", equity("100", known))
	w.deliver(t, n)
	if state, err := w.store.RiskState(t.Context(), "u"); err != nil || len(state.Breaches) != 0 {
		t.Errorf("without a strategy: %+v, %v", state, err)
	}
}

// A snapshot that was deleted and is written anew counts from 1 again. Its changes are acted on all the same, though signals
// of the same numbers are there.
func TestSnapshotMadeAnew(t *testing.T) {
	w := newWorld(t)
	for minute := range 3 {
		w.write(t, minute, true, "1000", nil)
		w.deliver(t, minute)
	}
	before := len(w.signals(t))
	must(t, w.db.Delete(t.Context(), store.SnapshotPath("u"), time.Time{}))
	w.write(t, 60, true, "1000", nil)
	for range 3 { // delivered again, and again
		w.deliver(t, len(w.events)-1)
	}
	if now, err := w.store.Snapshot(t.Context(), "u"); err != nil || now.Seq != 1 {
		t.Fatalf("made anew: %d, %v", now.Seq, err)
	}
	if after := w.count(t); before != 1 || after != 2 {
		t.Errorf("%d signals before, %d after", before, after)
	}
}

// Of too many strategies the first run, the log says which do not, and an edit of one of these says so where its owner sees it.
func TestTooManyStrategies(t *testing.T) {
	w := newWorld(t)
	for i := range strategy.MaxEnabled {
		w.strategy(t, fmt.Sprintf("a%03d", i), map[string]any{"weights": map[string]any{fmt.Sprintf("A%d", i): 0.002}, "drift_band": 0})
	}
	w.write(t, 1, true, "1000", nil) // r is the 101st
	w.deliver(t, 0)
	docs, err := w.db.Query(t.Context(), document.Query{Collection: "users/u/tradingSignals"})
	must(t, err)
	ran := map[any]bool{}
	for _, d := range docs {
		ran[d.Fields["strategy_id"]] = true
	}
	if len(ran) != strategy.MaxEnabled || ran["r"] || w.faults != 1 {
		t.Errorf("%d strategies ran, r's turn %v, %d faults; want %d, not r, and one fault", len(ran), ran["r"], w.faults, strategy.MaxEnabled)
	}
	for id, want := range map[string]bool{"": true, "r": true, "a007": false} { // the one that is named runs
		if _, err := w.svc.Generate(t.Context(), signaler.Demand{UserID: "u", Symbol: "A7", StrategyID: id}); errors.Is(err, strategy.ErrTooMany) != want || !want && err != nil {
			t.Errorf("a demand of %q: %v, want that some are left out: %v", id, err, want)
		}
	}
	written, err := w.db.Get(t.Context(), store.StrategyPath("u", "r"))
	must(t, err)
	doc, err := document.Encode("projects/p/databases/(default)", written)
	must(t, err)
	e := event.New("e", event.TypeDocument, "db", "")
	must(t, e.SetData("application/protobuf", document.EncodeChange(nil, doc)))
	must(t, w.svc.Handle(t.Context(), e))
	docs, err = w.db.Query(t.Context(), document.Query{Collection: "users/u/tradingSignals", Where: map[string]any{"strategy_id": "r"}})
	must(t, err)
	if len(docs) != 1 || docs[0].Fields["denial_code"] != "STRATEGY_INVALID" || !strings.Contains(docs[0].Fields["reason"].(string), `those after "a099" are left out`) {
		t.Errorf("the edit of one that is left out: %v", docs)
	}
}
