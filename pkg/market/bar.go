package market

import (
	"context"
	"errors"
	"fmt"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
)

// Timeframe is the length of a bar, in Alpaca's words.
type Timeframe string

// The timeframes. Those within a day begin at multiples of themselves since midnight UTC; a day is the exchanges' own, in
// New York, and closes with their regular hours (Grid.End).
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

// Bar is what a symbol did in one timeframe. Prices are USD a share or coin, adjusted for splits.
type Bar struct {
	At                     time.Time // its beginning, UTC; of OneDay, midnight in New York
	Open, High, Low, Close decimal.Decimal
	Volume                 decimal.Decimal // shares or coins
}

// Check says what is wrong with a bar, if anything is: prices that are none, or contradict one another.
func (b Bar) Check() error {
	if b.At.Unix() <= 0 || b.At.Year() > 9999 {
		return errors.New("its time is missing")
	}
	for _, f := range []struct {
		name  string
		price decimal.Decimal
	}{{"open", b.Open}, {"high", b.High}, {"low", b.Low}, {"close", b.Close}} {
		if !f.price.IsPositive() || f.price.GreaterThanOrEqual(tooMuch()) {
			return fmt.Errorf("%s is %.30s: want a price", f.name, f.price)
		}
	}
	if b.Low.GreaterThan(decimal.Min(b.Open, b.Close)) || b.High.LessThan(decimal.Max(b.Open, b.Close)) {
		return fmt.Errorf("open %.30s, high %.30s, low %.30s, close %.30s contradict one another", b.Open, b.High, b.Low, b.Close)
	}
	if b.Volume.IsNegative() {
		return fmt.Errorf("volume is %.30s: want 0 or more", b.Volume)
	}
	return nil
}

// Equal says that two bars are the same.
func (b Bar) Equal(c Bar) bool {
	return b.At.Equal(c.At) && b.Open.Equal(c.Open) && b.High.Equal(c.High) && b.Low.Equal(c.Low) && b.Close.Equal(c.Close) && b.Volume.Equal(c.Volume)
}

// tooMuch is no price of anything, USD.
func tooMuch() decimal.Decimal { return decimal.New(1, 9) }

// Bars gives bars that are closed.
type Bars interface {
	// Closed returns, for each of the symbols, the newest n bars of a timeframe that had closed by a time, the oldest
	// first. A symbol with fewer has fewer; one that is unknown is left out. Bars that come with an error are good: it
	// is about symbols that are left out, or whose bars are older than they should be (Grid.Fresh); it is ErrLate as long as
	// all that is wrong is a bar that is waited for, and ErrMissing if it is one that did not come. The caller must not change them.
	Closed(ctx context.Context, symbols []string, t Timeframe, n int, by time.Time) (map[string][]Bar, error)
}

// ErrLate says that a bar has closed, is not there yet, and is asked for again.
var ErrLate = errors.New("the newest bar is late")

// ErrMissing says that a bar has closed, and was waited for in vain.
var ErrMissing = errors.New("the newest bar has not come")

// NoBars has no bars at all: strategies that want some say that they can't decide.
type NoBars struct{}

// Closed implements Bars.
func (NoBars) Closed(context.Context, []string, Timeframe, int, time.Time) (map[string][]Bar, error) {
	return nil, nil
}
