package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/option"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/cloud"
	"github.com/agenttrader/agenttrader/pkg/gcp"
)

// google is Google's APIs as far as the doctor asks them: by path, what is answered.
type google map[string]string

func (g google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, is := g[r.URL.Path]
	if !is {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"error": {"code": 404, "message": "not found"}}`)
		return
	}
	if code, rest, is := strings.Cut(body, "!"); is {
		n := 0
		_, _ = fmt.Sscan(code, &n)
		w.WriteHeader(n)
		body = rest
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, body)
}

const (
	testRules   = "rules_version = '2';\nservice cloud.firestore {}\n"
	testIndexes = `{
  "indexes": [{"collectionGroup": "rosterChanges", "queryScope": "COLLECTION", "fields": [{"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "at", "order": "DESCENDING"}]}],
  "fieldOverrides": [
    {"collectionGroup": "syncHealth", "fieldPath": "failing", "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION_GROUP"}]},
    {"collectionGroup": "decisions", "fieldPath": "body", "indexes": []},
    {"collectionGroup": "decisions", "fieldPath": "expire_at", "ttl": true, "indexes": []}
  ]
}`
)

// healthy is a project in which all is as it should be.
func healthy(p *patient) google {
	g := google{
		"/v3/projects/p":                          `{"projectId": "p", "displayName": "P", "state": "ACTIVE"}`,
		"/v3/projects/p:getIamPolicy":             `{"bindings": [{"role": "roles/owner", "members": ["user:jane@example.com"]}, {"role": "roles/datastore.user", "members": ["serviceAccount:s@example.com"]}]}`,
		"/v1/projects/p/releases/cloud.firestore": `{"name": "projects/p/releases/cloud.firestore", "rulesetName": "projects/p/rulesets/r1", "updateTime": "2026-11-24T12:00:00Z"}`,
		"/v1/projects/p/databases/(default)/collectionGroups/-/indexes": `{"indexes": [{"name": "projects/p/databases/(default)/collectionGroups/rosterChanges/indexes/i1", "queryScope": "COLLECTION", "state": "READY",
			"fields": [{"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "at", "order": "DESCENDING"}, {"fieldPath": "__name__", "order": "DESCENDING"}]}]}`,
		"/v1/projects/p/databases/(default)/collectionGroups/-/fields": `{"fields": [
			{"name": "projects/p/databases/(default)/collectionGroups/syncHealth/fields/failing", "indexConfig": {"indexes": [{"queryScope": "COLLECTION_GROUP", "state": "READY", "fields": [{"fieldPath": "failing", "order": "ASCENDING"}]}]}},
			{"name": "projects/p/databases/(default)/collectionGroups/decisions/fields/body", "indexConfig": {}},
			{"name": "projects/p/databases/(default)/collectionGroups/decisions/fields/expire_at", "indexConfig": {}, "ttlConfig": {"state": "ACTIVE"}}]}`,
	}
	set, _ := json.Marshal(map[string]any{"source": map[string]any{"files": []any{map[string]any{"name": "firestore.rules", "content": strings.ReplaceAll(testRules, "\n", "\r\n")}}}})
	g["/v1/projects/p/rulesets/r1"] = string(set)
	var services, permissions []string
	for _, api := range p.wanted() {
		services = append(services, fmt.Sprintf(`{"name": "projects/1/services/%s.googleapis.com", "state": "ENABLED"}`, api))
	}
	for permission := range p.permissions() {
		permissions = append(permissions, fmt.Sprintf("%q", permission))
	}
	g["/v1/projects/p/services:batchGet"] = `{"services": [` + strings.Join(services, ",") + `]}`
	g["/v3/projects/p:testIamPermissions"] = `{"permissions": [` + strings.Join(permissions, ",") + `]}`
	for _, path := range secrets() {
		g["/v1/projects/p/databases/(default)/documents/"+path] = `403!{}`
	}
	return g
}

func testPatient(t *testing.T) *patient {
	t.Helper()
	dir := t.TempDir()
	p := &patient{
		Project: &cloud.Project{Config: gcp.Config{Project: "p", KMSKey: "projects/p/locations/l/keyRings/r/cryptoKeys/k"}}, topics: gcp.DefaultTopics(),
		rules: filepath.Join(dir, "rules"), indexes: filepath.Join(dir, "indexes.json"), client: http.DefaultClient, now: time.Now,
	}
	for path, text := range map[string]string{p.rules: testRules, p.indexes: testIndexes} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// cloudChecks are those that ask Google by HTTP; the database, the vaults and Pub/Sub are asked by their own clients.
func cloudChecks(t *testing.T, p *patient, g google) (list []Check) {
	t.Helper()
	server := httptest.NewServer(g)
	defer server.Close()
	p.google, p.rest = []option.ClientOption{option.WithEndpoint(server.URL), option.WithoutAuthentication()}, server.URL
	ctx := t.Context()
	want, path, err := file(p.indexes, usualIndexes)
	if err != nil {
		t.Fatal(err)
	}
	var f indexFile
	if err := json.Unmarshal(want, &f); err != nil {
		t.Fatal(err)
	}
	list = slices.Concat(p.project(ctx), p.apis(ctx), p.iam(ctx), p.rulesChecks(ctx), []Check{p.there(ctx, f, path)}, p.clock(ctx))
	return list
}

// All is well; then one thing after the other is not, and one check says so, with a remedy.
func TestCloud(t *testing.T) {
	for _, c := range checksOK(t) {
		if c.Status != OK {
			t.Errorf("all is well: %+v", c)
		}
	}
	set := func(path, body string) func(*patient, google) { return func(_ *patient, g google) { g[path] = body } }
	swap := func(path, from, to string) func(*patient, google) {
		return func(_ *patient, g google) {
			if !strings.Contains(g[path], from) {
				t.Errorf("%s does not say %q", path, from)
			}
			g[path] = strings.ReplaceAll(g[path], from, to)
		}
	}
	const fields, groups = "/v1/projects/p/databases/(default)/collectionGroups/-/fields", "/v1/projects/p/databases/(default)/collectionGroups/-/indexes"
	for name, c := range map[string]struct {
		spoil  func(*patient, google)
		check  string
		status Status
		found  string
		remedy string
	}{
		"no such project":          {func(_ *patient, g google) { delete(g, "/v3/projects/p") }, "project", Failed, "not found", "gcloud projects list"},
		"not let in":               {set("/v3/projects/p", `403!{"error": {"code": 403, "message": "denied"}}`), "project", Unknown, "denied", ""},
		"no login":                 {set("/v3/projects/p", `401!{"error": {"code": 401, "message": "who?"}}`), "project", Failed, "who?", "application-default login"},
		"Google is down":           {set("/v3/projects/p", `503!{"error": {"code": 503, "message": "later"}}`), "project", Unknown, "later", ""},
		"deleted":                  {swap("/v3/projects/p", "ACTIVE", "DELETE_REQUESTED"), "project", Failed, "DELETE_REQUESTED", "undelete"},
		"an API is off":            {swap("/v1/projects/p/services:batchGet", `cloudkms.googleapis.com", "state": "ENABLED"`, `cloudkms.googleapis.com", "state": "DISABLED"`), "apis", Failed, "not enabled: cloudkms.googleapis.com", "gcloud services enable cloudkms.googleapis.com --project p"},
		"a missing grant":          {swap("/v3/projects/p:testIamPermissions", "secretmanager.versions.add", "x"), "iam", Failed, "you may not: secretmanager.versions.add", "roles/secretmanager.admin"},
		"everybody":                {swap("/v3/projects/p:getIamPolicy", "serviceAccount:s@example.com", "allUsers"), "iam", Failed, "allUsers has roles/datastore.user", "remove-iam-policy-binding"},
		"an account that is owner": {swap("/v3/projects/p:getIamPolicy", "user:jane@example.com", "serviceAccount:s@example.com"), "iam", Failed, "s@example.com has roles/owner", "its own job"},
		"open rules":               {set("/v1/projects/p/databases/(default)/documents/keyEnvelopes/"+nobody, `404!{}`), "rules", Failed, "A STRANGER MAY READ keyEnvelopes/", "firebase deploy --only firestore:rules"},
		"no rules":                 {func(_ *patient, g google) { delete(g, "/v1/projects/p/releases/cloud.firestore") }, "rules", Failed, "no rules are released", "firebase deploy"},
		"other rules":              {swap("/v1/projects/p/rulesets/r1", "service", "servlce"), "rules", Failed, "are not those in", "firebase deploy"},
		"no index":                 {set(groups, `{}`), "indexes", Failed, "rosterChanges COLLECTION (kind ASCENDING, at DESCENDING)", "firestore:indexes"},
		"an index in the making":   {swap(groups, "READY", "CREATING"), "indexes", Failed, "not ready: rosterChanges", "wait"},
		"no group index":           {swap(fields, "COLLECTION_GROUP", "COLLECTION"), "indexes", Failed, "syncHealth.failing COLLECTION_GROUP ASCENDING", "firestore:indexes"},
		"no exemption":             {swap(fields, `fields/body", "indexConfig": {}`, `fields/body", "indexConfig": {"usesAncestorConfig": true}`), "indexes", Failed, "decisions.body exempt", "firestore:indexes"},
		"no TTL":                   {swap(fields, `, "ttlConfig": {"state": "ACTIVE"}`, ""), "indexes", Failed, "TTL decisions.expire_at", "firestore:indexes"},
		"a wrong clock":            {func(p *patient, _ google) { p.now = func() time.Time { return time.Now().Add(time.Minute) } }, "clock", Failed, "1m0s off", "set-ntp"},
	} {
		p := testPatient(t)
		g := healthy(p)
		c.spoil(p, g)
		others := 0
		met := false
		for _, got := range cloudChecks(t, p, g) {
			switch {
			case got.Status == OK:
			case got.Name == c.check && got.Status == c.status && strings.Contains(got.Found, c.found) && strings.Contains(got.Remedy, c.remedy) && (got.Remedy == "") == (c.remedy == ""):
				met = true
			default:
				others++
				t.Errorf("%s: %+v", name, got)
			}
		}
		if !met || others > 0 {
			t.Errorf("%s: not found, or more than that", name)
		}
	}
}

func checksOK(t *testing.T) []Check {
	p := testPatient(t)
	return cloudChecks(t, p, healthy(p))
}

// What can't be looked at from here is unknown, never ok.
func TestElsewhere(t *testing.T) {
	for name, change := range map[string]func(*patient){
		"offline":  func(p *patient) { p.offline = true },
		"emulator": func(p *patient) { p.emulated = true },
	} {
		p := testPatient(t)
		p.rest = "http://127.0.0.1:1"
		change(p)
		for _, check := range []string{"project", "apis", "iam", "topics", "rules", "indexes", "clock"} {
			for _, c := range p.checks()[check](t.Context()) {
				if c.Status != Unknown || c.Found == "" {
					t.Errorf("%s: %+v", name, c)
				}
			}
		}
	}
	p := testPatient(t)
	p.offline = true
	for _, check := range []string{"database", "keys"} {
		if c := p.checks()[check](t.Context()); c[0].Status != Unknown {
			t.Errorf("offline: %+v", c)
		}
	}
	p.rules, p.indexes = "/does/not/exist", "/does/not/exist"
	for _, c := range slices.Concat(p.rulesChecks(t.Context()), p.indexChecks(t.Context())) {
		if c.Status != Failed || !strings.Contains(c.Found, "/does/not/exist") {
			t.Errorf("a file that is not there: %+v", c)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.indexes = bad
	if c := p.indexChecks(t.Context()); c[0].Status != Failed || !strings.Contains(c[0].Found, bad) {
		t.Errorf("a file that is no JSON: %+v", c)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("CLOUDSDK_CONFIG", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	p := testPatient(t)
	is := func(want Status, found string) {
		t.Helper()
		if c := p.credentials(t.Context())[0]; c.Status != want || !strings.Contains(c.Found, found) {
			t.Errorf("%+v, want %s with %q", c, want, found)
		}
	}
	is(Unknown, "application-default login")
	well := filepath.Join(dir, ".config", "gcloud", "application_default_credentials.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(well), 0o700), os.WriteFile(well, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	is(OK, well)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(dir, "none.json"))
	is(Failed, "none.json")
	p.emulated = true
	is(Unknown, "emulator")
}

func TestCommand(t *testing.T) {
	for _, v := range []string{"GCP_PROJECT", "GCLOUD_PROJECT", "FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "KEY_CUSTODY", "KMS_KEY"} {
		t.Setenv(v, "")
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		c := Command()
		c.SetArgs(args)
		c.SetOut(&out)
		c.SetErr(&bytes.Buffer{})
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := run("--json")
	var got struct {
		OK     bool    `json:"ok"`
		Checks []Check `json:"checks"`
	}
	if e := json.Unmarshal([]byte(out), &got); e != nil || err == nil || got.OK || len(got.Checks) != len(names()) || got.Checks[0].Status != Failed || !strings.Contains(got.Checks[0].Found, "Missing GCP_PROJECT") {
		t.Errorf("without a project: %v, %v: %s", e, err, out)
	}
	for _, c := range got.Checks[1:] {
		if c.Status != Unknown {
			t.Errorf("without a project: %+v", c)
		}
	}
	out, err = run("--project", "p", "--offline")
	if err != nil || !strings.Contains(out, "environment  ok") || strings.Contains(out, "failed") || strings.Count(out, "unknown") < 8 {
		t.Errorf("offline: %v\n%s", err, out)
	}
	t.Setenv("APCA_API_KEY_ID", "x")
	if out, err = run("--project", "p", "--offline"); err == nil || !strings.Contains(out, "APCA_API_KEY_ID") || !strings.Contains(out, "→") {
		t.Errorf("with one account's keys in the environment: %v\n%s", err, out)
	}
	if out, err = run("--help"); err != nil || !strings.Contains(out, "agenttrader doctor --offline") || !strings.Contains(out, "--json") {
		t.Errorf("help: %v\n%s", err, out)
	}
}
