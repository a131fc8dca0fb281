package secret

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// What leaves the cache leaves no key in its own memory.
func TestWipe(t *testing.T) {
	creds, err := NewCredentials("PKcanary", "canary")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(nil, CacheConfig{Users: 10, TTL: time.Hour}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	p := newPair(creds, "1")
	id, key := p.keyID, p.secret
	if _, err := c.pairs.Get(t.Context(), "u", func(context.Context, string) (*pair, error) { return p, nil }); err != nil {
		t.Fatal(err)
	}
	c.Refused("u", "1")
	if len(bytes.Trim(id, "\x00"))+len(bytes.Trim(key, "\x00")) != 0 {
		t.Errorf("after the eviction there are still %q and %q", id, key)
	}
	if _, ok := p.open(); ok {
		t.Error("wiped keys were given out")
	}
}
