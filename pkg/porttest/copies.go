package porttest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Copies is the contract of account.CopyStore and account.Source. open gives an empty database.
func Copies(t *testing.T, open func(t *testing.T) document.DB) {
	for name, test := range map[string]func(*testing.T, copyWorld){
		"shape": copyShape, "older shapes": copyOlderShapes, "older and newer": copyOrder, "somebody else's": copyOthers, "overtaken": copyOvertaken,
		"nobody's snapshot": copyGone, "writers": copyWriters, "alone": copyAlone, "read": copyRead,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			test(t, copyWorld{db, store.New(db)})
		})
	}
}

type copyWorld struct {
	db document.DB
	*store.Store
}

var ofT = []account.Copy{{Path: account.TenantPath("t"), TenantID: "t"}, {Path: account.GlobalPath, TenantID: "t"}}

// put writes over what is stored, or first.
func (w copyWorld) put(t *testing.T, s account.Snapshot, copies []account.Copy) (left error) {
	t.Helper()
	stored, err := w.Snapshot(t.Context(), s.UserID)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		t.Fatal(err)
	}
	s.Version = stored.Version
	version, left, err := w.PutWithCopies(t.Context(), s, copies)
	must(t, err)
	if now, err := w.Snapshot(t.Context(), s.UserID); err != nil || now.Seq != s.Seq || (!version.IsZero() && !version.Equal(now.Version)) {
		t.Errorf("stored is seq %d of %s, %v; want seq %d, and the version %s that was returned, if it was", now.Seq, now.Version, err, s.Seq, version)
	}
	return left
}

func (w copyWorld) fields(t *testing.T, path string) document.Fields {
	t.Helper()
	d, err := w.db.Get(t.Context(), path)
	must(t, err)
	return d.Fields
}

// observed is the time of the observation that a copy holds.
func (w copyWorld) observed(t *testing.T, path string) time.Time {
	t.Helper()
	s, err := w.SnapshotAt(t.Context(), path)
	must(t, err)
	return s.ObservedAt
}

func (w copyWorld) user(t *testing.T, uid, tenant string) {
	t.Helper()
	must(t, w.PutUser(t.Context(), user.User{ID: uid, Status: user.Active, TenantID: tenant}))
}

// copyShape: the predecessor's fields and no others, at the first write and at each later one, which reads nothing to know it.
func copyShape(t *testing.T, w copyWorld) {
	w.user(t, "u", "t")
	for seq, at := range []time.Time{noon, noon.Add(time.Minute), noon.Add(2 * time.Minute)} {
		s := Snapshot("u", int64(seq+1), at)
		if left := w.put(t, s, ofT); left != nil {
			t.Errorf("write %d left %v", seq+1, left)
		}
		for _, c := range ofT {
			f := w.fields(t, c.Path)
			if _, ok := f["updated_at"].(time.Time); !ok {
				t.Errorf("%s: updated_at is a %T", c.Path, f["updated_at"])
			}
			delete(f, "updated_at")
			want := document.Fields{
				"broker": "alpaca", "external_account_id": "acc-u", "status": "ACTIVE", "equity": 1000.1, "buying_power": 1000.1, "cash": 500.05,
				"updated_at_iso": at.Format(time.RFC3339Nano), "user_id": "u", "tenant_id": "t", "raw": s.Raw,
			}
			if d := cmp.Diff(want, f); d != "" {
				t.Errorf("%s after write %d (-want +got):\n%s", c.Path, seq+1, d)
			}
		}
	}
}

// Legacy is a document as the predecessor's two writers left it, of the shape "raw" or "account".
func Legacy(shape string, at time.Time, buyingPower any) document.Fields {
	raw := map[string]any{"id": "old", "status": "ACTIVE", "equity": "7", "multiplier": "4"}
	if shape == "account" {
		return document.Fields{"syncedAt": at, "account": raw, "equity": "7", "buying_power": buyingPower, "cash": "7"}
	}
	return document.Fields{
		"broker": "alpaca", "external_account_id": "old", "status": "ACTIVE", "equity": 7.0, "buying_power": buyingPower, "cash": 7.0,
		"updated_at": at, "updated_at_iso": at.Format(time.RFC3339Nano), "tenant_id": "local", "raw": raw,
	}
}

// copyOlderShapes: a write merges, and leaves nothing of either shape behind, but what it knows nothing of.
func copyOlderShapes(t *testing.T, w copyWorld) {
	w.user(t, "u", "")
	copies := []account.Copy{{Path: account.GlobalPath}}
	for seq, shape := range []string{"account", "raw", "both", "no sense"} {
		old := Legacy(shape, noon.Add(-time.Hour), "7")
		if shape == "both" {
			maps.Copy(old, Legacy("account", noon.Add(-time.Hour), 7.0))
		}
		if shape == "no sense" {
			old["updated_at_iso"], old["syncedAt"] = "yesterday", "today"
		}
		old["theirs"] = "kept"
		must(t, w.db.Set(t.Context(), account.GlobalPath, old))
		s := Snapshot("u", int64(seq+1), noon.Add(time.Duration(seq)*time.Minute))
		s.Account.Cash = decimal.NullDecimal{}
		delete(s.Raw, "cash")
		if left := w.put(t, s, copies); left != nil {
			t.Errorf("%s: left %v", shape, left)
		}
		f := w.fields(t, account.GlobalPath)
		var names []string
		for _, k := range slices.Sorted(maps.Keys(f)) {
			if k == "account" || k == "syncedAt" || k == "cash" || k == "tenant_id" {
				names = append(names, k)
			}
		}
		raw, _ := f["raw"].(map[string]any)
		if len(names) > 0 || f["theirs"] != "kept" || f["buying_power"] != 1000.1 || f["user_id"] != "u" || raw["id"] != "acc-u" || raw["cash"] != nil {
			t.Errorf("%s: stayed behind: %v; document: %v", shape, names, f)
		}
	}
}

// copyOrder: the predecessor's own sync may still be writing. What it saw later stays, unless its clock can't be right; the
// snapshot is written in any case.
func copyOrder(t *testing.T, w copyWorld) {
	w.user(t, "u", "t")
	for seq, c := range []struct {
		ahead time.Duration
		stays bool
	}{{-time.Second, false}, {time.Millisecond, true}, {time.Minute, true}, {time.Hour, false}, {-24 * time.Hour, false}} {
		at := noon.Add(time.Duration(seq) * 3 * time.Minute)
		theirs := at.Add(c.ahead)
		for _, shape := range []string{"raw", "account"} {
			must(t, w.db.Set(t.Context(), ofT[0].Path, Legacy(shape, theirs, 7.0)))
			if left := w.put(t, Snapshot("u", int64(seq+1), at), ofT); left != nil {
				t.Errorf("%s, %s ahead: left %v", shape, c.ahead, left)
			}
			if got := w.observed(t, ofT[0].Path); got.Equal(theirs) != c.stays || got.Equal(at) == c.stays {
				t.Errorf("%s, %s ahead: the copy is of %s; stays %t", shape, c.ahead, got, c.stays)
			}
			if got := w.observed(t, ofT[1].Path); !got.Equal(at) {
				t.Errorf("the other copy is of %s, want %s", got, at)
			}
		}
	}
}

// copyOthers: many users who write one document was the predecessor's worst defect. One has it, the other is told; neither loses
// the snapshot.
func copyOthers(t *testing.T, w copyWorld) {
	w.user(t, "a", "t")
	w.user(t, "b", "t")
	tenant := ofT[:1]
	if left := w.put(t, Snapshot("a", 1, noon), tenant); left != nil {
		t.Errorf("the first: %v", left)
	}
	for seq := range int64(3) {
		left := w.put(t, Snapshot("b", seq+1, noon.Add(time.Minute)), tenant)
		if !errors.Is(left, account.ErrOthers) || !strings.Contains(left.Error(), tenant[0].Path) || !strings.Contains(left.Error(), "user a") || !strings.Contains(left.Error(), "user b") {
			t.Errorf("the second is told %v, want ErrOthers with the path and both users", left)
		}
		if f := w.fields(t, tenant[0].Path); f["user_id"] != "a" {
			t.Errorf("the document is %v's", f["user_id"])
		}
		if left := w.put(t, Snapshot("a", seq+2, noon.Add(time.Minute)), tenant); left != nil {
			t.Errorf("the first is told %v", left)
		}
	}
	for name, end := range map[string]func(){
		"another tenant": func() { w.user(t, "a", "t2") },
		"removed":        func() { must(t, w.db.Delete(t.Context(), store.UserPath("a"), time.Time{})) },
	} {
		end()
		left := w.put(t, Snapshot("b", 4, noon.Add(2*time.Minute)), tenant)
		if f := w.fields(t, tenant[0].Path); left != nil || f["user_id"] != "b" {
			t.Errorf("%s: the document is still %v's, left %v", name, f["user_id"], left)
		}
		must(t, w.db.Set(t.Context(), tenant[0].Path, document.Fields{"user_id": "a", "syncedAt": noon}))
	}
	// The one legacy document is whose the configuration says, which may change.
	w.user(t, "a", "")
	for seq, uid := range []string{"a", "b", "a"} {
		if left := w.put(t, Snapshot(uid, int64(seq+10), noon.Add(time.Duration(seq+3)*time.Minute)), ofT[1:]); left != nil || w.fields(t, account.GlobalPath)["user_id"] != uid {
			t.Errorf("configured to be %s's: left %v, %v", uid, left, w.fields(t, account.GlobalPath)["user_id"])
		}
	}
}

// copyOvertaken: a write that is decided on an overtaken snapshot changes no copy either.
func copyOvertaken(t *testing.T, w copyWorld) {
	w.user(t, "u", "t")
	if left := w.put(t, Snapshot("u", 1, noon), ofT); left != nil {
		t.Errorf("left %v", left)
	}
	stored, err := w.Snapshot(t.Context(), "u")
	must(t, err)
	if left := w.put(t, Snapshot("u", 2, noon.Add(time.Minute)), ofT); left != nil {
		t.Errorf("left %v", left)
	}
	for _, version := range []time.Time{stored.Version, {}} {
		late := Snapshot("u", 2, noon.Add(2*time.Minute))
		late.Version = version
		if _, _, err := w.PutWithCopies(t.Context(), late, ofT); !errors.Is(err, account.ErrConflict) {
			t.Errorf("on version %s: %v, want ErrConflict", version, err)
		}
	}
	for _, c := range ofT {
		if got := w.observed(t, c.Path); !got.Equal(noon.Add(time.Minute)) {
			t.Errorf("%s is of %s", c.Path, got)
		}
	}
}

func copyGone(t *testing.T, w copyWorld) {
	if _, _, err := w.PutWithCopies(t.Context(), Snapshot("removed", 1, noon), ofT); !errors.Is(err, user.ErrGone) {
		t.Errorf("first snapshot of a removed user: %v, want ErrGone", err)
	}
	for _, c := range ofT {
		if _, err := w.SnapshotAt(t.Context(), c.Path); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%s: %v, want none", c.Path, err)
		}
	}
}

// copyWriters: of many writers one wins each round, and the copies are the winner's.
func copyWriters(t *testing.T, w copyWorld) {
	w.user(t, "u", "t")
	for round := range 4 {
		stored, _ := w.Snapshot(t.Context(), "u")
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				next := Snapshot("u", stored.Seq+1, noon.Add(time.Duration(round)*time.Minute+time.Duration(i)*time.Second))
				next.Version = stored.Version
				switch _, left, err := w.PutWithCopies(t.Context(), next, ofT); {
				case err == nil && left == nil:
					won.Add(1)
				case !errors.Is(err, account.ErrConflict):
					t.Errorf("PutWithCopies: %v, left %v; want nil or ErrConflict", err, left)
				}
			})
		}
		wg.Wait()
		now, err := w.Snapshot(t.Context(), "u")
		must(t, err)
		if won.Load() != 1 || now.Seq != stored.Seq+1 {
			t.Errorf("round %d: %d writers won, seq %d", round, won.Load(), now.Seq)
		}
		for _, c := range ofT {
			if got := w.observed(t, c.Path); !got.Equal(now.ObservedAt) {
				t.Errorf("round %d: %s is of %s, the snapshot of %s", round, c.Path, got, now.ObservedAt)
			}
		}
	}
}

// copyAlone: of an account without a user. Twice and in the wrong order; and beside a platform that writes the same document,
// for as long as it does.
func copyAlone(t *testing.T, w copyWorld) {
	write := func(at time.Time) error {
		t.Helper()
		left, err := w.PutCopies(t.Context(), Snapshot("", 0, at), ofT)
		must(t, err)
		return left
	}
	for _, c := range []struct{ after, want time.Duration }{{0, 0}, {0, 0}, {time.Minute, time.Minute}, {30 * time.Second, time.Minute}} {
		if left := write(noon.Add(c.after)); left != nil {
			t.Errorf("left %v", left)
		}
		for _, p := range ofT {
			if got := w.observed(t, p.Path); !got.Equal(noon.Add(c.want)) {
				t.Errorf("%s is of %s after a write of %s", p.Path, got, noon.Add(c.after))
			}
		}
	}
	if f := w.fields(t, account.GlobalPath); f["user_id"] != nil || f["tenant_id"] != "t" {
		t.Errorf("it is user %v's, tenant %v's", f["user_id"], f["tenant_id"])
	}
	w.user(t, "u", "t")
	if left := w.put(t, Snapshot("u", 1, noon.Add(2*time.Minute)), ofT); left != nil {
		t.Errorf("left %v", left)
	}
	if left := write(noon.Add(3 * time.Minute)); !errors.Is(left, account.ErrOthers) || !strings.Contains(left.Error(), account.GlobalPath) || !strings.Contains(left.Error(), ofT[0].Path) {
		t.Errorf("beside the platform: %v, want ErrOthers with both paths", left)
	}
	if got := w.observed(t, account.GlobalPath); !got.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("beside the platform it wrote %s", got)
	}
	if left := write(noon.Add(20 * time.Minute)); left != nil || !w.observed(t, account.GlobalPath).Equal(noon.Add(20*time.Minute)) {
		t.Errorf("after the platform has stopped: left %v", left)
	}
}

func copyRead(t *testing.T, w copyWorld) {
	if _, err := w.SnapshotAt(t.Context(), account.GlobalPath); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("nothing: %v, want ErrNotFound", err)
	}
	for _, shape := range []string{"raw", "account"} {
		must(t, w.db.Set(t.Context(), account.GlobalPath, Legacy(shape, noon, "12.34")))
		s, err := w.SnapshotAt(t.Context(), account.GlobalPath)
		must(t, err)
		if s.UserID != "" || !s.ObservedAt.Equal(noon) || s.Account.BuyingPower.Decimal.String() != "12.34" || s.Account.Equity.Decimal.String() != "7" {
			t.Errorf("%s: %+v", shape, s)
		}
	}
	must(t, w.db.Set(t.Context(), account.GlobalPath, document.Fields{"user_id": "u", "equity": true}))
	if _, err := w.SnapshotAt(t.Context(), account.GlobalPath); !errors.Is(err, account.ErrUnreadable) || !strings.Contains(err.Error(), account.GlobalPath) {
		t.Errorf("no sense: %v, want ErrUnreadable with the path", err)
	}
}
