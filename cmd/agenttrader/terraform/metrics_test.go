package terraform

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// metric is one that pkg/telemetry exports.
type metric struct {
	kind   string
	labels []string
}

// exported are the metrics of pkg/telemetry, by name.
func exported(t *testing.T) map[string]metric {
	t.Helper()
	code, err := os.ReadFile("../../../pkg/telemetry/meters.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, m := range regexp.MustCompile(`d\.(counter|gauge|histogram)\("(agenttrader_[a-z_]+)", "[^"]*", "[^"]*"(.*)\),\n`).FindAllStringSubmatch(string(code), -1) {
		all[m[2]] = metric{m[1], []string{"job", "instance"}}
		for _, l := range regexp.MustCompile(`"([a-z]+)"`).FindAllStringSubmatch(m[3], -1) {
			all[m[2]] = metric{m[1], append(all[m[2]].labels, l[1])}
		}
	}
	if len(all) < 15 {
		t.Fatalf("%d metrics in meters.go: is it still written as it is read here?", len(all))
	}
	return all
}

var (
	named    = regexp.MustCompile(`\bagenttrader_[a-z_]+`)
	selector = regexp.MustCompile(`\b(agenttrader_[a-z_]+)\{([^}]*)\}`)
	label    = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	filter   = regexp.MustCompile(`metric\.type="prometheus\.googleapis\.com/(agenttrader_[a-z_]+)/([a-z]+)"`)
)

// base is the metric of a series, and what of it the series is.
func base(all map[string]metric, series string) (name string, ok bool) {
	if m, ok := all[series]; ok && m.kind != "histogram" {
		return series, true
	}
	for _, part := range []string{"_bucket", "_count", "_sum"} {
		if name, cut := strings.CutSuffix(series, part); cut && all[name].kind == "histogram" {
			return name, true
		}
	}
	return "", false
}

// wrong says what a query asks for that nobody exports.
func wrong(all map[string]metric, query string) (errs []string) {
	for _, series := range named.FindAllString(query, -1) {
		if _, ok := base(all, series); !ok {
			errs = append(errs, "pkg/telemetry exports no "+series)
		}
	}
	for _, m := range selector.FindAllStringSubmatch(query, -1) {
		name, _ := base(all, m[1])
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if name != "" && !slices.Contains(all[name].labels, l[1]) {
				errs = append(errs, name+" has no label "+l[1])
			}
		}
	}
	return errs
}

// queries are the strings below a value that name our metrics.
func queries(v any) (all []string) {
	switch v := v.(type) {
	case string:
		if named.MatchString(v) {
			all = append(all, v)
		}
	case []any:
		for _, e := range v {
			all = append(all, queries(e)...)
		}
	case map[string]any:
		for _, e := range v {
			all = append(all, queries(e)...)
		}
	}
	return all
}

func TestMetricsAreExported(t *testing.T) {
	all := exported(t)
	each(t, func(t *testing.T, p plan) {
		if len(p.of("google_monitoring_slo")) == 0 {
			if got := p.of("google_monitoring_dashboard"); len(got) > 0 {
				t.Errorf("%s: a dashboard, and no telemetry", got[0].Address)
			}
			return
		}
		for kind, least := range map[string]int{"google_monitoring_alert_policy": 9, "google_monitoring_dashboard": 16} {
			n := 0
			for _, r := range p.of(kind) {
				values := map[string]any(r.Values)
				if text := r.Values.str("dashboard_json"); text != "" {
					values = nil
					if err := json.Unmarshal([]byte(text), &values); err != nil {
						t.Errorf("%s: %v", r.Address, err)
					}
				}
				for _, q := range queries(values) {
					n++
					for _, err := range wrong(all, q) {
						t.Errorf("%s: %s: %s", r.Address, err, q)
					}
				}
			}
			if n < least {
				t.Errorf("%d queries in %s, want %d", n, kind, least)
			}
		}
		for _, s := range p.of("google_monitoring_slo") {
			ratio := s.Values.block("request_based_sli").block("good_total_ratio")
			for _, f := range []string{"good_service_filter", "total_service_filter"} {
				m := filter.FindStringSubmatch(ratio.str(f))
				if m == nil || m[2] != "counter" || all[m[1]].kind != "counter" {
					t.Errorf("%s: pkg/telemetry exports no such counter: %s", s.Address, ratio.str(f))
				}
			}
			if s.Values.num("goal") != 0.999 {
				t.Errorf("%s: goal %v", s.Address, s.Values["goal"])
			}
		}
	})
}

// The check itself finds what is wrong.
func TestWrongQueries(t *testing.T) {
	all := exported(t)
	for query, want := range map[string]int{
		`sum(rate(agenttrader_sync_lag_seconds_bucket{outcome="written"}[5m]))`:           0,
		`rate(agenttrader_sync_lag_seconds_count{outcome=~"a|b",cause!="X",job="y"}[5m])`: 0,
		`agenttrader_sync_lag_seconds`:        1, // a histogram is no series
		`agenttrader_active_users_count`:      1,
		`agenttrader_breaker`:                 1,
		`agenttrader_breaker_state{user="u"}`: 1,
	} {
		if got := wrong(all, query); len(got) != want {
			t.Errorf("%s: %q, want %d", query, got, want)
		}
	}
}
