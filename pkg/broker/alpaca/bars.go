package alpaca

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/marketdata"
	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/market"
)

const (
	pageLimit = 10_000 // bars in a page: Alpaca's most
	// Where a symbol has too few bars in the regular hours that should hold them, as one that is seldom traded, the
	// search goes on once, so many times as far and a little more.
	widerTimes, widerBars = 4, 20
)

// Closed implements market.Bars: all symbols in one request, or as many as there are pages, and one more for those with
// gaps. A symbol is left out, and told, if one of its bars can't be true.
func (d *Data) Closed(ctx context.Context, symbols []string, t market.Timeframe, n int, by time.Time) (map[string][]market.Bar, error) {
	if err := market.CheckTimeframe(t); err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("%d bars: want 1 or more", n)
	}
	bars := make(map[string][]market.Bar, len(symbols))
	var errs []error
	shares, pairs := split(symbols)
	for some := range slices.Chunk(shares, maxSymbols) {
		errs = append(errs, d.newest(ctx, some, t, n, by, d.shareBars, bars))
	}
	for some := range slices.Chunk(pairs, maxSymbols) {
		errs = append(errs, d.newest(ctx, some, t, n, by, d.pairBars, bars))
	}
	return bars, errors.Join(errs...)
}

// rows are bars as they came. A field that is missing is 0.
type rows map[string][]marketdata.CryptoBar

type ask func(ctx context.Context, symbols []string, t market.Timeframe, from, to time.Time) (rows, error)

// newest puts the newest n closed bars of each symbol into bars.
func (d *Data) newest(ctx context.Context, symbols []string, t market.Timeframe, n int, by time.Time, ask ask, bars map[string][]market.Bar) error {
	var errs []error
	for _, back := range []int{n, widerTimes*n + widerBars} {
		got, err := ask(ctx, symbols, t, d.grid.Back(symbols[0], t, by, back), by)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		var short []string
		for _, s := range symbols {
			closed, err := d.closed(s, t, by, got[s])
			switch {
			case err != nil:
				errs = append(errs, err)
			case len(closed) < n && back == n:
				short = append(short, s)
			case len(closed) > 0:
				bars[s] = closed[max(0, len(closed)-n):]
			}
		}
		if symbols = short; len(symbols) == 0 {
			break
		}
	}
	return errors.Join(errs...)
}

// closed puts a symbol's bars in order and leaves out those that had not closed. It refuses all of them if one can't be
// true: an indicator of the others would be wrong.
func (d *Data) closed(symbol string, t market.Timeframe, by time.Time, got []marketdata.CryptoBar) ([]market.Bar, error) {
	refuse := func(at time.Time, err error) error {
		return &broker.Error{Kind: broker.Malformed, Op: "bars", Err: fmt.Errorf("%s, bar of %.30s: %w", symbol, at.UTC().Format(time.RFC3339), err)}
	}
	bars := make([]market.Bar, 0, len(got))
	for _, g := range got {
		if !(g.Volume >= 0 && g.Volume < 1e18) {
			return nil, refuse(g.Timestamp, errors.New("its volume is none"))
		}
		b := market.Bar{At: g.Timestamp.UTC(), Volume: decimal.NewFromFloat(g.Volume)}
		for _, f := range []struct {
			to   *decimal.Decimal
			from float64
		}{{&b.Open, g.Open}, {&b.High, g.High}, {&b.Low, g.Low}, {&b.Close, g.Close}} {
			if !(f.from > 1e-9 && f.from < 1e9) { // NaN too
				return nil, refuse(g.Timestamp, fmt.Errorf("a price is %g", f.from))
			}
			*f.to = decimal.NewFromFloat(f.from)
		}
		if err := b.Check(); err != nil {
			return nil, refuse(g.Timestamp, err)
		}
		if !d.grid.Aligned(symbol, t, b.At) {
			return nil, refuse(g.Timestamp, fmt.Errorf("no bar of %s begins then", t))
		}
		if !d.grid.End(symbol, t, b.At).After(by) {
			bars = append(bars, b)
		}
	}
	slices.SortStableFunc(bars, func(a, b market.Bar) int { return a.At.Compare(b.At) })
	for i := 1; i < len(bars); i++ {
		if bars[i].At.Equal(bars[i-1].At) && !bars[i].Equal(bars[i-1]) {
			return nil, refuse(bars[i].At, errors.New("it is there twice, and differs"))
		}
	}
	return slices.CompactFunc(bars, market.Bar.Equal), nil
}

func (d *Data) shareBars(ctx context.Context, symbols []string, t market.Timeframe, from, to time.Time) (rows, error) {
	all := make(rows, len(symbols))
	err := d.do(ctx, "bars", func(client *marketdata.Client) error {
		got, err := client.GetMultiBars(symbols, marketdata.GetBarsRequest{
			TimeFrame: timeFrame(t), Adjustment: marketdata.AdjustmentSplit, Start: from, End: to, PageLimit: pageLimit, Sort: marketdata.SortAsc,
		})
		for s, bars := range got {
			for _, b := range bars {
				all[s] = append(all[s], marketdata.CryptoBar{Timestamp: b.Timestamp, Open: b.Open, High: b.High, Low: b.Low, Close: b.Close, Volume: float64(b.Volume)})
			}
		}
		return err
	})
	return all, err
}

func (d *Data) pairBars(ctx context.Context, symbols []string, t market.Timeframe, from, to time.Time) (rows, error) {
	var all rows
	err := d.do(ctx, "bars", func(client *marketdata.Client) (err error) {
		all, err = client.GetCryptoMultiBars(symbols, marketdata.GetCryptoBarsRequest{
			TimeFrame: timeFrame(t), Start: from, End: to, PageLimit: pageLimit, Sort: marketdata.SortAsc,
		})
		return err
	})
	return all, err
}

func timeFrame(t market.Timeframe) marketdata.TimeFrame {
	switch t {
	case market.OneDay:
		return marketdata.OneDay
	case market.OneHour:
		return marketdata.OneHour
	}
	return marketdata.NewTimeFrame(int(t.Duration()/time.Minute), marketdata.Min)
}
