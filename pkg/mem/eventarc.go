package mem

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// StartEventarc delivers the writes of documents whose path matches to a service, until ctx ends, as an Eventarc
// trigger for google.cloud.firestore.document.v1.written does: each at least once, in no promised order.
func StartEventarc(ctx context.Context, db *DB, match func(path string) bool, cfg DeliveryConfig) *Queue {
	q := StartQueue(ctx, cfg)
	var number atomic.Int64
	db.Watch(func(w Written) { // under the database's lock: it only takes note
		if match(w.Path) {
			q.Add(func() Message { return changeEvent(number.Add(1), w) })
		}
	})
	return q
}

// changeEvent is the event in the cloud's own form.
func changeEvent(number int64, w Written) Message {
	id := strconv.FormatInt(number, 10)
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
	return Message{ID: id, Header: h, Body: document.EncodeChange(w.Old, w.New)}
}
