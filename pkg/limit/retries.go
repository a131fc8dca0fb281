// Package limit bounds what one instance does: how often it asks again, how much is under way at once, and how many
// requests a key makes. All bounds are the instance's: the fleet's are these times the number of instances.
package limit

import (
	"sync"
	"time"
)

// Retries is a retry budget: each call earns a share of a retry, and each second a few more, so that retries stay a
// bounded part of the load however much fails. As Finagle's RetryBudget:
// https://twitter.github.io/finagle/docs/com/twitter/finagle/service/RetryBudget
// It is safe for concurrent use.
type Retries struct {
	share, floor float64
	now          func() time.Time

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// saved is how many retries the budget keeps for later, at most.
const saved = 100

// NewRetries allows share retries for each call (0.2 is one for five calls), and floor a second besides.
func NewRetries(share, floor float64, now func() time.Time) *Retries {
	return &Retries{share: share, floor: floor, now: now, tokens: min(saved, 10*floor), last: now()}
}

// Called notes a call that is no retry.
func (r *Retries) Called() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = min(saved, r.tokens+r.share)
}

// Take is true if a retry may be made, and takes it from the budget.
func (r *Retries) Take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.After(r.last) {
		r.tokens = min(saved, r.tokens+r.floor*now.Sub(r.last).Seconds())
		r.last = now
	}
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
