//go:build !unix

package bench

// usage is not known here.
func usage() (cpu, peak float64) { return 0, 0 }
