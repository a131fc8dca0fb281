package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what a closed Delivery or PubSub answers.
var ErrClosed = errors.New("mem: closed: start a new one")

const (
	defaultMaxInFlight = 1000
	defaultTimeout     = 60 * time.Second
	defaultMinBackoff  = 100 * time.Millisecond
	defaultMaxBackoff  = 5 * time.Second
	defaultMaxAttempts = 5

	// duplicateWithin is how long after its first copy a late duplicate starts, at most: long enough to come
	// after the first has been answered.
	duplicateWithin = 50 * time.Millisecond
	// maxAnswer is how much of an answer is read so that its connection can be used again.
	maxAnswer = 64 << 10
)

// Message is one message to deliver by HTTP POST.
type Message struct {
	ID string
	// Header and Body are the request's; they are shared by all attempts and must not be changed after Send.
	Header http.Header
	Body   []byte
	// Settled, if not nil, is called once for each message that Send took, when no request of it is in flight
	// any more: delivered is true on a 2xx, false when dead-lettered or given up at Close. attempts counts the
	// answered attempts, without a duplicate's; it is below MaxAttempts if and only if the message was
	// delivered early or given up at Close.
	Settled func(delivered bool, attempts int)
}

// DeliveryConfig says where and how a Delivery pushes. Only URL is required.
type DeliveryConfig struct {
	URL string
	// MaxInFlight is the push window's upper bound, in requests. Default 1000.
	MaxInFlight int
	// Timeout of one attempt, the subscription's ack deadline. Default 60 s.
	Timeout time.Duration
	// MinBackoff and MaxBackoff bound the time between two attempts of one message, which doubles each time,
	// with jitter. Defaults 100 ms and 5 s; Pub/Sub's own are 10 s and 600 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxAttempts before the message is dead-lettered. 0: the default, 5. Below 0: no end of attempts.
	MaxAttempts int
	// Duplicate is the share (0 to 1) of messages delivered a second time, with the first or shortly after.
	Duplicate float64
	// Reorder is the share (0 to 1) of messages held back for a random time up to HoldBack.
	Reorder  float64
	HoldBack time.Duration
	// DeadLetter, if not nil, gets each message that ran out of attempts, before its Settled.
	DeadLetter func(m Message, lastErr error)
	// Seed of the choices of duplicates, reordering and jitter.
	Seed uint64
	// Log of refused attempts (debug) and dead letters (warning); nil: none.
	Log *slog.Logger
}

// Delivery is the HTTP half of push delivery, as Pub/Sub push and Eventarc have it: at least once, with a window
// of requests in flight, back-off and dead letters; and with duplicates and overtaking on purpose, because the
// cloud has them. Safe for concurrent use.
type Delivery struct {
	cfg    DeliveryConfig
	url    *url.URL
	pool   *http.Transport // used without a client: redirects are not followed, and cookies not kept
	window *window
	ctx    context.Context
	cancel context.CancelFunc

	randMu  sync.Mutex
	choices *rand.Rand // one draw set per Send, so that a seed means the same choices
	jitter  *rand.Rand

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup

	pending  atomic.Int64
	attempts atomic.Int64
}

// NewDelivery returns a Delivery to cfg.URL. Close it when done. An URL that does not parse makes every attempt
// fail, as an endpoint that isn't there does.
func NewDelivery(cfg DeliveryConfig) *Delivery {
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = defaultMaxInFlight
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MinBackoff <= 0 {
		cfg.MinBackoff = defaultMinBackoff
	}
	if cfg.MaxBackoff <= 0 {
		cfg.MaxBackoff = defaultMaxBackoff
	}
	cfg.MaxBackoff = max(cfg.MaxBackoff, cfg.MinBackoff)
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = defaultMaxAttempts
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Delivery{
		cfg:     cfg,
		window:  newWindow(cfg.MaxInFlight),
		choices: rand.New(rand.NewPCG(cfg.Seed, 1)),
		jitter:  rand.New(rand.NewPCG(cfg.Seed, 2)),
	}
	d.url, _ = url.Parse(cfg.URL) // nil is told by post
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.pool = &http.Transport{
		MaxIdleConns:        cfg.MaxInFlight,
		MaxIdleConnsPerHost: cfg.MaxInFlight,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	return d
}

// Send takes a message for delivery and returns without waiting for the answer. It blocks while the window is
// full. An error (ctx's, or ErrClosed) means that the message was not taken.
func (d *Delivery) Send(ctx context.Context, m Message) error {
	if m.Header == nil {
		m.Header = http.Header{}
	}
	wait, stop := d.untilClosed(ctx)
	err := d.window.acquire(wait)
	stop()
	if err != nil {
		if ctx.Err() == nil {
			return ErrClosed
		}
		return fmt.Errorf("mem: message %s not sent: %w", m.ID, ctx.Err())
	}
	t := d.choose(m)
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.window.release()
		return ErrClosed
	}
	d.wg.Add(int(t.copies.Load()))
	d.pending.Add(1)
	d.mu.Unlock()

	if t.copies.Load() > 1 {
		go d.runDuplicate(t) //nolint:contextcheck // it outlives Send
	}
	if t.hold > 0 {
		d.window.release()
	}
	go d.run(t) //nolint:contextcheck // it outlives Send
	return nil
}

// untilClosed is ctx, ended by Close too, so that a blocked Send wakes.
func (d *Delivery) untilClosed(ctx context.Context) (wait context.Context, stop func()) {
	if ctx.Done() == nil {
		return d.ctx, func() {}
	}
	wait, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(d.ctx, cancel)
	return wait, func() { unlink(); cancel() }
}

// Attempts returns the number of HTTP requests made, duplicates included.
func (d *Delivery) Attempts() int64 { return d.attempts.Load() }

// Pending returns the number of messages taken and not settled.
func (d *Delivery) Pending() int { return int(d.pending.Load()) }

// Idle reports whether all messages taken are settled.
func (d *Delivery) Idle() bool { return d.Pending() == 0 }

// Close stops all deliveries, cuts off the requests in flight, settles their messages as not delivered and waits
// for all of it. It may be called more than once.
func (d *Delivery) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	d.pool.CloseIdleConnections()
}

// task is a message under way: its delivery, and perhaps a duplicate beside it.
type task struct {
	Message
	hold, again time.Duration // before the first attempt; before the duplicate
	copies      atomic.Int32  // still running
	delivered   atomic.Bool
	attempts    int // the delivery's alone, like the two below
	dead        bool
	lastErr     error
}

// choose draws what becomes of a message besides its delivery.
func (d *Delivery) choose(m Message) *task {
	t := &task{Message: m}
	t.copies.Store(1)
	if d.cfg.Duplicate <= 0 && d.cfg.Reorder <= 0 {
		return t
	}
	d.randMu.Lock()
	defer d.randMu.Unlock()
	hold, holdFor := d.choices.Float64(), d.choices.Float64()
	twice, late, againIn := d.choices.Float64(), d.choices.Float64(), d.choices.Float64()
	if hold < d.cfg.Reorder {
		t.hold = time.Duration(holdFor * float64(d.cfg.HoldBack))
	}
	if twice < d.cfg.Duplicate {
		t.copies.Store(2)
		t.again = t.hold
		if late < 0.5 {
			t.again += time.Duration(againIn * float64(duplicateWithin))
		}
	}
	return t
}

// run delivers a message until it is delivered, dead or given up. Unless it is held back, it begins with a slot.
func (d *Delivery) run(t *task) {
	defer d.end(t)
	slot := t.hold <= 0
	if !slot && !d.sleep(t.hold) {
		return
	}
	for tried := false; ; tried = true {
		if !slot && d.window.acquire(d.ctx) != nil {
			return
		}
		slot = false // a message that backs off holds none
		if tried && t.delivered.Load() {
			d.window.release() // its duplicate got through while it waited
			return
		}
		err := d.post(t.Message)
		if err != nil && d.ctx.Err() != nil {
			d.window.release()
			return // cut off by Close: no verdict
		}
		d.window.done(err == nil)
		t.attempts++
		if err == nil {
			t.delivered.Store(true)
			return
		}
		d.cfg.Log.Debug("push refused", "message", t.ID, "attempt", t.attempts, "error", err)
		t.lastErr = err
		if d.cfg.MaxAttempts > 0 && t.attempts >= d.cfg.MaxAttempts {
			t.dead = true
			return
		}
		if !d.sleep(d.backoff(t.attempts)) {
			return
		}
	}
}

// runDuplicate delivers a message's second copy, once.
func (d *Delivery) runDuplicate(t *task) {
	defer d.end(t)
	if t.again > 0 && !d.sleep(t.again) {
		return
	}
	if d.window.acquire(d.ctx) != nil {
		return
	}
	err := d.post(t.Message)
	if err != nil && d.ctx.Err() != nil {
		d.window.release()
		return
	}
	d.window.done(err == nil)
	if err == nil {
		t.delivered.Store(true)
	}
}

// end settles a message when the last of its copies has ended.
func (d *Delivery) end(t *task) {
	defer d.wg.Done()
	if t.copies.Add(-1) > 0 {
		return
	}
	defer d.pending.Add(-1)
	delivered := t.delivered.Load()
	if !delivered && t.dead {
		d.cfg.Log.Warn("push gave up: dead letter", "message", t.ID, "attempts", t.attempts, "error", t.lastErr)
		if d.cfg.DeadLetter != nil {
			d.cfg.DeadLetter(t.Message, t.lastErr)
		}
	}
	if t.Settled != nil {
		t.Settled(delivered, t.attempts)
	}
}

// post makes one attempt. Anything but the statuses that Pub/Sub takes for an ack is an error.
func (d *Delivery) post(m Message) error {
	if d.url == nil {
		return fmt.Errorf("mem: push endpoint %q is no URL: mend DeliveryConfig.URL", d.cfg.URL)
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.cfg.Timeout)
	defer cancel()
	d.attempts.Add(1)
	body := bytes.NewReader(m.Body)
	// net/http only reads a request's header and URL, so attempts and copies share them.
	req := (&http.Request{
		Method: http.MethodPost, URL: d.url, Host: d.url.Host, Header: m.Header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(body), ContentLength: int64(len(m.Body)),
	}).WithContext(ctx)
	if len(m.Body) == 0 {
		req.Body = http.NoBody
	}
	resp, err := d.pool.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("mem: push: %w", err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status is the answer; this only frees the connection
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return nil
	}
	return fmt.Errorf("mem: push: %s answered %s", d.cfg.URL, resp.Status)
}

// backoff is the time to wait after the n-th failed attempt: doubling, with the upper half of it random.
func (d *Delivery) backoff(n int) time.Duration {
	wait := d.cfg.MinBackoff
	for i := 1; i < n && wait < d.cfg.MaxBackoff; i++ {
		wait *= 2
	}
	wait = min(wait, d.cfg.MaxBackoff)
	d.randMu.Lock()
	defer d.randMu.Unlock()
	return wait/2 + time.Duration(d.jitter.Int64N(int64(wait/2)+1))
}

// sleep waits, and reports false if Close came first.
func (d *Delivery) sleep(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}
