package signaler_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// held is all that a decision reads, in memory: what is measured is the decision.
type held struct {
	risk.Controls // none but the platform's is asked for

	snap        account.Snapshot
	day         risk.Day
	definitions []strategy.Definition
	quotes      map[string]market.Quote
}

func (h *held) Snapshot(context.Context, string) (account.Snapshot, error) { return h.snap, nil }

func (h *held) PutSnapshot(context.Context, account.Snapshot) (time.Time, error) {
	return time.Time{}, account.ErrConflict
}

func (h *held) Enabled(context.Context, string) ([]strategy.Definition, error) {
	return h.definitions, nil
}

func (h *held) Latest(context.Context, []string) (map[string]market.Quote, error) {
	return h.quotes, nil
}

func (h *held) PlatformControl(context.Context) (risk.Control, error) { return risk.Control{}, nil }

// Place is a transaction without a database: judged on the snapshot and on a state with a reservation of another strategy.
func (h *held) Place(_ context.Context, b signal.Batch, decide func(risk.View) risk.Plan) ([]signal.Signal, error) {
	state := &risk.State{Day: h.day}
	state.Reserve(signal.Signal{ID: "a", StrategyID: "other", Symbol: "MSFT", Action: signal.Buy, Notional: decimal.NewFromInt(100), CreatedAt: b.Now, ExpiresAt: b.Now.Add(time.Minute)}, decimal.NewFromInt(100), account.Snapshot{})
	if _, _, err := state.Refresh(nil, h.snap, b.Now); err != nil {
		return nil, err
	}
	p := decide(risk.View{Snapshot: h.snap, State: state})
	if len(p.Signals) != 1 || p.Signals[0].Status != signal.Pending {
		return nil, fmt.Errorf("signals %v, want one that trades", p.Signals)
	}
	if p.Record != nil && p.Record.Pack() == nil {
		return nil, errors.New("the record has no body")
	}
	return p.Signals, nil
}

func (h *held) Settle(context.Context, string, string) error { return nil }

// BenchmarkDecision is a whole decision, from the bytes of an event to the signal that is to be written, with ten positions,
// on as many cores as there are. The database, the market data and HTTP are left out.
func BenchmarkDecision(b *testing.B) {
	raw := map[string]any{
		"id": "a", "account_number": "PA1", "status": "ACTIVE", "currency": "USD", "equity": "10000.25", "last_equity": "10010", "cash": "4997.75", "buying_power": "9995.5",
		"trading_blocked": false, "account_blocked": false, "multiplier": "2", "shorting_enabled": true, "long_market_value": "5002.5", "created_at": "2024-02-01T09:30:00.123456Z",
	}
	a, err := account.FromRaw(raw)
	if err != nil {
		b.Fatal(err)
	}
	s := account.Snapshot{UserID: "u", Account: a, Raw: raw, ObservedAt: noon, Tick: tick.Of(noon), Seq: 7, ChangedSeq: 7, SlotMinutes: 60, DetailAt: noon}
	for i := range 10 {
		s.Positions = append(s.Positions, account.Position{
			Symbol: fmt.Sprintf("S%d", i), Qty: decimal.NewFromInt(10), AvgEntryPrice: decimal.NewNullDecimal(decimal.New(4955, -2)),
			CurrentPrice: decimal.NewNullDecimal(decimal.New(50025, -3)), MarketValue: decimal.NewNullDecimal(decimal.New(50025, -2)),
		})
	}
	day, err := risk.NewDay(noon)
	if err != nil {
		b.Fatal(err)
	}
	h := &held{snap: s, day: day, quotes: map[string]market.Quote{"SPY": {Bid: decimal.New(61199, -2), Ask: decimal.New(61201, -2), At: noon}}}
	h.definitions = []strategy.Definition{{
		UserID: "u", ID: "r", Kind: strategy.KindRebalance, Enabled: true, UpdatedAt: noon, Params: map[string]any{"weights": map[string]any{"SPY": 0.4}, "every_minutes": int64(60)},
		Limits: map[string]any{"max_position_share": 0.5, "max_day_usd": "100000"},
	}}
	encode := func(s account.Snapshot) []byte {
		d, err := document.Encode(mem.Database, document.Document{Path: store.SnapshotPath("u"), Fields: s.Fields(), CreateTime: noon, UpdateTime: noon})
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	old := s
	old.Seq, old.ChangedSeq, old.Tick = 6, 6, s.Tick-1
	e := event.New("e", event.TypeDocument, "db", "")
	if err := e.SetData("application/protobuf", document.EncodeChange(encode(old), encode(s))); err != nil {
		b.Fatal(err)
	}
	svc, err := signaler.New(signaler.DefaultConfig(), signaler.Deps{
		Snapshots: h, Strategies: h, Signals: h, Controls: h, Quotes: h, Now: func() time.Time { return noon },
		Fault: func(_ context.Context, _ string, err error) { b.Error(err) },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the service does in a container (pkg/serve)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := svc.Handle(b.Context(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}

func (*held) Watch(context.Context, string, func(risk.View) bool) error { return nil }

func (*held) Open(context.Context, string) ([]signal.Reservation, error) { return nil, nil }

func (*held) Withdraw(context.Context, string, risk.Withdrawal, time.Time) (int, error) {
	return 0, nil
}
