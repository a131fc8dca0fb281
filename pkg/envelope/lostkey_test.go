package envelope_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// neighbour is another user of the same shard.
func (w *world) neighbour(uid string) string {
	for i := 0; ; i++ {
		if n := fmt.Sprintf("u%d", i); w.DataKeyOf(n) == w.DataKeyOf(uid) {
			return n
		}
	}
}

// A data key that was lost stays one user's matter at most: nobody is told to store keys again because somebody else did, no
// instance goes on encrypting under what only it remembers, and what was stored meanwhile is told apart.
func TestLostDataKey(t *testing.T) {
	w := newWorld(t)
	w.put("alice", "1")
	bob := w.neighbour("alice")
	path := envelope.DataKeyPath(w.DataKeyOf("alice"))
	lost := w.fields(path)
	reader := w.another()
	if err := w.get(reader, "alice", "1"); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Delete(t.Context(), path, time.Time{}); err != nil {
		t.Fatal(err)
	}

	// w remembers the lost key. What it stores now, everybody reads.
	w.put(bob, "1")
	for name, v := range map[string]secret.Vault{"the writer": w, "another that remembers the lost key": reader, "one that remembers none": w.another()} {
		if err := w.get(v, bob, "1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := w.get(v, "alice", "1")
		if err == nil || health.CauseOf(err) != "" || errors.Is(err, secret.ErrMalformed) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "alice") {
			t.Errorf("%s reads what was stored under the lost key: %v; want an error without a class that names the data key", name, err)
		}
	}
	before := w.kms.Calls()
	for range 10 {
		_ = w.get(w, "alice", "1")
	}
	if n := w.kms.Calls() - before; n != 0 {
		t.Errorf("%d calls of KMS for keys that can't be read", n)
	}

	// The old document comes back: at once for those who were lost, and whoever stored meanwhile is no user's fault either.
	made := w.fields(path)
	w.set(path, lost)
	for name, v := range map[string]secret.Vault{"the writer": w, "another": reader, "a new one": w.another()} {
		if err := w.get(v, "alice", "1"); err != nil {
			t.Errorf("restored, %s: %v", name, err)
		}
		if err := w.get(v, bob, "1"); err == nil || health.CauseOf(err) != "" {
			t.Errorf("restored, %s: what was stored meanwhile: %v; want an error without a class", name, err)
		}
	}
	w.put(bob, "2")
	if err := w.get(reader, bob, "2"); err != nil {
		t.Errorf("stored again: %v", err)
	}

	// Half of each document is neither.
	w.set(path, w.fieldsWith(lost, "wrapped", made["wrapped"]))
	if err := w.get(w.another(), "alice", "1"); err == nil || health.CauseOf(err) != "" || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("a mixed document: %v", err)
	}
	// Documents of before there were fingerprints.
	w.set(path, w.fieldsWith(lost, "fingerprint", nil))
	w.set(envelope.Path("alice"), w.fieldsWith(w.fields(envelope.Path("alice")), "fingerprint", nil))
	if err := w.get(w.another(), "alice", "1"); err != nil {
		t.Errorf("without fingerprints: %v", err)
	}
}
