package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// each runs a test on every example's plan.
func each(t *testing.T, test func(t *testing.T, p plan)) {
	t.Helper()
	for _, p := range plans(t) {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

func TestNobodyIsPublic(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		for _, r := range p.all {
			text, err := json.Marshal(r.Values)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"allUsers", "allAuthenticatedUsers", "domain:", "projectEditor:", "projectViewer:"} {
				if strings.Contains(string(text), word) {
					t.Errorf("%s names %s", r.Address, word)
				}
			}
			if regexp.MustCompile(`^roles/(owner|editor|viewer|[a-z]+\.admin)$`).MatchString(r.Values.str("role")) {
				t.Errorf("%s grants %s", r.Address, r.Values.str("role"))
			}
			if strings.Contains(r.Type, "service_account_key") || strings.HasSuffix(r.Type, "_iam_policy") || strings.HasSuffix(r.Type, "_iam_binding") {
				t.Errorf("%s: no key files, and no grant that takes away others'", r.Address)
			}
		}
		for _, s := range p.of("google_cloud_run_v2_service") {
			e := env(s)
			if s.Values.is("iap_enabled") { // the console: people come from anywhere, and Google asks who they are
				if s.Values.str("name") != "console" || s.Values.is("invoker_iam_disabled") {
					t.Errorf("%s: IAP is for the console alone, and needs Cloud Run's own check behind it", s.Address)
				}
				continue
			}
			if s.Values.str("ingress") != "INGRESS_TRAFFIC_INTERNAL_ONLY" {
				t.Errorf("%s: ingress %s", s.Address, s.Values.str("ingress"))
			}
			if !s.Values.is("invoker_iam_disabled") {
				t.Errorf("%s: Cloud Run's own check takes the signature out of the tokens that the service checks", s.Address)
			}
			if e["PUSH_AUDIENCE"] == "" || e["PUSH_SERVICE_ACCOUNTS"] == "" {
				t.Errorf("%s checks nobody: PUSH_AUDIENCE %q, PUSH_SERVICE_ACCOUNTS %q", s.Address, e["PUSH_AUDIENCE"], e["PUSH_SERVICE_ACCOUNTS"])
			}
		}
	})
}

func TestServices(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		accounts := map[string]string{}
		for _, s := range p.of("google_cloud_run_v2_service") {
			template := s.Values.block("template")
			container := template.block("containers")
			for _, probe := range []string{"startup_probe", "liveness_probe"} {
				if got := container.block(probe).block("http_get").str("path"); got != "/health" {
					t.Errorf("%s: %s asks %q", s.Address, probe, got)
				}
			}
			if n := template.block("scaling").num("max_instance_count"); n < 1 {
				t.Errorf("%s: no bound of instances: budgets are an instance's", s.Address)
			}
			kind := strings.TrimRight(s.Values.str("name"), "-0123456789")
			account := template.str("service_account")
			if other, ok := accounts[account]; ok && other != kind {
				t.Errorf("%s and %s share the account %s", kind, other, account)
			}
			accounts[account] = kind
			if kind == "console" {
				kind = "onboarding" // it stores users' keys
			}
			if account != kind+"@"+project+".iam.gserviceaccount.com" {
				t.Errorf("%s runs as %q", s.Address, account)
			}
			if !s.Values.is("deletion_protection") {
				t.Errorf("%s can be deleted by a slip", s.Address)
			}
		}
	})
}

// calls is a way by which a service is called.
type calls struct{ address, service, region, account, audience string }

// admitted says what is wrong with a way, if anything is: the service must know its account and its audience, and the
// account must be allowed to call that service.
func (c calls) admitted(p plan) error {
	for _, s := range p.of("google_cloud_run_v2_service") {
		if s.Values.str("name") != c.service || s.Values.str("location") != c.region {
			continue
		}
		e := env(s)
		switch {
		case e["PUSH_AUDIENCE"] != c.audience:
			return fmt.Errorf("%s: its tokens are for %q, and %s takes %q", c.address, c.audience, s.Address, e["PUSH_AUDIENCE"])
		case !slices.Contains(list(e["PUSH_SERVICE_ACCOUNTS"]), c.account):
			return fmt.Errorf("%s: %s does not take %q", c.address, s.Address, c.account)
		}
		for _, g := range p.of("google_cloud_run_v2_service_iam_member") {
			if g.Values.str("name") == c.service && g.Values.str("location") == c.region && g.Values.str("member") == "serviceAccount:"+c.account && g.Values.str("role") == "roles/run.invoker" {
				return nil
			}
		}
		return fmt.Errorf("%s: %q is no invoker of %s", c.address, c.account, s.Address)
	}
	return fmt.Errorf("%s: there is no service %s in %s", c.address, c.service, c.region)
}

// at is the service of an address.
func (p plan) at(url string) (service, region string) {
	for _, s := range p.of("google_cloud_run_v2_service") {
		name, location := s.Values.str("name"), s.Values.str("location")
		if url == "https://"+name+"-"+p.number+"."+location+".run.app" {
			return name, location
		}
	}
	return "", ""
}

func TestSubscriptions(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		callers := map[string]bool{}
		for _, s := range p.of("google_pubsub_subscription") {
			v := s.Values
			if ttl := v.block("expiration_policy"); ttl["ttl"] != "" {
				t.Errorf("%s expires when nobody reads it for a month", s.Address)
			}
			if v.str("name") == "dead-letters-review" {
				if v.str("message_retention_duration") != "2678400s" || len(v.blocks("push_config")) > 0 {
					t.Errorf("%s: want a pull subscription that keeps letters as long as Pub/Sub can", s.Address)
				}
				continue
			}
			push, dead := v.block("push_config"), v.block("dead_letter_policy")
			if dead.str("dead_letter_topic") != "projects/"+project+"/topics/dead-letters" || dead.num("max_delivery_attempts") < 5 {
				t.Errorf("%s: dead letters %v", s.Address, dead)
			}
			if retry := v.block("retry_policy"); retry.str("minimum_backoff") == "" || retry.str("maximum_backoff") == "" {
				t.Errorf("%s: no retry policy", s.Address)
			}
			if !push.block("no_wrapper").is("write_metadata") {
				t.Errorf("%s: no payload unwrapping with metadata", s.Address)
			}
			service, region := p.at(push.str("push_endpoint"))
			c := calls{s.Address, service, region, push.block("oidc_token").str("service_account_email"), push.block("oidc_token").str("audience")}
			if err := c.admitted(p); err != nil {
				t.Error(err)
			}
			callers[c.account] = true
			timeout := deadline(t, p, c)
			if ack := time.Duration(v.num("ack_deadline_seconds")) * time.Second; ack < 60*time.Second || timeout > ack {
				t.Errorf("%s: ack deadline %s, the service's timeout %s: what is still at work would come again", s.Address, ack, timeout)
			}
		}
		for _, tr := range p.of("google_eventarc_trigger") {
			callers[tr.Values.str("service_account")] = true
		}
		for _, s := range p.of("google_cloud_run_v2_service") {
			for _, a := range list(env(s)["PUSH_SERVICE_ACCOUNTS"]) {
				if a != "" && !callers[a] {
					t.Errorf("%s takes %s, which nothing calls as", s.Address, a)
				}
			}
		}
	})
}

func deadline(t *testing.T, p plan, c calls) time.Duration {
	t.Helper()
	for _, s := range p.of("google_cloud_run_v2_service") {
		if s.Values.str("name") == c.service && s.Values.str("location") == c.region {
			d, err := time.ParseDuration(s.Values.block("template").str("timeout"))
			if err != nil {
				t.Error(err)
			}
			return d
		}
	}
	return 0
}

// eventarc is where the triggers of a database are. https://cloud.google.com/firestore/native/docs/eventarc
func eventarc(location string) string {
	switch location {
	case "nam5":
		return "us-central1"
	case "eur3":
		return "europe-west4"
	}
	return location
}

func TestTriggers(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		databases := p.of("google_firestore_database")
		if len(databases) != 1 {
			t.Fatalf("%d databases", len(databases))
		}
		want := eventarc(databases[0].Values.str("location_id"))
		delivery := map[string]values{}
		for _, d := range p.of("terraform_data") {
			in := d.Values.object("input")
			if in == nil {
				continue
			}
			delivery[in.str("trigger")] = in
			if again, _ := d.Values["triggers_replace"].([]any); len(again) != 2 || !reflect.DeepEqual(again[0], map[string]any(in)) {
				t.Errorf("%s: what it sets may change, and it would not be set again", d.Address)
			}
		}
		for _, tr := range p.of("google_eventarc_trigger") {
			v := tr.Values
			if v.str("location") != want {
				t.Errorf("%s is in %s, and events of the database come in %s", tr.Address, v.str("location"), want)
			}
			c := criteria(tr)
			if c["document"] != "" && (v.str("event_data_content_type") != "application/protobuf" || c["database"] != databases[0].Values.str("name")) {
				t.Errorf("%s: content type %q, database %q", tr.Address, v.str("event_data_content_type"), c["database"])
			}
			to := v.block("destination").block("cloud_run_service")
			d := delivery[v.str("name")]
			if d.str("account") != v.str("service_account") || d.str("audience") == "" {
				t.Errorf("%s: its subscription is not set up for it: %v", tr.Address, d)
			}
			if d.str("dead_letter") != "projects/"+project+"/topics/dead-letters" || d.num("attempts") < 5 || d.num("ack_deadline") < 60 {
				t.Errorf("%s: no dead letters of its transport, or too short a deadline: %v", tr.Address, d)
			}
			if err := (calls{tr.Address, to.str("service"), to.str("region"), v.str("service_account"), d.str("audience")}).admitted(p); err != nil {
				t.Error(err)
			}
		}
	})
}

// criteria are those of a trigger, by attribute.
func criteria(trigger resource) map[string]string {
	out := map[string]string{}
	for _, c := range trigger.Values.blocks("matching_criteria") {
		out[c.str("attribute")] = c.str("value")
		if c.str("attribute") == "document" && c.str("operator") != "match-path-pattern" {
			out["document"] = "not a pattern: " + c.str("value")
		}
	}
	return out
}

func TestSecretGrantsAreConditioned(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		for _, g := range p.of("google_project_iam_member") {
			role := g.Values.str("role")
			if !strings.Contains(role, "secretmanager") && !strings.Contains(role, "agenttrader.key_") {
				continue
			}
			e := g.Values.block("condition").str("expression")
			named := strings.HasPrefix(e, `resource.name.startsWith("projects/`+p.number+`/secrets/alpaca-`)
			if making := strings.HasSuffix(role, "agenttrader.key_maker") && e == `resource.type == "cloudresourcemanager.googleapis.com/Project"`; !named && !making {
				t.Errorf("%s: %s on all secrets: condition %q", g.Address, role, e)
			}
		}
		if got := p.of("google_secret_manager_secret_iam_member", "google_secret_manager_secret_version"); len(got) > 0 {
			t.Errorf("%s: secrets are granted in iam.tf, and no value passes through Terraform", got[0].Address)
		}
	})
}

func TestDatabase(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		d := p.of("google_firestore_database")[0].Values
		if d.str("delete_protection_state") != "DELETE_PROTECTION_ENABLED" || d.str("point_in_time_recovery_enablement") != "POINT_IN_TIME_RECOVERY_ENABLED" {
			t.Errorf("database: %s, %s", d.str("delete_protection_state"), d.str("point_in_time_recovery_enablement"))
		}
		rules, err := os.ReadFile(filepath.Join(p.root, "firestore/firestore.rules"))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.of("google_firebaserules_ruleset")[0].Values.block("source").block("files").str("content"); got != string(rules) {
			t.Error("the rules released are not those of firestore/firestore.rules")
		}
		if got := p.of("google_firebaserules_release")[0].Values.str("name"); got != "cloud.firestore" {
			t.Errorf("rules are released as %q", got)
		}
	})
}

func TestAlertsHavePlaybooks(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		alerts := p.of("google_monitoring_alert_policy")
		if len(alerts) == 0 {
			t.Fatal("no alerts")
		}
		for _, a := range alerts {
			doc := a.Values.block("documentation").str("content")
			link := regexp.MustCompile(`\((https://[^)]+/docs/playbooks/)([a-z0-9-]+\.md)\)`).FindStringSubmatch(doc)
			if link == nil || len(doc) < 100 {
				t.Errorf("%s says neither what it means nor what to do: %q", a.Address, doc)
				continue
			}
			playbook(t, p, a.Address, link[2])
		}
		if len(p.of("google_billing_budget")) > 0 {
			playbook(t, p, "budget", "spend.md")
		}
	})
}

func playbook(t *testing.T, p plan, of, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.root, "docs/playbooks", name))
	if err != nil {
		t.Errorf("%s: %v", of, err)
	}
	for _, section := range []string{"## See", "## Stop the harm", "## Mend"} {
		if !strings.Contains(string(text), "\n"+section+"\n") {
			t.Errorf("docs/playbooks/%s has no section %q", name, section)
		}
	}
}

func TestInputsAreDocumented(t *testing.T) {
	p := plans(t)[0]
	readme, err := os.ReadFile(filepath.Join(p.root, "terraform/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, description := range p.inputs {
		if description == "" || !strings.Contains(string(readme), "\n| `"+name+"` |") {
			t.Errorf("variable %s (%q): it wants a description, and a row in terraform/README.md", name, description)
		}
	}
	for _, row := range regexp.MustCompile("\n\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		if _, ok := p.inputs[row[1]]; !ok {
			t.Errorf("terraform/README.md has a row of %s: there is no such variable", row[1])
		}
	}
}
