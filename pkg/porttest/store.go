package porttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Stores is what a platform's database has to offer, with the means to fill it.
type Stores interface {
	user.Lister
	user.Keys
	user.Finder
	account.Store
	strategy.Store
	signal.Book
	tick.Ledger
	health.Store
	advice.Tally
	PutUser(ctx context.Context, u user.User) error
	PutStrategy(ctx context.Context, d strategy.Definition) error
}

// Store is the contract of the domain's ports to the database. open gives empty stores, and signals, which reads a
// user's signals as they are stored.
func Store(t *testing.T, open func(t *testing.T) (s Stores, signals func(uid string) []map[string]any)) {
	type test func(*testing.T, Stores, func(string) []map[string]any)
	for name, test := range map[string]test{
		"users in pages": storeUsers, "one user": storeUser, "strategies": storeStrategies, "snapshot": storeSnapshot,
		"snapshot of nobody": storeGone, "snapshot writers": storeWriters, "key versions": storeKeys, "health": storeHealth, "health race": storeHealthRace, "ledger": storeLedger, "ledger race": storeLedgerRace,
		"signals once": storeSignals, "signals supersede": storeSupersede, "signals outdated": storeOutdated, "signals race": storeSignalRace,
		"questions": storeQuestions, "questions race": storeQuestionRace,
	} {
		t.Run(name, func(t *testing.T) {
			s, signals := open(t)
			test(t, s, signals)
		})
	}
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func storeUsers(t *testing.T, s Stores, _ func(string) []map[string]any) {
	for i := range 7 {
		must(t, s.PutUser(t.Context(), user.User{ID: fmt.Sprintf("u%d", i), Status: user.Active, CadenceMinutes: i, KeyVersion: "3", SyncHours: market.Extended}))
	}
	must(t, s.PutUser(t.Context(), user.User{ID: "u3", Status: user.Paused}))
	must(t, s.PutUser(t.Context(), user.User{ID: "u4"})) // no status: the predecessor synced every user
	var got []user.User
	for after := ""; ; {
		p, err := s.Users(t.Context(), after, 3)
		must(t, err)
		got = append(got, p.Users...)
		if after = p.Next; after == "" {
			break
		}
	}
	if len(got) != 7 || got[3].Status != user.Paused || got[4].Status != user.Active || got[0].CadenceMinutes != 0 || got[5].CadenceMinutes != 5 || got[1].BrokerEnv != "paper" || got[1].KeyVersion != "3" || got[1].SyncHours != market.Extended || got[4].SyncHours != market.Always {
		t.Errorf("users = %+v", got)
	}
}

func storeUser(t *testing.T, s Stores, _ func(string) []map[string]any) {
	want := user.User{ID: "u", Status: user.Paused, CadenceMinutes: 5, BrokerEnv: "live", SyncHours: market.Regular, KeyVersion: "3", TenantID: "t"}
	must(t, s.PutUser(t.Context(), want))
	got, err := s.User(t.Context(), "u")
	must(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("user (-want +got):\n%s", d)
	}
	for _, id := range []string{"nobody", "", "a/b", "..", "u/alpacaAccounts/snapshot"} {
		if _, err := s.User(t.Context(), id); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("user %q: %v, want ErrNotFound", id, err)
		}
	}
}

func storeStrategies(t *testing.T, s Stores, _ func(string) []map[string]any) {
	for _, d := range []strategy.Definition{
		{UserID: "u", ID: "b", Kind: "rebalance", Enabled: true, Params: map[string]any{"drift_band": 0.1}},
		{UserID: "u", ID: "a", Kind: "rebalance", Enabled: true}, {UserID: "u", ID: "off"}, {UserID: "other", ID: "x", Enabled: true},
	} {
		must(t, s.PutStrategy(t.Context(), d))
	}
	got, err := s.Enabled(t.Context(), "u")
	must(t, err)
	if len(got) != 2 || got[0].ID != "a" || got[1].ID != "b" || got[1].Params["drift_band"] != 0.1 {
		t.Errorf("Enabled = %+v, want a and b", got)
	}
	if got, err = s.Enabled(t.Context(), "nobody"); err != nil || len(got) != 0 {
		t.Errorf("Enabled of nobody = %v, %v", got, err)
	}
}

// Snapshot is a snapshot with something in every field.
func Snapshot(uid string, seq int64, at time.Time) account.Snapshot {
	no := false
	return account.Snapshot{
		UserID: uid,
		Account: account.Account{
			ID: "acc-" + uid, Status: "ACTIVE", Currency: "USD", Equity: usd("1000.10"), LastEquity: usd("999"), Cash: usd("500.05"),
			BuyingPower: usd("1000.10"), Multiplier: usd("2"), TradingBlocked: &no,
		},
		Raw: map[string]any{
			"id": "acc-" + uid, "status": "ACTIVE", "currency": "USD", "equity": "1000.10", "last_equity": "999", "cash": "500.05",
			"buying_power": "1000.10", "multiplier": "2", "trading_blocked": false,
		},
		Positions:  []account.Position{{Symbol: "SPY", Qty: decimal.RequireFromString("1.5"), MarketValue: usd("750.01")}},
		OpenOrders: []account.Order{{ID: "o1", Symbol: "AAPL", Side: "buy", Type: "limit", Status: "new", Qty: usd("1")}},
		DetailAt:   at, Tick: tick.Of(at), Seq: seq, ChangedSeq: seq, ObservedAt: at,
		KeyVersion: "1", KeyPath: "projects/p/secrets/alpaca-keys-" + uid, ContentHash: "h", TraceParent: "00-x",
	}
}

func storeSnapshot(t *testing.T, s Stores, _ func(string) []map[string]any) {
	if _, err := s.Snapshot(t.Context(), "u"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("Snapshot of nothing: %v, want ErrNotFound", err)
	}
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	first := Snapshot("u", 1, noon)
	put(t, s, first)
	got, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	if got.Version.IsZero() {
		t.Error("a stored snapshot has no version")
	}
	first.Version = got.Version
	if diff := cmp.Diff(first, got); diff != "" {
		t.Error("snapshot came back changed (-want +got):\n" + diff)
	}
	// What the broker no longer says must not stay behind.
	next := Snapshot("u", 2, noon.Add(time.Minute))
	next.Account.Cash, next.TraceParent, next.Version = decimal.NullDecimal{}, "", got.Version
	delete(next.Raw, "cash")
	put(t, s, next)
	got, err = s.Snapshot(t.Context(), "u")
	must(t, err)
	if got.Account.Cash.Valid || got.TraceParent != "" || got.Seq != 2 {
		t.Errorf("after an update without cash: %+v", got)
	}
	if _, err := s.PutSnapshot(t.Context(), next); !errors.Is(err, account.ErrConflict) {
		t.Errorf("a write on an overtaken version: %v, want ErrConflict", err)
	}
	next.Version = time.Time{}
	if _, err := s.PutSnapshot(t.Context(), next); !errors.Is(err, account.ErrConflict) {
		t.Errorf("a second first write: %v, want ErrConflict", err)
	}
}

func put(t *testing.T, s Stores, snap account.Snapshot) {
	t.Helper()
	_, err := s.PutSnapshot(t.Context(), snap)
	must(t, err)
}

func storeGone(t *testing.T, s Stores, _ func(string) []map[string]any) {
	must(t, s.PutUser(t.Context(), user.User{ID: "paused", Status: user.Paused}))
	for _, uid := range []string{"removed", "paused"} {
		if _, err := s.PutSnapshot(t.Context(), Snapshot(uid, 1, noon)); !errors.Is(err, user.ErrGone) {
			t.Errorf("first snapshot of %s: %v, want ErrUserGone", uid, err)
		}
		if _, err := s.Snapshot(t.Context(), uid); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%s came back", uid)
		}
	}
}

// storeWriters: of many writers on one version exactly one wins.
func storeWriters(t *testing.T, s Stores, _ func(string) []map[string]any) {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	for round := range 3 {
		stored, _ := s.Snapshot(t.Context(), "u")
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				next := Snapshot("u", stored.Seq+1, noon.Add(time.Duration(round)*time.Minute))
				next.Version = stored.Version
				switch _, err := s.PutSnapshot(t.Context(), next); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, account.ErrConflict):
					t.Errorf("PutSnapshot: %v, want nil or ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("round %d: %d writers won, want 1", round, won.Load())
		}
	}
}

func storeLedger(t *testing.T, s Stores, _ func(string) []map[string]any) {
	tk, until := tick.Of(noon), noon.Add(20*time.Second)
	c, err := s.Claim(t.Context(), tk, "", "one", noon, until)
	must(t, err)
	if c.Cursor != "" || c.Published != 0 {
		t.Errorf("a fresh claim = %+v", c)
	}
	if _, err := s.Claim(t.Context(), tk, "", "two", noon, until); !errors.Is(err, tick.ErrHeld) {
		t.Errorf("a second claim: %v, want ErrHeld", err)
	}
	c, err = s.Advance(t.Context(), c, "user-5", 5, until)
	must(t, err)
	// The holder died; its claim runs out, and another goes on where it was.
	later := until.Add(time.Second)
	d, err := s.Claim(t.Context(), tk, "", "two", later, later.Add(20*time.Second))
	must(t, err)
	if d.Cursor != "user-5" || d.Published != 5 {
		t.Errorf("a claim taken over = %+v, want cursor user-5 and 5 published", d)
	}
	if _, err := s.Advance(t.Context(), c, "user-9", 4, later); !errors.Is(err, tick.ErrLost) {
		t.Errorf("Advance of the former holder: %v, want ErrLost", err)
	}
	must(t, s.Release(t.Context(), d))
	d, err = s.Claim(t.Context(), tk, "", "three", later, later.Add(20*time.Second))
	must(t, err)
	if d.Cursor != "user-5" {
		t.Errorf("after a release the cursor is %q, want user-5", d.Cursor)
	}
	_, err = s.Advance(t.Context(), d, "", 3, later)
	must(t, err)
	if _, err := s.Claim(t.Context(), tk, "", "four", later.Add(time.Hour), later.Add(2*time.Hour)); !errors.Is(err, tick.ErrDone) {
		t.Errorf("a claim of a finished shard: %v, want ErrDone", err)
	}
	if _, err := s.Claim(t.Context(), tk, "a-01", "one", noon, until); err != nil {
		t.Errorf("another shard: %v", err)
	}
	if _, err := s.Claim(t.Context(), tk+1, "", "one", noon, until); err != nil {
		t.Errorf("another tick: %v", err)
	}
}

func storeLedgerRace(t *testing.T, s Stores, _ func(string) []map[string]any) {
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), tick.Of(noon), "", fmt.Sprint(i), noon, noon.Add(time.Minute)); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d deliveries claimed the same shard, want 1", won.Load())
	}
}

func batch(s account.Snapshot, at tick.Tick, signals ...signal.Signal) signal.Batch {
	return signal.Batch{UserID: s.UserID, StrategyID: "st", SnapshotSeq: s.Seq, ChangedSeq: s.ChangedSeq, CauseTick: at, Signals: signals}
}

func buy(symbol, cause string) signal.Signal {
	return signal.Signal{
		ID: signal.ID("u", "st", symbol, cause), UserID: "u", StrategyID: "st", Symbol: symbol, Action: signal.Buy, Notional: decimal.NewFromInt(10),
		Status: signal.Pending, Cause: cause, CreatedAt: noon, ExpiresAt: noon.Add(time.Minute),
	}
}

func withSnapshot(t *testing.T, s Stores) account.Snapshot {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	put(t, s, Snapshot("u", 1, noon))
	snap, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	return snap
}

func place(t *testing.T, s Stores, want int, b signal.Batch) {
	t.Helper()
	if got, err := s.Place(t.Context(), b); err != nil || got != want {
		t.Errorf("Place = %d, %v; want %d", got, err, want)
	}
}

func storeSignals(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	place(t, s, 2, batch(snap, 10, buy("SPY", "c1"), buy("TLT", "c1")))
	place(t, s, 0, batch(snap, 10, buy("SPY", "c1"), buy("TLT", "c1"))) // delivered again
	got := signals("u")
	if len(got) != 2 || got[0]["status"] != "pending" || got[1]["status"] != "pending" || got[0]["notional_usd"] != 10.0 {
		t.Errorf("signals = %v", got)
	}
}

func storeSupersede(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	place(t, s, 1, batch(snap, 10, buy("SPY", "c1")))
	place(t, s, 1, batch(snap, 11, buy("SPY", "c2")))
	denied := buy("SPY", "c3")
	denied.Action, denied.Status, denied.DenialCode = signal.Flat, signal.Rejected, "X_Y"
	place(t, s, 1, batch(snap, 12, denied))
	for _, f := range signals("u") {
		switch f["cause"] {
		case "c1":
			if f["status"] != "expired" || f["superseded_by"] != signal.ID("u", "st", "SPY", "c2") {
				t.Errorf("the first signal = %v, want expired in favour of the second", f)
			}
		case "c2":
			if f["status"] != "expired" {
				t.Errorf("the second signal = %v, want expired in favour of the denial", f)
			}
		}
	}
	// A redelivery of the first must not open it again, nor close what is newer.
	if _, err := s.Place(t.Context(), batch(snap, 10, buy("SPY", "c1"))); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("an older cause: %v, want ErrOutdated", err)
	}
}

func storeOutdated(t *testing.T, s Stores, signals func(string) []map[string]any) {
	if _, err := s.Place(t.Context(), batch(Snapshot("u", 1, noon), 10, buy("SPY", "c1"))); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("Place for a removed user: %v, want ErrOutdated", err)
	}
	old := withSnapshot(t, s)
	next := Snapshot("u", 2, noon.Add(time.Minute))
	next.ChangedSeq, next.Version = 1, old.Version // a heartbeat
	put(t, s, next)
	if _, err := s.Place(t.Context(), batch(old, 10, buy("SPY", "c1"))); !errors.Is(err, signal.ErrNewerSnapshot) {
		t.Errorf("decided before the heartbeat: %v, want ErrNewerSnapshot", err)
	}
	stored, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	next = Snapshot("u", 3, noon.Add(2*time.Minute))
	next.Version = stored.Version
	put(t, s, next)
	if _, err := s.Place(t.Context(), batch(old, 10, buy("SPY", "c1"))); !errors.Is(err, signal.ErrOutdated) {
		t.Errorf("decided before a change: %v, want ErrOutdated", err)
	}
	if got := signals("u"); len(got) != 0 {
		t.Errorf("signals = %v, want none", got)
	}
}

func storeSignalRace(t *testing.T, s Stores, signals func(string) []map[string]any) {
	snap := withSnapshot(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _, _ = s.Place(t.Context(), batch(snap, 10, buy("SPY", "c1"))) })
	}
	wg.Wait()
	if got := signals("u"); len(got) != 1 {
		t.Errorf("%d signals of one cause, want 1", len(got))
	}
}

func usd(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}
