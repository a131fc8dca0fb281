package market

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"
)

// Timeframe is the length of a bar, in Alpaca's words.
type Timeframe string

// The timeframes. Those within a day begin at multiples of themselves since midnight UTC; a day is the exchanges' own, in
// New York.
const (
	FiveMinutes    Timeframe = "5Min"
	FifteenMinutes Timeframe = "15Min"
	ThirtyMinutes  Timeframe = "30Min"
	OneHour        Timeframe = "1Hour"
	OneDay         Timeframe = "1Day"
)

// Timeframes are all there are, the shortest first.
func Timeframes() []Timeframe {
	return []Timeframe{FiveMinutes, FifteenMinutes, ThirtyMinutes, OneHour, OneDay}
}

// Duration is the timeframe's length; OneDay counts as 24 hours. 0 if it is unknown.
func (t Timeframe) Duration() time.Duration {
	switch t {
	case FiveMinutes:
		return 5 * time.Minute
	case FifteenMinutes:
		return 15 * time.Minute
	case ThirtyMinutes:
		return 30 * time.Minute
	case OneHour:
		return time.Hour
	case OneDay:
		return 24 * time.Hour
	}
	return 0
}

// CheckTimeframe says what is wrong with a timeframe, if anything is.
func CheckTimeframe(t Timeframe) error {
	if t.Duration() == 0 {
		return fmt.Errorf("timeframe %.20q: want one of %v", string(t), Timeframes())
	}
	return nil
}

// Bar is what a symbol did in one timeframe. Prices are USD a share, adjusted for splits.
type Bar struct {
	At                     time.Time // its beginning, UTC
	Open, High, Low, Close decimal.Decimal
	Volume                 decimal.Decimal // shares
}

// Bars gives bars that are closed.
type Bars interface {
	// Closed returns, for each of the symbols, the newest n bars of a timeframe that had closed by a time, the oldest
	// first. A symbol with fewer has fewer; one that is unknown is left out.
	Closed(ctx context.Context, symbols []string, t Timeframe, n int, by time.Time) (map[string][]Bar, error)
}
