package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// emulated is the Firestore emulator behind the real client, with its own change events. It counts at the port what
// Firestore bills.
type emulated struct {
	document.DB
	emulator *emulator.Emulator

	reads, writes atomic.Int64
	// expected are the events that the emulator has yet to send for the writes through this port.
	expected atomic.Int64
	watching atomic.Bool
	written  []string // the patterns of the triggers, once watching
}

// startEmulator opens the given emulator, or starts one that ends with the platform.
func (p *platform) startEmulator(ctx context.Context) (*emulated, error) {
	e := p.opts.Emulator
	if e == nil {
		var err error
		if e, err = emulator.Start(ctx); err != nil {
			return nil, err
		}
		p.onClose(e.Stop)
	}
	client, err := e.Client(ctx, Project)
	if err != nil {
		return nil, err
	}
	p.onClose(func() { _ = client.Close() })
	return &emulated{DB: gcp.NewFirestore(client), emulator: e}, nil
}

func (d *emulated) Counts() (reads, writes int64) { return d.reads.Load(), d.writes.Load() }

// Watch registers triggers with the emulator. It sends each event once and forgets it: the queues own the retries.
func (d *emulated) Watch(ctx context.Context, see func(change), routes []route) (feed, error) {
	written := []string{store.Users + "/{uid}/" + store.SyncHealth + "/{id}"} // shown, whoever takes them
	var qs queues
	for _, r := range routes {
		qs = append(qs, mem.StartQueue(ctx, r.to))
		for _, path := range r.paths {
			if !slices.Contains(written, path) {
				written = append(written, path)
			}
		}
	}
	var err error
	for i, path := range written {
		t := emulator.Trigger{Project: Project, ID: fmt.Sprintf("written-%d", i), Type: event.TypeDocument, Path: path}
		err = errors.Join(err, d.emulator.Watch(ctx, t, func(e emulator.Event) {
			changed := e.Header.Get("Ce-Document")
			for i, r := range routes {
				if r.matches(changed) {
					qs[i].Add(func() mem.Message { return mem.Message{ID: e.Header.Get("Ce-Id"), Header: e.Header, Body: e.Body} })
				}
			}
			if isShown(changed) {
				show(see, e)
			}
			d.expected.Add(-1) // after Add: what is under way must always show somewhere
		}))
	}
	if err != nil {
		return nil, fmt.Errorf("change events: %w", err)
	}
	d.written = written
	d.watching.Store(true)
	return &emulatedFeed{queues: qs, db: d}, nil
}

func show(see func(change), e emulator.Event) {
	c, err := document.DecodeChange(e.Body)
	if err != nil || c.New == nil {
		return
	}
	see(change{e.Header.Get("Ce-Document"), c.Old == nil, func() (document.Document, error) { return *c.New, nil }})
}

type emulatedFeed struct {
	queues
	db *emulated
}

func (f *emulatedFeed) Pending() int { return f.queues.Pending() + int(max(0, f.db.expected.Load())) }

// wrote counts a write that took effect.
func (d *emulated) wrote(path string) {
	d.writes.Add(1)
	if d.watching.Load() && (route{paths: d.written}).matches(path) {
		d.expected.Add(1)
	}
}

func (d *emulated) Get(ctx context.Context, path string) (document.Document, error) {
	d.reads.Add(1)
	return d.DB.Get(ctx, path)
}

func (d *emulated) Query(ctx context.Context, q document.Query) ([]document.Document, error) {
	docs, err := d.DB.Query(ctx, q)
	d.reads.Add(int64(max(1, len(docs))))
	return docs, err
}

func (d *emulated) Create(ctx context.Context, path string, f document.Fields) (time.Time, error) {
	at, err := d.DB.Create(ctx, path, f)
	return at, d.counted(path, err)
}

func (d *emulated) Set(ctx context.Context, path string, f document.Fields) error {
	return d.counted(path, d.DB.Set(ctx, path, f))
}

func (d *emulated) Update(ctx context.Context, path string, f document.Fields, at time.Time) (time.Time, error) {
	updated, err := d.DB.Update(ctx, path, f, at)
	return updated, d.counted(path, err)
}

func (d *emulated) Delete(ctx context.Context, path string, at time.Time) error {
	return d.counted(path, d.DB.Delete(ctx, path, at))
}

func (d *emulated) counted(path string, err error) error {
	if err == nil {
		d.wrote(path)
	}
	return err
}

func (d *emulated) Transact(ctx context.Context, fn func(context.Context, document.Tx) error) error {
	var last *countedTx
	err := d.DB.Transact(ctx, func(ctx context.Context, tx document.Tx) error {
		last = &countedTx{Tx: tx, reads: &d.reads}
		return fn(ctx, last)
	})
	if err == nil && last != nil {
		for _, path := range last.writes {
			d.wrote(path)
		}
	}
	return err
}

// countedTx notes one attempt's writes: they count if it is the one that is committed.
type countedTx struct {
	document.Tx
	reads  *atomic.Int64
	mu     sync.Mutex
	writes []string // paths
}

func (t *countedTx) Get(ctx context.Context, path string) (document.Document, error) {
	t.reads.Add(1)
	return t.Tx.Get(ctx, path)
}

func (t *countedTx) Create(path string, f document.Fields) error {
	return t.note(path, t.Tx.Create(path, f))
}

func (t *countedTx) Set(path string, f document.Fields) error {
	return t.note(path, t.Tx.Set(path, f))
}

func (t *countedTx) Update(path string, f document.Fields) error {
	return t.note(path, t.Tx.Update(path, f))
}

func (t *countedTx) Delete(path string) error {
	return t.note(path, t.Tx.Delete(path))
}

func (t *countedTx) note(path string, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.writes = append(t.writes, path)
	}
	return err
}
