package local

import (
	"context"
	"sync"
	"time"
)

// held are the operations of a kind that the store holds back until somebody else has written their document: the instant in
// which an observation grows old on its way to the store is made long, instead of being waited for.
type held struct {
	mu    sync.Mutex
	paths map[string]chan struct{} // closed when the document was written
}

// wait holds an operation back, unless enough are held already, until its document is written or so much time is over.
func (h *held) wait(ctx context.Context, path string, most time.Duration) {
	h.mu.Lock()
	if len(h.paths) == mostHeld || h.paths[path] != nil {
		h.mu.Unlock()
		return
	}
	if h.paths == nil {
		h.paths = map[string]chan struct{}{}
	}
	written := make(chan struct{})
	h.paths[path] = written
	h.mu.Unlock()
	select {
	case <-written:
		return
	case <-time.After(most):
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.paths, path)
}

func (h *held) written(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if written := h.paths[path]; written != nil {
		close(written)
		delete(h.paths, path)
	}
}
