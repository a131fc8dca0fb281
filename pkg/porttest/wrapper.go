package porttest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/envelope"
)

// WrapperFixture is a wrapper, with the means to break it.
type WrapperFixture struct {
	envelope.Wrapper
	Fail   func(error) // every call from now on; nil ends it
	Rotate func() error
}

// Wrapper is the contract of envelope.Wrapper.
func Wrapper(t *testing.T, open func(t *testing.T) WrapperFixture) {
	ctx := t.Context()
	w := open(t)
	key, bound := []byte("0123456789abcdef0123456789abcdef"), []byte("agenttrader/dataKeys/64-1")
	if w.Key() == "" {
		t.Error("the key has no name")
	}
	refused := func(what string, err error) {
		t.Helper()
		switch {
		case err == nil:
			t.Errorf("%s: it was taken", what)
		case users(err):
			t.Errorf("%s: %v is taken for a user's trouble", what, err)
		case bytes.Contains([]byte(err.Error()), key):
			t.Errorf("%s: the error shows the data key: %v", what, err)
		}
	}
	wrapped, err := w.Wrap(ctx, key, bound)
	if err != nil || bytes.Contains(wrapped, key[:8]) {
		t.Fatalf("wrapped: %q, %v", wrapped, err)
	}
	again, err := w.Wrap(ctx, key, bound)
	if err != nil || bytes.Equal(wrapped, again) {
		t.Errorf("the same data key gives the same bytes: whoever reads them sees that it is the same; %v", err)
	}
	for _, c := range [][]byte{wrapped, again} {
		if got, _, err := w.Unwrap(ctx, c, bound); err != nil || !bytes.Equal(got, key) {
			t.Errorf("unwrapped: %v, the same: %t", err, bytes.Equal(got, key))
		}
	}
	_, _, err = w.Unwrap(ctx, wrapped, []byte("agenttrader/dataKeys/64-2"))
	refused("bound to something else", err)
	for _, i := range []int{0, len(wrapped) / 2, len(wrapped) - 1} {
		changed := slices.Clone(wrapped)
		changed[i] ^= 1
		_, _, err = w.Unwrap(ctx, changed, bound)
		refused("changed", err)
	}
	_, _, err = w.Unwrap(ctx, wrapped[:5], bound)
	refused("cut", err)
	_, _, err = w.Unwrap(ctx, nil, bound)
	refused("nothing", err)
	w.Fail(errors.New("503"))
	_, err = w.Wrap(shortly(t), key, bound)
	refused("unavailable", err)
	_, _, err = w.Unwrap(shortly(t), wrapped, bound)
	refused("unavailable", err)
	w.Fail(nil)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = w.Unwrap(ended, wrapped, bound)
	refused("cancelled", err)
	if got, _, err := w.Unwrap(ctx, wrapped, bound); err != nil || !bytes.Equal(got, key) {
		t.Errorf("after all that: %v", err)
	}

	// The key has a new version: what the old one wrapped opens as before, and is told apart.
	for _, rotated := range []bool{false, true} {
		if rotated {
			if err := w.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		if got, current, err := w.Unwrap(ctx, wrapped, bound); err != nil || !bytes.Equal(got, key) || current == rotated {
			t.Errorf("rotated: %t; %v, current: %t", rotated, err, current)
		}
	}
	if again, err = w.Wrap(ctx, key, bound); err != nil {
		t.Fatal(err)
	}
	if _, current, err := w.Unwrap(ctx, again, bound); err != nil || !current {
		t.Errorf("wrapped by the new version: %v, current: %t", err, current)
	}
}
