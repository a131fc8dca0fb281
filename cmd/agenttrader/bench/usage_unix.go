//go:build unix

package bench

import (
	"runtime"
	"syscall"
)

// usage is the process's CPU time, s, and its peak resident memory, MB.
func usage() (cpu, peak float64) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	unit := 1024.0 // Linux and the BSDs count kilobytes
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return seconds(u.Utime) + seconds(u.Stime), float64(u.Maxrss) * unit / (1 << 20)
}
