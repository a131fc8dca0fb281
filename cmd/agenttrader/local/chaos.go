package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
)

const (
	chaosConcurrency = 24  // of the syncer: so few that everybody has to share
	chaosDuplicate   = 0.2 // of all events
	chaosReorder     = 0.2
	chaosAttempts    = 20
	killEvery        = 5                         // ticks
	calmTicks        = 3                         // at the end: everybody has the time to recover
	mostHeld         = 6                         // operations of a kind at once that the store holds back
	chaosVolatility  = 3 * sim.DefaultVolatility // so that most observations of two ticks differ materially
)

// chaos is what goes wrong in a run, and what is seen of it. It works on the platform's outside: the database's hook,
// the deliveries, the broker's and the services' doors.
type chaos struct {
	interval time.Duration
	platform bool // the store fails for a while and syncers are killed; otherwise users have faults, and that is all

	canaries [][]byte
	leaks    leaks

	storeDown atomic.Bool
	choices   *rand.Rand
	choicesMu sync.Mutex
	held      map[string]*held // by kind of operation: readers leave writers their share

	instances instances

	mu       sync.Mutex
	asked    map[string]int // broker calls by key in the current tick
	mostKey  int            // of one key in one calm tick
	inFlight int
	mostOpen int  // broker calls at once
	calm     bool // the platform has no fault in this tick, and had none in the last
	refused  int  // deliveries that began and ended while all was calm, and that a service did not take
	late     int  // users who were not fresh two ticks after a fault
	checks   int  // of that
	faulty   int  // users
	wrong    []string
}

func newChaos(seed uint64, interval time.Duration, platform bool) *chaos {
	return &chaos{
		interval: interval, platform: platform, choices: rand.New(rand.NewPCG(seed, 3)), asked: map[string]int{}, held: map[string]*held{"get": {}, "update": {}},
		canaries: [][]byte{[]byte("PKSIM"), []byte("sim-secret-")}, // what all made-up keys begin with
	}
}

// deadline of a sync's broker calls: real time, so that a hung one ends within a tick.
func (c *chaos) deadline() time.Duration { return 2 * time.Second }

func (c *chaos) delivery(cfg *mem.DeliveryConfig) {
	cfg.Duplicate, cfg.Reorder, cfg.HoldBack = chaosDuplicate, chaosReorder, c.interval/2
	cfg.MaxBackoff, cfg.MaxAttempts = max(cfg.MinBackoff, c.interval/4), chaosAttempts
	if !c.platform {
		cfg.Duplicate, cfg.Reorder = 0, 0
	}
}

// openDatabase makes the store fail when told to: half of the operations before they take effect, half after, so that
// only the answer is lost. Now and then it holds one back until the same snapshot was written by somebody else. And
// every document that is written is searched for keys.
func (c *chaos) openDatabase(db *mem.DB) {
	db.SetHook(func(ctx context.Context, op mem.Op) error {
		if c.platform && !op.Done && (op.Kind == "get" || op.Kind == "update") && strings.HasSuffix(op.Path, "/"+store.SnapshotID) {
			c.held[op.Kind].wait(ctx, op.Path, c.interval+c.interval/2)
		}
		if !c.storeDown.Load() {
			return nil
		}
		if op.Done || c.coin() {
			return fmt.Errorf("%s %s: %w", op.Kind, op.Path, document.ErrUnavailable)
		}
		return nil
	})
	db.Watch(func(w mem.Written) {
		for _, h := range c.held {
			h.written(w.Path)
		}
		c.search("document "+w.Path, w.New)
	})
}

func (c *chaos) coin() bool {
	c.choicesMu.Lock()
	defer c.choicesMu.Unlock()
	return c.choices.IntN(2) == 0
}

// before is called before the n-th tick (from 1) of so many.
func (c *chaos) before(n, of int) {
	c.mu.Lock()
	clear(c.asked)
	c.calm = !c.disturbed(n, of) && !c.disturbed(n-1, of)
	c.mu.Unlock()
	c.storeDown.Store(c.storeFails(n, of))
	if c.kills(n, of) {
		time.AfterFunc(c.interval/10, func() { _ = c.instances.replace() }) // in the middle of the work
	}
}

// storeFails for the length of one tick, half-way through the run.
func (c *chaos) storeFails(n, of int) bool { return c.platform && n == of/2 }

// kills a syncer in every fifth tick.
func (c *chaos) kills(n, of int) bool { return c.platform && n%killEvery == 3 && n <= of-calmTicks }

// disturbed says that the platform itself has a fault in the n-th tick.
func (c *chaos) disturbed(n, of int) bool { return c.storeFails(n, of) || c.kills(n, of) }

// recovered says that two ticks have passed since the last fault of the platform.
func (c *chaos) recovered(n, of int) bool {
	return c.disturbed(n-2, of) && !c.disturbed(n-1, of) && !c.disturbed(n, of)
}

// broker counts the calls that reach it.
func (c *chaos) broker(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		key := r.Header.Get("APCA-API-KEY-ID")
		// One account's keys read the market for all; and what the store did not take is read again.
		if r.URL.Path != "/v2/stocks/quotes/latest" && c.calm {
			c.asked[key]++
			c.mostKey = max(c.mostKey, c.asked[key])
		}
		c.inFlight++
		c.mostOpen = max(c.mostOpen, c.inFlight)
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.inFlight--
		}()
		h.ServeHTTP(w, r)
	})
}

// answers searches what a service answers, and counts what it refuses while the platform has no fault of its own.
func (c *chaos) answers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		calm := c.calm // at its beginning, too: what the store refused before may be told long after
		c.mu.Unlock()
		h.ServeHTTP(&searched{w, func(b []byte) {
			c.search("response", b)
			if calm && bytes.HasPrefix(b, []byte("try again")) {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.calm {
					c.refused++
				}
			}
		}}, r)
	})
}

type searched struct {
	http.ResponseWriter
	see func([]byte)
}

func (s *searched) Write(b []byte) (int, error) {
	s.see(b)
	return s.ResponseWriter.Write(b)
}

// logs searches what is written to it.
func (c *chaos) logs(next io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		c.search("log", b)
		return next.Write(b)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (c *chaos) search(where string, b []byte) {
	for _, canary := range c.canaries {
		if bytes.Contains(b, canary) {
			c.leaks.add(where)
		}
	}
}

// leaks are the places in which a key was seen.
type leaks struct {
	mu     sync.Mutex
	places []string
}

func (l *leaks) add(where string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.places) < 10 && !slices.Contains(l.places, where) {
		l.places = append(l.places, where)
	}
}
