package firestore_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/firestore"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// model is docs/data-model.md.
type model struct {
	paths    map[string]place // "users/{uid}/syncHealth/alpaca"
	sections map[string][]field
}

// place is a path's line in the table at the top.
type place struct{ writers, readers, kept string }

// field is a field's line; in is the field whose maps it is in, "" at the top level.
type field struct{ name, in, kind, meaning string }

var heading = regexp.MustCompile("^###? (`.*)$")

func readModel(t *testing.T) model {
	t.Helper()
	b, err := os.ReadFile("../docs/data-model.md")
	must(t, err)
	m := model{paths: map[string]place{}, sections: map[string][]field{}}
	var current []string // paths of the section
	in := ""
	for _, line := range strings.Split(string(b), "\n") {
		if h := heading.FindStringSubmatch(line); h != nil {
			current = quotedIn(h[1])
			for _, path := range current {
				m.sections[path] = nil
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || !strings.Contains(cells[0], "`") {
			continue
		}
		if current == nil {
			if len(cells) != 4 {
				t.Errorf("docs/data-model.md: %d columns, want path, writers, readers, lifetime: %s", len(cells), line)
				continue
			}
			m.paths[quotedIn(cells[0])[0]] = place{cells[1], cells[2], cells[3]}
			continue
		}
		nested := strings.HasPrefix(cells[0], "… ")
		for _, name := range quotedIn(cells[0]) {
			f := field{name: name, kind: cells[1], meaning: cells[len(cells)-1]}
			if nested {
				f.in = in
			} else {
				in = name
			}
			for _, path := range current {
				m.sections[path] = append(m.sections[path], f)
			}
		}
	}
	if len(m.paths) < 15 {
		t.Fatalf("docs/data-model.md: only %d paths: is its table understood?", len(m.paths))
	}
	return m
}

var backquoted = regexp.MustCompile("`([^`]*)`")

func quotedIn(text string) (names []string) {
	for _, m := range backquoted.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// collection is the name of the collection that a path's documents are in.
func collection(path string) string {
	parts := strings.Split(path, "/")
	return parts[len(parts)-2]
}

// The table at the top and the sections are about the same paths, and the table leaves nothing out.
func TestModelIsWhole(t *testing.T) {
	m := readModel(t)
	for path, p := range m.paths {
		if _, ok := m.sections[path]; !ok {
			t.Errorf("%s has no section", path)
		}
		if p.writers == "" || p.readers == "" || p.kept == "" {
			t.Errorf("%s: who writes it, who reads it, how long is it kept?", path)
		}
	}
	for path, fields := range m.sections {
		if _, ok := m.paths[path]; !ok {
			t.Errorf("%s is not in the table at the top", path)
		}
		for _, f := range fields {
			if f.kind == "" {
				t.Errorf("%s: field %s has no type", path, f.name)
			}
		}
	}
}

// Each path of the data model is tried with each operation, and each field of a user and of a signal with an update of its own.
func TestMatrixIsWhole(t *testing.T) {
	m, p := readModel(t), readPage(t)
	for path := range m.paths {
		tried := map[string]bool{}
		touched := map[string]bool{}
		for _, r := range p.rows {
			if !matches(path, r.path) {
				continue
			}
			for _, op := range r.ops {
				if tried[op] = true; op == "update" && len(r.write.touches()) == 1 {
					touched[r.write.touches()[0]] = true
				}
			}
		}
		for _, op := range operations {
			if !tried[op] {
				t.Errorf("matrix.md does not try %s of %s", op, path)
			}
		}
		if path != "users/{uid}" && path != "users/{uid}/tradingSignals/{signalId}" {
			continue
		}
		for _, f := range m.sections[path] {
			if !touched[f.name] {
				t.Errorf("matrix.md does not try an update of %s of %s alone", f.name, path)
			}
		}
	}
}

// The collections that the rules' catch-all leaves out are those of the data model below users/{uid}, and those that operators can't
// read are those with keys.
func TestRulesKnowTheModel(t *testing.T) {
	m := readModel(t)
	var below, keys []string
	for path := range m.paths {
		parts := strings.Split(path, "/")
		if parts[0] == "users" && len(parts) == 4 && !slices.Contains(below, parts[2]) {
			below = append(below, parts[2])
		}
		if strings.HasPrefix(strings.ToLower(parts[0]), "key") || strings.HasSuffix(parts[0], "Keys") {
			keys = append(keys, parts[0])
		}
	}
	sameNames(t, "platform() and docs/data-model.md below users/{uid}", listOf(t, "platform"), below)
	sameNames(t, "keyMaterial() and docs/data-model.md", listOf(t, "keyMaterial"), keys)
}

// The rules and the command line take the same e-mail addresses and names, by length, and know the same tenant for none.
func TestRulesKnowTheBounds(t *testing.T) {
	for _, want := range []string{
		fmt.Sprintf("d.get('email', '').toUtf8().size() <= %d\n", user.MaxEmail), fmt.Sprintf("d.get('displayName', '').size() <= %d;", user.MaxName),
		fmt.Sprintf("id != '%s' ", migration.LocalTenant),
	} {
		if !strings.Contains(firestore.Rules, want) {
			t.Errorf("firestore.rules has no %s", want)
		}
	}
}

func sameNames(t *testing.T, what string, a, b []string) {
	t.Helper()
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Errorf("%s differ:\n%v\n%v", what, a, b)
	}
}
