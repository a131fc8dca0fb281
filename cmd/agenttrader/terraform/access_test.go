package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAccess: the small example grants exactly the rows of terraform/ACCESS.md that have no "when"; the others grant nothing
// that is not in it, and all of its rows are granted by some.
func TestAccess(t *testing.T) {
	all := plans(t)
	always, sometimes := table(t, filepath.Join(all[0].root, "terraform/ACCESS.md"))
	granted := map[string]bool{}
	for _, p := range all {
		got := grants(t, p)
		for _, row := range got {
			granted[row] = true
		}
		for _, row := range got {
			if !slices.Contains(always, row) && (p.name == "small" || !slices.Contains(sometimes, row)) {
				t.Errorf("%s: granted, and not in ACCESS.md: %s", p.name, row)
			}
		}
		for _, row := range always {
			if !slices.Contains(got, row) {
				t.Errorf("%s: in ACCESS.md, and not granted: %s", p.name, row)
			}
		}
	}
	for _, row := range sometimes {
		if !granted[row] {
			t.Errorf("in ACCESS.md, and no example grants it: %s", row)
		}
	}
}

// table reads the rows of a page's tables: | who | role | on | when |, with several of a cell by commas.
func table(t *testing.T, path string) (always, sometimes []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || strings.Contains(line, "---") || strings.Contains(line, "| role |") {
			continue
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
		}
		kind, names, _ := strings.Cut(cells[2], " ")
		for who := range strings.SplitSeq(cells[0], ", ") {
			for name := range strings.SplitSeq(names, ", ") {
				row := fmt.Sprintf("%s may %s on %s %s", who, cells[1], kind, name)
				if cells[3] == "" {
					always = append(always, row)
				} else {
					sometimes = append(sometimes, row)
				}
			}
		}
	}
	slices.Sort(always)
	slices.Sort(sometimes)
	return always, sometimes
}

var (
	partition = regexp.MustCompile(`(sync-requests|syncer)-\d+$`)
	trigger   = regexp.MustCompile(`module\.(?:(fanout|signaler)_triggers\["(\w+)"\]|syncer_trigger)\.`)
)

// grants are a plan's, each in the words of ACCESS.md, sorted. Partitions and regions count once.
func grants(t *testing.T, p plan) []string {
	t.Helper()
	var rows []string
	for _, r := range p.all {
		v := r.Values
		var on string
		switch r.Type {
		case "google_project_iam_member":
			on = projectScope(p, v.block("condition").str("expression"))
		case "google_pubsub_topic_iam_member":
			on = "topic " + v.str("topic")
		case "google_pubsub_subscription_iam_member":
			if on = "subscription " + v.str("subscription"); on == "subscription " { // Eventarc's own
				m := trigger.FindStringSubmatch(r.Address)
				if m == nil {
					t.Errorf("%s: on which subscription?", r.Address)
					continue
				}
				if on = "subscription of " + m[1] + "-" + m[2]; m[1] == "" {
					on = "subscription of syncer-keys"
				}
				on = strings.Replace(on, "subscription of ", "subscription eventarc:", 1)
			}
		case "google_cloud_run_v2_service_iam_member":
			on = "service " + v.str("name")
		case "google_service_account_iam_member":
			on = "account " + strings.TrimSuffix(last(v.str("service_account_id")), "@"+project+".iam.gserviceaccount.com")
		case "google_kms_crypto_key_iam_member":
			on = "key " + last(v.str("crypto_key_id"))
		case "google_iap_web_cloud_run_service_iam_member":
			on = "console " + v.str("cloud_run_service_name")
		default:
			if strings.Contains(r.Type, "_iam_") && r.Type != "google_project_iam_custom_role" && r.Type != "google_project_iam_audit_config" {
				t.Errorf("%s: the test does not know how it grants", r.Address)
			}
			continue
		}
		rows = append(rows, fmt.Sprintf("%s may %s on %s", who(p, v.str("member")), strings.TrimPrefix(last(v.str("role")), "agenttrader."), partition.ReplaceAllString(on, "$1")))
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// who is an account's short name: ours without the project, Google's by its service, people as operators.
func who(p plan, member string) string {
	name, domain, _ := strings.Cut(strings.TrimPrefix(member, "serviceAccount:"), "@")
	switch {
	case domain == project+".iam.gserviceaccount.com":
		return partition.ReplaceAllString(name, "$1")
	case name == "service-"+p.number:
		service := strings.TrimPrefix(strings.TrimSuffix(domain, ".iam.gserviceaccount.com"), "gcp-sa-")
		return "google:" + strings.Replace(service, "serverless-robot-prod", "run", 1)
	case strings.HasPrefix(member, "group:") || strings.HasPrefix(member, "user:"):
		return "operators"
	}
	return member
}

// projectScope says which resources of the project a condition leaves.
func projectScope(p plan, condition string) string {
	switch condition {
	case "":
		return "project all"
	case `resource.name == "projects/` + project + `/databases/(default)"`:
		return "database (default)"
	case `resource.type == "cloudresourcemanager.googleapis.com/Project"`:
		return "project itself"
	}
	prefix := `resource.name.startsWith("projects/` + p.number + `/secrets/`
	if name, ok := strings.CutPrefix(condition, prefix); ok && strings.HasSuffix(name, `")`) {
		return "secrets " + strings.Replace(strings.TrimSuffix(name, `")`), "alpaca-keys-platform/", "alpaca-keys-{market_data.user}/", 1) + "*"
	}
	return "project where " + condition
}

// TestCustomRoles: what the roles of our own are made of, as ACCESS.md lists it.
func TestCustomRoles(t *testing.T) {
	all := plans(t)
	page, err := os.ReadFile(filepath.Join(all[0].root, "terraform/ACCESS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		for _, r := range p.of("google_project_iam_custom_role") {
			list, _ := r.Values["permissions"].([]any)
			var names []string
			for _, n := range list {
				names = append(names, "`"+fmt.Sprint(n)+"`")
			}
			slices.Sort(names)
			want := fmt.Sprintf("- `%s`: %s", strings.TrimPrefix(r.Values.str("role_id"), "agenttrader."), strings.Join(names, ", "))
			if !strings.Contains(string(page), want+"\n") {
				t.Errorf("%s: ACCESS.md does not say\n%s", r.Address, want)
			}
		}
	}
}
