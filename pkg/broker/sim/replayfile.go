package sim

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/market"
)

const (
	maxReplayFile = 64 << 20 // bytes
	maxFaults     = 10       // of a file's rows are told
)

// columns of a file of bars.
var columns = [...]string{"symbol", "timeframe", "t", "o", "h", "l", "c", "v"}

// row is one bar of a file, as it stands there.
type row [len(columns)]string

// ReadReplay reads a file of bars: CSV with the columns symbol,timeframe,t,o,h,l,c,v in any order, named in the first row,
// or a JSON list of objects with these fields. t is RFC 3339, the bar's beginning; prices are USD; timeframes are Alpaca's,
// 5Min to 1Day. The error names the rows that are wrong, counted from 1 without the CSV's heading, and what is wrong.
func ReadReplay(path string) (*Replay, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxReplayFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxReplayFile {
		return nil, fmt.Errorf("%s: more than %d MiB", path, maxReplayFile>>20)
	}
	r, err := ParseReplay(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ParseReplay reads what ReadReplay does: JSON if it begins with a bracket, otherwise CSV.
func ParseReplay(b []byte) (*Replay, error) {
	grid, err := market.NewGrid(market.Calendar{})
	if err != nil {
		return nil, err
	}
	read := csvRows
	if b = bytes.TrimPrefix(bytes.TrimSpace(b), []byte("\ufeff")); bytes.HasPrefix(b, []byte("[")) {
		read = jsonRows
	}
	rows, err := read(b)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errors.New("there is no bar in it")
	}
	r := &Replay{series: map[string]map[market.Timeframe][]bar{}, grid: grid}
	var faults []error
	type place struct {
		symbol, timeframe string
		at                int64
	}
	seen := map[place]int{}
	for i, row := range rows {
		symbol, t, b, err := row.bar(grid)
		if err == nil {
			p := place{symbol, string(t), b.At.Unix()}
			if first, twice := seen[p]; twice {
				err = fmt.Errorf("row %d is the same bar", first)
			} else {
				seen[p] = i + 1
			}
		}
		if err != nil {
			if faults = append(faults, fmt.Errorf("row %d: %w", i+1, err)); len(faults) == maxFaults {
				faults = append(faults, errors.New("the rest is not looked at"))
				break
			}
			continue
		}
		if r.series[symbol] == nil {
			r.series[symbol] = map[market.Timeframe][]bar{}
		}
		r.series[symbol][t] = append(r.series[symbol][t], b)
	}
	for _, series := range r.series {
		for _, bars := range series {
			slices.SortFunc(bars, func(a, b bar) int { return a.At.Compare(b.At) })
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

func (r row) bar(grid market.Grid) (symbol string, t market.Timeframe, b bar, err error) {
	symbol, t = r[0], market.Timeframe(r[1])
	if err := market.CheckSymbol(symbol); err != nil {
		return "", "", b, err
	}
	if market.IsCrypto(symbol) {
		return "", "", b, fmt.Errorf("symbol %s: pairs of currencies are not simulated", symbol)
	}
	if err := market.CheckTimeframe(t); err != nil {
		return "", "", b, err
	}
	if b.At, err = time.Parse(time.RFC3339, r[2]); err != nil {
		return "", "", b, fmt.Errorf("t is %.40q: want a time like 2026-11-24T14:30:00Z", r[2])
	}
	b.At = b.At.UTC()
	if !grid.Aligned(symbol, t, b.At) {
		return "", "", b, fmt.Errorf("t is %.40q: no bar of %s begins then (of 1Day: midnight in New York)", r[2], t)
	}
	for i, to := range []*float64{&b.Open, &b.High, &b.Low, &b.Close} {
		// a cent at least, as all prices here
		if *to, err = strconv.ParseFloat(r[3+i], 64); err != nil || !(*to >= 0.01 && *to < 1e7) {
			return "", "", b, fmt.Errorf("%s is %.40q: want a price, 0.01 to 9999999", columns[3+i], r[3+i])
		}
	}
	volume, err := strconv.ParseFloat(r[7], 64)
	if err != nil || !(volume >= 0 && volume < 1e15) {
		return "", "", b, fmt.Errorf("v is %.40q: want a number of shares", r[7])
	}
	b.Volume, b.Trades, b.VWAP = int64(math.Round(volume)), int64(volume)/10, (b.High+b.Low)/2
	number := decimal.NewFromFloat
	check := market.Bar{At: b.At, Open: number(b.Open), High: number(b.High), Low: number(b.Low), Close: number(b.Close)}
	return symbol, t, b, check.Check()
}

func csvRows(b []byte) ([]row, error) {
	r := csv.NewReader(bytes.NewReader(b))
	r.TrimLeadingSpace = true
	heading, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, err
	}
	var where [len(columns)]int
	for i, name := range columns {
		where[i] = slices.IndexFunc(heading, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) })
		if where[i] < 0 {
			return nil, fmt.Errorf("the first row lacks the column %q: want %s", name, strings.Join(columns[:], ","))
		}
	}
	var rows []row
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		var next row
		for i, at := range where {
			next[i] = strings.TrimSpace(fields[at])
		}
		rows = append(rows, next)
	}
}

func jsonRows(b []byte) ([]row, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var list []map[string]any
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("it is no JSON list of objects with %s: %w", strings.Join(columns[:], ","), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the JSON list")
	}
	rows := make([]row, len(list))
	for i, object := range list {
		for j, name := range columns {
			switch v := object[name].(type) {
			case string:
				rows[i][j] = v
			case json.Number:
				rows[i][j] = v.String()
			}
		}
	}
	return rows, nil
}
