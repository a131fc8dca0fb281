package terraform

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
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
	named  = regexp.MustCompile(`\bagenttrader_[a-z_]+`)
	filter = regexp.MustCompile(`metric\.type="prometheus\.googleapis\.com/(agenttrader_[a-z_]+)/([a-z]+)"`)
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

// wrong says what is no PromQL in a query, and what it asks for that nobody exports. Of others' metrics only the grammar is known.
func wrong(all map[string]metric, query string) (errs []string) {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return []string{"no PromQL: " + err.Error()}
	}
	labels, foreign := []string{"le"}, false
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if !named.MatchString(s.Name) {
			foreign = true
			return nil
		}
		name, ok := base(all, s.Name)
		if !ok {
			errs = append(errs, "pkg/telemetry exports no "+s.Name)
			return nil
		}
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel && !slices.Contains(all[name].labels, m.Name) {
				errs = append(errs, name+" has no label "+m.Name)
			}
		}
		labels = append(labels, all[name].labels...)
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok && !foreign && len(errs) == 0 {
			for _, l := range a.Grouping {
				if !slices.Contains(labels, l) {
					errs = append(errs, "grouped by "+l+", which none of these metrics has")
				}
			}
		}
		return nil
	})
	return errs
}

// queries are the PromQL below a value, of Terraform and of a dashboard.
func queries(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			all = append(all, queries(e)...)
		}
	case map[string]any:
		for key, e := range v {
			q, ok := e.(string)
			if ok && (key == "query" || key == "prometheusQuery") {
				all = append(all, q)
			}
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
		`agenttrader_sync_lag_seconds`:                                      1, // a histogram is no series
		`agenttrader_active_users_count`:                                    1,
		`agenttrader_breaker`:                                               1,
		`agenttrader_breaker_state{user="u"}`:                               1,
		`sum(rate(agenttrader_sync_lag_seconds_count[5m])`:                  1, // not closed
		`rate(agenttrader_sync_lag_seconds_count)`:                          1, // no window
		`sum by (outcome, le) (agenttrader_sync_lag_seconds_bucket)`:        0,
		`sum by (outcom) (rate(agenttrader_sync_lag_seconds_count[5m]))`:    1,
		`sum by (any) (rate({"pubsub.googleapis.com/topic/messages"}[5m]))`: 0,
	} {
		if got := wrong(all, query); len(got) != want {
			t.Errorf("%s: %q, want %d", query, got, want)
		}
	}
}
