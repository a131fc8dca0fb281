package limit

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Keys bounds the requests of each key by the minute. It is safe for concurrent use.
type Keys struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu    sync.Mutex
	keys  map[string]*rate.Limiter
	sweep time.Time // when those at rest are forgotten
}

// NewKeys allows each key at most perMinute requests in any minute: a fifth of them at once, the others evenly.
func NewKeys(perMinute int, now func() time.Time) *Keys {
	burst := max(1, perMinute/5)
	return &Keys{
		limit: rate.Limit(float64(max(1, perMinute-burst)) / 60), burst: burst, now: now, keys: map[string]*rate.Limiter{}, sweep: now().Add(time.Minute),
	}
}

// Allow is true if the key may make a request now, and counts it. Otherwise next is when it may.
func (k *Keys) Allow(key string) (ok bool, next time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if now.After(k.sweep) {
		maps.DeleteFunc(k.keys, func(_ string, l *rate.Limiter) bool { return l.TokensAt(now) >= float64(k.burst) })
		k.sweep = now.Add(time.Minute)
	}
	l := k.keys[key]
	if l == nil {
		l = rate.NewLimiter(k.limit, k.burst)
		k.keys[key] = l
	}
	if l.AllowN(now, 1) {
		return true, now
	}
	missing := 1 - l.TokensAt(now)
	return false, now.Add(time.Duration(missing / float64(k.limit) * float64(time.Second)))
}
