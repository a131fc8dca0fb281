package firestore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/firestore"
)

// source is a package's code, as much as says where documents are.
type source struct {
	fset      *token.FileSet
	files     []*ast.File
	constants map[string]ast.Expr
	functions map[string]*ast.FuncDecl
}

// readSource parses the files of a folder, without tests.
func readSource(t *testing.T, dir string) source {
	t.Helper()
	s := source{token.NewFileSet(), nil, map[string]ast.Expr{}, map[string]*ast.FuncDecl{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(s.fset, name, nil, 0)
		must(t, err)
		s.files = append(s.files, f)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					s.functions[d.Name.Name] = d
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.CONST && len(v.Values) == len(v.Names) {
						for i, n := range v.Names {
							s.constants[n.Name] = v.Values[i]
						}
					}
				}
			}
		}
	}
	return s
}

// text is the value of an expression of texts: constants, parameters ("{uid}"), and calls of the package's functions. ok is false
// for anything else.
func (s source) text(e ast.Expr, parameters map[string]string) (v string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v, err := strconv.Unquote(e.Value)
		return v, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, ok := s.text(e.X, parameters)
		b, ok2 := s.text(e.Y, parameters)
		return a + b, ok && ok2 && e.Op == token.ADD
	case *ast.Ident:
		if v, ok := parameters[e.Name]; ok {
			return v, true
		}
		if c, ok := s.constants[e.Name]; ok {
			return s.text(c, nil)
		}
	case *ast.CallExpr:
		switch f := e.Fun.(type) {
		case *ast.Ident:
			if d := s.functions[f.Name]; d != nil {
				given := map[string]string{}
				for i, name := range parametersOf(d) {
					given[name], _ = s.text(e.Args[i], parameters)
				}
				all := s.returned(d, given)
				return strings.Join(all, " "), len(all) == 1
			}
		case *ast.SelectorExpr: // cmp.Or(shard, …), t.String()
			if len(e.Args) > 0 {
				return s.text(e.Args[0], parameters)
			}
			return s.text(f.X, parameters)
		}
	}
	return "", false
}

func parametersOf(d *ast.FuncDecl) (names []string) {
	for _, p := range d.Type.Params.List {
		for _, n := range p.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// returned are the texts that a function may return.
func (s source) returned(d *ast.FuncDecl, parameters map[string]string) (all []string) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
			if v, ok := s.text(r.Results[0], parameters); ok {
				all = append(all, v)
			}
		}
		return true
	})
	return all
}

var (
	pathFunction = regexp.MustCompile(`(^path|[a-z]Path)$|^Path$`)
	wildcard     = regexp.MustCompile(`\{[^}]*\}`)
)

// The packages that keep documents name no path, and no collection, that the data model does not have.
func TestPathsOfTheCode(t *testing.T) {
	m := readModel(t)
	var known []string
	for path := range m.paths {
		known = append(known, wildcard.ReplaceAllString(path, "{}"))
	}
	found := 0
	for _, dir := range []string{"../pkg/store", "../pkg/envelope"} {
		s := readSource(t, dir)
		for name, d := range s.functions {
			if !pathFunction.MatchString(name) {
				continue
			}
			parameters := map[string]string{}
			for _, p := range parametersOf(d) {
				parameters[p] = "{" + p + "}"
			}
			paths := s.returned(d, parameters)
			if len(paths) == 0 {
				t.Errorf("%s: what path %s returns is not understood", dir, name)
			}
			for _, path := range paths {
				if found++; !slices.Contains(known, wildcard.ReplaceAllString(path, "{}")) {
					t.Errorf("%s: %s is %s, which docs/data-model.md does not have", dir, name, path)
				}
			}
		}
		for name, c := range s.constants {
			v, ok := s.text(c, nil)
			if ok && strings.Contains(v, "/") && !slices.Contains(known, v) {
				t.Errorf("%s: %s is %s, which docs/data-model.md does not have", dir, name, v)
			}
		}
	}
	if found < 12 {
		t.Errorf("only %d paths found in the code", found)
	}
}

// queries are those that the pipeline and its tools make; not the simulators', which read what they wrote.
func queries(t *testing.T) (all []asked) {
	t.Helper()
	packages := map[string]source{}
	for _, root := range []string{"../pkg", "../services", "../cmd"} {
		must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			switch d.Name() {
			case "porttest", "bench", "local":
				return filepath.SkipDir
			}
			packages[path] = readSource(t, path)
			return nil
		}))
	}
	constants := map[string]string{} // store.Users
	for _, s := range packages {
		for name, c := range s.constants {
			if v, ok := s.text(c, nil); ok {
				constants[s.files[0].Name.Name+"."+name] = v
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		s := packages[dir]
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				if sel, ok := lit.Type.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Query" || sel.X.(*ast.Ident).Name != "document" {
					return true
				}
				all = append(all, s.asked(t, lit, constants))
				return true
			})
		}
	}
	return all
}

func (s source) asked(t *testing.T, lit *ast.CompositeLit, constants map[string]string) asked {
	t.Helper()
	q := asked{at: s.fset.Position(lit.Pos()).String()}
	for _, e := range lit.Elts {
		kv := e.(*ast.KeyValueExpr)
		switch kv.Key.(*ast.Ident).Name {
		case "Collection":
			last := kv.Value
			if b, ok := last.(*ast.BinaryExpr); ok {
				last = b.Y
			}
			switch last := last.(type) {
			case *ast.Ident:
				q.collection = constants[s.files[0].Name.Name+"."+last.Name]
			case *ast.SelectorExpr:
				q.collection = constants[last.X.(*ast.Ident).Name+"."+last.Sel.Name]
			}
		case "Group":
			q.group = true
		case "Where":
			m, ok := kv.Value.(*ast.CompositeLit)
			if !ok {
				t.Errorf("%s: which fields does this query ask for?", q.at)
				continue
			}
			for _, e := range m.Elts {
				name, _ := s.text(e.(*ast.KeyValueExpr).Key, nil)
				q.where = append(q.where, name)
			}
		}
	}
	if q.collection == "" {
		t.Errorf("%s: what collection does this query ask?", q.at)
	}
	return q
}

// listOf is the list that a function of the rules returns.
func listOf(t *testing.T, function string) (names []string) {
	t.Helper()
	f := parseRules(firestore.Rules)
	i := slices.IndexFunc(f.statements, func(s statement) bool { return s.function == function })
	if i < 0 {
		t.Fatalf("firestore.rules has no function %s", function)
	}
	for _, q := range quoted.FindAllString(f.code[f.statements[i].from:f.statements[i].to], -1) {
		names = append(names, strings.Trim(q, "'"))
	}
	return names
}
