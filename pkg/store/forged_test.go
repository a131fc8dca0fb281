package store_test

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Collections of the platform's names in places where the platform has none say nothing of any user.
func TestForgedCollections(t *testing.T) {
	db := mem.NewDB(time.Now)
	s := store.New(db)
	for _, path := range []string{
		"users/u/notes/n/syncHealth/alpaca", "syncHealth/alpaca", "tenants/u/syncHealth/alpaca", "users/u/syncHealth/another",
		"users/u/notes/n/strategies/s", "strategies/s", "tenants/u/strategies/s",
	} {
		must(t, db.Set(t.Context(), path, document.Fields{"failing": true, "state": "needs_reauth", "enabled": true, "kind": "dca"}))
	}
	failing, err := s.Failing(t.Context())
	if err != nil || len(failing) != 0 {
		t.Errorf("Failing = %v, %v; want nobody", failing, err)
	}
	trading, err := s.Trading(t.Context())
	if err != nil || len(trading) != 0 {
		t.Errorf("Trading = %v, %v; want nobody", trading, err)
	}
}

// Signals that their owner wrote, pending for whatever amount, hold no buying power; and a word on one changes nothing.
func TestForgedSignals(t *testing.T) {
	db, s, snap := book(t)
	for _, id := range []string{"mine", "another"} {
		must(t, db.Set(t.Context(), store.SignalPath("u", id), document.Fields{
			"user_id": "u", "strategy_id": "st", "symbol": "SPY", "action": "buy", "notional_usd": 1e9, "notional": "1000000000.00", "status": "pending", "expires_at": noon.Add(time.Hour),
		}))
	}
	r := porttest.Run(snap, "st", "c", tick.Of(noon), porttest.Buy("SPY", snap.Account.BuyingPower.Decimal.String()))
	placed, err := s.Place(t.Context(), r.Batch, r.Plan)
	if err != nil || len(placed) != 1 || placed[0].DenialCode != "" {
		t.Fatalf("Place = %+v, %v; want one signal for all of the buying power", placed, err)
	}
	must(t, s.PutStatus(t.Context(), "u", "mine", "executed"))
	must(t, s.Settle(t.Context(), "u", "mine"))
	state, err := s.RiskState(t.Context(), "u")
	if err != nil || len(state.Reservations) != 1 || state.Reservations[0].SignalID != placed[0].ID || !state.Reservations[0].SettledAt.IsZero() {
		t.Errorf("reservations = %+v, %v; want the platform's signal's alone, without a word", state.Reservations, err)
	}
}
