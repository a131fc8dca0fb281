package syncer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// With keys in envelopes the snapshot says where they are; what is wrong with an envelope is the user's trouble, what is
// wrong with KMS is ours: that event comes again, and nobody is marked.
func TestEnvelopeKeys(t *testing.T) {
	w := newWorld(t)
	kms, err := mem.NewKMS(mem.KMSKey)
	if err != nil {
		t.Fatal(err)
	}
	var fault error
	kms.SetHook(func(context.Context) error { return fault })
	cfg := envelope.DefaultConfig()
	var now atomic.Pointer[time.Time] // the cache asks in the background
	at := func(t time.Time) { w.now = t; now.Store(&t) }
	at(w.now)
	cfg.Now = func() time.Time { return *now.Load() }
	vault, err := envelope.New(w.db, kms, cfg)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := secret.NewCredentials("k", "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := vault.Put(t.Context(), "u", creds, "7"); err != nil {
		t.Fatal(err)
	}
	w.svc, err = syncer.New(syncer.DefaultConfig("p"), syncer.Deps{
		Vault: vault, Broker: w, Snapshots: w.store, Health: w.store, Keys: w.store, Now: func() time.Time { return w.now },
		Observe: func(_ context.Context, r syncer.Result) { w.outcome = r.Outcome },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sync(t, 0); err != nil {
		t.Fatal(err)
	}
	if s := w.stored(t); s.KeyPath != "keyEnvelopes/u" || s.KeyVersion != "7" {
		t.Errorf("encrypted_key_path is %q, key_version %q", s.KeyPath, s.KeyVersion)
	}
	fault = errors.New("503")
	at(w.now.Add(2 * time.Hour)) // the data key's time is over
	if err := w.sync(t, 120); event.ClassOf(err) != event.Retry || w.outcome != "" {
		t.Errorf("KMS is down: %s, %v; want a retry", w.outcome, err)
	}
	if d, err := w.db.Get(t.Context(), store.HealthPath("u")); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("KMS is down: the user's health is %v, %v; want none", d.Fields, err)
	}
	fault = nil
	if err := w.db.Delete(t.Context(), envelope.Path("u"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := w.sync(t, 120); event.ClassOf(err) != event.Settled || health.CauseOf(err) != health.KeysMissing {
		t.Errorf("no envelope: %v, want the user's trouble", err)
	}
}
