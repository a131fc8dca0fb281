package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/child"
)

// Options are the flags of `agenttrader bench`.
type Options struct {
	Designs []string
	Users   int
	Runs    int
	Growth  []int
	Million int // users of the fanout alone; 0: left out
	Days    bool
	Broker  time.Duration
	Vault   time.Duration
	Store   time.Duration
	Churn   float64
}

// Validate names every fault.
func (o Options) Validate() error {
	var errs []error
	for _, d := range o.Designs {
		if !slices.Contains(allDesigns(), d) {
			errs = append(errs, fmt.Errorf("--design is %q: want some of %s", d, strings.Join(allDesigns(), ", ")))
		}
	}
	if o.Users < 100 || o.Users > 1_000_000 {
		errs = append(errs, fmt.Errorf("--users is %d: want 100 to 1000000", o.Users))
	}
	if o.Runs < 1 || o.Runs > 100 {
		errs = append(errs, fmt.Errorf("--runs is %d: want 1 to 100", o.Runs))
	}
	if !(o.Churn >= 0 && o.Churn <= 1) {
		errs = append(errs, fmt.Errorf("--material is %g: want 0 to 1", o.Churn))
	}
	for _, n := range o.Growth {
		if n != 0 && (n < 100 || n > 1_000_000) {
			errs = append(errs, fmt.Errorf("--growth is %d: want 100 to 1000000, or 0: left out", n))
		}
	}
	return errors.Join(errs...)
}

func designs() []string { return []string{Sequential, Pool, Bare, Handler, Pipeline} }

// allDesigns: what telemetry costs is measured when it is asked for.
func allDesigns() []string { return append(designs(), Told, Traced) }

// Report is all that was measured.
type Report struct {
	At       time.Time `json:"at"`
	Machine  string    `json:"machine"`
	Broker   string    `json:"broker_latency"`
	Vault    string    `json:"vault_latency"`
	Store    string    `json:"store_latency"`
	Material float64   `json:"material_share"`
	Runs     int       `json:"runs"`

	Designs []Result `json:"designs"` // medians of the runs
	Growth  []Result `json:"growth,omitempty"`
	Fanout  *Result  `json:"fanout,omitempty"`
	Months  []Month  `json:"months,omitempty"`
	Prices  Prices   `json:"prices"`
	Costs   []Cost   `json:"costs,omitempty"`
}

// Run measures all that the options ask for, each in a process of its own, one after the other; the simulated broker is
// another process, the same for all.
func Run(ctx context.Context, o Options, progress io.Writer) (Report, error) {
	r := Report{
		At: time.Now().UTC(), Machine: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Broker: o.Broker.String(), Vault: o.Vault.String(), Store: o.Store.String(), Material: o.Churn, Runs: o.Runs,
	}
	if err := o.Validate(); err != nil {
		return r, err
	}
	var err error
	if r.Prices, err = readPrices(); err != nil {
		return r, err
	}
	broker, stop, err := o.startBroker(ctx)
	if err != nil {
		return r, err
	}
	defer stop()
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer receiver.Close()
	m := measuring{o: o, broker: broker, receiver: receiver.URL, out: progress}
	if r.Designs, err = m.designs(ctx); err != nil {
		return r, err
	}
	for _, users := range o.Growth {
		if users == 0 {
			continue
		}
		res, err := m.one(ctx, Pipeline, users, 3)
		if err != nil {
			return r, err
		}
		r.Growth = append(r.Growth, res)
	}
	if o.Million > 0 {
		res, err := m.one(ctx, Fanout, o.Million, 2)
		if err != nil {
			return r, err
		}
		r.Fanout = &res
	}
	if o.Days {
		if r.Months, err = m.months(ctx); err != nil {
			return r, err
		}
		r.Costs = r.costs()
	}
	return r, nil
}

type measuring struct {
	o                Options
	broker, receiver string
	out              io.Writer
}

// designs measures all in turn, several times: the machine's moods hit all.
func (m measuring) designs(ctx context.Context) ([]Result, error) {
	runs := map[string][]Result{}
	for range m.o.Runs {
		for _, d := range m.o.Designs {
			users, ticks := m.o.Users, 6
			switch d { // so slow that a part of the users says how fast they are
			case Sequential:
				users, ticks = min(users, 60), 1
			case Pool:
				users, ticks = min(users, 1000), 1
			}
			res, err := m.one(ctx, d, users, ticks)
			if err != nil {
				return nil, err
			}
			runs[d] = append(runs[d], res)
		}
	}
	list := make([]Result, len(m.o.Designs))
	for i, d := range m.o.Designs {
		list[i] = medians(runs[d])
	}
	return list, nil
}

// medians is the run with the median speed: its figures belong together.
func medians(runs []Result) Result {
	slices.SortFunc(runs, func(a, b Result) int {
		if a.UsersPerSecond < b.UsersPerSecond {
			return -1
		}
		return 1
	})
	return runs[len(runs)/2]
}

func (m measuring) one(ctx context.Context, design string, users, ticks int) (Result, error) {
	spec, err := json.Marshal(Spec{Design: design, Users: users, Ticks: ticks, Broker: m.broker, Vault: m.o.Vault, Store: m.o.Store, OTLP: m.receiver})
	if err != nil {
		return Result{}, err
	}
	_, _ = fmt.Fprintf(m.out, "%-15s %7d users … ", design, users)
	self, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, self, "bench", "measure", string(spec))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return Result{}, fmt.Errorf("measure %s with %d users: %w: %.500s", design, users, err, stderr.String())
	}
	var r Result
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("measure %s: %w", design, err)
	}
	_, _ = fmt.Fprintf(m.out, "%8.0f users/s  %7.3f ms CPU a sync  %6.0f MB\n", r.UsersPerSecond, r.CPUPerSync, r.PeakMB)
	return r, nil
}

func (m measuring) months(ctx context.Context) ([]Month, error) {
	var list []Month
	for _, s := range scenarios() {
		_, _ = fmt.Fprintf(m.out, "a day: %s\n", s.Name)
		one, err := month(ctx, s)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func (r Report) costs() []Cost {
	cpu := 0.5
	if i := slices.IndexFunc(r.Designs, func(d Result) bool { return d.Design == Pipeline }); i >= 0 {
		cpu = r.Designs[i].CPUPerSync
	}
	list := []Cost{costOf("predecessor, API calls alone", r.Prices, predecessorMonth(), 0)}
	for _, m := range r.Months {
		list = append(list, costOf(m.Name, r.Prices, m, cpu))
	}
	return list
}

// startBroker starts the simulated broker, and returns its address.
func (o Options) startBroker(ctx context.Context) (url string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, "sim-broker", "--addr", "127.0.0.1:0", "--broker-latency", o.Broker.String(), "--churn", fmt.Sprint(o.Churn))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	p, err := child.Start(cmd)
	if err != nil {
		return "", nil, fmt.Errorf("simulated broker: %w", err)
	}
	stop = func() { _ = p.Kill(); _ = p.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	at := strings.Index(line, "http://")
	if err != nil || at < 0 {
		stop()
		return "", nil, fmt.Errorf("simulated broker did not say where it is: %q: %w", line, err)
	}
	url, _, _ = strings.Cut(line[at:], " ")
	return url, stop, nil
}
