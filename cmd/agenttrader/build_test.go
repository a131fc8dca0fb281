package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

// built is what tests run as processes: built once, by the first that needs it.
var built struct {
	binaries, mutants func() (string, error)
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "agenttrader")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.binaries = sync.OnceValues(func() (string, error) { return buildBinaries(filepath.Join(dir, "binaries")) })
	built.mutants = sync.OnceValues(func() (string, error) { return buildMutants(dir) })
	// Those that are parallel wait for ticks, brokers and full minutes most of the time. A flag of the command line counts more.
	if err := flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	emulator.Main(m, func() { _ = os.RemoveAll(dir) })
}

// binaries is a folder with all four.
func binaries(t *testing.T) (dir string) {
	t.Helper()
	dir, err := built.binaries()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func buildBinaries(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	const prefix = "github.com/agenttrader/agenttrader/"
	return dir, goBuild(dir, prefix+"cmd/agenttrader", prefix+"services/fanout/cmd/fanout", prefix+"services/syncer/cmd/syncer", prefix+"services/signaler/cmd/signaler")
}

// goBuild builds without what only a debugger needs.
func goBuild(to string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-ldflags=-s -w", "-o", to}, args...)...) //nolint:gosec,noctx // for all tests
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
