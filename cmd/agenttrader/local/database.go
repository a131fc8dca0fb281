package local

import (
	"context"
	"slices"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Where the documents of a run are kept.
const (
	Memory   = "memory"   // a twin in this process
	Emulator = "emulator" // the official Firestore emulator
)

// database is where the documents are kept, and where their change events come from.
type database interface {
	document.DB
	// Counts are the documents read and written so far, as Firestore bills them.
	Counts() (reads, writes int64)
	// Watch shows see the snapshots, health and signals as they are written, one after the other, and delivers the
	// change events that the routes are for, until ctx ends and the feed is closed.
	Watch(ctx context.Context, see func(change), routes []route) (feed, error)
}

// feed is the delivery of change events.
type feed interface {
	Pending() int
	Attempts() int64
	Close()
}

// route delivers the changes of some documents to one service: an Eventarc trigger for each pattern.
type route struct {
	paths []string // users/{uid}/alpacaAccounts/{account}
	to    mem.DeliveryConfig
}

func (r route) matches(path string) bool {
	return slices.ContainsFunc(r.paths, func(pattern string) bool { return matches(pattern, path) })
}

// matches compares by segments; {name} stands for any one.
func matches(pattern, path string) bool {
	p, q := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(p, q, func(want, got string) bool { return want == got || strings.HasPrefix(want, "{") })
}

// What the services' triggers are for.
func signalerPaths() []string {
	return []string{
		store.Users + "/{uid}/" + store.Accounts + "/{account}", store.Users + "/{uid}/" + store.Strategies + "/{strategy}",
		store.Users + "/{uid}/" + store.Signals + "/{signal}",
	}
}

func rosterPaths() []string {
	return []string{
		store.Users + "/{uid}", store.Users + "/{uid}/" + store.SyncHealth + "/{id}", store.Users + "/{uid}/" + store.Strategies + "/{strategy}",
	}
}

// queues are a feed to several services.
type queues []*mem.Queue

func (qs queues) Pending() (n int) {
	for _, q := range qs {
		n += q.Pending()
	}
	return n
}

func (qs queues) Attempts() (n int64) {
	for _, q := range qs {
		n += q.Attempts()
	}
	return n
}

func (qs queues) Close() {
	for _, q := range qs {
		q.Close()
	}
}

// change is one write of a snapshot, of health or of a signal.
type change struct {
	path     string
	created  bool                              // it was not there before
	document func() (document.Document, error) // as it was written
}

// twin is the database in memory.
type twin struct{ *mem.DB }

func (t twin) Watch(ctx context.Context, see func(change), routes []route) (feed, error) {
	t.DB.Watch(func(w mem.Written) {
		if w.New != nil && isShown(w.Path) {
			see(change{w.Path, w.Old == nil, func() (document.Document, error) { return document.Decode(w.New) }})
		}
	})
	var qs queues
	for _, r := range routes {
		qs = append(qs, mem.StartEventarc(ctx, t.DB, r.matches, r.to))
	}
	return qs, nil
}

func isSnapshot(path string) bool {
	return strings.HasSuffix(path, "/"+store.Accounts+"/"+store.SnapshotID) && strings.HasPrefix(path, store.Users+"/")
}

func isHealth(path string) bool {
	return strings.HasSuffix(path, "/"+store.SyncHealth+"/"+store.HealthID) && strings.HasPrefix(path, store.Users+"/")
}

// isShown says whether the oracle and the meter want to see a document.
func isShown(path string) bool { return isSnapshot(path) || isHealth(path) || isSignal(path) }

func isSignal(path string) bool { return strings.Contains(path, "/"+store.Signals+"/") }
