package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/migration"
)

func writeList(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestList(t *testing.T) {
	ann, bob := migration.Row{UserID: "ann", Email: "ann@example.com", DisplayName: `Ann "A", B`}, migration.Row{UserID: "bob", TenantID: "acme", Status: "active", BrokerEnv: "live"}
	for name, c := range map[string]struct{ file, content string }{
		"plain":          {"u.csv", "user_id,email,display_name,tenant_id,status,broker_env\nann,ann@example.com,\"Ann \"\"A\"\", B\",,,\nbob,,,acme,active,live\n"},
		"BOM and CRLF":   {"u.csv", "\xef\xbb\xbfuser_id,email,display_name,tenant_id,status,broker_env\r\nann,ann@example.com,\"Ann \"\"A\"\", B\",,,\r\n\r\nbob,,,acme,active,live"},
		"blanks":         {"u.CSV", "User_ID , EMAIL,display_name,tenant_id,status,broker_env\n ann,ann@example.com ,\"Ann \"\"A\"\", B\",,,\nbob,,, acme,active,live\n"},
		"JSON":           {"u.json", `[{"user_id":"ann","email":"ann@example.com","display_name":"Ann \"A\", B","tenant_id":null},{"user_id":"bob","tenant_id":"acme","status":"active","broker_env":"live"}]`},
		"JSON and a BOM": {"u.json", "\xef\xbb\xbf [\n{\"user_id\":\"ann\",\"email\":\"ann@example.com\",\"display_name\":\"Ann \\\"A\\\", B\"},\n{\"user_id\":\"bob\",\"tenant_id\":\"acme\",\"status\":\"active\",\"broker_env\":\"live\"}]\n"},
	} {
		l, err := readList(writeList(t, c.file, c.content))
		if err != nil || l.faults.n > 0 {
			t.Errorf("%s: %v %v", name, err, l)
			continue
		}
		if d := cmp.Diff([]migration.Row{ann, bob}, l.rows); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Bad input: each fault is a line with its row, all of them are told, and nothing is opened, let alone written.
func TestBadList(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		want          []string // the lines, or one of the error
		whole         bool     // it is an error of the file
	}{
		"many faults": {"users.csv", "user_id,email,display_name,tenant_id,status,broker_env\n" +
			"ann,ann@example.com,Ann,t1,,\n" +
			"ann,not an address,,,,\n" +
			"a/b,a@b,,,,\n" +
			"carl,carl@example.com," + strings.Repeat("x", 100) + ",,,\n" +
			"dora,dora@example.com,D,t1,asleep,demo\n" +
			",,,,,\n" +
			"eve,\"eve@example.com, x@example.com\",,a/b,,\n" +
			"fay,Fay <fay@example.com>,\"line\nbreak\",,,\n" +
			"gus,g@example.com,,\n" +
			"hal,h@example.com,M\xfcller,,,\n" +
			"__ivy__,@example.com,,..,,\n",
			[]string{
				`users.csv: row 3: e-mail "not an address": want one address`,
				`users.csv: row 3: user "ann" is in row 2 too`,
				`users.csv: row 4: user id "a/b": want 1 to 128 letters, digits, - or _`,
				`users.csv: row 4: e-mail "a@b": want one address`,
				`users.csv: row 5: display name "` + strings.Repeat("x", 40) + `"…: 100 characters, at most 80 are allowed`,
				`users.csv: row 6: status "asleep": want pending`,
				`users.csv: row 6: broker_env "demo": want paper or live`,
				`users.csv: row 6: tenant_id "t1" is in row 2 too`,
				`users.csv: row 7: user id "": want`,
				`users.csv: row 8: tenant_id "a/b": must not`,
				`users.csv: row 8: e-mail "eve@example.com, x@example.com": want one address`,
				`users.csv: row 9: e-mail "Fay <fay@example.com>": want one address`,
				`users.csv: row 9: display name "line\nbreak": want letters that can be seen`,
				`users.csv: row 10 (line 11): has 4 cells, the header has 6`,
				`users.csv: row 11 (line 12): display_name "M\xfcller" is not UTF-8`,
				`users.csv: row 12 (line 13): user id "__ivy__": the database keeps`,
				`users.csv: row 12 (line 13): tenant_id ".."`,
				`users.csv: row 12 (line 13): e-mail "@example.com"`,
			}, false},
		"an open quote":        {"u.csv", "user_id,display_name\nann,\"A\nbob,B\n", []string{`u.csv: row 2: `, "the rows after it were not read"}, false},
		"a quote in the midst": {"u.csv", "user_id,display_name\nann,A\nbob,B \"x\" C\n", []string{`u.csv: row 3: `}, false},
		"no header":            {"u.csv", "ann,ann@example.com\n", []string{`row 1: no column is called "ann"`}, true},
		"an unknown column":    {"u.csv", "user_id,phone\nann,1\n", []string{`no column is called "phone"`}, true},
		"without ids":          {"u.csv", "email\nann@example.com\n", []string{"lacks user_id"}, true},
		"a column twice":       {"u.csv", "user_id,email,email\nann,,\n", []string{"two columns email"}, true},
		"semicolons":           {"u.csv", "user_id;email\nann;x\n", []string{"separated by commas"}, true},
		"UTF-16":               {"u.csv", "\xff\xfeu\x00s\x00", []string{"is UTF-16: save it as UTF-8"}, true},
		"empty":                {"u.csv", "", []string{"is empty"}, true},
		"only a header":        {"u.csv", "user_id\n", []string{"lists no user"}, true},
		"another kind":         {"u.xlsx", "PK", []string{"want a .csv or a .json file"}, true},
		"JSON faults": {"u.json", `[{"user_id":"ann"},{"user_id":7},{"userid":"x"},"bob",null,{"user_id":"ann","email":"x"}]`, []string{
			"u.json: row 2: user_id is 7: want a text", `u.json: row 3: nothing is called "userid"`, `u.json: row 4: is "bob": want an object`, "u.json: row 5: is null: want an object",
			`u.json: row 6: e-mail "x"`, `u.json: row 6: user "ann" is in row 1 too`,
		}, false},
		"JSON that ends early":  {"u.json", `[{"user_id":"ann"}`, []string{"u.json: the list has no end after row 1"}, false},
		"JSON that is broken":   {"u.json", `[{"user_id":"ann"},{"user_id":}]`, []string{"u.json: row 2: ", "the rows after it were not read"}, false},
		"JSON and more":         {"u.json", `[{"user_id":"ann"}] x`, []string{"something comes after the list"}, false},
		"JSON that is no list":  {"u.json", `{"user_id":"ann"}`, []string{"want a JSON list"}, true},
		"JSON that is no UTF-8": {"u.json", "[{\"user_id\":\"ann\",\"display_name\":\"M\xfcller\"}]", []string{"row 1: is not UTF-8"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			opened := false
			c2 := command(func(context.Context, string) (*desk, error) { opened = true; return nil, errors.New("opened") }, func(any) bool { return false })
			stdout, stderr, err := execute(t, c2, "run", "--users-file", writeList(t, c.file, c.content))
			if err == nil || opened || stdout != "" {
				t.Fatalf("%v, opened: %t, %q", err, opened, stdout)
			}
			if c.whole {
				if !strings.Contains(err.Error(), c.want[0]) || !strings.Contains(err.Error(), c.file[:2]) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if len(c.want) > 1 && !strings.Contains(c.want[1], "not read") && len(lines) != len(c.want) {
				t.Errorf("%d lines, want %d:\n%s", len(lines), len(c.want), stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("no line %q in:\n%s", want, stderr)
				}
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("%d fault", len(lines))) || !strings.Contains(err.Error(), "nothing was done") {
				t.Errorf("%v", err)
			}
		})
	}
}

// However bad the list, what is said of it is bounded, and counted.
func TestManyFaults(t *testing.T) {
	var b strings.Builder
	b.WriteString("user_id\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "a/%d\n", i)
	}
	_, stderr, err := execute(t, command(nil, nil), "plan", "--users-file", writeList(t, "u.csv", b.String()))
	if n := strings.Count(stderr, "\n"); n != maxFaults+1 || !strings.Contains(stderr, "and 9950 more") || err == nil || !strings.Contains(err.Error(), "10000 faults") {
		t.Errorf("%d lines, %v", n, err)
	}
}

func FuzzList(f *testing.F) {
	f.Add("user_id,email\nann,a@example.com\n", true)
	f.Add("\xef\xbb\xbfuser_id\r\n\"a\nb\"\r\n", true)
	f.Add(`[{"user_id":"ann","tenant_id":"t"}]`, false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string, isCSV bool) {
		path := filepath.Join(dir, map[bool]string{true: "u.csv", false: "u.json"}[isCSV])
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := readList(path)
		if err != nil || l.faults.n > 0 {
			return
		}
		ids, tenants := map[string]bool{}, map[string]bool{}
		for _, r := range l.rows { // what is taken is sound
			if err := r.Check(); err != nil || ids[r.UserID] || (r.TenantID != "" && tenants[r.TenantID]) {
				t.Errorf("%q: took %+v: %v", content, r, err)
			}
			ids[r.UserID], tenants[r.TenantID] = true, true
		}
	})
}
