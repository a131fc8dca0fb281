package secret_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

const payload = `{"key_id": "PK%s", "secret_key": "s-%s"}`

type cached struct {
	*secret.Cache
	vault *mem.Vault
	now   atomic.Int64 // Unix nanoseconds
}

func newCached(t *testing.T, users int) *cached {
	c := &cached{vault: mem.NewVault()}
	c.now.Store(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixNano())
	var err error
	c.Cache, err = secret.NewCache(c.vault, secret.CacheConfig{Users: users, TTL: time.Hour}, func() time.Time { return time.Unix(0, c.now.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cached) get(t *testing.T, user, version string) (keyID, got string) {
	t.Helper()
	creds, got, err := c.Credentials(t.Context(), user, version)
	if err != nil {
		t.Fatal(err)
	}
	keyID, _ = creds.Reveal()
	return keyID, got
}

// Keys are looked up once while they are good, and again when there is a reason.
func TestCache(t *testing.T) {
	c := newCached(t, 100)
	add := func(user, what string) { c.vault.Add(user, fmt.Appendf(nil, payload, what, what)) }
	add("a", "one")
	want := func(what string, accesses int64) {
		t.Helper()
		if n := c.vault.Accesses(); n != accesses {
			t.Errorf("%s: %d accesses, want %d", what, n, accesses)
		}
	}
	for range 60 {
		if k, _ := c.get(t, "a", "1"); k != "PKone" {
			t.Fatalf("got %s", k)
		}
		c.get(t, "a", "")
		c.now.Add(int64(59 * time.Second))
	}
	want("an hour, but for a minute", 1)
	add("a", "two")
	if k, v := c.get(t, "a", "2"); k != "PKtwo" || v != "2" {
		t.Errorf("a newer version: %s %s", k, v)
	}
	want("a newer version is asked for", 2)
	if k, v := c.get(t, "a", "1"); k != "PKtwo" || v != "2" {
		t.Errorf("a late request for an older version: %s %s, want the newer keys", k, v)
	}
	want("a late request", 2)
	c.Refused("a", "1")
	c.get(t, "a", "2")
	want("others were refused", 2)
	c.Refused("a", "2")
	c.get(t, "a", "2")
	want("these were refused", 3)
	c.now.Add(int64(66*time.Minute + time.Second))
	c.get(t, "a", "2")
	want("the time is over, its jitter too", 4)
	if _, _, err := c.Credentials(t.Context(), "a", "9"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("an unknown version: %v", err)
	}
}

// Many who ask at once make one access.
func TestCacheSingleFlight(t *testing.T) {
	c := newCached(t, 100)
	c.vault.Add("a", fmt.Appendf(nil, payload, "x", "x"))
	release := make(chan struct{})
	c.vault.SetHook(func(context.Context, string) error { <-release; return nil })
	var wg sync.WaitGroup
	var failed atomic.Int64
	impatient, cancel := context.WithCancel(t.Context())
	for i := range 50 {
		ctx := t.Context()
		if i%2 == 0 {
			ctx = impatient // who leaves must not take the answer from the others
		}
		wg.Go(func() {
			if _, _, err := c.Credentials(ctx, "a", ""); err != nil && ctx.Err() == nil {
				failed.Add(1)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	cancel()
	close(release)
	wg.Wait()
	if n := c.vault.Accesses(); failed.Load() != 0 || n != 1 {
		t.Errorf("%d accesses, %d failed; want 1 and 0", n, failed.Load())
	}
}

// The cache stays within its bound, and a failure is not remembered.
func TestCacheBound(t *testing.T) {
	c := newCached(t, 10)
	for i := range 200 {
		user := fmt.Sprintf("u%d", i)
		c.vault.Add(user, fmt.Appendf(nil, payload, user, user))
		c.get(t, user, "")
	}
	if n := c.Len(); n > 10 {
		t.Errorf("%d pairs are kept, want at most 10", n)
	}
	if _, _, err := c.Credentials(t.Context(), "nobody", ""); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("no secret: %v", err)
	}
	c.vault.Add("nobody", fmt.Appendf(nil, payload, "n", "n"))
	c.get(t, "nobody", "")
}

// BenchmarkCache is what a sync pays for keys that are remembered.
func BenchmarkCache(b *testing.B) {
	v := mem.NewVault()
	v.Add("u", []byte(`{"key_id":"k","secret_key":"s"}`))
	c, err := secret.NewCache(v, secret.CacheConfig{Users: 10, TTL: time.Hour}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Credentials(b.Context(), "u", "1"); err != nil {
			b.Fatal(err)
		}
	}
}
