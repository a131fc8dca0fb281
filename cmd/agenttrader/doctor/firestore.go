package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/firebaserules/v1"
	"google.golang.org/api/firestore/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// The repository's own.
const (
	usualRules   = "firestore/firestore.rules"
	usualIndexes = "firestore/firestore.indexes.json"
)

// file reads what should be in force: the file that was named, or the usual one if it is here.
func file(named, usual string) (b []byte, path string, err error) {
	if path = named; path == "" {
		path = usual
	}
	b, err = os.ReadFile(path) //nolint:gosec // the caller's own
	if named == "" && errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	return b, path, err
}

// secrets are documents that a stranger must not read, whatever the rules grant to others.
func secrets() []string {
	return []string{"users/" + nobody, "users/" + nobody + "/riskState/current", "keyEnvelopes/" + nobody, "dataKeys/1-0", "rosters/index", "platform/riskControls", "alpacaAccounts/snapshot"}
}

// rulesChecks looks at the rules by what they do, and by what they are.
func (p *patient) rulesChecks(ctx context.Context) []Check {
	want, path, err := file(p.rules, usualRules)
	if err != nil {
		return []Check{failed("rules", "--rules names the file", "%v", err)}
	}
	if p.offline {
		return []Check{unknown("rules", "--offline: those in force are not on this machine")}
	}
	list := []Check{p.stranger(ctx)}
	switch {
	case path == "":
		return append(list, unknown("rules", "which ones should be in force is not known here: run it in the repository, or say --rules"))
	case p.emulated:
		return append(list, unknown("rules", "the emulator does not show its own"))
	}
	return append(list, p.inForce(ctx, string(want), path))
}

// stranger reads without any token.
func (p *patient) stranger(ctx context.Context) Check {
	const deploy = "firebase deploy --only firestore:rules --project "
	var open []string
	for _, path := range secrets() {
		code, _, err := p.get(ctx, path)
		switch {
		case err != nil:
			return unknown("rules", "%v", err)
		case code == http.StatusForbidden, code == http.StatusUnauthorized:
		case code == http.StatusOK, code == http.StatusNotFound:
			open = append(open, path)
		default:
			return unknown("rules", "a stranger's read was answered with %d", code)
		}
	}
	switch {
	case len(open) == 0:
		return ok("rules", "a stranger's reads are refused (%d documents)", len(secrets()))
	case p.emulated:
		return unknown("rules", "the emulator lets everybody read: no rules are loaded; start it with --rules=%s", usualRules)
	}
	return failed("rules", deploy+p.Config.ProjectID(), "A STRANGER MAY READ %s", strings.Join(open, ", "))
}

// get reads a document by REST, as nobody. date is the server's clock, zero if it does not say.
func (p *patient) get(ctx context.Context, path string) (code int, date time.Time, err error) {
	at := fmt.Sprintf("%s/v1/projects/%s/databases/%s/documents/%s", p.rest, url.PathEscape(p.Config.ProjectID()), url.PathEscape(p.databaseID()), path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, date, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, date, err
	}
	_ = resp.Body.Close()
	date, _ = http.ParseTime(resp.Header.Get("Date"))
	return resp.StatusCode, date, nil
}

// inForce compares the deployed rules with a file.
func (p *patient) inForce(ctx context.Context, want, path string) Check {
	deploy := "firebase deploy --only firestore:rules --project " + p.Config.ProjectID()
	s, err := firebaserules.NewService(ctx, p.google...)
	if err != nil {
		return unknown("rules", "%v", err)
	}
	name := "projects/" + p.Config.ProjectID() + "/releases/cloud.firestore"
	if db := p.databaseID(); db != "(default)" {
		name += "/" + db
	}
	release, err := s.Projects.Releases.Get(name).Context(ctx).Do()
	if err != nil {
		return blamed("rules", deploy, "no rules are released", err)
	}
	set, err := s.Projects.Rulesets.Get(release.RulesetName).Context(ctx).Do()
	if err != nil {
		return blamed("rules", deploy, release.RulesetName, err)
	}
	if set.Source == nil || len(set.Source.Files) != 1 || normal(set.Source.Files[0].Content) != normal(want) {
		return failed("rules", deploy, "those in force (%s, of %s) are not those in %s", lastPart(release.RulesetName), release.UpdateTime, path)
	}
	return ok("rules", "those in force are those in %s", path)
}

// normal leaves out what makes no difference.
func normal(rules string) string {
	return strings.TrimSpace(strings.ReplaceAll(rules, "\r\n", "\n"))
}

// indexFile is firestore.indexes.json: https://firebase.google.com/docs/reference/firestore/indexes
type indexFile struct {
	Indexes []struct {
		CollectionGroup string       `json:"collectionGroup"`
		QueryScope      string       `json:"queryScope"`
		Fields          []indexField `json:"fields"`
	} `json:"indexes"`
	FieldOverrides []struct {
		CollectionGroup string `json:"collectionGroup"`
		FieldPath       string `json:"fieldPath"`
		TTL             bool   `json:"ttl"`
		Indexes         []struct {
			Order       string `json:"order"`
			ArrayConfig string `json:"arrayConfig"`
			QueryScope  string `json:"queryScope"`
		} `json:"indexes"`
	} `json:"fieldOverrides"`
}

type indexField struct {
	FieldPath   string `json:"fieldPath"`
	Order       string `json:"order"`
	ArrayConfig string `json:"arrayConfig"`
}

// indexChecks asks what the platform asks, and compares what is there with the file.
func (p *patient) indexChecks(ctx context.Context) []Check {
	b, path, err := file(p.indexes, usualIndexes)
	var want indexFile
	if err == nil && path != "" {
		if err = json.Unmarshal(b, &want); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return []Check{failed("indexes", "--indexes names the file, firestore.indexes.json", "%v", err)}
	}
	if c, away := p.away("indexes"); away {
		if p.emulated && !p.offline {
			c.Found = "the emulator needs no indexes: look at the project in the cloud"
		}
		return []Check{c}
	}
	list := []Check{p.asked(ctx)}
	if path == "" {
		return append(list, unknown("indexes", "which ones should be there is not known here: run it in the repository, or say --indexes"))
	}
	return append(list, p.there(ctx, want, path))
}

// asked runs the queries over all users that the fanout runs.
func (p *patient) asked(ctx context.Context) Check {
	db, err := p.Firestore(ctx)
	if err != nil {
		return unknown("indexes", "%v", err)
	}
	var missing []string
	for name, q := range map[string]document.Query{
		"syncHealth.failing": {Collection: store.SyncHealth, Group: true, Where: map[string]any{"failing": true}, Limit: 1},
		"strategies.enabled": {Collection: store.Strategies, Group: true, Where: map[string]any{"enabled": true}, Limit: 1},
	} {
		_, err := db.Query(ctx, q)
		switch {
		case status.Code(err) == codes.FailedPrecondition:
			missing = append(missing, name)
		case err != nil:
			return unknown("indexes", "%v", err)
		}
	}
	if slices.Sort(missing); len(missing) > 0 {
		return failed("indexes", "firebase deploy --only firestore:indexes --project "+p.Config.ProjectID()+", and wait until they are built", "no index of collection-group scope: %s: no tick can build the roster", strings.Join(missing, ", "))
	}
	return ok("indexes", "the queries over all users are answered")
}

// there compares the project's indexes, exemptions and TTLs with the file.
func (p *patient) there(ctx context.Context, want indexFile, path string) Check {
	s, err := firestore.NewService(ctx, p.google...)
	if err != nil {
		return unknown("indexes", "%v", err)
	}
	parent := fmt.Sprintf("projects/%s/databases/%s/collectionGroups/-", p.Config.ProjectID(), p.databaseID())
	have := map[string]bool{}
	err = s.Projects.Databases.CollectionGroups.Indexes.List(parent).Pages(ctx, func(page *firestore.GoogleFirestoreAdminV1ListIndexesResponse) error {
		for _, i := range page.Indexes {
			var fields []indexField
			for _, f := range i.Fields {
				fields = append(fields, indexField{f.FieldPath, f.Order, f.ArrayConfig})
			}
			have[composite(groupOf(i.Name), i.QueryScope, fields)] = i.State == "READY"
		}
		return nil
	})
	if err != nil {
		return blamed("indexes", "you need roles/datastore.viewer", "which are there", err)
	}
	for _, filter := range []string{"indexConfig.usesAncestorConfig:false", "ttlConfig:*"} {
		err = s.Projects.Databases.CollectionGroups.Fields.List(parent).Filter(filter).Pages(ctx, func(page *firestore.GoogleFirestoreAdminV1ListFieldsResponse) error {
			for _, f := range page.Fields {
				name := groupOf(f.Name) + "." + lastPart(f.Name)
				if f.TtlConfig != nil {
					have["TTL "+name] = f.TtlConfig.State == "ACTIVE"
				}
				if f.IndexConfig == nil || f.IndexConfig.UsesAncestorConfig {
					continue
				}
				var kinds []string
				ready := true
				for _, i := range f.IndexConfig.Indexes {
					for _, field := range i.Fields {
						kinds = append(kinds, strings.Trim(i.QueryScope+" "+field.Order+field.ArrayConfig, " "))
					}
					ready = ready && i.State == "READY"
				}
				have[single(name, kinds)] = ready
			}
			return nil
		})
		if err != nil {
			return blamed("indexes", "you need roles/datastore.viewer", "which fields are exempt", err)
		}
	}
	return compare(want.names(), have, path, p.Config.ProjectID())
}

func compare(want []string, have map[string]bool, path, project string) Check {
	var missing, building []string
	for _, name := range want {
		if ready, is := have[name]; !is {
			missing = append(missing, name)
		} else if !ready {
			building = append(building, name)
		}
	}
	switch {
	case len(missing) > 0:
		return failed("indexes", "firebase deploy --only firestore:indexes --project "+project, "%d of %d of %s are missing: %s", len(missing), len(want), path, strings.Join(missing, "; "))
	case len(building) > 0:
		return failed("indexes", "wait until they are built", "not ready: %s", strings.Join(building, "; "))
	}
	return ok("indexes", "all %d of %s are there", len(want), path)
}

// names are what the file wants, one name for each thing.
func (f indexFile) names() (names []string) {
	for _, i := range f.Indexes {
		names = append(names, composite(i.CollectionGroup, i.QueryScope, i.Fields))
	}
	for _, o := range f.FieldOverrides {
		name := o.CollectionGroup + "." + o.FieldPath
		var kinds []string
		for _, i := range o.Indexes {
			scope := i.QueryScope
			if scope == "" {
				scope = "COLLECTION"
			}
			kinds = append(kinds, scope+" "+i.Order+i.ArrayConfig)
		}
		names = append(names, single(name, kinds))
		if o.TTL {
			names = append(names, "TTL "+name)
		}
	}
	return names
}

func single(name string, kinds []string) string {
	if len(kinds) == 0 {
		return name + " exempt"
	}
	slices.Sort(kinds)
	return name + " " + strings.Join(kinds, ", ")
}

func composite(group, scope string, fields []indexField) string {
	var parts []string
	for _, f := range fields {
		if f.FieldPath != "__name__" { // Firestore adds it
			parts = append(parts, f.FieldPath+" "+f.Order+f.ArrayConfig)
		}
	}
	return group + " " + scope + " (" + strings.Join(parts, ", ") + ")"
}

// groupOf is the collection group in a resource's name.
func groupOf(name string) string {
	_, rest, _ := strings.Cut(name, "/collectionGroups/")
	group, _, _ := strings.Cut(rest, "/")
	return group
}

// maxSkew is how wrong a clock may be: snapshots carry its time, and tokens end by it.
const maxSkew = 5 * time.Second

// clock compares this machine's with Google's. The header has whole seconds.
func (p *patient) clock(ctx context.Context) []Check {
	if c, away := p.away("clock"); away {
		if p.emulated && !p.offline {
			c.Found = "the emulator's clock is this machine's own"
		}
		return []Check{c}
	}
	before := p.now()
	_, date, err := p.get(ctx, "users/"+nobody)
	after := p.now()
	switch {
	case err != nil:
		return []Check{unknown("clock", "%v", err)}
	case date.IsZero():
		return []Check{unknown("clock", "the answer does not say the time")}
	}
	skew := before.Add(after.Sub(before) / 2).Sub(date.Add(time.Second / 2))
	if skew.Abs() > maxSkew+after.Sub(before)/2 {
		return []Check{failed("clock", "sudo timedatectl set-ntp true", "this machine's is %s off Google's", skew.Round(time.Second))}
	}
	return []Check{ok("clock", "within %s of Google's", maxSkew)}
}
