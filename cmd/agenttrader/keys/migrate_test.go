package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func directions() []string { return []string{gcp.Envelope, gcp.SecretManager} }

// There and back again: the versions stay, keys that are gone stay gone, and a second run has nothing to do.
func TestMigrate(t *testing.T) {
	for _, to := range directions() {
		w, from := newWorld(t), other(to)
		versions := map[string]string{"alice": "1", "bob": "3", "carol": "7"}
		for uid, v := range versions {
			w.onboard(from, uid, v)
		}
		if err := w.store.PutUser(t.Context(), user.User{ID: "nokeys", Status: user.Active}); err != nil {
			t.Fatal(err)
		}
		want := func(name string, got, want report) {
			t.Helper()
			want.To, want.Users = to, 4
			if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(report{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", to, name, d)
			}
		}
		before := w.dump()
		want("a dry run", w.result("--to", to, "--dry-run", "--prune"), report{DryRun: true, Moved: 3, NoKeys: 1, Pruned: 3})
		if d := cmp.Diff(before, w.dump()); d != "" {
			t.Errorf("a dry run changed something (-before +after):\n%s", d)
		}
		want("the first run", w.result("--to", to), report{Moved: 3, NoKeys: 1})
		for uid, v := range versions {
			w.holds(to, uid, v)
			w.holds(from, uid, v)
		}
		want("the second run", w.result("--to", to), report{There: 3, NoKeys: 1})
		want("with --prune", w.result("--to", to, "--prune"), report{There: 3, NoKeys: 1, Pruned: 3})
		for uid, v := range versions {
			w.holds(from, uid, "")
			if err := w.readable(uid, v); err != nil {
				t.Errorf("%s: %v", uid, err)
			}
		}
		want("again", w.result("--to", to, "--prune"), report{There: 3, NoKeys: 1})

		// Back, a user named by hand and the others.
		back := w.result("--to", from, "--prune", "--users", "carol")
		if back.Users != 1 || back.Moved != 1 || back.Pruned != 1 {
			t.Errorf("back, one user: %+v", back)
		}
		w.holds(from, "carol", "7")
		w.holds(to, "carol", "")
		w.result("--to", from, "--prune")
		for uid, v := range versions {
			w.holds(from, uid, v)
			w.holds(to, uid, "")
			if from == gcp.SecretManager && w.vault.Alive(uid) != 1 {
				t.Errorf("%s has %d versions in Secret Manager, want one: each is billed", uid, w.vault.Alive(uid))
			}
		}
		w.noLeak()
	}
}

// dump is all that is stored of keys.
func (w *world) dump() map[string]string {
	all := map[string]string{}
	for _, uid := range []string{"alice", "bob", "carol", "nokeys"} {
		all[uid] = fmt.Sprint(w.vault.Alive(uid))
		if d, err := w.db.Get(w.t.Context(), envelope.Path(uid)); err == nil {
			all[envelope.Path(uid)] = d.UpdateTime.String()
		}
		if u, err := w.store.User(w.t.Context(), uid); err == nil {
			all["version of "+uid] = u.KeyVersion
		}
	}
	return maps.Clone(all)
}

// Stopped before or after any one of its operations, and begun anew, a migration ends as if nothing had been; and whoever
// asks for a user's keys meanwhile, in either order of the custodies, gets them.
func TestStoppedAnywhere(t *testing.T) {
	for _, to := range directions() {
		for _, prune := range []bool{false, true} {
			t.Run(fmt.Sprintf("to %s, prune %t", to, prune), func(t *testing.T) {
				t.Parallel()
				stops := 0
				for n := 1; ; n++ {
					if !stopAt(t, to, prune, n) {
						break
					}
					stops++
				}
				if stops < 15 {
					t.Errorf("only %d places to stop at were found", stops)
				}
			})
		}
	}
}

// stopAt is false if the migration ends before its n-th operation.
func stopAt(t *testing.T, to string, prune bool, n int) bool {
	t.Helper()
	w, from := newWorld(t), other(to)
	versions := map[string]string{"alice": "1", "bob": "3"}
	for uid, v := range versions {
		w.onboard(from, uid, v)
	}
	w.restart()
	args := []string{"--to", to, "--concurrency", "1"}
	if prune {
		args = append(args, "--prune")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count, looking := 0, false
	w.step = func(context.Context, bool) error {
		if looking {
			return nil
		}
		looking = true
		if count >= n-1 { // what was before is as it was when it was stopped there
			for uid, v := range versions {
				if err := w.readable(uid, v); err != nil {
					t.Errorf("operation %d: %s can't be read: %v", count, uid, err)
				}
			}
		}
		looking = false
		if count++; count == n {
			cancel()
			return errors.New("killed")
		}
		return ctx.Err()
	}
	_, err := w.migrate(ctx, args...)
	stopped := count >= n
	if stopped != (err != nil) {
		t.Fatalf("stopped at %d: %t, and the command says %v", n, stopped, err)
	}
	w.step = func(context.Context, bool) error { return nil }
	w.restart()
	for uid, v := range versions {
		if err := w.readable(uid, v); err != nil {
			t.Errorf("stopped at %d: %s can't be read: %v", n, uid, err)
		}
	}
	if r := w.result(args...); len(r.Failed) > 0 || r.Moved+r.There != 2 {
		t.Errorf("stopped at %d, begun anew: %+v", n, r)
	}
	for uid, v := range versions {
		w.holds(to, uid, v)
		if prune {
			w.holds(from, uid, "")
		}
	}
	w.noLeak()
	return stopped
}

// Keys that a user stores while the migration is at that user are never replaced by older ones, wherever they are stored
// and at whatever moment; and once it has ended, the newest are the ones that are read.
func TestRotationMeanwhile(t *testing.T) {
	for _, to := range directions() {
		for _, into := range directions() {
			t.Run(fmt.Sprintf("to %s, new keys into %s", to, into), func(t *testing.T) {
				for n := 1; ; n++ {
					w := newWorld(t)
					w.onboard(other(to), "alice", "2")
					w.restart()
					count, looking := 0, false
					w.step = func(context.Context, bool) error {
						if looking {
							return nil
						}
						looking = true
						if count++; count == n {
							// As onboarding does it: the next number, whatever the vault has of the user so far.
							if err := w.keeper(into).Put(t.Context(), "alice", keysOf(t, "alice", "3"), "3"); err != nil {
								t.Errorf("at operation %d the new keys can't be stored: %v", n, err)
							}
							if err := w.store.RaiseKeyVersion(t.Context(), "alice", "3"); err != nil {
								t.Error(err)
							}
						}
						looking = false
						return nil
					}
					args := []string{"--to", to}
					if into == to { // where new keys go while a fleet moves
						args = append(args, "--prune")
					}
					if _, err := w.migrate(t.Context(), args...); err != nil {
						t.Errorf("rotation at operation %d: %v", n, err)
					}
					done := count < n
					w.step = func(context.Context, bool) error { return nil }
					if done {
						return
					}
					w.result("--to", to)
					if err := w.readable("alice", "3"); err != nil {
						t.Errorf("rotation at operation %d: %v", n, err)
					}
				}
			})
		}
	}
}

// Both at once: stopped at any operation, after a rotation at any operation before, and begun anew. The keys that the user's
// document names are the new ones from then on at every moment, and in the end nobody reads the old ones.
func TestStoppedAfterRotation(t *testing.T) {
	for _, to := range directions() {
		for _, into := range directions() {
			t.Run(fmt.Sprintf("to %s, new keys into %s", to, into), func(t *testing.T) {
				t.Parallel()
				w, cases := newWorld(t), 0
				for m := 1; ; m++ {
					n := m + 1
					for ; n <= m+22 && stopAfterRotation(t, w, to, into, m, n); n += stopsApart { // so long is giving way; the next m takes those between
						cases++
					}
					if n == m+1 {
						break
					}
				}
				if cases < 30 {
					t.Errorf("only %d cases were found", cases)
				}
				w.noLeak()
			})
		}
	}
}

// stopsApart is how many operations are between two stops after one rotation.
const stopsApart = 3

// stopAfterRotation is false if the migration ends before its n-th operation; at the m-th new keys are stored.
func stopAfterRotation(t *testing.T, w *world, to, into string, m, n int) bool {
	t.Helper()
	uid := fmt.Sprintf("u-%d-%d", m, n)
	w.step = func(context.Context, bool) error { return nil }
	w.onboard(other(to), uid, "2")
	w.restart()
	args := []string{"--to", to, "--users", uid}
	if into == to || to == gcp.SecretManager { // Secret Manager deletes unconditionally: new keys go where nothing is removed
		args = append(args, "--prune")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count, looking := 0, false
	w.step = func(context.Context, bool) error {
		if looking {
			return nil
		}
		looking = true
		defer func() { looking = false }()
		if count++; count == m {
			if err := w.keeper(into).Put(t.Context(), uid, keysOf(t, uid, "3"), "3"); err != nil {
				t.Errorf("at %d the new keys can't be stored: %v", m, err)
			}
			if err := w.store.RaiseKeyVersion(t.Context(), uid, "3"); err != nil {
				t.Error(err)
			}
		}
		if count >= max(m, n-stopsApart+1) { // what was before is as it was when it was stopped there
			w.named(uid, m, n)
		}
		if count == n {
			cancel()
			return errors.New("killed")
		}
		return ctx.Err()
	}
	_, _ = w.migrate(ctx, args...)
	w.stepping.Wait()
	stopped := count >= n
	w.restart()
	count = m // no more rotations
	w.step = func(context.Context, bool) error {
		if !looking {
			looking = true
			w.named(uid, m, n)
			looking = false
		}
		return nil
	}
	if !stopped {
		return false
	}
	for range 2 {
		if r := w.result(args...); len(r.Failed) > 0 {
			t.Errorf("rotation at %d, stopped at %d, begun anew: %+v", m, n, r)
		}
		w.step = func(context.Context, bool) error { return nil }
	}
	if err := w.readable(uid, "3"); err != nil {
		t.Errorf("rotation at %d, stopped at %d: %v", m, n, err)
	}
	w.named(uid, m, n)
	return true
}

// named: the version that the user's document names has the new keys, in either order of the custodies.
func (w *world) named(uid string, m, n int) {
	w.t.Helper()
	u, err := w.store.User(w.t.Context(), uid)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, preferred := range directions() {
		creds, got, err := secret.NewEither(w.keeper(preferred), w.keeper(other(preferred))).Credentials(w.t.Context(), uid, u.KeyVersion)
		if err != nil || !creds.Same(keysOf(w.t, uid, "3")) {
			w.t.Errorf("rotation at %d, stopped at %d: %s first, version %s: got %s, %v; want the new keys", m, n, preferred, u.KeyVersion, got, err)
		}
	}
}

// What is a user's own trouble stops nobody else, however many have it; and a user who is named twice is moved once.
func TestOwnTrouble(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		uid := fmt.Sprintf("u%02d", i)
		w.onboard(gcp.SecretManager, uid, "1")
		if i%2 == 0 {
			w.vault.Disable(uid, 1)
			continue
		}
		if err := w.services.Put(t.Context(), uid, keysOf(t, uid, "other"), "1"); err != nil {
			t.Fatal(err)
		}
	}
	w.onboard(gcp.SecretManager, "v", "1")
	if r := w.result("--to", gcp.Envelope, "--concurrency", "1"); r.Users != 31 || len(r.Failed) != 30 || r.Moved != 1 {
		t.Errorf("%d users, %d failed, %d moved; want 31, 30, 1", r.Users, len(r.Failed), r.Moved)
	}
	w.onboard(gcp.Envelope, "far", "900")
	if r := w.result("--to", gcp.SecretManager, "--users", "v,far,v"); r.Users != 2 || len(r.Failed) != 1 || r.There != 1 {
		t.Errorf("v twice: %+v", r)
	}
}

// The user's document tells of newer keys after its page was read: nothing is taken out before they are found.
func TestKnownLater(t *testing.T) {
	w := newWorld(t)
	w.onboard(gcp.SecretManager, "alice", "1")
	asked := 0
	m := secret.Mover{From: w.secrets, To: w.envelopes, Prune: true, Known: func(context.Context, string) (string, error) {
		if asked++; asked == 1 {
			w.rotate(gcp.SecretManager, "alice", "2")
		}
		return "2", nil
	}}
	if r, err := m.Move(t.Context(), "alice", "1"); err != nil || r.Version != "2" || !r.Pruned {
		t.Errorf("%+v, %v; want version 2 moved, and the source pruned", r, err)
	}
	w.holds(gcp.Envelope, "alice", "2")
}

// What can't be moved is named with its reason, keeps its keys where they are, and holds up nobody else.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.onboard(gcp.SecretManager, "alice", "2")
	w.onboard(gcp.SecretManager, "bad", "1")
	w.vault.Add("bad", []byte(`{"key_id":"PKCANARY","secret_key":""}`))
	w.onboard(gcp.SecretManager, "odds", "1")
	other, err := secret.NewCredentials("PKCANARYother", "canary-secret")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.envelopes.Put(t.Context(), "odds", other, "1"); err != nil {
		t.Fatal(err)
	}
	w.onboard(gcp.SecretManager, "newer", "1")
	w.rotate(gcp.Envelope, "newer", "2")
	r := w.result("--to", gcp.Envelope, "--prune")
	if r.Moved != 1 || r.There != 1 || r.Pruned != 2 || len(r.Failed) != 2 {
		t.Fatalf("%+v", r)
	}
	for i, want := range []failure{{"bad", "malformed"}, {"odds", "other keys in the target under the same version"}} {
		if f := r.Failed[i]; f.UserID != want.UserID || !strings.Contains(f.Reason, want.Reason) || !strings.Contains(f.Reason, want.UserID) {
			t.Errorf("failed: %+v, want %+v", f, want)
		}
	}
	w.holds(gcp.Envelope, "newer", "2")
	w.holds(gcp.SecretManager, "newer", "")
	w.holds(gcp.SecretManager, "odds", "1")
	out, err := w.migrate(t.Context(), "--to", gcp.Envelope)
	if err == nil || !strings.Contains(err.Error(), "2 of 4 users") || !strings.Contains(out, "odds") {
		t.Errorf("for people: %v\n%s", err, out)
	}
	if _, err := w.migrate(t.Context(), "--to", gcp.Envelope, "--users", "nobody,alice"); err == nil || !strings.Contains(w.printed.String(), "no such user") {
		t.Errorf("an unknown user: %v", err)
	}

	// KMS is down: the first failures say so, and the others are left alone.
	w = newWorld(t)
	for i := range 60 {
		w.onboard(gcp.SecretManager, fmt.Sprintf("u%02d", i), "1")
	}
	w.kmsFault = errors.New("503")
	_, err = w.migrate(t.Context(), "--to", gcp.Envelope, "--prune", "--concurrency", "4")
	if err == nil || !strings.Contains(err.Error(), "20 users in a row") || !strings.Contains(err.Error(), "503") {
		t.Errorf("KMS is down: %v", err)
	}
	w.kmsFault = nil
	if r := w.result("--to", gcp.Envelope); r.Moved != 60 {
		t.Errorf("KMS is back: %+v", r)
	}
	w.noLeak()
}

func TestOptions(t *testing.T) {
	good := options{to: gcp.Envelope, atOnce: 1, rate: 1, topic: "projects/p/topics/new-keys"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	err := options{to: "moon", users: []string{"a/b"}, topic: "new-keys"}.Validate()
	for _, want := range []string{"--to", "--users", "--concurrency", "--rate", "--topic"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %s: %v", want, err)
		}
	}
	w := newWorld(t)
	if _, err := w.migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "--to") {
		t.Errorf("without a target: %v", err)
	}
	if out, err := w.migrate(t.Context(), "--help"); err != nil || !strings.Contains(out, "--prune") || !strings.Contains(out, "agenttrader keys migrate --to envelope") {
		t.Errorf("help: %v\n%s", err, out)
	}
}
