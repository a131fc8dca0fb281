package local

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// watcher shows the database's writes to the oracle and the meter, beside the services and not in their way.
type watcher struct {
	oracle *oracle
	meter  *meter

	owners *owners         // nil: nobody acts on signals
	speaks map[string]bool // the users with a strategy that speaks when an account has drifted

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

func newWatcher(o *oracle, m *meter, owners *owners, speaks map[string]bool) *watcher {
	w := &watcher{oracle: o, meter: m, owners: owners, speaks: speaks, ended: make(chan struct{})}
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
	d, err := s.document()
	if err != nil {
		return // the database made it; the oracle finds what is missing
	}
	fields, uid := d.Fields, strings.Split(s.path, "/")[1]
	if isSignal(s.path) {
		w.oracle.spending.signal(uid, s.path, s.created, d)
		if s.created && fields["action"] != "flat" {
			if cause, _ := fields["cause"].(string); !strings.HasPrefix(cause, "edit:") { // no tick made it
				w.meter.signalWritten(w.oracle.tickOf(uid), s.at)
			}
			w.owners.see(uid, s.path)
		}
		return
	}
	if isHealth(s.path) {
		w.health(uid, fields)
		return
	}
	var v version
	v.seq, _ = fields["seq"].(int64)
	v.observed, _ = fields["observed_at"].(time.Time)
	text, _ := fields["tick"].(string)
	v.tick, _ = tick.Parse(text)
	first := w.oracle.tickOf(uid) < v.tick
	w.oracle.spending.snapshot(uid, d)
	w.oracle.snapshot(uid, v)
	if v.seq == 1 && w.speaks[uid] && drifted(fields) {
		w.oracle.mustSignal(uid)
	}
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

// health tells the oracle how long a user is not asked for.
func (w *watcher) health(uid string, fields document.Fields) {
	until, ok := fields["next_attempt_at"].(time.Time)
	text, _ := fields["tick"].(string)
	after, err := tick.Parse(text)
	if ok && err == nil && fields["failing"] == true {
		w.oracle.waiting(uid, wait{after, until})
	}
}

// drifted says, from the document's figures alone, that a holding is further from its weight than any band: twice the
// demo strategy's.
func drifted(f document.Fields) bool {
	raw, _ := f["raw"].(map[string]any)
	equity := figure(raw["equity"])
	if equity <= 0 || f["incomplete"] == true {
		return false
	}
	held := map[string]float64{}
	positions, _ := f["positions"].([]any)
	for _, p := range positions {
		p, _ := p.(map[string]any)
		symbol, _ := p["symbol"].(string)
		held[symbol] = figure(p["market_value"])
	}
	demo := params()[strategy.KindRebalance]
	weights, _ := demo["weights"].(map[string]any)
	band, _ := demo["drift_band"].(float64)
	for symbol, weight := range weights {
		if w, ok := weight.(float64); ok && math.Abs(held[symbol]/equity-w) > 2*band {
			return true
		}
	}
	return false
}

func figure(v any) float64 {
	s, _ := v.(string)
	f, _ := strconv.ParseFloat(s, 64)
	return f
}
