package bench

import (
	"math"
	"runtime"
	"slices"
)

// Quantile are latencies in milliseconds, by nearest rank.
type Quantile struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantiles(ms []float64) Quantile {
	if len(ms) == 0 {
		return Quantile{}
	}
	sorted := slices.Sorted(slices.Values(ms))
	at := func(q float64) float64 { return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)] }
	return Quantile{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// moment is what this process has used so far.
type moment struct {
	cpu, peakMB   float64 // seconds; resident
	allocs, bytes uint64
}

func now() moment {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	cpu, peak := usage()
	return moment{cpu: cpu, peakMB: peak, allocs: m.Mallocs, bytes: m.TotalAlloc}
}
