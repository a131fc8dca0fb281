package firestore_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ruleFile is as much of firestore.rules as mutants need: its statements, and where they are.
type ruleFile struct {
	code       string // the rules with blanks for comments, so that places are the same
	statements []statement
}

// statement is an allow, or a function's return.
type statement struct {
	function               string // "": an allow
	pattern                string // of the match that it is in, "users/{uid}"
	methods                []string
	methodsFrom, methodsTo int
	from, to               int // the condition's place
}

var (
	comment = regexp.MustCompile(`(?m)//.*$`)
	opening = regexp.MustCompile(`^(match|function|service)\s+([^\s]+)(\([^)]*\))?\s*\{`)
	allow   = regexp.MustCompile(`^allow ([a-z, ]+): if `)
)

const documents = "/databases/{database}/documents"

func parseRules(rules string) (f ruleFile) {
	f.code = comment.ReplaceAllStringFunc(rules, func(s string) string { return strings.Repeat(" ", len(s)) })
	var blocks []string // the open ones' names
	for i := 0; i < len(f.code); {
		rest := f.code[i:]
		if m := opening.FindStringSubmatchIndex(rest); m != nil {
			name := rest[m[4]:m[5]]
			if rest[m[2]:m[3]] == "function" {
				name, _, _ = strings.Cut(name, "(")
				name = "function " + name
			}
			blocks = append(blocks, name)
			i += m[1]
			continue
		}
		if strings.HasPrefix(rest, "}") {
			blocks = blocks[:len(blocks)-1]
		}
		s := statement{pattern: pattern(blocks)}
		if last := len(blocks) - 1; last >= 0 {
			if name, ok := strings.CutPrefix(blocks[last], "function "); ok {
				s.function = name
			}
		}
		m := allow.FindStringSubmatchIndex(rest)
		switch {
		case m != nil:
			s.methodsFrom, s.methodsTo, s.from = i+m[2], i+m[3], i+m[1]
			s.methods = methodsOf(rest[m[2]:m[3]])
		case strings.HasPrefix(rest, "return "):
			s.from = i + len("return ")
		default:
			i++
			continue
		}
		s.to = s.from + strings.IndexByte(f.code[s.from:], ';')
		f.statements = append(f.statements, s)
		i = s.to
	}
	return f
}

func pattern(blocks []string) string {
	p := ""
	for _, b := range blocks {
		if strings.HasPrefix(b, "/") && b != documents {
			p += b
		}
	}
	return strings.TrimPrefix(p, "/")
}

func methodsOf(text string) (methods []string) {
	for _, m := range strings.Split(text, ",") {
		switch m = strings.TrimSpace(m); m {
		case "read":
			methods = append(methods, "get", "list")
		case "write":
			methods = append(methods, "create", "update", "delete")
		default:
			methods = append(methods, m)
		}
	}
	return methods
}

var ruleMethods = []string{"get", "list", "create", "update", "delete"}

// opsOf are the matrix's names of methods.
func opsOf(methods []string) (ops []string) {
	for _, m := range methods {
		if ops = append(ops, m); m == "list" {
			ops = append(ops, "query", "group")
		}
	}
	return ops
}

// otherMethod is a statement's methods, but for one.
type otherMethod struct {
	method  string
	way     way
	methods []string
}

// otherMethods leaves out each method, and adds each other one that the condition can judge and no other statement of the match
// allows. Of a get more nothing is seen: who may list, may get.
func (s statement) otherMethods(f ruleFile) (all []otherMethod) {
	condition := f.expanded(s.from, s.to)
	for _, m := range ruleMethods {
		i := slices.Index(s.methods, m)
		switch {
		case i >= 0 && len(s.methods) > 1:
			all = append(all, otherMethod{m, closes, slices.Delete(slices.Clone(s.methods), i, i+1)})
		case i >= 0, m == "get",
			m == "list" && strings.Contains(condition, lastVariable(s.pattern)), // a query has no value for it
			m != "create" && m != "update" && strings.Contains(condition, "request.resource"),
			m == "create" && strings.Contains(strings.ReplaceAll(condition, "request.resource", ""), "resource."),
			slices.ContainsFunc(f.statements, func(o statement) bool {
				return o.pattern == s.pattern && slices.Contains(o.methods, m) && o.from != s.from
			}):
		default:
			all = append(all, otherMethod{m, opens, append(slices.Clone(s.methods), m)})
		}
	}
	return all
}

// lastVariable is "(uid)", as functions are given it, for "users/{uid}".
func lastVariable(pattern string) string {
	_, id := cut(pattern)
	return "(" + strings.Trim(id, "{}") + ")"
}

// expanded is a condition and the bodies of the functions that it calls.
func (f ruleFile) expanded(from, to int) string {
	text := f.code[from:to]
	for _, s := range f.statements {
		if s.function != "" && strings.Contains(text, s.function+"(") && s.from != from {
			text += " " + f.expanded(s.from, s.to)
		}
	}
	return text
}

// users are the patterns of the matches whose statements call a function, and the attempts that these are about.
func (f ruleFile) users(function string) (patterns, ops []string) {
	for _, s := range f.statements {
		if s.function == "" && strings.Contains(f.expanded(s.from, s.to), function+"(") {
			patterns, ops = append(patterns, s.pattern), append(ops, opsOf(s.methods)...)
		}
	}
	return patterns, ops
}

// matches says whether a path is of a pattern: {one} segment, or {any=**} number of them.
func matches(pattern, path string) bool {
	p, s := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, want := range p {
		switch {
		case strings.HasSuffix(want, "=**}"):
			rest := strings.Join(p[i+1:], "/")
			if rest == "" {
				return true
			}
			for j := i; j < len(s); j++ {
				if matches(rest, strings.Join(s[j:], "/")) {
					return true
				}
			}
			return false
		case i >= len(s), !strings.HasPrefix(want, "{") && want != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// part is a place of a condition, and what takes its place.
type part struct {
	from, to int
	kind     string
	words    []string
}

// parts are the conjuncts and disjuncts of an expression, however deep.
func parts(code string, from, to int) (all []part) {
	from, to = trimmed(code, from, to)
	for _, op := range []string{"||", "&&"} {
		at := split(code, from, to, op)
		if len(at) == 0 {
			continue
		}
		ends := append(slices.Clone(at), to)
		for start := from; len(ends) > 0; ends = ends[1:] {
			p := part{start, ends[0], "conjunct", []string{" true "}}
			if op == "||" {
				p.kind, p.words = "disjunct", []string{" true ", " false "}
			}
			all = append(append(all, p), parts(code, p.from, p.to)...)
			start = ends[0] + len(op)
		}
		return all
	}
	if code[from] == '!' {
		return parts(code, from+1, to)
	}
	if code[from] == '(' && closing(code, from) == to-1 {
		return parts(code, from+1, to-1)
	}
	return nil
}

func trimmed(code string, from, to int) (int, int) {
	text := code[from:to]
	from += len(text) - len(strings.TrimLeft(text, " \n"))
	return from, from + len(strings.TrimSpace(text))
}

// split are the places of an operator outside of all parentheses and texts.
func split(code string, from, to int, op string) (at []int) {
	for i := from; i < to; i++ {
		switch {
		case code[i] == '\'':
			i += 1 + strings.IndexByte(code[i+1:], '\'')
		case code[i] == '(' || code[i] == '[':
			i = closing(code, i)
		case strings.HasPrefix(code[i:to], op):
			at = append(at, i)
			i++
		}
	}
	return at
}

// closing is the place of the bracket that ends the one at a place.
func closing(code string, at int) int {
	depth := 0
	for i := at; i < len(code); i++ {
		switch code[i] {
		case '\'':
			i += 1 + strings.IndexByte(code[i+1:], '\'')
		case '(', '[':
			depth++
		case ')', ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(code)
}

func isBool(e string) bool {
	return !strings.HasPrefix(e, "[") && !strings.HasSuffix(e, "affectedKeys()")
}

// change is a place, and the text that takes it.
type change struct {
	from, to   int
	kind, text string
}

var (
	element     = regexp.MustCompile(`'\w+'(, )?`)
	alternative = regexp.MustCompile(`\((\w+(?:\|\w+)+)\)`)
	number      = regexp.MustCompile(`[^\w.'{]([0-9]+)\b`)
	list        = regexp.MustCompile(`\[('\w+'(, )?)+\]`)
	quoted      = regexp.MustCompile(`'[^']*'`)
)

// leftOut are an expression's lists without one of their elements, its patterns without one of their words, and its numbers
// made ten times as large, and nought.
func leftOut(code string, from, to int) (all []change) {
	for _, l := range list.FindAllStringIndex(code[from:to], -1) {
		for _, e := range element.FindAllStringIndex(code[from+l[0]:from+l[1]], -1) {
			text := code[from+l[0]:from+l[0]+e[0]] + code[from+l[0]+e[1]:from+l[1]]
			all = append(all, change{from + l[0], from + l[1], "list", strings.ReplaceAll(text, ", ]", "]")})
		}
	}
	for _, a := range alternative.FindAllStringSubmatchIndex(code[from:to], -1) {
		words := strings.Split(code[from+a[2]:from+a[3]], "|")
		for i := range words {
			all = append(all, change{from + a[2], from + a[3], "pattern", strings.Join(slices.Delete(slices.Clone(words), i, i+1), "|")})
		}
	}
	bare := quoted.ReplaceAllStringFunc(code[from:to], func(s string) string { return strings.Repeat("'", len(s)) })
	for _, n := range number.FindAllStringSubmatchIndex(bare, -1) {
		value, _ := strconv.Atoi(bare[n[2]:n[3]])
		others := []int{0, 10 * value}
		if value == 0 {
			others = []int{1}
		}
		for _, o := range others {
			all = append(all, change{from + n[2], from + n[3], "number", strconv.Itoa(o)})
		}
	}
	return all
}
