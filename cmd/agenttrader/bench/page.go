package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
)

//go:embed page.html
var pageText string

// bar is one line of a plot.
type bar struct {
	Label, Value string
	Width        float64 // of 100
}

// plot is bars with one scale.
type plot struct {
	Title, Unit string
	Log         bool
	Bars        []bar
}

// HTML writes a page that needs nothing besides itself.
func (r Report) HTML(w io.Writer) error {
	page, err := template.New("page").Funcs(template.FuncMap{"ms": func(v float64) string {
		if v == 0 {
			return "–" // not measured for this design
		}
		return fmt.Sprintf("%.0f", v)
	}}).Parse(pageText)
	if err != nil {
		return err
	}
	return page.Execute(w, struct {
		Report
		Ratios []string
		Plots  []plot
		Head   []string
	}{r, r.ratios(), r.plots(), []string{"", "users", "users a second", "tick, s", "to snapshot p50, ms", "p99, ms", "to signal p50, ms", "p99, ms", "CPU a sync, ms", "allocations a sync", "peak, MB"}})
}

func (r Report) plots() []plot {
	var plots []plot
	of := func(title, unit string, log bool, list []Result, value func(Result) float64, label func(Result) string) {
		if len(list) == 0 {
			return
		}
		values, labels := make([]float64, len(list)), make([]string, len(list))
		for i, d := range list {
			values[i], labels[i] = value(d), label(d)
		}
		plots = append(plots, newPlot(title, unit, log, labels, values))
	}
	design := func(d Result) string { return d.Design }
	users := func(d Result) string { return fmt.Sprintf("%d users", d.Users) }
	of("Users a second", "", true, r.Designs, func(d Result) float64 { return d.UsersPerSecond }, design)
	of("CPU of one sync", "ms", false, r.Designs, func(d Result) float64 { return d.CPUPerSync }, design)
	of("Allocations of one sync", "", false, r.Designs, func(d Result) float64 { return d.AllocsPerSync }, design)
	of("Growth: users a second", "", false, r.Growth, func(d Result) float64 { return d.UsersPerSecond }, users)
	of("Growth: a tick, until the last user's snapshot", "s", true, r.Growth, func(d Result) float64 { return d.TickSeconds }, users)
	for _, l := range []struct {
		title string
		of    func(Result) float64
	}{
		{"tick to snapshot, median", func(d Result) float64 { return d.ToSnapshot.P50 }}, {"tick to snapshot, 99th percentile", func(d Result) float64 { return d.ToSnapshot.P99 }},
		{"tick to signal, median", func(d Result) float64 { return d.ToSignal.P50 }}, {"tick to signal, 99th percentile", func(d Result) float64 { return d.ToSignal.P99 }},
	} {
		of("Growth: "+l.title, "ms", true, r.Growth, l.of, users)
	}
	of("Growth: CPU of one sync", "ms", false, r.Growth, func(d Result) float64 { return d.CPUPerSync }, users)
	of("Growth: peak memory", "MB", false, r.Growth, func(d Result) float64 { return d.PeakMB }, users)
	if len(r.Months) > 0 {
		labels, values := []string{"predecessor"}, []float64{ticksPerDay * daysPerMonth * 3}
		for _, m := range r.Months {
			labels, values = append(labels, m.Name), append(values, m.PerUser.Reads+m.PerUser.Writes+m.PerUser.Accesses)
		}
		plots = append(plots, newPlot("Reads, writes and accesses of a user and a month", "", false, labels, values))
	}
	if len(r.Costs) > 0 {
		labels, values := make([]string, len(r.Costs)), make([]float64, len(r.Costs))
		for i, c := range r.Costs {
			labels[i], values[i] = c.Name, c.APICalls
		}
		plots = append(plots, newPlot("API calls of 1,000 users and a month", "USD", true, labels, values))
	}
	return plots
}

func newPlot(title, unit string, log bool, labels []string, values []float64) plot {
	scale := func(v float64) float64 {
		if log {
			return math.Log10(1 + v)
		}
		return v
	}
	most := 0.0
	for _, v := range values {
		most = max(most, scale(v))
	}
	p := plot{Title: title, Unit: unit, Log: log}
	for i, v := range values {
		width := 0.0
		if most > 0 {
			width = 100 * scale(v) / most
		}
		p.Bars = append(p.Bars, bar{labels[i], fmt.Sprintf("%.4g", v), math.Round(width*10) / 10})
	}
	return p
}
