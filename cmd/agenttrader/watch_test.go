package main_test

import (
	"net/http/httptest"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
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
	"github.com/agenttrader/agenttrader/services/syncer"
)

// watched is one user from the simulated broker to the risk state, by syncer and signaler alone. Its strategy wants nothing.
type watched struct {
	t        *testing.T
	now      time.Time
	sim      *sim.Server
	store    *store.Store
	db       *mem.DB
	syncer   *syncer.Service
	signaler *signaler.Service
	pending  []event.Event
}

func watch(t *testing.T, seed uint64) *watched {
	w := &watched{t: t, now: time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.now }
	w.sim = sim.New(sim.Config{Seed: seed, Now: now, Volatility: 0.01})
	w.sim.Register("PKWATCH", "secret")
	s := httptest.NewServer(w.sim)
	t.Cleanup(func() { w.sim.Close(); s.Close() })
	w.db = mem.NewDB(now)
	w.store = store.New(w.db)
	w.db.Watch(func(x mem.Written) {
		if x.Path == store.SnapshotPath("u") {
			e := event.New("e", event.TypeDocument, "db", "")
			_ = e.SetData("application/protobuf", document.EncodeChange(x.Old, x.New))
			w.pending = append(w.pending, e)
		}
	})
	w.must(w.store.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
	w.must(w.store.PutStrategy(t.Context(), strategy.Definition{
		UserID: "u", ID: "st", Kind: strategy.KindRebalance, Params: map[string]any{"weights": map[string]any{"SPY": 0.5}, "drift_band": 0.9}, Enabled: true,
	}))
	w.must(w.store.SetLimits(t.Context(), "u", risk.ParseLimits(map[string]any{"max_drawdown_share": 0.1})))
	vault := mem.NewVault()
	vault.Add("u", []byte(`{"key_id":"PKWATCH","secret_key":"secret"}`))
	b, err := alpaca.New(alpaca.Config{PaperURL: s.URL, Now: now})
	w.must(err)
	w.syncer, err = syncer.New(syncer.DefaultConfig("p"), syncer.Deps{Vault: vault, Broker: b, Snapshots: w.store, Health: w.store, Keys: w.store, Now: now})
	w.must(err)
	w.signaler, err = signaler.New(signaler.DefaultConfig(), signaler.Deps{Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Quotes: market.None{}, Now: now})
	w.must(err)
	return w
}

func (w *watched) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// minute is one sync, with what follows from it. It gives the equity that is stored then, and the risk state.
func (w *watched) minute() (decimal.Decimal, *risk.State) {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	e, err := event.SyncRequest{UserID: "u", Tick: tick.Of(w.now).String(), BrokerEnv: "paper", CadenceMinutes: 1, SlotMinutes: 720}.Event()
	w.must(err)
	w.must(w.syncer.Handle(w.t.Context(), e))
	for _, e := range w.pending {
		w.must(w.signaler.Handle(w.t.Context(), e))
	}
	w.pending = nil
	snap, err := w.store.Snapshot(w.t.Context(), "u")
	w.must(err)
	state, err := w.store.RiskState(w.t.Context(), "u")
	w.must(err)
	return snap.Account.Equity.Decimal, state
}

// Deposits and withdrawals trip nothing; a loss past the limit moves trading to REDUCING though no strategy wants anything, and
// only a person takes that back.
func TestLossesAreWatched(t *testing.T) {
	w := watch(t, 3)
	equity, state := w.minute()
	if len(state.Breaches) != 0 || !state.Mark.Equity.Decimal.Equal(equity) {
		t.Fatalf("at first: equity %s, %+v", equity, state)
	}
	for _, flow := range []decimal.Decimal{equity.Mul(decimal.NewFromInt(10)), equity.Mul(decimal.NewFromInt(-10))} {
		w.sim.Transfer("PKWATCH", flow.Shift(2).IntPart())
		w.now = w.now.Add(time.Second) // it was booked before the account is read
		if equity, state = w.minute(); len(state.Breaches) != 0 || state.Mark.Equity.Decimal.LessThan(equity) {
			t.Fatalf("after %s: equity %s, %+v", flow, equity, state)
		}
	}
	mark := state.Mark.Equity.Decimal
	tenth := func() decimal.Decimal { return mark.Mul(decimal.RequireFromString("0.9")) }
	for n := 0; !equity.LessThan(tenth()); n++ {
		if len(state.Breaches) != 0 {
			t.Fatalf("equity %s of %s: %+v", equity, mark, state.Breaches)
		}
		if n == 2000 {
			t.Fatalf("the market fell by no tenth: %s of %s; take another seed", equity, mark)
		}
		equity, state = w.minute()
		mark = state.Mark.Equity.Decimal
	}
	if len(state.Breaches) != 1 || state.Breaches[0].Code != risk.DrawdownExceeded || state.Breaches[0].Strategy != "" {
		t.Fatalf("equity %s of %s: %+v, want a breach of the drawdown", equity, mark, state.Breaches)
	}
	w.sim.Transfer("PKWATCH", mark.Mul(decimal.NewFromInt(5)).Shift(2).IntPart())
	for range 10 {
		if _, state = w.minute(); len(state.Breaches) != 1 {
			t.Fatalf("it went away by itself: %+v", state)
		}
	}
	word, err := risk.SetTrading(risk.Active, "looked at", "a person", w.now)
	w.must(err)
	w.must(w.store.SetTrading(t.Context(), "u", "", word))
	w.sim.Transfer("PKWATCH", 100) // a material change
	if equity, state = w.minute(); len(state.Breaches) != 0 || !state.Mark.Equity.Decimal.Equal(equity) {
		t.Errorf("after a person's word: equity %s, %+v", equity, state)
	}
	if docs, err := w.db.Query(t.Context(), document.Query{Collection: "users/u/" + store.Signals}); err != nil || len(docs) != 0 {
		t.Errorf("%d signals, %v", len(docs), err)
	}
}
