package firestore_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// page is matrix.md.
type page struct {
	callers []caller
	docs    map[string]map[string]any // by path, fields in the database's JSON
	rows    []row
	at      time.Time // when it was read: times in it are counted from then
}

type caller struct{ name, token string } // token "": none

// row is one line of attempts, which the same callers may make.
type row struct {
	line  int
	ops   []string
	path  string
	write write
	text  string // the write, as the page has it
	may   []string
}

type write struct {
	fields  map[string]any // in the database's JSON
	without string         // a field that is removed
	only    bool           // nothing but the fields stays
}

// touches names the fields that the write changes.
func (w write) touches() (names []string) {
	for k := range w.fields {
		names = append(names, k)
	}
	if w.without != "" {
		names = append(names, w.without)
	}
	return names
}

// operations are the attempts that each path of the data model wants; a query is one more.
var operations = []string{"get", "list", "group", "create", "update", "delete"}

// try is one attempt.
type try struct {
	row
	op string
	caller
}

func (a try) allowed() bool { return slices.Contains(a.may, a.name) }

// tries are all attempts, in the order of the page.
func (p *page) tries() (all []try) {
	for _, r := range p.rows {
		for _, op := range r.ops {
			for _, c := range p.callers {
				all = append(all, try{r, op, c})
			}
		}
	}
	return all
}

func readPage(t *testing.T) *page {
	t.Helper()
	b, err := os.ReadFile("matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &page{docs: map[string]map[string]any{}, at: time.Now()}
	table, path := "", ""
	for i, line := range strings.Split(string(b), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			table = ""
			continue
		case table == "":
			table = cells[0]
			continue
		case strings.HasPrefix(cells[0], "---"):
			continue
		}
		var err error
		switch {
		case table == "caller" && len(cells) == 2:
			err = p.addCaller(cells[0], code(cells[1]))
		case table == "path" && len(cells) == 2:
			p.docs[expand(cells[0])], err = p.object(code(cells[1]))
		case table == "attempt" && len(cells) == 4:
			if cells[1] != "" {
				path = expand(cells[1])
			}
			err = p.addRow(i+1, cells, path)
		default:
			err = fmt.Errorf("it has %d columns", len(cells))
		}
		if err != nil {
			t.Fatalf("matrix.md:%d: %v", i+1, err)
		}
	}
	return p
}

func (p *page) addCaller(name, claims string) error {
	if claims == "" {
		p.callers = append(p.callers, caller{name: name})
		return nil
	}
	var c map[string]any
	if err := json.Unmarshal([]byte(claims), &c); err != nil {
		return err
	}
	if until, ok := c["operator_until"].(string); ok {
		d, err := time.ParseDuration(until)
		if err != nil {
			return err
		}
		c["operator_until"] = p.at.Add(d).Unix()
	}
	b, err := json.Marshal(c)
	p.callers = append(p.callers, caller{name, segment(`{"alg":"none"}`) + "." + segment(string(b)) + "."})
	return err
}

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func (p *page) addRow(line int, cells []string, path string) (err error) {
	r := row{line: line, ops: strings.Fields(cells[0]), path: path, text: code(cells[2])}
	for _, op := range r.ops {
		if op != "query" && !slices.Contains(operations, op) {
			return fmt.Errorf("attempt %q: want some of %v", op, operations)
		}
	}
	if path == "" || strings.Count(path, "/")%2 == 0 {
		return fmt.Errorf("%q is no document's path", path)
	}
	if r.write, err = p.write(r.text); err != nil {
		return err
	}
	if cells[3] != "nobody" {
		for _, name := range strings.Split(cells[3], ", ") {
			if !slices.ContainsFunc(p.callers, func(c caller) bool { return c.name == name }) {
				return fmt.Errorf("%q is no caller", name)
			}
			r.may = append(r.may, name)
		}
	}
	p.rows = append(p.rows, r)
	return nil
}

func (p *page) write(text string) (w write, err error) {
	if name, ok := strings.CutPrefix(text, "without "); ok {
		return write{without: name}, nil
	}
	text, w.only = strings.CutPrefix(text, "only ")
	if text == "" {
		text = `{"x": 2}`
	}
	w.fields, err = p.object(text)
	return w, err
}

// code is a cell without its backticks.
func code(cell string) string { return strings.Trim(cell, "`") }

var named = regexp.MustCompile(`#[a-z-]+`)

// expand puts ids as the signaler makes them in the place of #names.
func expand(path string) string {
	return named.ReplaceAllStringFunc(path, func(name string) string {
		sum := md5.Sum([]byte(name))
		return hex.EncodeToString(sum[:])
	})
}

// object is a JSON object as the fields of a document, in the database's JSON.
func (p *page) object(text string) (map[string]any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return p.fields(m)
}

func (p *page) fields(m map[string]any) (map[string]any, error) {
	f := map[string]any{}
	for k, v := range m {
		typed, err := p.value(v)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", k, err)
		}
		f[k] = typed
	}
	return f, nil
}

func (p *page) value(v any) (map[string]any, error) {
	switch v := v.(type) {
	case bool:
		return map[string]any{"booleanValue": v}, nil
	case json.Number:
		if strings.ContainsAny(v.String(), ".e") {
			return map[string]any{"doubleValue": v}, nil
		}
		return map[string]any{"integerValue": v.String()}, nil
	case string:
		return p.text(v)
	case []any:
		var list []any
		for _, e := range v {
			typed, err := p.value(e)
			if err != nil {
				return nil, err
			}
			list = append(list, typed)
		}
		return map[string]any{"arrayValue": map[string]any{"values": list}}, nil
	case map[string]any:
		f, err := p.fields(v)
		return map[string]any{"mapValue": map[string]any{"fields": f}}, err
	}
	return nil, fmt.Errorf("a %T has no place in the matrix", v)
}

func (p *page) text(s string) (map[string]any, error) {
	switch {
	case s == "#NaN" || s == "#Infinity":
		return map[string]any{"doubleValue": s[1:]}, nil
	case strings.HasPrefix(s, "@"):
		d, err := time.ParseDuration(s[1:])
		return map[string]any{"timestampValue": p.at.Add(d).UTC().Format(time.RFC3339Nano)}, err
	}
	if before, count, ok := strings.Cut(s, "~"); ok {
		n, err := strconv.Atoi(count)
		return map[string]any{"stringValue": before + strings.Repeat("x", n)}, err
	}
	return map[string]any{"stringValue": s}, nil
}
