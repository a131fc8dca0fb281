package syncer_test

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/syncer"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a syncer on in-memory stores, and its broker with one account.
type world struct {
	now     time.Time
	id      string // of the account; "": a
	cash    string
	equity  string
	err     error
	detail  error
	during  func() // called in the middle of the account call
	details int
	orders  []account.Order
	listed  []account.Flow
	flows   error
	asked   int // for flows
	after   time.Time
	slots   int // minutes, of the user's strategies; 0: not known
	faults  int // told
	outcome syncer.Outcome
	svc     *syncer.Service
	db      *mem.DB
	store   *store.Store
	vault   *mem.Vault
}

func (w *world) Open(broker.Env, secret.Credentials) (broker.Session, error) { return w, nil }

func (w *world) Account(context.Context) (account.Reading, error) {
	at := w.now
	raw := map[string]any{"id": cmp.Or(w.id, "a"), "status": "ACTIVE", "cash": w.cash, "equity": w.equity, "buying_power": "100"}
	if during := w.during; during != nil {
		w.during = nil
		during()
	}
	if w.err != nil {
		return account.Reading{}, w.err
	}
	a, err := account.FromRaw(raw)
	return account.Reading{Account: a, Raw: raw, ObservedAt: at}, err
}

func (w *world) Positions(context.Context) ([]account.Position, error) {
	w.details++
	return []account.Position{{Symbol: "SPY", Qty: decimal.NewFromInt(1)}}, w.detail
}

func (w *world) Flows(_ context.Context, after time.Time) ([]account.Flow, bool, error) {
	w.asked, w.after = w.asked+1, after
	return w.listed, false, w.flows
}

func (w *world) OpenOrders(context.Context, int) ([]account.Order, bool, error) {
	return w.orders, false, nil
}

func newWorld(t *testing.T) *world {
	w := &world{now: noon, cash: "10", equity: "1000", vault: mem.NewVault()}
	w.db = mem.NewDB(func() time.Time { return w.now })
	w.store = store.New(w.db)
	if err := w.store.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}); err != nil {
		t.Fatal(err)
	}
	w.vault.Add("u", []byte(`{"key_id":"k","secret_key":"s"}`))
	var err error
	w.svc, err = syncer.New(syncer.DefaultConfig("p"), syncer.Deps{
		Vault: w.vault, Broker: w, Snapshots: w.store, Health: w.store, Keys: w.store, Now: func() time.Time { return w.now },
		Observe: func(_ context.Context, r syncer.Result) { w.outcome = r.Outcome },
		Fault:   func(context.Context, string, error) { w.faults++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sync handles the request of a minute.
func (w *world) sync(t *testing.T, minute int) error {
	t.Helper()
	e, err := event.SyncRequest{UserID: "u", Tick: (tick.Of(noon) + tick.Tick(minute)).String(), BrokerEnv: "paper", CadenceMinutes: 1, SlotMinutes: w.slots}.Event()
	if err != nil {
		t.Fatal(err)
	}
	w.outcome = ""
	return w.svc.Handle(t.Context(), e)
}

func (w *world) stored(t *testing.T) account.Snapshot {
	t.Helper()
	s, err := w.store.Snapshot(t.Context(), "u")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// beat is the first minute from the given one on that is, or is not, a heartbeat of u.
func beat(from int, is bool) int {
	for (tick.Of(noon)+tick.Tick(from)).Heartbeat("u", 1) != is {
		from++
	}
	return from
}

func TestWhatIsWritten(t *testing.T) {
	w := newWorld(t)
	quiet := beat(0, false)
	step := func(name string, minute int, outcome syncer.Outcome, seq, changed int64, details int) {
		t.Helper()
		w.now, w.details = noon.Add(time.Duration(minute)*time.Minute+time.Second), 0
		if err := w.sync(t, minute); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := w.stored(t)
		if w.outcome != outcome || s.Seq != seq || s.ChangedSeq != changed || w.details != details {
			t.Errorf("%s: %s, seq %d, changed_seq %d, %d reads of positions; want %s, %d, %d, %d", name, w.outcome, s.Seq, s.ChangedSeq, w.details, outcome, seq, changed, details)
		}
	}
	step("the first", quiet, syncer.Written, 1, 1, 1)
	step("delivered again", quiet, syncer.Unchanged, 1, 1, 0)
	w.equity = "1000.50"
	step("equity moved by 5 basis points", quiet, syncer.Unchanged, 1, 1, 0)
	w.equity = "1001"
	step("equity moved by 10", quiet, syncer.Written, 2, 2, 1)
	w.cash = "10.01"
	step("a cent of cash", quiet, syncer.Written, 3, 3, 1)
	w.slots = account.NoSlots
	heartbeat := beat(quiet, true)
	step("heartbeat", heartbeat, syncer.Written, 4, 3, 0)
	step("the heartbeat delivered again", heartbeat, syncer.Unchanged, 4, 3, 0)
	w.orders = []account.Order{{ID: "o", Symbol: "SPY", Side: "sell", Status: "new"}}
	w.cash = "10.02"
	step("another cent, and an order", heartbeat+1, syncer.Written, 5, 5, 1)
	w.orders = nil
	step("a heartbeat while there is an order", heartbeat+3, syncer.Written, 6, 6, 1)
	step("one after it", heartbeat+6, syncer.Written, 7, 6, 0)
	w.slots = 5
	for minute := heartbeat + 9; ; minute += 3 { // until a slot lies between two heartbeats
		if t2 := tick.Of(noon) + tick.Tick(minute); t2-t2%5 > t2-3 {
			step("a heartbeat over a slot", minute, syncer.Written, w.stored(t).Seq+1, 6, 1)
			break
		}
		step("a heartbeat between slots", minute, syncer.Written, w.stored(t).Seq+1, 6, 0)
	}
	w.slots = account.NoSlots
	for last := w.stored(t); ; {
		minute := int(w.stored(t).Tick-tick.Of(noon)) + 3
		if minute-int(last.Tick-tick.Of(noon)) >= 15 {
			step("a heartbeat after a quarter of an hour", minute, syncer.Written, w.stored(t).Seq+1, 6, 1)
			break
		}
		step("a heartbeat before that", minute, syncer.Written, w.stored(t).Seq+1, 6, 0)
	}
	s := w.stored(t)
	if s.KeyVersion != "1" || s.KeyPath != "projects/p/secrets/alpaca-keys-u" || s.ContentHash == "" || len(s.Positions) != 1 {
		t.Errorf("stored = %+v", s)
	}
}

// The predecessor's readers get numbers, its own names, and a server timestamp.
func TestDocumentShape(t *testing.T) {
	w := newWorld(t)
	if err := w.sync(t, 0); err != nil {
		t.Fatal(err)
	}
	d, err := w.db.Get(t.Context(), "users/u/alpacaAccounts/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	f := d.Fields
	if f["broker"] != "alpaca" || f["external_account_id"] != "a" || f["equity"] != 1000.0 || f["cash"] != 10.0 || f["buying_power"] != 100.0 || f["user_id"] != "u" || f["updated_at_iso"] != "2026-11-24T12:00:00Z" {
		t.Errorf("fields = %v", f)
	}
	if _, ok := f["updated_at"].(time.Time); !ok {
		t.Errorf("updated_at is a %T", f["updated_at"])
	}
	if raw, _ := f["raw"].(map[string]any); raw["equity"] != "1000" {
		t.Errorf("raw = %v", f["raw"])
	}
	if f["cadence_minutes"] != int64(1) {
		t.Errorf("cadence_minutes = %v", f["cadence_minutes"])
	}
}

// How often a user is synced says nothing of the account.
func TestCadenceIsNotMaterial(t *testing.T) {
	w := newWorld(t)
	if err := w.sync(t, 0); err != nil {
		t.Fatal(err)
	}
	w.now = noon.Add(5 * time.Minute)
	e, err := event.SyncRequest{UserID: "u", Tick: (tick.Of(noon) + 5).String(), BrokerEnv: "paper", CadenceMinutes: 5}.Event()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.svc.Handle(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if s := w.stored(t); s.CadenceMinutes != 5 || s.Seq != 2 || s.ChangedSeq != 1 {
		t.Errorf("cadence %d, seq %d, changed_seq %d; want 5, 2, 1", s.CadenceMinutes, s.Seq, s.ChangedSeq)
	}
}

// A slow call that began before a fast one must not overwrite what the fast one saw.
func TestOlderNeverReplacesNewer(t *testing.T) {
	for name, stored := range map[string]bool{"a first snapshot": false, "a stored one": true} {
		w := newWorld(t)
		if stored {
			if err := w.sync(t, 0); err != nil {
				t.Fatal(err)
			}
		}
		w.now, w.cash = noon.Add(10*time.Second), "1"
		w.during = func() { // the slow call has begun
			w.now, w.cash = noon.Add(20*time.Second), "2"
			if err := w.sync(t, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.sync(t, 0); err != nil {
			t.Fatal(err)
		}
		if s := w.stored(t); w.outcome != syncer.Superseded || s.Account.Cash.Decimal.String() != "2" {
			t.Errorf("%s: %s, cash %s; want superseded and 2", name, w.outcome, s.Account.Cash.Decimal)
		}
	}
}

func TestLateRequestDoesNotTurnTheTickBack(t *testing.T) {
	w := newWorld(t)
	w.now = noon.Add(time.Minute)
	if err := w.sync(t, 1); err != nil {
		t.Fatal(err)
	}
	w.now, w.cash = w.now.Add(time.Second), "99"
	if err := w.sync(t, 0); err != nil {
		t.Fatal(err)
	}
	if s := w.stored(t); s.Tick != tick.Of(noon)+1 || s.Account.Cash.Decimal.String() != "99" {
		t.Errorf("tick %s, cash %s; want the later tick and the newer cash", s.Tick, s.Account.Cash.Decimal)
	}
}

func TestRemovedUserStaysRemoved(t *testing.T) {
	w := newWorld(t)
	w.during = func() { _ = w.db.Delete(t.Context(), "users/u", time.Time{}) }
	if err := w.sync(t, 0); event.ClassOf(err) != event.Dropped || w.outcome != syncer.Dropped {
		t.Errorf("Handle = %v, %s; want dropped", err, w.outcome)
	}
	if _, err := w.store.Snapshot(t.Context(), "u"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("a removed user has a snapshot: %v", err)
	}
}

// One who is removed is not taken for one whose positions are kept: what is remembered is forgotten.
func TestRemovedUserWithoutPositions(t *testing.T) {
	w := newWorld(t)
	if err := w.sync(t, 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"users/u", store.SnapshotPath("u")} {
		if err := w.db.Delete(t.Context(), path, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	w.detail, w.cash = &broker.Error{Kind: broker.Unavailable}, "7"
	w.now = noon.Add(time.Minute)
	for range 2 {
		if err := w.sync(t, 1); event.ClassOf(err) != event.Dropped {
			t.Errorf("Handle = %v, want dropped", err)
		}
	}
}

// Positions that can't be read leave a fresh account that nobody trades on, until they can be.
func TestPositionsFail(t *testing.T) {
	w := newWorld(t)
	w.detail = &broker.Error{Kind: broker.Unavailable}
	if err := w.sync(t, 0); err != nil {
		t.Fatal(err)
	}
	if s := w.stored(t); !s.Incomplete || !s.Account.Cash.Valid || w.faults != 1 {
		t.Errorf("snapshot = %+v, want it incomplete and with cash; %d faults told, want 1", s, w.faults)
	}
	w.detail = nil
	w.now = noon.Add(time.Minute)
	if err := w.sync(t, 1); err != nil {
		t.Fatal(err)
	}
	if s := w.stored(t); s.Incomplete || s.ChangedSeq != s.Seq {
		t.Errorf("snapshot = %+v, want it complete, and that to be a change", s)
	}
}

func TestTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		do      func(*world)
		class   event.Class
		outcome syncer.Outcome
	}{
		"bad key":              {func(w *world) { w.err = &broker.Error{Kind: broker.Unauthorized} }, event.Settled, syncer.Failed},
		"timeout":              {func(w *world) { w.err = &broker.Error{Kind: broker.Timeout} }, event.Settled, syncer.Failed},
		"no secret":            {func(w *world) { w.vault.Clear("u") }, event.Settled, syncer.Failed},
		"malformed secret":     {func(w *world) { w.vault.Add("u", []byte("{}")) }, event.Settled, syncer.Failed},
		"vault unavailable":    {func(w *world) { w.vault.SetHook(func(context.Context, string) error { return errors.New("503") }) }, event.Retry, ""},
		"store unavailable":    {func(w *world) { w.db.SetHook(func(context.Context, mem.Op) error { return document.ErrUnavailable }) }, event.Retry, ""},
		"request of the past":  {func(w *world) { w.now = noon.Add(10 * time.Minute) }, event.Dropped, syncer.Dropped},
		"cut off by ourselves": {func(w *world) { w.err = context.Canceled }, event.Retry, ""},
	} {
		w := newWorld(t)
		c.do(w)
		if err := w.sync(t, 0); event.ClassOf(err) != c.class || w.outcome != c.outcome {
			t.Errorf("%s: %v, outcome %q; want class %s, outcome %q", name, err, w.outcome, c.class, c.outcome)
		}
	}
}

// Deposits and withdrawals are read with a change of cash or positions and once a day, each time with one call, and never at
// rest. Where they can't be, the account is stored all the same, and they are not known until they can be.
func TestFlows(t *testing.T) {
	w := newWorld(t)
	minute := beat(0, true)
	step := func(name string, later int, outcome syncer.Outcome, asked int, total string, known bool) {
		t.Helper()
		minute += later
		w.now, w.asked = noon.Add(time.Duration(minute)*time.Minute+time.Second), 0
		if err := w.sync(t, minute); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := w.stored(t)
		if w.outcome != outcome || w.asked != asked || !s.Flows.Total.Equal(decimal.RequireFromString(total)) || s.Flows.KnownAt(s.ObservedAt) != known {
			t.Errorf("%s: %s, asked %d times, %+v; want %s, %d, %s, %t", name, w.outcome, w.asked, s.Flows, outcome, asked, total, known)
		}
	}
	deposit := func(id, amount string) {
		w.listed = append(w.listed, account.Flow{ID: id, At: w.now, Amount: decimal.NewNullDecimal(decimal.RequireFromString(amount))})
	}
	step("the first", 0, syncer.Written, 1, "0", true)
	if want := w.now.Add(-account.FlowLife); !w.after.Equal(want) {
		t.Errorf("asked after %s, want %s", w.after, want)
	}
	step("at rest", 1, syncer.Unchanged, 0, "0", true)
	step("a heartbeat", 2, syncer.Written, 0, "0", true)
	w.cash, w.equity = "110", "1100"
	deposit("a", "100")
	step("a deposit", 1, syncer.Written, 1, "100", true)
	reads, _ := w.db.Counts()
	step("at rest after it", 1, syncer.Unchanged, 0, "100", true)
	if after, _ := w.db.Counts(); after-reads != 1 { // this test's own
		t.Errorf("%d reads at rest", after-reads-1)
	}
	w.cash = "105"
	step("a trade", 1, syncer.Written, 1, "100", true)
	w.equity = "1200"
	step("a move of prices", 1, syncer.Written, 0, "100", true)
	w.cash, w.flows = "55", &broker.Error{Kind: broker.Malformed, Op: "flows"}
	deposit("b", "-50")
	changed := w.stored(t).ChangedSeq
	step("a withdrawal, and no answer", 1, syncer.Written, 1, "100", false)
	if s := w.stored(t); s.Incomplete || len(s.Flows.Recent) != 1 || s.ChangedSeq == changed || s.Account.Cash.Decimal.String() != "55" || w.faults == 0 {
		t.Errorf("the account is stored all the same: %+v", s)
	}
	step("no answer again, at a heartbeat", 1, syncer.Written, 1, "100", false)
	w.flows = nil
	step("an answer", 1, syncer.Written, 1, "50", true)
	if s := w.stored(t); s.ChangedSeq != s.Seq || len(s.Flows.Recent) != 2 || !s.Flows.Recent[1].At.After(s.Flows.Recent[0].At) {
		t.Errorf("that flows are known again is a change: %+v", s)
	}
	w.asked = 0
	for range 24*60/3 - 10 {
		minute += 3
		w.now = noon.Add(time.Duration(minute)*time.Minute + time.Second)
		if err := w.sync(t, minute); err != nil {
			t.Fatal(err)
		}
	}
	if w.asked != 0 {
		t.Errorf("asked %d times in a day at rest", w.asked)
	}
	deposit("c", "1")
	minute = beat(minute+60, true)
	step("a day later", 0, syncer.Written, 1, "51", true)
}
