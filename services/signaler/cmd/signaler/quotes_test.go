package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/market"
)

type twoQuotes struct{}

func (twoQuotes) Latest(context.Context, []string) (map[string]market.Quote, error) {
	return map[string]market.Quote{"SPY": {}, "TLT": {}}, nil
}

// Keys that can't be read yet cost the quotes, not the service: one attempt and one error a minute.
func TestLateQuotes(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var fault error
	attempts := 0
	l := &lateQuotes{now: func() time.Time { return now }, open: func(context.Context) (market.Quotes, error) {
		attempts++
		if fault != nil {
			return nil, fault
		}
		return twoQuotes{}, nil
	}}
	fault = errors.New("no such secret")
	for i, c := range []struct {
		after    time.Duration
		mended   bool
		quotes   int
		failed   bool
		attempts int
	}{
		{0, false, 0, true, 1}, {time.Second, false, 0, false, 1}, {time.Minute, false, 0, true, 2},
		{time.Second, true, 0, false, 2}, {time.Minute, true, 2, false, 3}, {time.Hour, true, 2, false, 3},
	} {
		if now = now.Add(c.after); c.mended {
			fault = nil
		}
		quotes, err := l.Latest(t.Context(), nil)
		if len(quotes) != c.quotes || (err != nil) != c.failed || attempts != c.attempts {
			t.Errorf("%d: %d quotes, %v, %d attempts; want %+v", i, len(quotes), err, attempts, c)
		}
	}
}
