package porttest

import (
	"context"
	"testing"
	"time"
)

// shortly bounds what a client may spend on attempts of its own.
func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
