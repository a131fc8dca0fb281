package local

import (
	"context"
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
	// Watch shows see the snapshots, health and new signals as they are written, one after the other, and delivers the change
	// events of snapshots as cfg says, until ctx ends and the feed is closed.
	Watch(ctx context.Context, see func(change), cfg mem.DeliveryConfig) (feed, error)
}

// feed is the delivery of change events.
type feed interface {
	Pending() int
	Attempts() int64
	Close()
}

// change is one write of a snapshot or of health, or one new signal.
type change struct {
	path   string
	fields func() (document.Fields, error)
}

// twin is the database in memory.
type twin struct{ *mem.DB }

func (t twin) Watch(ctx context.Context, see func(change), cfg mem.DeliveryConfig) (feed, error) {
	t.DB.Watch(func(w mem.Written) {
		if w.New != nil && (isSnapshot(w.Path) || isHealth(w.Path) || (w.Old == nil && isSignal(w.Path))) {
			see(change{w.Path, func() (document.Fields, error) {
				d, err := document.Decode(w.New)
				return d.Fields, err
			}})
		}
	})
	return mem.StartEventarc(ctx, t.DB, isSnapshot, cfg), nil
}

func isSnapshot(path string) bool {
	return strings.HasSuffix(path, "/"+store.Accounts+"/"+store.SnapshotID) && strings.HasPrefix(path, store.Users+"/")
}

func isHealth(path string) bool {
	return strings.HasSuffix(path, "/"+store.SyncHealth+"/"+store.HealthID) && strings.HasPrefix(path, store.Users+"/")
}

func isSignal(path string) bool { return strings.Contains(path, "/"+store.Signals+"/") }
