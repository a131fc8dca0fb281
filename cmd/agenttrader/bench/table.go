package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes the report for a person to read.
func (r Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	p("%s; broker %s, vault %s, store %s; %.0f%% of the account reads material; median of %d runs\n", r.Machine, r.Broker, r.Vault, r.Store, 100*r.Material, r.Runs)
	p("design\tusers\tusers/s\ttick\tfirst tick\tto snapshot p50, p99\tto signal p50, p99\tCPU a sync\tallocs\tpeak\tcalls a sync")
	for _, d := range r.Designs {
		p("%s", d.row())
	}
	for _, line := range r.ratios() {
		p("%s", line)
	}
	if len(r.Growth) > 0 {
		p("\ngrowth\tusers\tusers/s\ttick\tfirst tick\tto snapshot p50, p99\tto signal p50, p99\tCPU a sync\tallocs\tpeak\tcalls a sync")
		for _, d := range r.Growth {
			p("%s", d.row())
		}
	}
	if f := r.Fanout; f != nil {
		p("\nfanout alone\t%d\t%.0f\t%.1f s\t\t%.0f reads a tick\t%.0f writes a tick\t%.4f ms\t%.0f\t%.0f MB\t%.0f bytes a message",
			f.Users, f.UsersPerSecond, f.TickSeconds, f.ReadsPerTick, f.WritesPerTick, f.CPUPerSync, f.AllocsPerSync, f.PeakMB, f.BytesPerMessage)
	}
	if len(r.Months) > 0 {
		p("\nper user and month\treads\twrites\taccesses\tKMS calls of all\tbroker calls\tsync requests\tall requests")
		p("predecessor\t43200\t43200\t43200\t0\t43200\t\t")
		for _, m := range r.Months {
			u := m.PerUser
			p("%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f", m.Name, u.Reads, u.Writes, u.Accesses, m.KMSOfMonth(), u.Calls, u.Messages, u.Events)
		}
		p("\nUSD per 1,000 users and month (%s, %s)\tAPI calls\tmessages\tcompute\tegress\tall", r.Prices.Region, r.Prices.ReadOn)
		for _, c := range r.Costs {
			p("%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f", c.Name, c.APICalls, c.Messages, c.Compute, c.Egress, c.Total)
		}
	}
	return t.Flush()
}

func (d Result) row() string {
	latency := func(q Quantile) string {
		if q.Max == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f, %.0f ms", q.P50, q.P99)
	}
	return fmt.Sprintf("%s\t%d\t%.0f\t%.2f s\t%.2f s\t%s\t%s\t%.3f ms\t%.0f\t%.0f MB\t%.2f",
		d.Design, d.Users, d.UsersPerSecond, d.TickSeconds, d.FirstTick, latency(d.ToSnapshot), latency(d.ToSignal), d.CPUPerSync, d.AllocsPerSync, d.PeakMB, d.BrokerCalls)
}

func (r Report) ratios() (lines []string) {
	of := map[string]Result{}
	for _, d := range r.Designs {
		of[d.Design] = d
	}
	p, known := of[Pipeline]
	if !known {
		return nil
	}
	for _, name := range []string{Sequential, Pool} {
		if d, ok := of[name]; ok {
			lines = append(lines, fmt.Sprintf("platform against %s: %.0f times as many users a second", name, p.UsersPerSecond/d.UsersPerSecond))
		}
	}
	for _, name := range []string{Told, Traced} {
		if d, ok := of[name]; ok {
			lines = append(lines, fmt.Sprintf("%s against %s: %+.1f%% users a second, %+.1f%% CPU a sync, %+.1f%% allocations",
				name, Pipeline, 100*(d.UsersPerSecond/p.UsersPerSecond-1), 100*(d.CPUPerSync/p.CPUPerSync-1), 100*(d.AllocsPerSync/p.AllocsPerSync-1)))
		}
	}
	if b, ok := of[Bare]; ok {
		lines = append(lines, fmt.Sprintf("CPU a sync against the bare loop: platform %.1f times", p.CPUPerSync/b.CPUPerSync))
		if h, ok := of[Handler]; ok {
			lines = append(lines, fmt.Sprintf("CPU a sync against the bare loop: handler %.1f times", h.CPUPerSync/b.CPUPerSync))
		}
	}
	return lines
}
