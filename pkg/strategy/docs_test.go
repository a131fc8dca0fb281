package strategy_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// docs/strategies.md knows exactly the kinds and parameters that there are, with their defaults; its example documents are
// good ones, and its code is what is compiled here.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/strategies.md")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, section := range strings.Split(string(b), "\n## `")[1:] {
		kind, text, _ := strings.Cut(section, "`\n")
		text, _, _ = strings.Cut(text, "\n## ")
		kinds = append(kinds, kind)
		var documented []strategy.Parameter
		for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) \\|").FindAllStringSubmatch(text, -1) {
			documented = append(documented, strategy.Parameter{Name: row[1], Default: strings.TrimPrefix(row[2], "required")})
		}
		if d := cmp.Diff(strategy.Parameters(kind), documented); d != "" {
			t.Errorf("%s (-code +docs):\n%s", kind, d)
		}
		for _, example := range fenced(text, "json") {
			var d strategy.Definition
			if err := json.Unmarshal([]byte(example), &d); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if _, err := strategy.New(d); err != nil || d.Kind != kind || !d.Enabled {
				t.Errorf("%s: %s: %v", kind, example, err)
			}
		}
		if !strings.Contains(text, "\nSource: ") || len(fenced(text, "json")) == 0 {
			t.Errorf("%s has no source or no example", kind)
		}
	}
	if d := cmp.Diff(strategy.Kinds(), kinds, cmp.Transformer("sorted", sorted)); d != "" {
		t.Errorf("kinds (-code +docs):\n%s", d)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	quoted, lines := fenced(string(b), "go"), 0
	for _, q := range quoted {
		if lines += strings.Count(q, "\n"); !strings.Contains(string(code), q) {
			t.Errorf("example_test.go does not hold:\n%s", q)
		}
	}
	if len(quoted) != 2 || lines > 50 {
		t.Errorf("%d blocks of code with %d lines: want the strategy and its test in at most 50", len(quoted), lines)
	}
}

func sorted(kinds []string) map[string]int {
	n := map[string]int{}
	for _, k := range kinds {
		n[k]++
	}
	return n
}

// fenced are the blocks of a language in a page.
func fenced(page, language string) (blocks []string) {
	for _, b := range strings.Split(page, "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(b, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// Every denial of this package's has its row.
func TestDocsOfDenials(t *testing.T) {
	b, err := os.ReadFile("../../docs/strategies.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		code, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"([A-Z]+_[A-Z]+)"`).FindAllStringSubmatch(string(code), -1) {
			if !strings.Contains(string(b), "`"+m[1]+"`") {
				t.Errorf("%s: docs/strategies.md does not say what %s is", f.Name(), m[1])
			}
		}
	}
}
