package migrate

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/user"
)

const (
	maxFile   = 512 << 20
	maxFaults = 50 // that are told one by one
)

// columns are what a list may say of a user; user_id it must.
var columns = []string{"user_id", "tenant_id", "email", "display_name", "status", "broker_env"}

// list is users from a file, with the row that each is in: as a spreadsheet counts, the header is row 1; of JSON the first object is.
type list struct {
	name   string
	rows   []migration.Row
	at     []int
	ids    map[string]int // row by user
	owners map[string]int // row by tenant
	faults faults
}

// faults are what is wrong with the input, a line each. All are counted, and the first are kept.
type faults struct {
	lines []string
	n     int
}

func (f *faults) add(format string, args ...any) {
	if f.n++; f.n <= maxFaults {
		f.lines = append(f.lines, fmt.Sprintf(format, args...))
	}
}

// addAll adds each of joined errors.
func (f *faults) addAll(where string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the parts of this very error
		for _, e := range joined.Unwrap() {
			f.addAll(where, e)
		}
		return
	}
	if err != nil {
		f.add("%s%s", where, strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// readList reads a .csv or .json file. What is wrong with the rows is in faults; an error is of the file as a whole.
func readList(path string) (*list, error) {
	l := &list{name: filepath.Base(path), ids: map[string]int{}, owners: map[string]int{}}
	read := map[string]func(io.Reader) error{".csv": l.csv, ".json": l.json}[strings.ToLower(filepath.Ext(path))]
	if read == nil {
		return nil, fmt.Errorf("--users-file %.200q: want a .csv or a .json file", path)
	}
	file, err := os.Open(path) //nolint:gosec // the user named it
	if err != nil {
		return nil, fmt.Errorf("--users-file: %w", err)
	}
	defer func() { _ = file.Close() }()
	bounded := &io.LimitedReader{R: file, N: maxFile + 1}
	in := bufio.NewReader(bounded)
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	} else if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("%s is UTF-16: save it as UTF-8", l.name)
	}
	err = read(in)
	switch {
	case bounded.N <= 0:
		return nil, fmt.Errorf("%s has more than %d MiB: split it", l.name, maxFile>>20)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", l.name, err)
	case len(l.rows) == 0 && l.faults.n == 0:
		return nil, fmt.Errorf("%s lists no user", l.name)
	}
	return l, nil
}

// rowName is how people find row i of the list.
func (l *list) rowName(i int) string {
	if i >= len(l.at) {
		return "--legacy-user"
	}
	return fmt.Sprintf("%s: row %d", l.name, l.at[i])
}

func (l *list) csv(in io.Reader) error {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("is empty: want a header and a row for each user: %s", strings.Join(columns, ","))
	}
	if err != nil {
		return fmt.Errorf("row 1: %w", err)
	}
	names, err := header(head)
	if err != nil {
		return err
	}
	for n := 2; ; n++ {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil { // where the next row begins is not known
			l.faults.add("%s: row %d: %s: the rows after it were not read", l.name, n, err)
			return nil
		}
		where := fmt.Sprintf("%s: row %d", l.name, n)
		if line, _ := r.FieldPos(0); line != n {
			where += fmt.Sprintf(" (line %d)", line)
		}
		if len(cells) != len(names) {
			l.faults.add("%s: has %d cells, the header has %d", where, len(cells), len(names))
			continue
		}
		values := map[string]string{}
		for i, name := range names {
			values[name] = strings.Trim(cells[i], " \t")
		}
		l.row(where, n, values)
	}
}

// header is the columns' names, in small letters.
func header(cells []string) ([]string, error) {
	var names []string
	var errs []error
	for _, cell := range cells {
		name := strings.ToLower(strings.TrimSpace(cell))
		switch {
		case !slices.Contains(columns, name):
			hint := ""
			if strings.ContainsAny(cell, ";\t") {
				hint = "; cells are separated by commas"
			}
			errs = append(errs, fmt.Errorf("row 1: no column is called %.80q: want a header of %s%s", cell, strings.Join(columns, ", "), hint))
		case slices.Contains(names, name):
			errs = append(errs, fmt.Errorf("row 1: there are two columns %s", name))
		}
		names = append(names, name)
	}
	if len(errs) == 0 && !slices.Contains(names, "user_id") {
		errs = append(errs, errors.New("row 1: the header lacks user_id"))
	}
	return names, errors.Join(errs...)
}

func (l *list) json(in io.Reader) error {
	d := json.NewDecoder(in)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(errors.New(`want a JSON list of objects: [{"user_id": "ann", …}, …]`), ignoreEOF(err))
	}
	n := 1
	for ; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			l.faults.add("%s: row %d: %s: the rows after it were not read", l.name, n, err)
			return nil
		}
		where := fmt.Sprintf("%s: row %d", l.name, n)
		if !utf8.Valid(raw) {
			l.faults.add("%s: is not UTF-8", where)
			continue
		}
		var object map[string]any
		if err := json.Unmarshal(raw, &object); err != nil || object == nil {
			l.faults.add("%s: is %.40s: want an object", where, raw)
			continue
		}
		if values, ok := l.texts(where, object); ok {
			l.row(where, n, values)
		}
	}
	if _, err := d.Token(); err != nil {
		l.faults.add("%s: the list has no end after row %d: is the file whole?", l.name, n-1)
	} else if _, err := d.Token(); !errors.Is(err, io.EOF) {
		l.faults.add("%s: something comes after the list", l.name)
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (l *list) texts(where string, object map[string]any) (values map[string]string, ok bool) {
	values, ok = map[string]string{}, true
	for name, v := range object {
		s, isText := v.(string)
		switch {
		case !slices.Contains(columns, name):
			l.faults.add("%s: nothing is called %.80q: want %s", where, name, strings.Join(columns, ", "))
			ok = false
		case !isText && v != nil:
			l.faults.add("%s: %s is %.40v: want a text", where, name, v)
			ok = false
		default:
			values[name] = s
		}
	}
	return values, ok
}

// row checks and keeps a row.
func (l *list) row(where string, n int, values map[string]string) {
	before := l.faults.n
	for _, name := range columns {
		if v := values[name]; !utf8.ValidString(v) {
			l.faults.add("%s: %s %.40q is not UTF-8: save the file as UTF-8", where, name, v)
		}
	}
	if l.faults.n > before {
		return
	}
	r := migration.Row{
		UserID: values["user_id"], TenantID: values["tenant_id"], Email: values["email"], DisplayName: values["display_name"],
		Status: user.Status(values["status"]), BrokerEnv: values["broker_env"],
	}
	l.faults.addAll(where+": ", r.Check())
	if first, twice := l.ids[r.UserID]; twice {
		l.faults.add("%s: user %.40q is in row %d too", where, r.UserID, first)
	}
	if first, twice := l.owners[r.TenantID]; twice && r.TenantID != "" {
		l.faults.add("%s: tenant_id %.40q is in row %d too: a tenant is one user's", where, r.TenantID, first)
	}
	l.ids[r.UserID], l.owners[r.TenantID] = n, n
	l.rows, l.at = append(l.rows, r), append(l.at, n)
}
