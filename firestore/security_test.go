package firestore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	test      = regexp.MustCompile("`([a-z/]+)\\.(Test\\w+)`")
	threatRow = regexp.MustCompile(`(?m)^\| .* \| .* \| .* \| (.*) \|$`)
)

// Each threat of docs/security.md names tests, and these are there.
func TestThreatsAreShown(t *testing.T) {
	b, err := os.ReadFile("../docs/security.md")
	must(t, err)
	_, threats, _ := strings.Cut(string(b), "\n## Threats\n")
	threats, _, _ = strings.Cut(threats, "\n## ")
	rows := threatRow.FindAllStringSubmatch(threats, -1)
	if len(rows) < 10 {
		t.Fatalf("docs/security.md has %d threats: is its table understood?", len(rows))
	}
	for _, row := range rows[2:] { // without the head
		named := test.FindAllStringSubmatch(row[1], -1)
		if len(named) == 0 {
			t.Errorf("no test shows it: %s", row[0])
		}
		for _, n := range named {
			files, err := filepath.Glob(filepath.Join("..", n[1], "*_test.go"))
			must(t, err)
			there := false
			for _, name := range files {
				code, err := os.ReadFile(name)
				must(t, err)
				there = there || strings.Contains(string(code), "\nfunc "+n[2]+"(t *testing.T)")
			}
			if !there {
				t.Errorf("docs/security.md names %s.%s, and there is no such test", n[1], n[2])
			}
		}
	}
}
