package mem

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Eventarc delivers a database's writes to a service, as an Eventarc trigger for
// google.cloud.firestore.document.v1.written does: each at least once, in no promised order.
type Eventarc struct {
	delivery *Delivery
	match    func(path string) bool

	mu      sync.Mutex
	queue   []Written
	pending int // queued, or handed to the delivery and not settled
	number  int64
	wake    chan struct{}
	done    chan struct{}
}

// StartEventarc delivers the writes of documents whose path matches, until ctx ends.
func StartEventarc(ctx context.Context, db *DB, match func(path string) bool, cfg DeliveryConfig) *Eventarc {
	a := &Eventarc{delivery: NewDelivery(cfg), match: match, wake: make(chan struct{}, 1), done: make(chan struct{})}
	db.Watch(a.add)
	go a.run(ctx)
	return a
}

// Pending is the number of events that are not delivered yet.
func (a *Eventarc) Pending() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending
}

// Attempts is the number of requests made.
func (a *Eventarc) Attempts() int64 { return a.delivery.Attempts() }

// Close ends the delivery; call it after ctx has ended.
func (a *Eventarc) Close() {
	<-a.done
	a.delivery.Close()
}

// add is called under the database's lock: it only takes note.
func (a *Eventarc) add(w Written) {
	if !a.match(w.Path) {
		return
	}
	a.mu.Lock()
	a.queue = append(a.queue, w)
	a.pending++
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *Eventarc) run(ctx context.Context) {
	defer close(a.done)
	for {
		a.mu.Lock()
		batch := a.queue
		a.queue = nil
		a.mu.Unlock()
		for _, w := range batch {
			if a.delivery.Send(ctx, a.message(w)) != nil {
				return // ctx ended, or closed
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
	}
}

// message is the event in the cloud's own form.
func (a *Eventarc) message(w Written) Message {
	a.number++
	id := strconv.FormatInt(a.number, 10)
	h := http.Header{}
	for k, v := range map[string]string{
		"Content-Type":   "application/protobuf",
		"Ce-Specversion": "1.0",
		"Ce-Id":          id,
		"Ce-Type":        "google.cloud.firestore.document.v1.written",
		"Ce-Source":      "//firestore.googleapis.com/" + Database,
		"Ce-Subject":     "documents/" + w.Path,
		"Ce-Time":        w.At.Format(time.RFC3339Nano),
		"Ce-Document":    w.Path,
		"Ce-Database":    "(default)",
		"Ce-Dataschema":  "https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/firestore/v1/data.proto",
	} {
		h[k] = []string{v}
	}
	return Message{ID: id, Header: h, Body: document.EncodeChange(w.Old, w.New), Settled: func(bool, int) {
		a.mu.Lock()
		a.pending--
		a.mu.Unlock()
	}}
}
