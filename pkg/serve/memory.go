package serve

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	memoryShare = 0.8 // of the container's, for Go's heap and stacks
	garbage     = 400 // percent of the live heap that may wait to be collected
)

// useMemory lets garbage wait while the container has the memory for it: collecting at every doubling, as Go does by itself,
// is a tenth of a service's CPU. Where the container's memory is not known, or the environment has GOGC or GOMEMLIMIT,
// nothing changes.
func useMemory() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil || limit == math.MaxInt64 {
		slog.Debug("memory of the container is not known: Go's own settings stay", "error", err)
		return
	}
	debug.SetGCPercent(garbage)
}
