package local

import (
	"strings"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// watcher shows the database's writes to the oracle and the meter, beside the services and not in their way.
type watcher struct {
	oracle *oracle
	meter  *meter

	mu    sync.Mutex
	more  *sync.Cond
	queue []seen
	shut  bool
	ended chan struct{}
}

type seen struct {
	change
	at time.Time // monotonic
}

func newWatcher(o *oracle, m *meter) *watcher {
	w := &watcher{oracle: o, meter: m, ended: make(chan struct{})}
	w.more = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// add is called in the database's way of the writes: it only takes note.
func (w *watcher) add(c change) {
	w.mu.Lock()
	w.queue = append(w.queue, seen{c, time.Now()})
	w.mu.Unlock()
	w.more.Signal()
}

// close waits until all that was seen is told.
func (w *watcher) close() {
	w.mu.Lock()
	w.shut = true
	w.mu.Unlock()
	w.more.Signal()
	<-w.ended
}

func (w *watcher) run() {
	defer close(w.ended)
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.shut {
			w.more.Wait()
		}
		batch := w.queue
		w.queue = nil
		w.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, s := range batch {
			w.tell(s)
		}
	}
}

func (w *watcher) tell(s seen) {
	fields, err := s.fields()
	if err != nil || fields == nil {
		return // the database made it; the oracle finds what is missing
	}
	uid := strings.Split(s.path, "/")[1]
	if isSignal(s.path) {
		if fields["action"] != "flat" {
			w.meter.signalWritten(w.oracle.tickOf(uid), s.at)
		}
		return
	}
	var v version
	v.seq, _ = fields["seq"].(int64)
	v.observed, _ = fields["observed_at"].(time.Time)
	text, _ := fields["tick"].(string)
	v.tick, _ = tick.Parse(text)
	first := w.oracle.tickOf(uid) < v.tick
	w.oracle.snapshot(uid, v)
	if first {
		w.meter.snapshotWritten(v.tick, s.at)
	}
}

// requestOf reads a sync request's id, {tick}/{uid}.
func requestOf(id string) (request, bool) {
	t, uid, ok := strings.Cut(id, "/")
	if !ok {
		return request{}, false
	}
	parsed, err := tick.Parse(t)
	return request{parsed, uid}, err == nil
}
