package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

func TestMain(m *testing.M) { emulator.Main(m) }

const (
	canaryID     = "PKZQXJWVKY7341"
	canarySecret = "zqxJwvKybfGhT0918zqxJwvKybfGhT0918zqxJwvKyZ9"
)

func canary(t *testing.T) secret.Credentials {
	t.Helper()
	c, err := secret.NewCredentials(canaryID, canarySecret)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// world is a vault on twins.
type world struct {
	*envelope.Vault
	t   *testing.T
	db  *mem.DB
	kms *mem.KMS
	now atomic.Int64

	dbFault, kmsFault error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.now.Store(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixNano())
	w.db = mem.NewDB(w.clock)
	w.db.SetHook(func(context.Context, mem.Op) error { return w.dbFault })
	var err error
	if w.kms, err = mem.NewKMS(mem.KMSKey); err != nil {
		t.Fatal(err)
	}
	w.kms.SetHook(func(context.Context) error { return w.kmsFault })
	w.Vault = w.another()
	return w
}

func (w *world) clock() time.Time { return time.Unix(0, w.now.Load()) }

// another instance of the vault remembers nothing.
func (w *world) another() *envelope.Vault {
	w.t.Helper()
	cfg := envelope.DefaultConfig()
	cfg.Now = w.clock
	v, err := envelope.New(w.db, w.kms, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) put(uid, version string) {
	w.t.Helper()
	if err := w.Put(w.t.Context(), uid, canary(w.t), version); err != nil {
		w.t.Fatal(err)
	}
}

// get is what became of one reading; no error of it may show a key.
func (w *world) get(v secret.Vault, uid, version string) error {
	w.t.Helper()
	creds, _, err := v.Credentials(w.t.Context(), uid, version)
	if err == nil && !creds.Same(canary(w.t)) {
		w.t.Errorf("%s: other keys than those that were stored", uid)
	}
	if err != nil {
		for _, part := range []string{canaryID[:6], canarySecret[:6]} {
			if strings.Contains(err.Error(), part) {
				w.t.Errorf("the error shows a key: %v", err)
			}
		}
	}
	return err
}

func (w *world) fields(path string) document.Fields {
	w.t.Helper()
	d, err := w.db.Get(w.t.Context(), path)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Fields
}

func (w *world) set(path string, f document.Fields) {
	w.t.Helper()
	if err := w.db.Set(w.t.Context(), path, f); err != nil {
		w.t.Fatal(err)
	}
}

// fixture stores any payload as the next version.
func fixture(t *testing.T, v *envelope.Vault, fail func(error)) porttest.VaultFixture {
	versions := map[string]int{}
	return porttest.VaultFixture{
		Vault: v, NewestOnly: true, NeverDeny: true, Fail: fail, Path: envelope.Path,
		Add: func(uid string, payload []byte) string {
			versions[uid]++
			version := strconv.Itoa(versions[uid])
			if err := v.PutPayload(t.Context(), uid, payload, version); err != nil {
				t.Fatal(err)
			}
			return version
		},
	}
}

func TestContracts(t *testing.T) {
	t.Run("store fails", func(t *testing.T) {
		porttest.Vault(t, func(t *testing.T) porttest.VaultFixture {
			w := newWorld(t)
			return fixture(t, w.Vault, func(err error) { w.dbFault = err })
		})
	})
	t.Run("KMS fails", func(t *testing.T) {
		porttest.Vault(t, func(t *testing.T) porttest.VaultFixture {
			w := newWorld(t)
			return fixture(t, w.Vault, func(err error) { w.kmsFault = err; w.now.Add(int64(2 * time.Hour)) })
		})
	})
	porttest.Keeper(t, func(t *testing.T) secret.Keeper { return newWorld(t) })
}

// The same on the official Firestore, through the real client.
func TestContractsOnFirestore(t *testing.T) {
	open := func(t *testing.T) (*envelope.Vault, func(error)) {
		e, project := emulator.For(t)
		client, err := e.Client(t.Context(), project)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		kms, err := mem.NewKMS(mem.KMSKey)
		if err != nil {
			t.Fatal(err)
		}
		db := &failing{DB: gcp.NewFirestore(client)}
		v, err := envelope.New(db, kms, envelope.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		return v, func(err error) { db.err = err }
	}
	porttest.Vault(t, func(t *testing.T) porttest.VaultFixture {
		v, fail := open(t)
		return fixture(t, v, fail)
	})
	porttest.Keeper(t, func(t *testing.T) secret.Keeper {
		v, _ := open(t)
		return v
	})
}

type failing struct {
	document.DB
	err error
}

func (f *failing) Get(ctx context.Context, path string) (document.Document, error) {
	if f.err != nil {
		return document.Document{}, f.err
	}
	return f.DB.Get(ctx, path)
}

// The documents show no key and no data key, and nothing lies where a user could read it.
func TestDocumentsShowNothing(t *testing.T) {
	w := newWorld(t)
	var written []mem.Written
	w.db.Watch(func(c mem.Written) { written = append(written, c) })
	w.put("alice", "1")
	w.put("alice", "2")
	if len(written) != 3 {
		t.Fatalf("%d writes, want a data key and two envelopes", len(written))
	}
	raw := w.Raw(w.DataKeyOf("alice"))
	if len(raw) != 32 {
		t.Fatalf("a data key of %d bytes is remembered, want 32", len(raw))
	}
	for _, c := range written {
		for name, key := range map[string][]byte{"key id": []byte(canaryID), "secret key": []byte(canarySecret), "data key": raw} {
			for i := 0; i+6 <= len(key); i++ {
				if bytes.Contains(c.New, key[i:i+6]) {
					t.Fatalf("%s shows a part of the %s", c.Path, name)
				}
			}
		}
		if strings.Contains(c.Path, "users/") {
			t.Errorf("%s is where the user's own rule reaches", c.Path)
		}
	}
	if first, last := w.fieldsOf(written[1].New)["ciphertext"].([]byte), w.fieldsOf(written[2].New)["ciphertext"].([]byte); bytes.Equal(first[:12], last[:12]) {
		t.Error("a nonce was used twice")
	}
}

func (w *world) fieldsOf(body []byte) document.Fields {
	d, err := document.Decode(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Fields
}

// An envelope opens in its place only, and only as it was written.
func TestEnvelopeIsBound(t *testing.T) {
	w := newWorld(t)
	w.put("alice", "3")
	good := w.fields(envelope.Path("alice"))
	try := func(name, uid string, f document.Fields, want error) {
		t.Helper()
		w.set(envelope.Path(uid), f)
		if err := w.get(w, uid, ""); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), uid) {
			t.Errorf("%s: %v, want %v of user %s", name, err, want, uid)
		}
	}
	with := func(field string, value any) document.Fields {
		f := document.Fields{}
		for k, v := range good {
			f[k] = v
		}
		f[field] = value
		return f
	}
	var neighbour string // in the same shard, so that the data key is the same
	for i := 0; neighbour == ""; i++ {
		if uid := fmt.Sprintf("u%d", i); w.DataKeyOf(uid) == w.DataKeyOf("alice") {
			neighbour = uid
		}
	}
	try("as it was", "alice", good, nil)
	try("another user's document", neighbour, good, secret.ErrMalformed)
	try("an older version's number", "alice", with("key_version", "2"), secret.ErrMalformed)
	try("a newer version's number", "alice", with("key_version", "4"), secret.ErrMalformed)
	for _, bad := range []any{"", "x", "-3", int64(3), nil} {
		try(fmt.Sprintf("version %v", bad), "alice", with("key_version", bad), secret.ErrMalformed)
	}
	for _, bad := range []any{"", "a/b", nil, int64(1)} {
		try(fmt.Sprintf("data key %v", bad), "alice", with("data_key", bad), secret.ErrMalformed)
	}
	ciphertext := good["ciphertext"].([]byte)
	for i := range ciphertext {
		changed := slices.Clone(ciphertext)
		changed[i] ^= 0x10
		try(fmt.Sprintf("byte %d changed", i), "alice", with("ciphertext", changed), secret.ErrMalformed)
		try(fmt.Sprintf("cut to %d bytes", i), "alice", with("ciphertext", ciphertext[:i]), secret.ErrMalformed)
	}
	try("one byte more", "alice", with("ciphertext", append(slices.Clone(ciphertext), 0)), secret.ErrMalformed)
	try("no ciphertext", "alice", with("ciphertext", nil), secret.ErrMalformed)

	// New keys mend it, whatever was there.
	try("no version at all", "alice", with("key_version", nil), secret.ErrMalformed)
	w.put("alice", "4")
	if err := w.get(w, "alice", "4"); err != nil {
		t.Error(err)
	}
}

// Trouble of data keys, of KMS and of the store is the platform's: nobody is told to store keys again, and the event comes again.
func TestPlatformsTrouble(t *testing.T) {
	w := newWorld(t)
	w.put("alice", "1")
	id := w.DataKeyOf("alice")
	path := envelope.DataKeyPath(id)
	good := w.fields(path)
	ours := func(name, says string, v secret.Vault) {
		t.Helper()
		err := w.get(v, "alice", "1")
		if err == nil || health.CauseOf(err) != "" || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want an error without a class that says %q", name, err, says)
		}
	}
	w.kmsFault = errors.New("503")
	ours("KMS is down", "503", w.another())
	if err := w.get(w, "alice", "1"); err != nil {
		t.Errorf("an instance that has the data key goes on while KMS is down: %v", err)
	}
	w.now.Add(int64(time.Hour + time.Second))
	ours("KMS is down for longer than data keys are remembered", "503", w)
	if err := w.Put(t.Context(), "bob", canary(t), "1"); err == nil || health.CauseOf(err) != "" {
		t.Errorf("storing while KMS is down: %v", err)
	}
	w.kmsFault = nil
	if err := w.get(w, "alice", "1"); err != nil {
		t.Errorf("KMS is back: %v", err)
	}
	w.dbFault = document.ErrDenied
	ours("the store denies", "denied", w.another())
	w.dbFault = nil
	if err := w.db.Delete(t.Context(), path, time.Time{}); err != nil {
		t.Fatal(err)
	}
	ours("the data key is gone", "restore its document", w.another())
	for field, value := range map[string]any{"wrapped": []byte("garbage"), "kms_key": "projects/p/locations/l/keyRings/r/cryptoKeys/other"} {
		f := w.fieldsWith(good, field, value)
		w.set(path, f)
		ours("another "+field, path, w.another())
	}
	// A data key in another's place: it is bound to its id.
	w.set(envelope.DataKeyPath("64-99"), good)
	w.set(path, good)
	f := w.fields(envelope.Path("alice"))
	f["data_key"] = "64-99"
	w.set(envelope.Path("alice"), f)
	ours("a data key in another's place", "64-99", w.another())
}

func (w *world) fieldsWith(f document.Fields, name string, value any) document.Fields {
	next := document.Fields{name: value}
	for k, v := range f {
		if k != name {
			next[k] = v
		}
	}
	return next
}

// Two instances that make the same data key at once use one and the same.
func TestDataKeyRace(t *testing.T) {
	w := newWorld(t)
	a, b := w.another(), w.another()
	id := w.DataKeyOf("alice")
	met := false
	w.db.SetHook(func(ctx context.Context, op mem.Op) error {
		if op.Kind == "create" && op.Path == envelope.DataKeyPath(id) && !op.Done && !met {
			met = true // b overtakes a, who has wrapped a key of its own already
			return b.Put(ctx, "alice", canary(t), "1")
		}
		return nil
	})
	if err := a.Put(t.Context(), "alice", canary(t), "2"); err != nil || !met {
		t.Fatalf("%v, met: %t", err, met)
	}
	for name, v := range map[string]*envelope.Vault{"the loser": a, "the winner": b, "a third": w.another()} {
		if err := w.get(v, "alice", "2"); err != nil {
			t.Errorf("%s can't read: %v", name, err)
		}
	}
	if !bytes.Equal(a.Raw(id), b.Raw(id)) {
		t.Error("two data keys of one id")
	}
}

// KMS is asked once for each data key, instance and hour, however many users and requests there are.
func TestKMSCalls(t *testing.T) {
	w := newWorld(t)
	const users = 200
	shards := map[string]bool{}
	for i := range users {
		w.put(fmt.Sprintf("u%d", i), "1")
		shards[w.DataKeyOf(fmt.Sprintf("u%d", i))] = true
	}
	if len(shards) != 64 {
		t.Fatalf("%d shards are used by %d users, want all", len(shards), users)
	}
	v := w.another()
	before, reads := w.kms.Calls(), first(w.db.Counts())
	all := func() {
		var g errgroup.Group
		for i := range users {
			for range 3 {
				g.Go(func() error { return w.get(v, fmt.Sprintf("u%d", i), "1") })
			}
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
	all()
	if n := w.kms.Calls() - before; n != 64 {
		t.Errorf("%d calls, want one for each data key", n)
	}
	if n := first(w.db.Counts()) - reads; n != 3*users+64 {
		t.Errorf("%d reads, want one each time, and one for each data key", n)
	}
	w.now.Add(int64(59 * time.Minute))
	all()
	if n := w.kms.Calls() - before; n != 64 {
		t.Errorf("%d calls within the hour, want no more", n)
	}
	w.now.Add(int64(2 * time.Minute))
	all()
	if n := w.kms.Calls() - before; n != 128 {
		t.Errorf("%d calls, want each data key once more after an hour", n)
	}
}

func first(reads, _ int64) int64 { return reads }

// What is dropped leaves no data key in its own memory, and no more are remembered than the bound says.
func TestDataKeysAreWiped(t *testing.T) {
	w := newWorld(t)
	w.put("alice", "1")
	raw := w.Raw(w.DataKeyOf("alice"))
	if len(bytes.Trim(raw, "\x00")) == 0 {
		t.Fatal("no data key is remembered")
	}
	w.now.Add(int64(2 * time.Hour))
	if n := w.Remembered(); n != 0 || len(bytes.Trim(raw, "\x00")) != 0 {
		t.Errorf("after its time %d are remembered, and the memory holds %x", n, raw)
	}
	cfg := envelope.DefaultConfig()
	cfg.Keys, cfg.Now = 3, w.clock
	v, err := envelope.New(w.db, w.kms, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := v.Put(t.Context(), fmt.Sprintf("u%d", i), canary(t), "1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.Remembered(); n > 3 {
		t.Errorf("%d data keys are remembered, want 3 at most", n)
	}
	if _, err := envelope.New(w.db, w.kms, envelope.Config{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}

// A writer who comes between our reading and our writing wins, if the keys are newer.
func TestPutMeetsRotation(t *testing.T) {
	w := newWorld(t)
	w.put("alice", "1")
	rotated, err := secret.NewCredentials("PKROTATED", "rotated")
	if err != nil {
		t.Fatal(err)
	}
	other, met := w.another(), false
	w.db.SetHook(func(ctx context.Context, op mem.Op) error {
		if op.Kind == "update" && !op.Done && !met {
			met = true
			return other.Put(ctx, "alice", rotated, "3")
		}
		return nil
	})
	if err := w.Put(t.Context(), "alice", canary(t), "2"); !errors.Is(err, secret.ErrNewer) || !met {
		t.Errorf("older keys: %v, met: %t; want ErrNewer", err, met)
	}
	if creds, got, err := w.Credentials(t.Context(), "alice", ""); err != nil || got != "3" || !creds.Same(rotated) {
		t.Errorf("version %s, %v; want the rotated keys", got, err)
	}
	// The same between the look and the removal.
	met = false
	w.db.SetHook(func(ctx context.Context, op mem.Op) error {
		if op.Kind == "delete" && !op.Done && !met {
			met = true
			return other.Put(ctx, "alice", canary(t), "4")
		}
		return nil
	})
	if err := w.Remove(t.Context(), "alice", "3"); !errors.Is(err, secret.ErrNewer) || !met {
		t.Errorf("removal of version 3 while 4 comes: %v", err)
	}
	if err := w.get(w, "alice", "4"); err != nil {
		t.Error(err)
	}
}

// What can't be a user id leads to no document, and has no keys.
func TestStrangeUserIDs(t *testing.T) {
	w := newWorld(t)
	for _, uid := range []string{"", "a/b", "..", "__a__", "../dataKeys/64-1"} {
		if err := w.get(w, uid, ""); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", uid, err)
		}
		if err := w.Put(t.Context(), uid, canary(t), "1"); err == nil {
			t.Errorf("%q: keys were stored", uid)
		}
	}
	if _, writes := w.db.Counts(); writes != 0 {
		t.Errorf("%d writes, want none", writes)
	}
}
