package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Latency is a distribution of the time before an answer. The zero Latency is none.
type Latency struct {
	text  string
	low   time.Duration
	high  time.Duration // uniform in low..high
	sigma float64       // log-normal around low, if not 0
}

// z99 is the standard normal distribution's 99th percentile.
const z99 = 2.3263478740408408

// ParseLatency reads 50ms (constant), 20ms..80ms (uniform), or 50ms~200ms (log-normal with that median and 99th
// percentile). Nothing is no latency.
func ParseLatency(text string) (Latency, error) {
	if text == "" || text == "0" {
		return Latency{}, nil
	}
	separator := ""
	for _, s := range []string{"..", "~"} {
		if strings.Contains(text, s) {
			separator = s
		}
	}
	first, second := text, text
	if separator != "" {
		first, second, _ = strings.Cut(text, separator)
	}
	low, err := time.ParseDuration(first)
	high, err2 := time.ParseDuration(second)
	if err != nil || err2 != nil || low < 0 || high < low || high > time.Minute || (separator == "~" && low == 0) {
		return Latency{}, fmt.Errorf("latency %q: want 50ms, 20ms..80ms or 50ms~200ms (median~p99), at most 1m", text)
	}
	l := Latency{text: text, low: low, high: high}
	if separator == "~" {
		l.sigma = math.Log(float64(high)/float64(low)) / z99
	}
	return l, nil
}

func (l Latency) String() string {
	if l.text == "" {
		return "0"
	}
	return l.text
}

// draw is the n-th latency.
func (l Latency) draw(n uint64) time.Duration {
	r := rand.New(rand.NewPCG(n, 0x5eed))
	switch {
	case l.sigma != 0:
		return min(time.Minute, time.Duration(float64(l.low)*math.Exp(l.sigma*r.NormFloat64())))
	case l.high > l.low:
		return l.low + time.Duration(r.Int64N(int64(l.high-l.low)+1))
	}
	return l.low
}

// wait is false if ctx ended first.
func (l Latency) wait(ctx context.Context, n uint64) bool {
	d := l.draw(n)
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
