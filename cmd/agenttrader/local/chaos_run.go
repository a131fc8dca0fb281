package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// ChaosOptions are the flags of `agenttrader chaos`.
type ChaosOptions struct {
	Users    int
	Ticks    int
	Interval time.Duration
	Latency  sim.Latency
	Seed     uint64
	Compare  bool // also measure the users who are well, with and without the others' faults
	Logs     io.Writer
	LogLevel slog.Level
}

// Validate names every fault.
func (o ChaosOptions) Validate() error {
	if o.Ticks < 8 {
		return fmt.Errorf("--ticks is %d: want at least 8, so that there is time for a fault and for the recovery from it", o.Ticks)
	}
	return nil
}

// chaosFaults are the users' own: two of a hundred have each.
func chaosFaults() []string {
	return []string{"401=2%", "403=2%", "429=2%", "5xx=2%", "hang=2%", "reset=2%", "odd=2%"}
}

// Invariant is one promise, and how often it was broken.
type Invariant struct {
	Name   string `json:"name"`
	Broken int    `json:"broken"`
	Seen   string `json:"seen"`
}

// ChaosReport is a run under fire.
type ChaosReport struct {
	Seed       uint64      `json:"seed"`
	Run        Report      `json:"run"`
	Killed     int         `json:"syncers_killed"`
	Faulty     int         `json:"users_with_a_fault"`
	Invariants []Invariant `json:"invariants"`
	Compared   *Comparison `json:"healthy_users,omitempty"`
}

// Comparison is what the users who are well feel of the others' faults: tick to snapshot, ms.
type Comparison struct {
	Alone  Quantiles `json:"without_faults_ms"`
	Beside Quantiles `json:"with_faults_ms"`
	Ratio  float64   `json:"p99_ratio"`
}

// maxRatio is how much slower users who are well may be beside others' faults, at the 99th percentile.
const maxRatio = 2

// RunChaos runs the platform under fire and checks its promises.
func RunChaos(ctx context.Context, o ChaosOptions) (ChaosReport, error) {
	if err := o.Validate(); err != nil {
		return ChaosReport{}, err
	}
	c := newChaos(o.Seed, o.Interval, true)
	run, err := o.run(ctx, c, chaosFaults())
	if err != nil {
		return ChaosReport{}, err
	}
	r := ChaosReport{Seed: o.Seed, Run: run, Killed: c.instances.count(), Faulty: c.faulty, Invariants: c.invariants(run)}
	if o.Compare && ctx.Err() == nil {
		r.Compared, err = o.compare(ctx)
	}
	return r, err
}

func (o ChaosOptions) run(ctx context.Context, c *chaos, faults []string) (Report, error) {
	opts := Options{
		Users: o.Users, Ticks: o.Ticks, Interval: o.Interval, Strategy: strategy.KindRebalance, Latency: o.Latency, Seed: o.Seed,
		Firestore: Memory, chaos: c,
	}
	for _, text := range faults {
		f, err := sim.ParseFault(text)
		if err != nil {
			return Report{}, err
		}
		opts.Faults = append(opts.Faults, f)
	}
	// Every line is searched, shown or not.
	all := slog.NewTextHandler(c.logs(io.Discard), &slog.HandlerOptions{Level: slog.LevelDebug})
	shown := slog.NewTextHandler(o.Logs, &slog.HandlerOptions{Level: o.LogLevel})
	return Run(ctx, opts, slog.New(slog.NewMultiHandler(all, shown)), nil)
}

// compare runs without faults and with the users' own faults alone, in turn, twice: the machine's moods hit both.
func (o ChaosOptions) compare(ctx context.Context) (*Comparison, error) {
	o.Ticks = max(8, o.Ticks/2)
	var alone, beside []Quantiles
	for range 2 {
		a, err := o.run(ctx, newChaos(o.Seed, o.Interval, false), nil)
		if err != nil {
			return nil, err
		}
		b, err := o.run(ctx, newChaos(o.Seed, o.Interval, false), chaosFaults())
		if err != nil {
			return nil, err
		}
		alone, beside = append(alone, a.TickToSnapshot), append(beside, b.TickToSnapshot)
	}
	c := &Comparison{Alone: better(alone), Beside: better(beside)}
	if c.Alone.P99 > 0 {
		c.Ratio = round(c.Beside.P99 / c.Alone.P99)
	}
	return c, nil
}

// better is the run that the machine disturbed less.
func better(runs []Quantiles) Quantiles {
	return slices.MinFunc(runs, func(a, b Quantiles) int { return int(a.P99 - b.P99) })
}

// check looks, two ticks after a fault of the platform, whether everybody who is well is fresh again. What is under
// way of those ticks may end first: how long that takes is the machine's.
func (p *platform) check(ctx context.Context, last tick.Tick, n int) {
	c := p.opts.chaos
	if !c.recovered(n, p.opts.Ticks) {
		return
	}
	p.drain(ctx)
	late := 0
	for _, a := range p.accounts {
		if c.faultOf(p, a) == "" && last-p.oracle.tickOf(a.userID) >= tick.HeartbeatEvery {
			late++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late += late
	c.checks++
}

func (c *chaos) faultOf(p *platform, a account) string {
	keyID, _ := a.creds.Reveal()
	return sim.Of(p.opts.Faults, p.opts.Seed, keyID)
}

// judge reads the users' health: everybody's must fit what is wrong with their broker.
func (c *chaos) judge(ctx context.Context, p *platform) error {
	want := map[string]health.State{
		"": "", "401": health.NeedsReauth, "403": health.Restricted, "429": health.RateLimited,
		"5xx": health.Degraded, "hang": health.Degraded, "reset": health.Degraded, "odd": health.Degraded,
	}
	failing, err := p.store.Failing(ctx)
	if err != nil {
		return err
	}
	for _, a := range p.accounts {
		fault, h := c.faultOf(p, a), failing[a.userID]
		if fault != "" {
			c.faulty++
		}
		if h.State != want[fault] {
			c.wrong = append(c.wrong, fmt.Sprintf("%s (fault %q) is %q, want %q", a.userID, fault, h.State, want[fault]))
			continue
		}
		if fault == "" {
			continue
		}
		d, err := p.db.Get(ctx, store.HealthPath(a.userID))
		if err != nil {
			return err
		}
		if advice, _ := d.Fields["advice"].(string); advice == "" {
			c.wrong = append(c.wrong, a.userID+" has no advice")
		}
	}
	return c.searchAll(ctx, p.db)
}

// searchAll looks into what can be read of the database, as well as into what was written.
func (c *chaos) searchAll(ctx context.Context, db document.DB) error {
	for _, name := range []string{store.Users, store.Accounts, store.Signals, store.SyncHealth, store.RiskState} {
		docs, err := db.Query(ctx, document.Query{Collection: name, Group: true})
		if err != nil {
			return err
		}
		for _, d := range docs {
			c.search("document "+d.Path, fmt.Append(nil, d.Fields))
		}
	}
	return nil
}

// The most that one key is asked in a calm tick: four calls of a sync by a delivery, its duplicate and one that is late
// from the tick before; and as many again for retries, of which the budget leaves few.
const mostOfOneKey = 2 * 4 * 3

func (c *chaos) invariants(run Report) []Invariant {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := func(n, most int) int { return max(0, n-most) }
	list := []Invariant{
		{"no request is lost", run.Lost, strings.Join(append([]string{fmt.Sprintf("%d requests", run.Published)}, run.verdict.Findings()...), "; ")},
		{"no signal twice", run.SignalsDuplicate, fmt.Sprintf("%d signals, %d denials", run.Signals, run.DenialsTotal)},
		{"seq and observed_at never go back", run.Regressed, fmt.Sprintf("%d syncs", run.Synced)},
		{"fresh again two ticks after a fault of the platform", c.late, fmt.Sprintf("%d checks of all users who are well", c.checks)},
		{"each user in the right state, with advice", len(c.wrong), fmt.Sprintf("%d with a fault, %d without", c.faulty, run.Users-c.faulty)},
		{"no key in a log, error, document or response", len(c.leaks.places), "all of them searched"},
		{"a user's fault is acknowledged, and buries nothing", c.refused + int(run.DeadLettered), fmt.Sprintf("%d refused, %d dead letters", c.refused, run.DeadLettered)},
		{"retries end", over(c.mostKey, mostOfOneKey), fmt.Sprintf("at most %d calls with one key in a calm tick, bound %d", c.mostKey, mostOfOneKey)},
		{"broker calls at once are bounded", over(c.mostOpen, 2*chaosConcurrency), fmt.Sprintf("at most %d, bound %d", c.mostOpen, 2*chaosConcurrency)},
	}
	if c.checks == 0 {
		list[3].Broken, list[3].Seen = 1, "no check was made"
	}
	return list
}

// Err is what was broken, with how to see it again.
func (r ChaosReport) Err() error {
	for _, i := range r.Invariants {
		if i.Broken > 0 {
			return fmt.Errorf("broken: %s (%d times; %s); again with: agenttrader chaos --users %d --ticks %d --seed %d", i.Name, i.Broken, i.Seen, r.Run.Users, r.Run.Ticks, r.Seed)
		}
	}
	if c := r.Compared; c != nil && c.Ratio > maxRatio {
		return fmt.Errorf("users who are well are %.1f times slower beside others' faults (p99 %.0f ms, without faults %.0f ms): at most %d is allowed", c.Ratio, c.Beside.P99, c.Alone.P99, maxRatio)
	}
	return r.Run.Err()
}

// Table writes the run for a person to read.
func (r ChaosReport) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) }
	p("%d users, %d ticks, seed %d: %d users with a fault of their own, %d syncers killed, the store down for a tick\n\n",
		r.Run.Users, r.Run.Ticks, r.Seed, r.Faulty, r.Killed)
	for _, i := range r.Invariants {
		verdict := "holds"
		if i.Broken > 0 {
			verdict = fmt.Sprintf("BROKEN %d times", i.Broken)
		}
		p("%s\t%s\t%s\n", i.Name, verdict, i.Seen)
	}
	p("\nusers by state: %s\n", states(r.Run.Health))
	if c := r.Compared; c != nil {
		p("users who are well, tick to snapshot p99: %.0f ms without faults, %.0f ms beside others' faults: %.2f times (at most %d)\n", c.Alone.P99, c.Beside.P99, c.Ratio, maxRatio)
	}
	return t.Flush()
}
