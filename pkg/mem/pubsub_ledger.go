package mem

import (
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
)

// ledger is both the clock that the Pub/Sub fake runs on and the count of what it holds.
//
// The fake reads one clock for everything: publish times, ack deadlines, and its retention, which drops what is
// older than ten minutes. On a clock that steps by minutes, many times a second, that would redeliver what is in
// flight and lose what waits. Extending deadlines cannot help: one step can pass them all, and nothing extends
// the life of a message not yet pulled. So only publishing sees the injected time; for all else time stands
// still, before any publish time, and no deadline or retention ever runs out. Redelivery is Delivery's.
//
// It knows publishing from the rest because the fake calls its reactor and then its clock under one lock, and
// gives each message its ID right before asking for its publish time.
type ledger struct {
	now func() time.Time

	mu      sync.Mutex
	topic   string                    // of the publish call under way
	current []*pubsubpb.PubsubMessage // its messages that have no publish time yet
	subs    map[string]*subCount      // ours, by full name
	foreign int                       // subscriptions made through the client by others
	held    int                       // messages the fake remembers, acked or not
}

// subCount counts one subscription's messages.
type subCount struct {
	topic   string
	waiting int           // published, not pulled
	pending int           // published, not acked
	wake    chan struct{} // has an item when waiting grew
}

// stoppedAt is the fake's time but for publishing.
func stoppedAt() time.Time { return time.Unix(0, 0).UTC() }

func newLedger(now func() time.Time) *ledger {
	return &ledger{now: now, subs: map[string]*subCount{}}
}

// reactors are the hooks to start the fake with.
func (l *ledger) reactors() []pstest.ServerReactorOption {
	return []pstest.ServerReactorOption{
		{FuncName: "Publish", Reactor: react(l.onPublish)},
		{FuncName: "CreateSubscription", Reactor: react(l.onSubscribe)},
	}
}

func (l *ledger) onPublish(req any) {
	r, ok := req.(*pubsubpb.PublishRequest)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topic, l.current = r.Topic, r.Messages
	for _, m := range r.Messages {
		m.MessageId = "" // the server's to give, and our sign that it did
	}
}

func (l *ledger) onSubscribe(req any) {
	r, ok := req.(*pubsubpb.Subscription)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subs[r.Name] == nil {
		l.foreign++
	}
}

// time is the fake's clock; the fake holds its lock.
func (l *ledger) time() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.current) == 0 || l.current[0].MessageId == "" {
		return stoppedAt()
	}
	l.current = l.current[1:]
	l.held++
	for _, s := range l.subs {
		if s.topic == l.topic {
			s.waiting++
			s.pending++
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
	}
	return l.now().UTC()
}

// add announces a subscription of ours, before it is made. Nil: there is one already.
func (l *ledger) add(name, topic string) *subCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subs[name] != nil {
		return nil
	}
	s := &subCount{topic: topic, wake: make(chan struct{}, 1)}
	l.subs[name] = s
	return s
}

// remove takes back an add whose subscription could not be made.
func (l *ledger) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.subs, name)
}

// pulled notes that n messages were pulled and returns how many more wait.
func (l *ledger) pulled(s *subCount, n int) (waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.waiting -= n
	return s.waiting
}

func (l *ledger) acked(s *subCount, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.pending -= n
}

// pending is the number of messages published to our subscriptions and not acked.
func (l *ledger) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.subs {
		n += s.pending
	}
	return n
}

// idleWith reports whether the fake holds at least n messages that nobody needs any more, and nothing else.
func (l *ledger) idleWith(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held < n || l.foreign > 0 {
		return false
	}
	for _, s := range l.subs {
		if s.pending > 0 {
			return false
		}
	}
	return true
}

func (l *ledger) forgot() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = 0
}

// react is a reactor that only looks on.
type react func(req any)

// React implements pstest.Reactor.
func (f react) React(req any) (handled bool, ret any, err error) {
	f(req)
	return false, nil, nil
}
