package porttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Stores is what a platform's database has to offer, with the means to fill it.
type Stores interface {
	user.Lister
	user.Registry
	user.Finder
	account.Store
	strategy.Store
	risk.Book
	risk.Records
	risk.Controls
	tick.Ledger
	health.Store
	advice.Tally
	PutUser(ctx context.Context, u user.User) error
	PutStrategy(ctx context.Context, d strategy.Definition) error
	PutStatus(ctx context.Context, userID, signalID string, status any) error
	RiskState(ctx context.Context, userID string) (*risk.State, error)
}

// Store is the contract of the domain's ports to the database. open gives empty stores, and signals, which reads a
// user's signals as they are stored.
func Store(t *testing.T, open func(t *testing.T) (s Stores, signals func(uid string) []map[string]any)) {
	type test func(*testing.T, Stores, func(string) []map[string]any)
	for name, test := range map[string]test{
		"users in pages": storeUsers, "profiles": storeProfiles, "profile writers": storeProfileWriters, "one user": storeUser, "strategies": storeStrategies, "snapshot": storeSnapshot, "kept": storeKept,
		"snapshot of nobody": storeGone, "snapshot writers": storeWriters, "key versions": storeKeys, "health": storeHealth, "health race": storeHealthRace, "ledger": storeLedger, "ledger race": storeLedgerRace,
		"signals once": bookOnce, "signals reused": bookReused, "signals supersede": bookSupersede, "signals withdraw": bookWithdraw, "signals outdated": bookOutdated, "signals race": bookRace, "records": bookRecords,
		"signals of all buying power": bookAllPower, "word": bookWord, "watch": bookWatch, "expiry": bookExpiry, "controls": storeControls,
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
		{UserID: "u", ID: "b", Kind: "rebalance", Enabled: true, Params: map[string]any{"drift_band": 0.1}, Mode: strategy.Shadow, Limits: map[string]any{"max_trade_usd": int64(5)}},
		{UserID: "u", ID: "a", Kind: "rebalance", Enabled: true}, {UserID: "u", ID: "off"}, {UserID: "other", ID: "x", Enabled: true},
	} {
		must(t, s.PutStrategy(t.Context(), d))
	}
	got, err := s.Enabled(t.Context(), "u")
	must(t, err)
	if len(got) != 2 || got[0].ID != "a" || got[1].ID != "b" || got[1].Params["drift_band"] != 0.1 {
		t.Fatalf("Enabled = %+v, want a and b", got)
	}
	if got[0].Mode != strategy.Live || got[0].Limits != nil || got[1].Mode != strategy.Shadow || got[1].Limits["max_trade_usd"] != int64(5) {
		t.Errorf("Enabled = %+v, want a live without limits, b shadow with one", got)
	}
	for i := range strategy.MaxEnabled + 5 {
		must(t, s.PutStrategy(t.Context(), strategy.Definition{UserID: "many", ID: fmt.Sprintf("s%03d", i), Kind: "dca", Enabled: true}))
	}
	if got, err = s.Enabled(t.Context(), "many"); len(got) != strategy.MaxEnabled || !errors.Is(err, strategy.ErrTooMany) || !strings.Contains(err.Error(), `those after "s099"`) {
		t.Errorf("Enabled of more than run: %d, %v; want %d, and which are left out", len(got), err, strategy.MaxEnabled)
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
			BuyingPower: usd("1000.10"), Multiplier: usd("2"), TradingBlocked: &no, AccountBlocked: &no,
		},
		Raw: map[string]any{
			"id": "acc-" + uid, "status": "ACTIVE", "currency": "USD", "equity": "1000.10", "last_equity": "999", "cash": "500.05",
			"buying_power": "1000.10", "multiplier": "2", "trading_blocked": false, "account_blocked": false,
		},
		Positions:    []account.Position{{Symbol: "SPY", Qty: decimal.RequireFromString("1.5"), MarketValue: usd("750.01")}},
		OpenOrders:   []account.Order{{ID: "o1", Symbol: "AAPL", Side: "buy", Type: "limit", Status: "new", Qty: usd("1")}},
		Flows:        account.Flows{At: at, Since: noon.Add(-time.Hour), Total: decimal.RequireFromString("5.5"), Recent: []account.Flow{{ID: "f", At: noon.Add(-time.Minute), Seen: noon, Amount: usd("5.5")}}},
		LastEquityAt: at, Changed: account.Figures{Equity: usd("1000.10"), BuyingPower: usd("2")},
		DetailAt: at, Tick: tick.Of(at), Seq: seq, ChangedSeq: seq, ObservedAt: at,
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

// Positions and orders that are kept stay as they are stored, and are the same by their digest.
func storeKept(t *testing.T, s Stores, _ func(string) []map[string]any) {
	must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	if _, err := s.PutSnapshot(t.Context(), Snapshot("u", 1, noon).WithoutDetail()); err == nil || errors.Is(err, account.ErrConflict) {
		t.Errorf("a first snapshot without positions and orders: %v, want an error that says so", err)
	}
	put(t, s, Snapshot("u", 1, noon))
	stored, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	next := Snapshot("u", 2, noon.Add(time.Minute))
	next.Positions, next.OpenOrders, next.DetailAt = nil, nil, stored.DetailAt
	next.Version, next.Kept, next.Flows = stored.Version, stored.Detail(), stored.Flows.Unread(stored.Seen())
	put(t, s, next)
	got, err := s.Snapshot(t.Context(), "u")
	must(t, err)
	if got.Seq != 2 || got.Incomplete || !got.DetailAt.Equal(noon) || len(got.Positions) != 1 || len(got.OpenOrders) != 1 || got.Detail() != stored.Detail() || got.Detail() != next.Detail() {
		t.Errorf("after a write that keeps positions and orders: %+v", got)
	}
	if f := got.Flows; len(f.Recent) != 1 || !f.Gap.Equal(noon) || f.GapCash.Decimal.String() != "500.05" || !f.At.Equal(noon) || f.Total.String() != "5.5" || got.Flows.Changed(next.Flows) {
		t.Errorf("flows after a write that keeps them: %+v", f)
	}
	got.Positions[0].Qty = decimal.NewFromInt(7)
	if got.Detail() == stored.Detail() {
		t.Error("another quantity has the same digest")
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

func usd(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}
