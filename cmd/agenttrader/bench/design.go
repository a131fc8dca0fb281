package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// The designs that are compared.
const (
	Sequential = "sequential"      // the predecessor: user after user
	Pool       = "pool-32"         // the predecessor's own proposal: the same loop in 32 threads
	Bare       = "bare"            // concurrent account calls and nothing else: the physical limit
	Handler    = "handler"         // the syncer's Handle alone, without messages
	Pipeline   = "pipeline"        // the whole platform
	Told       = "pipeline-told"   // the same, with telemetry as it is by default
	Traced     = "pipeline-traced" // the same, with each request traced
	Fanout     = "fanout"          // a tick of the fanout alone, on a roster in the store
)

// Spec is one measurement, made in a process of its own.
type Spec struct {
	Design string        `json:"design"`
	Users  int           `json:"users"`
	Ticks  int           `json:"ticks"`  // measured, after one that is not
	Broker string        `json:"broker"` // the simulator's address
	Vault  time.Duration `json:"vault"`  // latency of one access
	Store  time.Duration `json:"store"`  // latency of one operation
	OTLP   string        `json:"otlp"`   // the address of a receiver of telemetry

	CPUProfile  string `json:"cpu_profile,omitempty"`  // file for a profile of what is measured
	HeapProfile string `json:"heap_profile,omitempty"` // file for what is on the heap at the end
}

// Result is what one measurement found. CPU, allocations and memory are this process's: the broker has its own.
type Result struct {
	Design         string   `json:"design"`
	Users          int      `json:"users"`
	Syncs          int      `json:"syncs"`
	UsersPerSecond float64  `json:"users_per_second"` // the median of the ticks
	TickSeconds    float64  `json:"tick_s"`           // the median tick, until the last user is synced
	FirstTick      float64  `json:"first_tick_s"`     // without a roster, keys or memory of anything
	CPUPerSync     float64  `json:"cpu_ms_per_sync"`
	AllocsPerSync  float64  `json:"allocs_per_sync"`
	BytesPerSync   float64  `json:"bytes_per_sync"`
	PeakMB         float64  `json:"peak_rss_mb"`
	ToSnapshot     Quantile `json:"tick_to_snapshot_ms"`
	ToSignal       Quantile `json:"tick_to_signal_ms"`
	Signals        int      `json:"signals"`
	ReadsPerTick   float64  `json:"store_reads_per_tick"`
	WritesPerTick  float64  `json:"store_writes_per_tick"`
	BrokerCalls    float64  `json:"broker_calls_per_sync"`

	BytesPerMessage float64 `json:"bytes_per_message,omitempty"` // of a sync request, data and attributes
}

// memory leaves room, under 1.5 GiB, for what is not Go's: the binary, stacks and fragments.
const memory = 1280 << 20

// Measure makes one measurement in this process.
func Measure(ctx context.Context, spec Spec) (Result, error) {
	debug.SetGCPercent(400) // as the services do in a container, and up to the memory that the figures are to stay under
	debug.SetMemoryLimit(memory)
	if spec.Design == Fanout {
		return measureFanout(ctx, spec)
	}
	r, err := newRig(ctx, spec)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	switch spec.Design {
	case Sequential:
		return r.measure(ctx, 1, r.loop(1))
	case Pool:
		return r.measure(ctx, 1, r.loop(32))
	case Bare:
		return r.measure(ctx, 1, r.bare())
	case Handler:
		return r.handler(ctx)
	case Pipeline, Told, Traced:
		return r.platform(ctx)
	}
	return Result{}, fmt.Errorf("design %q: want %s or %s", spec.Design, strings.Join(allDesigns(), ", "), Fanout)
}

// measure times ticks, after some that warm up connections and caches.
func (r *rig) measure(ctx context.Context, warm int, tick func(context.Context) (time.Duration, error)) (Result, error) {
	first, err := tick(ctx)
	if err != nil {
		return Result{}, err
	}
	for range warm - 1 {
		if _, err := tick(ctx); err != nil {
			return Result{}, err
		}
	}
	res := Result{Design: r.spec.Design, Users: r.spec.Users, FirstTick: first.Seconds()}
	runtime.GC()
	stop, err := profile(r.spec.CPUProfile)
	if err != nil {
		return Result{}, err
	}
	begin := now()
	reads, writes := r.db.Counts()
	calls := r.calls.Load()
	var took []float64
	for range r.spec.Ticks {
		t, err := tick(ctx)
		if err != nil {
			return Result{}, err
		}
		took = append(took, t.Seconds())
	}
	end := now()
	if err := errors.Join(stop(), heap(r.spec.HeapProfile)); err != nil {
		return Result{}, err
	}
	n := float64(r.spec.Users * r.spec.Ticks)
	res.Syncs, res.TickSeconds = r.spec.Users*r.spec.Ticks, median(took)
	res.UsersPerSecond = float64(r.spec.Users) / res.TickSeconds
	res.CPUPerSync, res.PeakMB = 1000*(end.cpu-begin.cpu)/n, end.peakMB
	res.AllocsPerSync, res.BytesPerSync = float64(end.allocs-begin.allocs)/n, float64(end.bytes-begin.bytes)/n
	reads2, writes2 := r.db.Counts()
	res.ReadsPerTick, res.WritesPerTick = float64(reads2-reads)/float64(r.spec.Ticks), float64(writes2-writes)/float64(r.spec.Ticks)
	res.BrokerCalls = float64(r.calls.Load()-calls) / n
	return res, nil
}

// loop is the predecessor's: list the users, and for each read the secret, ask for the account and set the document, in
// so many threads.
func (r *rig) loop(threads int) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		r.clock.Step()
		users, err := r.db.Query(ctx, document.Query{Collection: store.Users})
		if err != nil {
			return 0, err
		}
		var g errgroup.Group
		g.SetLimit(threads)
		for _, u := range users {
			g.Go(func() error { return r.predecessor(ctx, u.ID()) })
		}
		err = g.Wait()
		return time.Since(began), err
	}
}

// predecessor syncs one user as the original function does.
func (r *rig) predecessor(ctx context.Context, uid string) error {
	s, err := r.session(ctx, uid)
	if err != nil {
		return err
	}
	reading, err := s.Account(ctx)
	if err != nil {
		return err
	}
	figure := func(name string) any {
		v, _ := reading.Raw[name].(string)
		return v
	}
	return r.db.Set(ctx, store.SnapshotPath(uid), document.Fields{
		"broker": "alpaca", "external_account_id": reading.Account.ID, "status": reading.Account.Status,
		"equity": figure("equity"), "buying_power": figure("buying_power"), "cash": figure("cash"),
		"raw": reading.Raw, "updated_at": document.ServerTime, "updated_at_iso": r.clock.Now().Format(time.RFC3339), "user_id": uid,
	})
}

// bare asks for all accounts at once, with keys at hand.
func (r *rig) bare() func(context.Context) (time.Duration, error) {
	sessions := make([]broker.Session, r.spec.Users)
	return func(ctx context.Context) (time.Duration, error) {
		if sessions[0] == nil {
			if err := r.open(ctx, sessions); err != nil {
				return 0, err
			}
		}
		began := time.Now()
		var g errgroup.Group
		g.SetLimit(inFlight)
		for _, s := range sessions {
			g.Go(func() error { _, err := s.Account(ctx); return err })
		}
		err := g.Wait()
		return time.Since(began), err
	}
}

func (r *rig) open(ctx context.Context, sessions []broker.Session) error {
	var g errgroup.Group
	g.SetLimit(inFlight)
	for i := range sessions {
		g.Go(func() (err error) {
			sessions[i], err = r.session(ctx, userID(i))
			return err
		})
	}
	return g.Wait()
}

// handler hands the syncer its requests as they are.
func (r *rig) handler(ctx context.Context) (Result, error) {
	var failed atomic.Int64
	s, err := r.syncer(func(_ context.Context, res syncer.Result) {
		if res.Err != nil {
			failed.Add(1)
		}
	})
	if err != nil {
		return Result{}, err
	}
	res, err := r.measure(ctx, 1, func(ctx context.Context) (time.Duration, error) {
		t := tick.Of(r.clock.Step())
		requests := make([]event.Event, r.spec.Users)
		for i := range requests {
			u := user.User{ID: userID(i), BrokerEnv: "paper", CadenceMinutes: 1, KeyVersion: "1"}
			if requests[i], err = event.NewSyncRequest(t, u, health.Health{}); err != nil {
				return 0, err
			}
		}
		began := time.Now()
		var g errgroup.Group
		g.SetLimit(inFlight)
		for _, e := range requests {
			g.Go(func() error { return s.Handle(ctx, e) })
		}
		err := g.Wait()
		return time.Since(began), err
	})
	return res, errors.Join(err, failure(int(failed.Load())))
}

// platform runs all of it.
func (r *rig) platform(ctx context.Context) (Result, error) {
	p, err := r.pipeline(ctx)
	if err != nil {
		return Result{}, err
	}
	n, warm := 0, 2 // the second learns the versions of what the first wrote, and strategies act on that
	res, err := r.measure(ctx, warm, func(ctx context.Context) (time.Duration, error) {
		t, err := p.tick(ctx)
		if n++; n <= warm {
			p.mu.Lock()
			p.snapshot, p.signal, p.synced = nil, nil, 0
			p.mu.Unlock()
		}
		return t, err
	})
	if err != nil {
		return res, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	res.ToSnapshot, res.ToSignal, res.Signals = quantiles(p.snapshot), quantiles(p.signal), len(p.signal)
	if p.synced != res.Syncs {
		return res, fmt.Errorf("%d users were synced in %d ticks, want %d", p.synced, r.spec.Ticks, res.Syncs)
	}
	return res, failure(p.failed)
}

func failure(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d syncs failed: a measurement of failures is none", n)
}
