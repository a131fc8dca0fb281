package mem

import (
	"context"
	"sync"
)

// minWindow is where a push window starts and how far it shrinks: Pub/Sub starts in single digits.
const minWindow = 4

// window bounds the requests in flight as Pub/Sub's push window does: one more per success, so that it doubles
// per round trip; half per nack. Those who wait get in first come, first served.
type window struct {
	mu      sync.Mutex
	limit   int
	most    int
	used    int
	waiters []*windowWaiter
}

type windowWaiter struct {
	ready chan struct{} // closed when the slot is the waiter's
	gone  bool          // gave up waiting
}

func newWindow(most int) *window {
	return &window{limit: min(minWindow, most), most: most}
}

// acquire waits for a slot. On error (ctx's) none is held.
func (w *window) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if len(w.waiters) == 0 && w.used < w.limit {
		w.used++
		w.mu.Unlock()
		return nil
	}
	me := &windowWaiter{ready: make(chan struct{})}
	w.waiters = append(w.waiters, me)
	w.mu.Unlock()

	select {
	case <-me.ready:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-me.ready: // granted at the same moment: hand it on
		w.used--
		w.grant()
	default:
		me.gone = true
	}
	return ctx.Err()
}

// release gives a slot back without a verdict.
func (w *window) release() {
	w.mu.Lock()
	w.used--
	w.grant()
	w.mu.Unlock()
}

// done gives a slot back with a verdict: ok grows the window, a nack halves it.
func (w *window) done(ok bool) {
	w.mu.Lock()
	if ok {
		w.limit = min(w.limit+1, w.most)
	} else {
		w.limit = min(max(w.limit/2, minWindow), w.most)
	}
	w.used--
	w.grant()
	w.mu.Unlock()
}

// size returns the window's present width and how much of it is in use.
func (w *window) size() (limit, used int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.limit, w.used
}

// grant lets in whom the window has room for. The lock is held.
func (w *window) grant() {
	for len(w.waiters) > 0 && (w.waiters[0].gone || w.used < w.limit) {
		next := w.waiters[0]
		w.waiters[0] = nil
		w.waiters = w.waiters[1:]
		if next.gone {
			continue
		}
		w.used++
		close(next.ready)
	}
}
