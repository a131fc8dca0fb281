package signaler

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// wanting is a strategy that wants bars, and runs at their closes or not.
type wanting struct {
	strategy.Strategy
	needs strategy.Needs
	at    market.Timeframe
}

func (w wanting) Needs() strategy.Needs       { return w.needs }
func (w wanting) Triggers() strategy.Triggers { return strategy.Triggers{Bar: w.at} }

type someBars struct {
	bars map[string][]market.Bar
	err  error
	by   time.Time
}

func (b *someBars) Closed(ctx context.Context, _ []string, _ market.Timeframe, _ int, by time.Time) (map[string][]market.Bar, error) {
	b.by = by
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("no deadline")
	}
	return b.bars, b.err
}

// A strategy sees the bars that count, whatever befell the others; who needs none asks for none.
func TestBars(t *testing.T) {
	now := time.Date(2026, 11, 24, 17, 1, 0, 0, time.UTC) // 12:01 in New York
	bar := func(minutes int) []market.Bar {
		return []market.Bar{{At: now.Truncate(time.Minute).Add(-time.Duration(minutes+1) * time.Minute)}}
	}
	source := &someBars{bars: map[string][]market.Bar{"SPY": bar(5), "TLT": bar(30)}, err: errors.New("TLT is behind")}
	faults, controls := 0, store.New(mem.NewDB(func() time.Time { return now }))
	s, err := New(DefaultConfig(), Deps{Bars: source, Controls: controls, Now: func() time.Time { return now }, Fault: func(_ context.Context, userID string, err error) {
		if userID != "u" || !errors.Is(err, source.err) {
			t.Errorf("fault of %s: %v", userID, err)
		}
		faults++
	}})
	if err != nil {
		t.Fatal(err)
	}
	see := func(w wanting) map[string][]market.Bar {
		got, err := s.bars(t.Context(), "u", w, strategy.Demand("d", now))
		if err != nil {
			t.Error(err)
		}
		return got
	}
	if got := see(wanting{needs: strategy.Needs{Symbols: []string{"SPY"}}}); got != nil || !source.by.IsZero() {
		t.Errorf("needs none: %v", got)
	}
	both := wanting{needs: strategy.Needs{Symbols: []string{"SPY", "TLT"}, Bars: market.FiveMinutes, Count: 3}}
	got := see(both)
	if len(got) != 1 || len(got["SPY"]) != 1 || faults != 1 || !source.by.Equal(now) {
		t.Errorf("%v, %d faults, by %s; want SPY's, and TLT's trouble told", got, faults, source.by)
	}
	both.at = market.FiveMinutes
	if got := see(both); len(got) != 2 {
		t.Errorf("of one that runs at closes: %v, want all", got)
	}
	if s, err = New(DefaultConfig(), Deps{Controls: controls, Now: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	if got := see(both); len(got) != 0 {
		t.Errorf("without a source: %v", got)
	}
}
