package emulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	sharedOnce sync.Once
	shared     *Emulator
	errShared  error
	projects   atomic.Int64
)

// For gives a test the emulator of its test binary, and a project of its own. Where there is none the test is
// skipped; with CI=true it fails. The test binary's TestMain calls Main.
func For(t testing.TB) (e *Emulator, project string) {
	t.Helper()
	Require(t)
	sharedOnce.Do(func() { shared, errShared = Start(context.Background()) })
	if errShared != nil {
		t.Fatal(errShared)
	}
	return shared, fmt.Sprintf("test-%d-%d", os.Getpid(), projects.Add(1))
}

// Require skips a test where there is no emulator; with CI=true it fails.
func Require(t testing.TB) {
	t.Helper()
	_, _, err := find()
	switch {
	case errors.Is(err, ErrMissing) && os.Getenv("CI") != "true":
		t.Skip("skipped: " + err.Error())
	case err != nil:
		t.Fatal(err)
	}
}

// Main runs a package's tests, ends the emulator after them, and calls what the package has to do then. Emulators of tests
// live for a minute or two: what Java's better compiler would cost is not made up for by then.
func Main(m *testing.M, after ...func()) {
	if os.Getenv("JAVA_TOOL_OPTIONS") == "" {
		_ = os.Setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
	}
	code := m.Run()
	if shared != nil {
		shared.Stop()
	}
	for _, fn := range after {
		fn()
	}
	os.Exit(code)
}
