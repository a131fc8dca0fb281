package signaler_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// quotes are the same at all times.
type quotes map[string]market.Quote

func (q quotes) Latest(context.Context, []string) (map[string]market.Quote, error) { return q, nil }

// deps are the service's own, on the world's store.
func (w *world) deps(t *testing.T, change func(*signaler.Deps)) {
	t.Helper()
	d := signaler.Deps{
		Snapshots: w.store, Strategies: w.store, Signals: w.store, Controls: w.store, Quotes: market.None{}, Now: func() time.Time { return w.now },
		Fault: func(context.Context, string, error) { w.faults++ },
	}
	change(&d)
	var err error
	w.svc, err = signaler.New(signaler.DefaultConfig(), d)
	must(t, err)
}

// kind makes the user's strategy one of another kind.
func (w *world) kind(t *testing.T, kind string, params map[string]any) {
	t.Helper()
	must(t, w.store.PutStrategy(t.Context(), strategy.Definition{UserID: "u", ID: "r", Kind: kind, Params: params, Enabled: true}))
}

// at stores the next snapshot at a time, the first one a material change, and handles its event.
func (w *world) at(t *testing.T, at time.Time, change func(*account.Snapshot)) error {
	t.Helper()
	_, err := w.store.Snapshot(t.Context(), "u")
	w.write(t, int(at.Sub(noon)/time.Minute), errors.Is(err, account.ErrNotFound), "1000", func(s *account.Snapshot) {
		w.now = at
		s.ObservedAt, s.Tick, s.SlotMinutes = at, tick.Of(at), 5
		if change != nil {
			change(s)
		}
	})
	return w.svc.Handle(t.Context(), w.events[len(w.events)-1])
}

// share is a position of one share at a price.
func share(symbol string, usd int64) account.Position {
	price := decimal.NewNullDecimal(decimal.NewFromInt(usd))
	return account.Position{Symbol: symbol, Qty: decimal.NewFromInt(1), MarketValue: price, CurrentPrice: price}
}

// A stub quote has a middle that is a price of nothing: the broker's valuation counts.
func TestStubQuote(t *testing.T) {
	w := newWorld(t)
	w.deps(t, func(d *signaler.Deps) {
		d.Quotes = quotes{"SPY": {Bid: decimal.RequireFromString("0.01"), Ask: decimal.RequireFromString("199999.99"), At: noon.Add(time.Minute)}}
	})
	w.write(t, 1, true, "500", func(s *account.Snapshot) { s.Positions = []account.Position{share("SPY", 500)} })
	w.deliver(t, 0)
	if got := w.signals(t); len(got) != 0 {
		t.Errorf("half of equity is held, as it should be, and there is %v", got)
	}
}
