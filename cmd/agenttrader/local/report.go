package local

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Report is a run in figures; docs/configuration.md says what each counts.
type Report struct {
	Users            int       `json:"users"`
	Ticks            int       `json:"ticks"`
	Published        int       `json:"published"`
	Synced           int       `json:"synced"`
	Unchanged        int       `json:"unchanged"`
	Failed           int       `json:"failed"`
	Dropped          int       `json:"dropped"`
	Signals          int       `json:"signals"`
	DenialsTotal     int       `json:"denials_total"`
	SignalsDuplicate int       `json:"signals_duplicate"`
	Lost             int       `json:"lost"`
	RequestsAgain    int       `json:"requests_duplicate"`
	Overspent        int       `json:"overspent_users"`
	Leaked           int       `json:"reservations_leaked"`
	Regressed        int       `json:"snapshots_regressed"`
	DeadLettered     int64     `json:"dead_lettered"`
	UsersPerSecond   float64   `json:"users_per_second"`
	TickToSnapshot   Quantiles `json:"tick_to_snapshot_ms"`
	TickToSignal     Quantiles `json:"tick_to_signal_ms"`

	Denials    map[string]int       `json:"denials"` // by code
	ByStrategy map[string]Spoken    `json:"by_strategy"`
	Executor   Words                `json:"executor"`
	Health     map[health.State]int `json:"health"` // users by state

	Ops       Ops     `json:"ops"`
	WallS     float64 `json:"wall_s"`
	CPUS      float64 `json:"cpu_s"`
	PeakRSSMB float64 `json:"peak_rss_mb"`

	verdict Verdict
}

// Ops are what costs money in the cloud.
type Ops struct {
	StoreReads        int64 `json:"store_reads,omitempty"` // absent where processes of their own do it
	StoreWrites       int64 `json:"store_writes,omitempty"`
	SecretAccesses    int64 `json:"secret_accesses"`
	KMSCalls          int64 `json:"kms_calls"`
	BrokerCalls       int64 `json:"broker_calls"`
	MessagesPublished int64 `json:"messages_published"`
	PushRequests      int64 `json:"push_requests"`
}

// Progress is one tick as it stands.
type Progress struct {
	tickCount
	Done bool
}

func (p *platform) show(t tick.Tick, done bool, show func(Progress)) {
	if c, ok := p.meter.count(t); ok {
		show(Progress{c, done})
	}
}

func (p *platform) report(ticks int, began time.Time) Report {
	reads, writes := p.db.Counts()
	total, busy := p.meter.totals()
	r := Report{
		Users: len(p.accounts), Ticks: ticks,
		Published: total.Published, Synced: total.Synced, Unchanged: total.Unchanged, Failed: total.Failed, Dropped: total.Dropped,
		DeadLettered: p.meter.buried,
		Ops: Ops{
			StoreReads: reads - p.seedReads, StoreWrites: writes - p.seedWrites, SecretAccesses: p.vault.Accesses(), KMSCalls: p.kmsCalls() - p.seedKMS, BrokerCalls: p.calls.Load(),
			MessagesPublished: int64(ticks+total.Published) + p.meter.buried, PushRequests: p.pubsub.Attempts() + p.feed.Attempts(),
		},
		WallS: round(time.Since(began).Seconds()),
	}
	if busy > 0 {
		r.UsersPerSecond = round(float64(total.Synced) / busy.Seconds())
	}
	if p.owners != nil { // they are no part of the platform
		r.Ops.StoreReads, r.Ops.StoreWrites = r.Ops.StoreReads-p.owners.reads.Load(), r.Ops.StoreWrites-p.owners.writes.Load()
	}
	r.Executor = p.owners.count()
	r.CPUS, r.PeakRSSMB = usage()
	return r
}

// judge stops everything but the database, so that the oracle has been told everything, and lets it read.
func (p *platform) judge(ctx context.Context) (v Verdict, err error) {
	crashed := p.restarted("fanout")
	p.closeTo(p.databases)
	all, synced := p.oracle.users, p.oracle.users
	if p.opts.Binaries != "" {
		if all, synced, err = p.present(ctx); err != nil {
			return v, err
		}
	}
	v, err = p.oracle.judge(ctx, p.db, all, synced)
	if crashed {
		v.RequestsAgain = 0 // a crash may repeat a page: the requests were, as they must, harmless
	}
	return v, err
}

func (r *Report) judge(v Verdict) {
	r.verdict = v
	r.Lost, r.SignalsDuplicate, r.RequestsAgain, r.Regressed = v.Lost+v.Missing+v.Silent+v.Buried, v.SignalsDuplicate, v.RequestsAgain, v.Regressed
	r.Overspent, r.Leaked = v.Overspent, v.Leaked
	r.Signals, r.Denials, r.ByStrategy = v.Signals, v.Denials, v.ByStrategy
	for _, n := range v.Denials {
		r.DenialsTotal += n
	}
}

// byStrategy says how many users have each strategy.
func (r *Report) byStrategy(p *platform) {
	for n := range p.accounts {
		for _, d := range p.strategies(n) {
			s := r.ByStrategy[d.ID]
			s.Users++
			r.ByStrategy[d.ID] = s
		}
	}
}

// Err is what the oracle found, nil if all is well.
func (r Report) Err() error {
	if found := r.verdict.Findings(); len(found) > 0 {
		return fmt.Errorf("the run broke its promises: %s", strings.Join(found, "; "))
	}
	return nil
}

// Line is one tick in one line.
func (p Progress) Line() string {
	q := quantiles(p.snapshot)
	return fmt.Sprintf("tick %s  published %d  synced %d  unchanged %d  failed %d  signals %d  tick to snapshot p50 %.0f ms  p99 %.0f ms",
		p.Tick.Time().Format("15:04Z"), p.Published, p.Synced, p.Unchanged, p.Failed, p.Signals, q.P50, q.P99)
}

// Table writes the run for a person to read, with the predecessor's closing line.
func (r Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name  string
		value any
		note  string
	}{
		{"users", r.Users, ""},
		{"ticks", r.Ticks, ""},
		{"published", r.Published, "sync requests"},
		{"synced", r.Synced, fmt.Sprintf("of these %d unchanged, nothing written", r.Unchanged)},
		{"failed", r.Failed, "the user's own trouble; the next tick is the retry"},
		{"dropped", r.Dropped, "overtaken by a later tick, or the user is gone"},
		{"users by state", states(r.Health), ""},
		{"signals", r.Signals, fmt.Sprintf("and %d denials", r.DenialsTotal)},
		{"by strategy", spoken(r.ByStrategy), "signals+denials"},
		{"denials", codes(r.Denials), ""},
		{"executors", fmt.Sprintf("%d executed", r.Executor.Executed), fmt.Sprintf("%d rejected, %d odd words, %d too late", r.Executor.Rejected, r.Executor.Odd, r.Executor.Late)},
		{"lost", r.Lost, "must be 0"},
		{"signals twice", r.SignalsDuplicate, "must be 0"},
		{"overspent users", r.Overspent, "must be 0"},
		{"reservations leaked", r.Leaked, "must be 0"},
		{"dead-lettered", r.DeadLettered, ""},
		{"tick to snapshot", fmt.Sprintf("p50 %.0f ms", r.TickToSnapshot.P50), fmt.Sprintf("p99 %.0f ms, max %.0f ms", r.TickToSnapshot.P99, r.TickToSnapshot.Max)},
		{"tick to signal", fmt.Sprintf("p50 %.0f ms", r.TickToSignal.P50), fmt.Sprintf("p99 %.0f ms, max %.0f ms", r.TickToSignal.P99, r.TickToSignal.Max)},
		{"users a second", r.UsersPerSecond, "while ticks were being worked on"},
		{"store", fmt.Sprintf("%d reads", r.Ops.StoreReads), fmt.Sprintf("%d writes", r.Ops.StoreWrites)},
		{"vault, broker", fmt.Sprintf("%d accesses, %d KMS calls", r.Ops.SecretAccesses, r.Ops.KMSCalls), fmt.Sprintf("%d broker calls", r.Ops.BrokerCalls)},
		{"wall, CPU, memory", fmt.Sprintf("%.1f s", r.WallS), fmt.Sprintf("%.1f s, %.0f MB at most", r.CPUS, r.PeakRSSMB)},
	} {
		if row.name == "store" && r.Ops.StoreReads == 0 {
			continue // processes of their own did it
		}
		if _, err := fmt.Fprintf(t, "%s\t%v\t%s\n", row.name, row.value, row.note); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "Completed multi-tenant sync: %d successful, %d errors\n", r.Synced, r.Failed)
	return err
}

func round(f float64) float64 { return math.Round(f*100) / 100 }

// states are those that anybody is in.
func states(users map[health.State]int) string {
	var list []string
	for _, s := range health.States() {
		if n := users[s]; n > 0 {
			list = append(list, fmt.Sprintf("%s %d", s, n))
		}
	}
	return strings.Join(list, ", ")
}

func spoken(by map[string]Spoken) string {
	var list []string
	for _, id := range slices.Sorted(maps.Keys(by)) {
		list = append(list, fmt.Sprintf("%s %d+%d", id, by[id].Signals, by[id].Denials))
	}
	return strings.Join(list, ", ")
}

func codes(denials map[string]int) string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(denials)) {
		list = append(list, fmt.Sprintf("%s %d", code, denials[code]))
	}
	return strings.Join(list, ", ")
}
