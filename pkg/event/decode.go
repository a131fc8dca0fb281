package event

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/types"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// maxWire bounds a wrapped push: base64 makes four bytes of three, and the attributes come beside it.
const maxWire = MaxBody*4/3 + 64<<10

// publishTime is the extension under which a Pub/Sub message's publish time travels with its event.
const publishTime = "publishtime"

// The headers that push adds when it writes metadata.
const (
	headerPublishTime  = "X-Goog-Pubsub-Publish-Time"
	headerMessageID    = "X-Goog-Pubsub-Message-Id"
	headerSubscription = "X-Goog-Pubsub-Subscription-Name"
)

// decode reads a binary-mode CloudEvent. With Pub/Sub's payload unwrapping, the message's attributes are the headers;
// without, they are in an envelope. Its error is a Reject.
func decode(ctx context.Context, header http.Header, body []byte) (Event, error) {
	if wrapped(header) {
		var err error
		if header, body, err = unwrap(body); err != nil {
			return Event{}, Reject(err)
		}
	}
	return read(ctx, header, body)
}

// read makes an event of headers. Its error is a Reject.
func read(ctx context.Context, header http.Header, body []byte) (Event, error) {
	if t := header.Get("Content-Type"); format.Lookup(t) != nil {
		return Event{}, Reject(fmt.Errorf("content type %.80q is a CloudEvent in structured mode: send it in binary mode, its attributes as ce-* headers or as attributes of the message", t))
	}
	if _, ok := header["Ce-"]; ok { // the SDK panics on it
		return Event{}, Reject(errors.New("header \"ce-\" names no attribute"))
	}
	// The emulator and some senders put this attribute beside Content-Type, and the SDK takes it for an extension.
	header.Del("Ce-Datacontenttype")
	e, err := binding.ToEvent(ctx, cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		return Event{}, Reject(fmt.Errorf("request is no CloudEvent in binary mode over HTTP: %w", err))
	}
	e.SetExtension(publishTime, nil) // only Pub/Sub's own word counts
	if at := header.Get(headerPublishTime); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return Event{}, Reject(fmt.Errorf("header x-goog-pubsub-publish-time %.40q is no RFC 3339 time", at))
		}
		e.SetExtension(publishTime, t.UTC())
	}
	if err := e.Validate(); err != nil {
		return Event{}, Reject(fmt.Errorf("request is no valid CloudEvent: %w", err))
	}
	return *e, nil
}

// PublishTime is when Pub/Sub took the message that carried the event, UTC.
func PublishTime(e Event) (time.Time, error) {
	if v, ok := e.Extensions()[publishTime]; ok {
		return types.ToTime(v)
	}
	return time.Time{}, fmt.Errorf("event %.80q did not come through Pub/Sub with its metadata: header x-goog-pubsub-publish-time is missing (set write_metadata on the push subscription)", e.ID())
}

// wrapped says whether a request can only be Pub/Sub's push without payload unwrapping.
func wrapped(h http.Header) bool {
	for k := range h {
		if hasCE(k) {
			return false
		}
	}
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return t == "application/json"
}

func hasCE(name string) bool { return len(name) >= 3 && strings.EqualFold(name[:3], "ce-") }

// envelope is a wrapped push. https://cloud.google.com/pubsub/docs/push#receive_push
type envelope struct {
	Message *struct {
		Attributes   map[string]string `json:"attributes"`
		Data         []byte            `json:"data"`
		MessageID    string            `json:"messageId"`
		PublishTime  string            `json:"publishTime"`
		PublishTime2 string            `json:"publish_time"` // its older name; both are sent
	} `json:"message"`
}

// unwrap is the headers and the body that payload unwrapping would have made of an envelope.
func unwrap(body []byte) (http.Header, []byte, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, nil, fmt.Errorf("request has no ce-* headers, and its JSON is no Pub/Sub push: %w", err)
	}
	m := e.Message
	if m == nil {
		return nil, nil, errors.New("request has no ce-* headers, and its JSON is no Pub/Sub push: it has no message")
	}
	if len(m.Data) > MaxBody {
		return nil, nil, fmt.Errorf("data of message %.40q is over %d bytes", m.MessageID, MaxBody)
	}
	h, err := headers(m.Attributes)
	if err != nil {
		return nil, nil, fmt.Errorf("message %.40q is no CloudEvent: %w", m.MessageID, err)
	}
	for _, at := range []string{m.PublishTime, m.PublishTime2} {
		if at != "" {
			h.Set(headerPublishTime, at)
			break
		}
	}
	return h, m.Data, nil
}
