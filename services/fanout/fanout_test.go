package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/fanout"
)

var noon = time.Date(2026, 11, 24, 12, 0, 5, 0, time.UTC)

// world is a fanout on an in-memory database, with what it published.
type world struct {
	mu    sync.Mutex
	sent  []string
	fail  func(call int) error
	calls int
	now   time.Time
	svc   *fanout.Service
	store *store.Store

	health map[string]health.State // of the requests, by user
	hang   bool

	tenants map[string]string // as the requests say

	db       *mem.DB
	changes  []mem.Written  // not told yet
	handed   []event.Event  // shards of ticks
	closed   []market.Hours // of markets that close
	closedAt time.Time      // zero: they never were open
	clock    func() time.Time
	repaired []string
	faults   []error
}

// tell delivers the change events of all that was written, the last one first, and each of them twice.
func (w *world) tell(t *testing.T) {
	t.Helper()
	changes := w.changes
	w.changes = nil
	slices.Reverse(changes)
	for _, c := range slices.Concat(changes, changes) {
		e := event.New("change", event.TypeDocument, "firestore", "")
		if err := e.SetData("application/protobuf", document.EncodeChange(c.Old, c.New)); err != nil {
			t.Fatal(err)
		}
		if err := w.svc.Handle(t.Context(), e); err != nil {
			t.Fatalf("change of %s: %v", c.Path, err)
		}
	}
	w.changes = nil
}

// tickAfter is the tick so many minutes after noon: who was asked for.
func (w *world) tickAfter(t *testing.T, minutes int) []string {
	t.Helper()
	w.now, w.sent = noon.Add(time.Duration(minutes)*time.Minute), nil
	if err := w.svc.Handle(t.Context(), tickAt(w.now)); err != nil {
		t.Fatal(err)
	}
	return w.asked()
}

func (w *world) asked() []string {
	users := make([]string, len(w.sent))
	for i, id := range w.sent {
		users[i] = id[strings.IndexByte(id, '/')+1:]
	}
	slices.Sort(users)
	return users
}

func (w *world) Publish(ctx context.Context, events ...event.Event) error {
	if w.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.fail != nil {
		if err := w.fail(w.calls); err != nil {
			return err
		}
	}
	for _, e := range events {
		w.sent = append(w.sent, e.ID())
		r, _, err := event.ParseSyncRequest(e)
		if err != nil {
			return err
		}
		w.health[r.UserID], w.tenants[r.UserID] = r.Health, r.TenantID
	}
	return nil
}

func newWorld(t *testing.T, users, page int, sets ...func(*fanout.Config)) *world {
	w := &world{now: noon, health: map[string]health.State{}, tenants: map[string]string{}}
	db := mem.NewDB(time.Now)
	w.db, w.store = db, store.New(db)
	for i := range users {
		if err := w.store.PutUser(t.Context(), user.User{ID: fmt.Sprintf("u%03d", i), Status: user.Active}); err != nil {
			t.Fatal(err)
		}
	}
	owners := 0
	cfg := fanout.DefaultConfig()
	cfg.PageSize, cfg.IdleCadence, cfg.ScanEvery = page, 1, 0
	for _, set := range sets {
		set(&cfg)
	}
	db.Watch(func(c mem.Written) { w.changes = append(w.changes, c) })
	var err error
	w.svc, err = fanout.New(cfg, fanout.Deps{
		Users: w.store, Health: w.store, Trading: w.store, Roster: w.store, Notes: w.store, Scan: w.store, Ledger: w.store,
		Requests: w, Shards: (*handing)(w), Now: func() time.Time {
			if w.clock != nil {
				return w.clock()
			}
			return w.now
		},
		NewOwner: func() string { owners++; return fmt.Sprint(owners) },
		Open: func(_ context.Context, at time.Time, hours market.Hours) bool {
			return !slices.Contains(w.closed, hours) || at.Before(w.closedAt)
		},
		Repaired: func(_ context.Context, userID, _ string) { w.repaired = append(w.repaired, userID) },
		Fault:    func(_ context.Context, err error) { w.faults = append(w.faults, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// handing takes the shards that a tick hands out.
type handing world

func (h *handing) Publish(_ context.Context, events ...event.Event) error {
	h.handed = append(h.handed, events...)
	return nil
}

func tickAt(at time.Time) event.Event {
	e := event.New("tick", event.TypeTick, "scheduler", "")
	e.SetExtension("publishtime", at)
	return e
}

func TestOneRequestForEachActiveUser(t *testing.T) {
	w := newWorld(t, 25, 10)
	for id, s := range map[string]user.Status{"u001": user.Paused, "u002": user.Pending, "u003": user.Disabled, "u004": "", "u005": "moon"} {
		if err := w.store.PutUser(t.Context(), user.User{ID: id, Status: s}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second delivery publishes nothing
		if err := w.svc.Handle(t.Context(), tickAt(noon)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.faults) != 0 {
		t.Errorf("faults: %v", w.faults)
	}
	if len(w.sent) != 21 || !slices.Contains(w.sent, "20261124T1200Z/u004") || slices.Contains(w.sent, "20261124T1200Z/u001") || slices.Contains(w.sent, "20261124T1200Z/u005") {
		t.Errorf("sent %v, want 21: all but u001, u002, u003 and u005", w.sent)
	}
}

// Users in trouble wait until their time has come, unless there are other keys; their requests say how they are.
func TestHealthIsRespected(t *testing.T) {
	w := newWorld(t, 4, 10)
	at := tick.Of(noon)
	for uid, cause := range map[string]health.Cause{"u000": health.Unauthorized, "u001": health.Unauthorized, "u002": health.Timeout} {
		for i := range tick.Tick(2) {
			_, _, err := w.store.Update(t.Context(), uid, func(h health.Health) health.Health {
				return h.After(health.Attempt{Tick: at - 2 + i, At: (at - 2 + i).Time(), Cause: cause})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.store.RaiseKeyVersion(t.Context(), "u001", "2"); err != nil {
		t.Fatal(err)
	}
	if err := w.svc.Handle(t.Context(), tickAt(noon)); err != nil {
		t.Fatal(err)
	}
	want := map[string]health.State{"u001": health.NeedsReauth, "u002": health.Degraded, "u003": ""}
	if diff := cmp.Diff(want, w.health); diff != "" {
		t.Errorf("requests and their health (-want +got):\n%s", diff)
	}
	w.tell(t)
	w.now = noon.Add(4 * time.Minute)
	if err := w.svc.Handle(t.Context(), tickAt(w.now)); err != nil {
		t.Fatal(err)
	}
	if w.health["u000"] != health.NeedsReauth {
		t.Error("a user who needs new keys is never tried again")
	}
}

// Who hangs gives up before the claim runs out, and gives it back.
func TestHungPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, 10)
		w.hang = true
		began := time.Now()
		if err := w.svc.Handle(t.Context(), tickAt(noon)); event.ClassOf(err) != event.Retry {
			t.Fatalf("Handle = %v, want a retry", err)
		}
		if took := time.Since(began); took >= fanout.DefaultConfig().Hold {
			t.Errorf("it held on for %s", took)
		}
		w.hang = false
		if err := w.svc.Handle(t.Context(), tickAt(noon)); err != nil || len(w.sent) != 3 {
			t.Errorf("the next delivery: %v, %d requests, want 3", err, len(w.sent))
		}
	})
}

func TestSlowerCadence(t *testing.T) {
	w := newWorld(t, 0, 10)
	if err := w.store.PutUser(t.Context(), user.User{ID: "slow", CadenceMinutes: 5}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		w.now = noon.Add(time.Duration(i) * time.Minute)
		if err := w.svc.Handle(t.Context(), tickAt(w.now)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.sent) != 2 {
		t.Errorf("a user at a cadence of 5 was synced %d times in 10 minutes, want 2", len(w.sent))
	}
}

// A page whose publishing failed is published again, and only that page.
func TestFailureResumes(t *testing.T) {
	w := newWorld(t, 25, 10)
	w.fail = func(call int) error {
		if call == 2 {
			return errors.New("topic unavailable")
		}
		return nil
	}
	if err := w.svc.Handle(t.Context(), tickAt(noon)); event.ClassOf(err) != event.Retry {
		t.Fatalf("Handle = %v, want a retry", err)
	}
	if err := w.svc.Handle(t.Context(), tickAt(noon)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.sent)
	if n := len(slices.Compact(slices.Clone(w.sent))); n != 25 || len(w.sent) != 25 {
		t.Errorf("%d requests of %d users, want 25 of 25", len(w.sent), n)
	}
}

// A delivery that dies in the middle of a page leaves its claim behind: it runs out, and at most that page is repeated.
func TestCrashRepeatsAtMostOnePage(t *testing.T) {
	w := newWorld(t, 25, 10)
	w.fail = func(call int) error {
		if call == 3 {
			panic("killed") // published two pages, recorded two
		}
		return nil
	}
	func() {
		defer func() { _ = recover() }()
		_ = w.svc.Handle(t.Context(), tickAt(noon))
	}()
	if err := w.svc.Handle(t.Context(), tickAt(noon)); event.ClassOf(err) != event.Busy {
		t.Fatalf("while the claim holds: %v, want busy", err)
	}
	w.now = noon.Add(30 * time.Second)
	if err := w.svc.Handle(t.Context(), tickAt(noon)); err != nil {
		t.Fatal(err)
	}
	if len(w.sent) != 25 {
		t.Errorf("%d requests, want 25", len(w.sent))
	}
}

func TestBadTicks(t *testing.T) {
	w := newWorld(t, 3, 10)
	other := tickAt(noon)
	other.SetType("something.else")
	for name, c := range map[string]struct {
		e    event.Event
		want event.Class
	}{
		"of 1970":         {tickAt(time.Unix(0, 0)), event.Dropped},
		"of 2100":         {tickAt(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)), event.Poison},
		"an hour late":    {tickAt(noon.Add(-time.Hour)), event.Dropped},
		"without a time":  {event.New("x", event.TypeTick, "scheduler", ""), event.Poison},
		"of another type": {other, event.Poison},
	} {
		if err := w.svc.Handle(t.Context(), c.e); event.ClassOf(err) != c.want {
			t.Errorf("a tick %s: %v, want class %s", name, err, c.want)
		}
	}
	if len(w.sent) != 0 {
		t.Errorf("sent %v", w.sent)
	}
}

func TestConfig(t *testing.T) {
	if _, err := fanout.New(fanout.Config{}, fanout.Deps{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}
