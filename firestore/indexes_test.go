package firestore_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/firestore"
)

type indexFile struct {
	Indexes        []any `json:"indexes"`
	FieldOverrides []struct {
		CollectionGroup string  `json:"collectionGroup"`
		FieldPath       string  `json:"fieldPath"`
		TTL             bool    `json:"ttl"`
		Indexes         []index `json:"indexes"`
	} `json:"fieldOverrides"`
}

type index struct {
	Order      string `json:"order"`
	QueryScope string `json:"queryScope"`
}

// sorted are the times that owners sort their lists by; their collections are each one user's, and grow slowly.
var sorted = []string{"tradingSignals.created_at", "tradingSignals.expires_at", "decisions.decided_at"}

// besides are exempt too: they only grow, or are long, and nobody asks for them.
var besides = []string{
	"alpacaAccounts.tick", "alpacaAccounts.seq", "alpacaAccounts.changed_seq", "alpacaAccounts.traceparent", "alpacaAccounts.updated_at_iso", "accounts.updated_at_iso", "syncHealth.tick",
	"tradingSignals.raw_model_output", "tradingSignals.reason",
}

var heavy = regexp.MustCompile(`^(timestamp|map|list of maps|bytes)`)

// The index file exempts what the data model has of times, maps and bytes, has a TTL policy for what the data model says is kept so,
// and an index for each query that is made.
func TestIndexes(t *testing.T) {
	var file indexFile
	d := json.NewDecoder(strings.NewReader(string(firestore.Indexes)))
	d.DisallowUnknownFields()
	must(t, d.Decode(&file))
	m := readModel(t)
	m.sections["tenants/{tenant}/accounts/primary"] = m.sections["alpacaAccounts/snapshot"]
	var exempt, ttl []string
	scopes := map[string][]string{}
	for _, o := range file.FieldOverrides {
		name := o.CollectionGroup + "." + o.FieldPath
		if _, twice := scopes[name]; twice {
			t.Errorf("%s is in firestore.indexes.json twice", name)
		}
		if scopes[name] = []string{}; len(o.Indexes) == 0 {
			exempt = append(exempt, name)
		}
		for _, i := range o.Indexes {
			if i.Order != "ASCENDING" {
				t.Errorf("%s: an index of order %q: nobody asks for it", name, i.Order)
			}
			scopes[name] = append(scopes[name], i.QueryScope)
		}
		if o.TTL {
			ttl = append(ttl, name)
		}
	}
	want, wantTTL := slices.Clone(besides), []string{}
	for path, fields := range m.sections {
		for _, f := range fields {
			name := collection(path) + "." + f.name
			if f.in == "" && heavy.MatchString(f.kind) && !slices.Contains(sorted, name) && !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
		if _, kept, ok := strings.Cut(m.paths[path].kept, "TTL on `"); ok {
			name, _, _ := strings.Cut(kept, "`")
			wantTTL = append(wantTTL, collection(path)+"."+name)
		}
	}
	sameNames(t, "exemptions, and times, maps and bytes of docs/data-model.md,", exempt, want)
	sameNames(t, "TTL policies of firestore.indexes.json and of docs/data-model.md", ttl, wantTTL)
	if len(file.Indexes) != 0 {
		t.Error("composite indexes: no query needs one")
	}

	asked := queries(t)
	if len(asked) < 5 {
		t.Fatalf("only %d queries found in the code: %v", len(asked), asked)
	}
	for _, q := range asked {
		if len(q.where) > 1 {
			t.Errorf("%s: more than one field: it may need a composite index", q)
		}
		for _, f := range q.where {
			name := q.collection + "." + f
			has, overridden := scopes[name]
			switch {
			case q.group && !slices.Contains(has, "COLLECTION_GROUP"):
				t.Errorf("%s: firestore.indexes.json has no index of %s over all collections of the name", q, name)
			case !q.group && overridden && !slices.Contains(has, "COLLECTION"):
				t.Errorf("%s: firestore.indexes.json has no index of %s", q, name)
			}
			if _, ok := m.fieldOf(q.collection, f); !ok {
				t.Errorf("%s: docs/data-model.md has no field %s", q, name)
			}
		}
	}
}

func (m model) fieldOf(name, f string) (field, bool) {
	for path, fields := range m.sections {
		if i := slices.IndexFunc(fields, func(x field) bool { return x.name == f && x.in == "" }); i >= 0 && collection(path) == name {
			return fields[i], true
		}
	}
	return field{}, false
}

// asked is a query that the code makes.
type asked struct {
	at         string
	collection string
	group      bool
	where      []string
}

func (a asked) String() string { return fmt.Sprintf("%s: query of %s", a.at, a.collection) }
