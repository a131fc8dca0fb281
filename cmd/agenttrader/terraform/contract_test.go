package terraform

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/wire"
	"github.com/agenttrader/agenttrader/services/fanout"
	"github.com/agenttrader/agenttrader/services/signaler/cloud"
	"github.com/agenttrader/agenttrader/services/syncer"
)

// code is what each service's main reads of its environment, and how.
var code = map[string]struct {
	configs []any
	read    func(environ []string) error
}{
	"fanout": {
		[]any{fanout.Config{}, serve.Config{}, gcp.Topics{}, gcp.Config{}, alpaca.Hosts{}, wire.MarketHours{}, telemetry.Config{}},
		func(environ []string) error {
			cfg, http, topics, project := fanout.DefaultConfig(), serve.DefaultConfig(), gcp.DefaultTopics(), gcp.Config{}
			hosts, asking, watching := alpaca.DefaultHosts(), wire.MarketHours{}, telemetry.DefaultConfig()
			return serve.ReadEnv(environ, &cfg, &http, &topics, &project, &hosts, &asking, &watching)
		},
	},
	"syncer": {
		[]any{syncer.Config{}, serve.Config{}, gcp.Topics{}, gcp.Config{}, alpaca.Hosts{}, telemetry.Config{}},
		func(environ []string) error {
			cfg, http, topics, project := syncer.DefaultConfig(""), serve.DefaultConfig(), gcp.DefaultTopics(), gcp.Config{}
			hosts, watching := alpaca.DefaultHosts(), telemetry.DefaultConfig()
			return serve.ReadEnv(environ, &cfg, &http, &topics, &project, &hosts, &watching)
		},
	},
	"signaler": {
		[]any{cloud.Settings{}, serve.Config{}, gcp.Topics{}, telemetry.Config{}},
		func(environ []string) error {
			http, topics, watching := serve.DefaultConfig(), gcp.DefaultTopics(), telemetry.DefaultConfig()
			_, err := cloud.Read(environ, &http, &topics, &watching)
			return err
		},
	},
}

// elsewhere are variables that Terraform must not set on Cloud Run, and why.
var elsewhere = map[string]string{
	"HOST": "every address", "PORT": "Cloud Run sets it", "GCLOUD_PROJECT": "GCP_PROJECT's other name",
	"FIRESTORE_EMULATOR_HOST": "loopback", "PUBSUB_EMULATOR_HOST": "loopback", "SECRET_MANAGER_ENDPOINT": "loopback",
	"KMS_ENDPOINT": "loopback", "GEMINI_ENDPOINT": "loopback", "K_REVISION": "Cloud Run sets it",
	"MODE": "another deployment", "LEGACY_TENANT": "another deployment",
}

// unused are variables that a service reads with a group of others, and has no use for.
var unused = map[string][]string{
	"syncer":   {"SYNC_TICKS_TOPIC", "SYNC_REQUESTS_TOPIC"},
	"signaler": {"SYNC_TICKS_TOPIC", "SYNC_REQUESTS_TOPIC"},
}

func TestEnvironment(t *testing.T) {
	all := plans(t)
	for name, c := range code {
		reads := map[string]bool{}
		for _, cfg := range c.configs {
			tags(reflect.TypeOf(cfg), reads)
		}
		for v := range elsewhere {
			delete(reads, v)
		}
		for _, v := range unused[name] {
			delete(reads, v)
		}
		named := map[string]bool{}
		settings, _ := all[0].outputs["settings"].(map[string]any)
		for _, group := range []string{"all", "custody", name} {
			vars, _ := settings[group].([]any)
			for _, v := range vars {
				named[v.(string)] = true
			}
		}
		for _, p := range all {
			for _, s := range p.of("google_cloud_run_v2_service") {
				if strings.TrimRight(s.Values.str("name"), "-0123456789") != name {
					continue
				}
				var environ []string
				for k, v := range env(s) {
					named[k] = true
					environ = append(environ, k+"="+v)
				}
				if err := c.read(environ); err != nil {
					t.Errorf("%s: %s does not start with what Terraform sets: %v", p.name, s.Address, err)
				}
			}
		}
		if diff := cmp.Diff(reads, named); diff != "" {
			t.Errorf("%s: variables that the code reads and Terraform names differ (-code +terraform/environment.tf and %s.tf):\n%s", name, name, diff)
		}
	}
}

// tags collects the env tags of a struct and of those in it.
func tags(typ reflect.Type, into map[string]bool) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("env"), ","); name != "" {
			into[name] = true
		} else if f.Type.Kind() == reflect.Struct {
			tags(f.Type, into)
		}
	}
}

// TestNoConfigIsForgotten: every env tag of the services' code is in a config of the table above.
func TestNoConfigIsForgotten(t *testing.T) {
	known := map[string]bool{}
	for _, c := range code {
		for _, cfg := range c.configs {
			tags(reflect.TypeOf(cfg), known)
		}
	}
	tag := regexp.MustCompile("`env:\"([A-Z0-9_]+)")
	for _, folder := range []string{"pkg", "services/fanout", "services/syncer", "services/signaler"} {
		err := filepath.WalkDir("../../../"+folder, func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range tag.FindAllSubmatch(text, -1) {
				if !known[string(m[1])] && elsewhere[string(m[1])] == "" {
					t.Errorf("%s reads %s: say here which service does, and in terraform/ what it is set to", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTopics(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		made := map[string]bool{}
		for _, topic := range p.of("google_pubsub_topic") {
			made[topic.Values.str("name")] = true
		}
		for _, s := range p.of("google_cloud_run_v2_service") {
			for k, v := range env(s) {
				for _, topic := range list(v) {
					if strings.HasSuffix(k, "_TOPIC") && !made[topic] {
						t.Errorf("%s: %s names the topic %q, which nothing makes", s.Address, k, topic)
					}
				}
			}
		}
		defaults := gcp.DefaultTopics()
		for _, topic := range append([]string{defaults.Ticks, defaults.DeadLetters}, defaults.Requests...) {
			if !made[topic] {
				t.Errorf("the code's default topic %s is not made", topic)
			}
		}
		// Each topic has a reader of its own, and requests as many as there are topics of them.
		read := map[string]string{}
		for _, s := range p.of("google_pubsub_subscription") {
			read[last(s.Values.str("topic"))] = s.Values.str("name")
		}
		for _, tr := range p.of("google_eventarc_trigger") {
			if topic := tr.Values.block("transport").block("pubsub").str("topic"); topic != "" {
				read[last(topic)] = tr.Values.str("name")
			}
		}
		for topic := range made {
			if read[topic] == "" {
				t.Errorf("nobody reads the topic %s", topic)
			}
		}
		if !slices.ContainsFunc(p.of("google_pubsub_subscription"), func(s resource) bool { return s.Values.str("name") == "dead-letters-review" }) {
			t.Error("`agenttrader dlq` reads dead-letters-review by default: nothing makes it")
		}
	})
}

func TestTick(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		running := 0
		for _, job := range p.of("google_cloud_scheduler_job") {
			target := job.Values.block("pubsub_target")
			if job.Values.str("schedule") != "* * * * *" || last(target.str("topic_name")) != gcp.DefaultTopics().Ticks {
				t.Errorf("%s: %q to %q", job.Address, job.Values.str("schedule"), target.str("topic_name"))
			}
			attributes := map[string]string{}
			for k := range target.object("attributes") {
				attributes[k] = target.object("attributes").str(k)
			}
			e, err := event.FromMessage(attributes, nil)
			if err != nil || e.Type() != event.TypeTick {
				t.Errorf("%s: what it publishes is read as %q, %v", job.Address, e.Type(), err)
			}
			if !job.Values.is("paused") {
				running++
			}
		}
		if running != 1 {
			t.Errorf("%d ticks a minute", running)
		}
	})
}

func TestEventRoutes(t *testing.T) {
	want := map[string][]string{ // paths that the services handle, as the code builds them
		"fanout":   {store.UserPath("u"), store.HealthPath("u"), store.StrategyPath("u", "s")},
		"signaler": {store.SnapshotPath("u"), store.StrategyPath("u", "s"), store.SignalPath("u", "s")},
	}
	each(t, func(t *testing.T, p plan) {
		got, messages := map[string][]string{}, 0
		for _, tr := range p.of("google_eventarc_trigger") {
			c, to := criteria(tr), tr.Values.block("destination").block("cloud_run_service").str("service")
			switch c["type"] {
			case event.TypeDocument:
				got[to] = append(got[to], c["document"])
			case event.TypeMessage:
				if messages++; to != "syncer" {
					t.Errorf("%s brings messages to %s", tr.Address, to)
				}
			default:
				t.Errorf("%s: no service takes events of type %s", tr.Address, c["type"])
			}
		}
		if messages != 1 {
			t.Errorf("%d triggers bring Secret Manager's notifications", messages)
		}
		for to, paths := range want {
			if len(got[to]) != len(paths) {
				t.Errorf("%s has the triggers %q, and handles %q", to, got[to], paths)
			}
			for _, path := range paths {
				if n := matches(got[to], path); n != 1 {
					t.Errorf("%s: a write of %s makes %d events, by %q", to, path, n, got[to])
				}
			}
		}
	})
}

func matches(patterns []string, path string) (n int) {
	for _, p := range patterns {
		expr := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(p, `[^/]+`)
		if regexp.MustCompile("^" + expr + "$").MatchString(path) {
			n++
		}
	}
	return n
}

func TestPortAndHealth(t *testing.T) {
	s, err := serve.Listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(t.Context()) }()
	each(t, func(t *testing.T, p plan) {
		for _, service := range p.of("google_cloud_run_v2_service") {
			container := service.Values.block("template").block("containers")
			if port := container.block("ports").num("container_port"); int(port) != serve.DefaultConfig().Port {
				t.Errorf("%s: port %v, and the code's is %d", service.Address, port, serve.DefaultConfig().Port)
			}
			for _, probe := range []string{"startup_probe", "liveness_probe"} {
				get := container.block(probe).block("http_get")
				resp, err := http.Get(s.URL() + get.str("path"))
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK || string(body) != "ok\n" {
					t.Errorf("%s: %s asks %s, and is told %s", service.Address, probe, get.str("path"), resp.Status)
				}
			}
		}
	})
}

func TestSecretNames(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		for _, g := range p.of("google_project_iam_member") {
			if strings.HasSuffix(g.Values.str("role"), "key_writer") {
				if e := g.Values.block("condition").str("expression"); !strings.HasSuffix(e, `/secrets/`+secret.Prefix+`")`) {
					t.Errorf("onboarding may write %s, and users' secrets begin with %s", e, secret.Prefix)
				}
			}
		}
		for _, s := range p.of("google_secret_manager_secret") {
			if err := secret.CheckPlatformName(s.Values.str("secret_id")); err != nil {
				t.Errorf("%s: %v", s.Address, err)
			}
		}
	})
}

// TestIndexes: all of firestore.indexes.json is in the plan, what expires by the data model has a TTL, and the queries over
// all collections of a name have their index.
func TestIndexes(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		var file struct {
			Indexes        []struct{}
			FieldOverrides []struct {
				CollectionGroup, FieldPath string
				TTL                        bool
			}
		}
		text, err := os.ReadFile(filepath.Join(p.root, "firestore/firestore.indexes.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		if n := len(p.of("google_firestore_index")); n != len(file.Indexes) {
			t.Errorf("%d indexes in the plan, %d in the file", n, len(file.Indexes))
		}
		planned, grouped := map[string]bool{}, map[string]bool{}
		for _, f := range p.of("google_firestore_field") {
			path := f.Values.str("collection") + "/" + f.Values.str("field")
			planned[path] = len(f.Values.blocks("ttl_config")) > 0
			for _, i := range f.Values.block("index_config").blocks("indexes") {
				grouped[path] = grouped[path] || i.str("query_scope") == "COLLECTION_GROUP"
			}
		}
		for _, query := range []string{store.SyncHealth + "/failing", store.Strategies + "/enabled"} {
			if !grouped[query] {
				t.Errorf("the fanout's query of %s, over all users, has no index", query)
			}
		}
		for _, f := range file.FieldOverrides {
			if ttl, ok := planned[f.CollectionGroup+"/"+f.FieldPath]; !ok || ttl != f.TTL {
				t.Errorf("%s.%s: in the plan %v, TTL %v; in the file TTL %v", f.CollectionGroup, f.FieldPath, ok, ttl, f.TTL)
			}
		}
		for _, want := range []string{store.Shards + "/expire_at", store.Decisions + "/expire_at", store.Signals + "/expire_at"} {
			if !planned[want] {
				t.Errorf("%s has no TTL: its documents would stay for ever", want)
			}
		}
	})
}
