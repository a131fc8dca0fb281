package indicator_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/strategy/indicator"
)

func near(t *testing.T, what string, got, want, off float64) {
	t.Helper()
	if !(math.Abs(got-want) <= off) {
		t.Errorf("%s is %.6f, want %.6f", what, got, want)
	}
}

// StockCharts' worked example of RSI(14), QQQQ from 14 December 2009 to 1 February 2010: the spreadsheet cs-rsi of
// ChartSchool, "Relative Strength Index (RSI)".
func TestRSI(t *testing.T) {
	closes := []float64{
		44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328,
		46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
	}
	for i, want := range []float64{70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87, 45.46, 37.30, 33.08, 37.77} {
		near(t, "RSI", indicator.RSI(closes[:15+i], 14), want, 0.005)
	}
	near(t, "RSI of no change", indicator.RSI([]float64{1, 1, 1}, 2), 50, 0)
	near(t, "RSI of a rise", indicator.RSI([]float64{1, 2, 3, 4}, 2), 100, 0)
	near(t, "RSI of a fall", indicator.RSI([]float64{4, 3, 2, 1}, 2), 0, 0)
}

// Hull's example of a volatility from historical data: 20 returns, 1.216 % a day, 19.3 % a year.
func TestVolatility(t *testing.T) {
	closes := []float64{20, 20.10, 19.90, 20, 20.50, 20.25, 20.90, 20.90, 20.90, 20.75, 20.75, 21, 21.10, 20.90, 20.90, 21.25, 21.40, 21.40, 21.25, 21.75, 22}
	got := indicator.Volatility(closes, 20)
	near(t, "volatility a day", got, 0.01216, 0.000005)
	near(t, "volatility a year", got*math.Sqrt(252), 0.193, 0.0005)
	near(t, "of the newest values", indicator.Volatility(append([]float64{5, 500}, closes...), 20), got, 0)
}

// Hull's example of the EWMA model: lambda 0.90, 1 % a day before, a return of 2 %: 1.14 %.
func TestEWMAVolatility(t *testing.T) {
	closes := []float64{100, 100 * math.Exp(0.01), 100 * math.Exp(0.03)}
	near(t, "EWMA volatility", indicator.EWMAVolatility(closes, 0.90), 0.0114, 0.00005)
}

func TestByHand(t *testing.T) {
	near(t, "SMA", indicator.SMA([]float64{100, 1, 2, 6}, 3), 3, 1e-12)
	near(t, "highest", indicator.Highest([]float64{9, 1, 5, 2}, 3), 5, 0)
	near(t, "lowest", indicator.Lowest([]float64{0, 4, 5, 2}, 3), 2, 0)
	// True ranges: 12-9 = 3; 10-9 = 1, but 11.5 to 9 is 2.5; 16-14 = 2, but 9.5 to 16 is 6.5.
	highs, lows, closes := []float64{10, 12, 10, 16}, []float64{8, 9, 9, 14}, []float64{9, 11.5, 9.5, 15}
	near(t, "ATR, simple", indicator.ATR(highs[:3], lows[:3], closes[:3], 2), 2.75, 1e-12)
	near(t, "ATR", indicator.ATR(highs, lows, closes, 2), (2.75+6.5)/2, 1e-12)
}

func TestTooFew(t *testing.T) {
	two := []float64{1, 2}
	for name, got := range map[string]float64{
		"SMA": indicator.SMA(two, 3), "SMA of none": indicator.SMA(two, 0), "RSI": indicator.RSI(two, 2), "ATR": indicator.ATR(two, two, two, 2), "highest": indicator.Highest(two, 3),
		"lowest": indicator.Lowest(two, 3), "volatility": indicator.Volatility(two, 2), "volatility of one": indicator.Volatility(two, 1), "EWMA": indicator.EWMAVolatility(two[:1], 0.9),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s is %g, want NaN", name, got)
		}
	}
}

// What holds of any prices: an average lies among its values, an index in its bounds, a volatility knows no scale.
func TestAnyPrices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(0.01, 1e5), 3, 60).Draw(t, "closes")
		n := rapid.IntRange(2, len(v)-1).Draw(t, "n")
		high, low := indicator.Highest(v, n), indicator.Lowest(v, n)
		if a := indicator.SMA(v, n); !(a >= low*(1-1e-9) && a <= high*(1+1e-9)) {
			t.Fatalf("SMA %g of %g to %g", a, low, high)
		}
		if r := indicator.RSI(v, n); !(r >= 0 && r <= 100) {
			t.Fatalf("RSI %g", r)
		}
		if a := indicator.ATR(v, v, v, n); !(a >= 0) {
			t.Fatalf("ATR %g", a)
		}
		twice := make([]float64, len(v))
		for i := range v {
			twice[i] = 2 * v[i]
		}
		if a, b := indicator.Volatility(v, n), indicator.Volatility(twice, n); !(a >= 0) || math.Abs(a-b) > 1e-9*(1+a) {
			t.Fatalf("volatility %g, of twice the prices %g", a, b)
		}
		if a, b := indicator.EWMAVolatility(v, 0.94), indicator.EWMAVolatility(twice, 0.94); !(a >= 0) || math.Abs(a-b) > 1e-9*(1+a) {
			t.Fatalf("EWMA volatility %g, of twice the prices %g", a, b)
		}
	})
}
