package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// ErrBusy is the answer while others use all that one may have.
var ErrBusy = errors.New("all slots are in use")

// suspectShare is the part of the slots that suspects may have together: a quarter.
const suspectShare = 4

// Slots bounds how many syncs are under way at once, fairly: a key has at most two, and the suspects, whose last attempt
// failed, a quarter of all. So users whose broker hangs wait for one another, and not the others for them.
// It is safe for concurrent use.
type Slots struct {
	all, suspects *semaphore.Weighted

	mu  sync.Mutex
	use map[string]int // by key
}

// perKey is how many slots one key may have: a second delivery may overtake the first.
const perKey = 2

// NewSlots makes n slots, at least one.
func NewSlots(n int) *Slots {
	return &Slots{
		all: semaphore.NewWeighted(int64(n)), suspects: semaphore.NewWeighted(int64(max(1, n/suspectShare))), use: map[string]int{},
	}
}

// Acquire takes a slot and waits for one until ctx ends; ErrBusy if that comes first, or if the key has its slots
// already. Call release once.
func (s *Slots) Acquire(ctx context.Context, key string, suspect bool) (release func(), err error) {
	if !s.enter(key) {
		return nil, fmt.Errorf("%w: %d for %s already", ErrBusy, perKey, key)
	}
	if suspect && s.suspects.Acquire(ctx, 1) != nil {
		s.leave(key)
		return nil, fmt.Errorf("%w: those of users in trouble", ErrBusy)
	}
	if s.all.Acquire(ctx, 1) != nil {
		s.leaveSuspects(suspect)
		s.leave(key)
		return nil, ErrBusy
	}
	return s.release(key, suspect), nil
}

// TryAcquire takes a slot if one is free and nobody waits for it.
func (s *Slots) TryAcquire(key string, suspect bool) (release func(), ok bool) {
	if !s.enter(key) {
		return nil, false
	}
	if suspect && !s.suspects.TryAcquire(1) {
		s.leave(key)
		return nil, false
	}
	if !s.all.TryAcquire(1) {
		s.leaveSuspects(suspect)
		s.leave(key)
		return nil, false
	}
	return s.release(key, suspect), true
}

func (s *Slots) release(key string, suspect bool) func() {
	return func() {
		s.all.Release(1)
		s.leaveSuspects(suspect)
		s.leave(key)
	}
}

func (s *Slots) leaveSuspects(suspect bool) {
	if suspect {
		s.suspects.Release(1)
	}
}

func (s *Slots) enter(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.use[key] >= perKey {
		return false
	}
	s.use[key]++
	return true
}

func (s *Slots) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.use[key]--; s.use[key] <= 0 {
		delete(s.use, key)
	}
}
