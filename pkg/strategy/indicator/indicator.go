// Package indicator is the arithmetic of technical analysis, over values in the order of time. It is pure, and works on
// float64: what comes out is compared with a threshold, and is never money.
//
// A library was looked for: github.com/cinar/indicator/v2 is AGPL and runs each average in a goroutine of its own.
package indicator

import "math"

// SMA is the simple moving average of the last n values. NaN if there are fewer.
func SMA(values []float64, n int) float64 {
	if n < 1 || len(values) < n {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range values[len(values)-n:] {
		sum += v
	}
	return sum / float64(n)
}

// RSI is Wilder's relative strength index over n changes, 0 to 100, at the last of the closes (J. Welles Wilder, "New
// Concepts in Technical Trading Systems", 1978): 100 - 100/(1 + average gain/average loss). The first averages are simple
// ones; each later change counts for 1/n. Without any loss it is 100, without any change 50. NaN if there are fewer than
// n+1 closes.
func RSI(closes []float64, n int) float64 {
	if n < 1 || len(closes) <= n {
		return math.NaN()
	}
	gain, loss := 0.0, 0.0
	for i := 1; i < len(closes); i++ {
		up, down := max(closes[i]-closes[i-1], 0), max(closes[i-1]-closes[i], 0)
		if i <= n {
			gain, loss = gain+up/float64(n), loss+down/float64(n)
			continue
		}
		gain, loss = smooth(gain, up, n), smooth(loss, down, n)
	}
	if gain+loss == 0 {
		return 50
	}
	return min(100*gain/(gain+loss), 100) // a float's rounding may be past it
}

// smooth is Wilder's moving average: the newest value counts for 1/n.
func smooth(average, v float64, n int) float64 {
	return average + (v-average)/float64(n)
}

// ATR is Wilder's average true range over n bars, in the unit of the prices (Wilder, 1978). A true range is the bar's own
// range, widened to the close before. The first average is a simple one; each later range counts for 1/n. NaN if there
// are fewer than n+1 bars.
func ATR(highs, lows, closes []float64, n int) float64 {
	if n < 1 || len(closes) <= n {
		return math.NaN()
	}
	atr := 0.0
	for i := 1; i < len(closes); i++ {
		tr := max(highs[i], closes[i-1]) - min(lows[i], closes[i-1])
		if i <= n {
			atr += tr / float64(n)
			continue
		}
		atr = smooth(atr, tr, n)
	}
	return atr
}

// Highest is the largest of the last n values, NaN if there are fewer.
func Highest(values []float64, n int) float64 {
	if n < 1 || len(values) < n {
		return math.NaN()
	}
	v := math.Inf(-1)
	for _, x := range values[len(values)-n:] {
		v = max(v, x)
	}
	return v
}

// Lowest is the smallest of the last n values, NaN if there are fewer.
func Lowest(values []float64, n int) float64 {
	if n < 1 || len(values) < n {
		return math.NaN()
	}
	v := math.Inf(1)
	for _, x := range values[len(values)-n:] {
		v = min(v, x)
	}
	return v
}

// Volatility is the sample standard deviation of the last n logarithmic returns, a period (John C. Hull, "Options, Futures,
// and Other Derivatives", the chapter on the Black-Scholes-Merton model). NaN if there are fewer than n+1 closes, or n < 2.
func Volatility(closes []float64, n int) float64 {
	if n < 2 || len(closes) <= n {
		return math.NaN()
	}
	closes = closes[len(closes)-n-1:]
	mean := math.Log(closes[n]/closes[0]) / float64(n)
	sum := 0.0
	for i := 1; i <= n; i++ {
		d := math.Log(closes[i]/closes[i-1]) - mean
		sum += d * d
	}
	return math.Sqrt(sum / float64(n-1))
}

// EWMAVolatility is the exponentially weighted volatility of the logarithmic returns, a period, their mean taken as 0
// (J.P. Morgan/Reuters, "RiskMetrics Technical Document", 4th ed. 1996, section 5.2): variance = lambda × variance before +
// (1 - lambda) × return². It starts with the first return's square. NaN if there are fewer than 2 closes.
func EWMAVolatility(closes []float64, lambda float64) float64 {
	if len(closes) < 2 {
		return math.NaN()
	}
	variance := 0.0
	for i := 1; i < len(closes); i++ {
		r := math.Log(closes[i] / closes[i-1])
		if i == 1 {
			variance = r * r
			continue
		}
		variance = lambda*variance + (1-lambda)*r*r
	}
	return math.Sqrt(variance)
}
