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
	sharedOnce.Do(func() { shared, errShared = Start(context.Background()) })
	switch {
	case errors.Is(errShared, ErrMissing) && os.Getenv("CI") != "true":
		t.Skip("skipped: " + errShared.Error())
	case errShared != nil:
		t.Fatal(errShared)
	}
	return shared, fmt.Sprintf("test-%d-%d", os.Getpid(), projects.Add(1))
}

// Main runs a package's tests, and ends the emulator after them.
func Main(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.Stop()
	}
	os.Exit(code)
}
