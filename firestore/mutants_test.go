package firestore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/firestore"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

// Whatever part of a condition is taken away, the matrix notices: each allow statement removed, opened to everybody, and given a
// method more or less; each condition and function true and false, each conjunct true, each disjunct true and false; each name
// of a list, each word of a pattern left out; each number another one.
func TestMutants(t *testing.T) {
	p := readPage(t)
	emulator.Require(t)
	began := time.Now()
	all := mutants(t, firestore.Rules)
	if len(all) < 150 {
		t.Fatalf("only %d mutants: is firestore.rules understood?", len(all))
	}
	var (
		todo     = make(chan mutant)
		work     sync.WaitGroup
		mu       sync.Mutex
		attempts int
		killed   = map[string]int{}
	)
	for range stages {
		s := newStage(t, p)
		work.Go(func() {
			for m := range todo {
				red, err := s.kill(t.Context(), m)
				mu.Lock()
				switch {
				case err != nil:
					t.Errorf("%s: %v", m, err)
				case red == "":
					t.Errorf("%s: the matrix stays as it is", m)
				default:
					killed[m.kind]++
				}
				mu.Unlock()
			}
			mu.Lock()
			attempts += s.attempts
			mu.Unlock()
		})
	}
	for _, m := range all {
		todo <- m
	}
	close(todo)
	work.Wait()
	n := 0
	for _, k := range killed {
		n += k
	}
	t.Logf("mutants: %d of %d turn the matrix red, by %d attempts: %v; %.1f s", n, len(all), attempts, killed, time.Since(began).Seconds())
}

// kill makes the attempts that may come out otherwise under the mutant's rules, until one does.
func (s *stage) kill(ctx context.Context, m mutant) (red string, err error) {
	if err := s.emulator.SetRules(ctx, s.project, m.rules); err != nil {
		return "", err
	}
	for _, a := range m.promising(s.page.tries()) {
		if red, err := s.red(ctx, a); err != nil || red != "" {
			return red, err
		}
	}
	return "", nil
}

// mutant is the rules with one thing changed.
type mutant struct {
	rules string
	kind  string
	what  string
	line  int
	near  []string // the patterns of the matches that it is about
	ops   []string // the attempts that it is about
	way   way
}

// way is what a mutant may do to an attempt.
type way int

const (
	either way = iota
	opens      // allow one that was denied
	closes     // deny one that was allowed
)

func (m mutant) String() string {
	return fmt.Sprintf("firestore.rules:%d: %s: %s", m.line, m.kind, m.what)
}

// promising are the attempts that the mutant may change, and of these first some of each caller's, then the owner's.
func (m mutant) promising(all []try) (some []try) {
	seen, rank := map[string]int{}, map[int]int{}
	for i, a := range all {
		near := func(pattern string) bool { return matches(pattern, a.path) }
		switch {
		case m.way != either && (m.way == closes) != a.allowed(), !slices.Contains(m.ops, a.op), !slices.ContainsFunc(m.near, near):
			continue
		case seen[a.name] < 2:
			seen[a.name]++
			rank[i] = 1
		case a.name == "owner":
			rank[i] = 2
		default:
			rank[i] = 3
		}
	}
	for want := 1; want <= 3; want++ {
		for i, a := range all {
			if rank[i] == want {
				some = append(some, a)
			}
		}
	}
	return some
}

// mutants makes them all.
func mutants(t *testing.T, rules string) (all []mutant) {
	t.Helper()
	file := parseRules(rules)
	for _, s := range file.statements {
		near, ops := []string{s.pattern}, opsOf(s.methods)
		if s.function != "" {
			near, ops = file.users(s.function)
		}
		add := func(kind, what string, from, to int, text string, w way) {
			if s.function != "" {
				w = either // it may be called where the opposite of what it says counts
			}
			all = append(all, mutant{
				rules: rules[:from] + text + rules[to:], kind: kind, what: what, near: near, ops: ops, line: 1 + strings.Count(rules[:from], "\n"), way: w,
			})
		}
		if s.function == "" {
			for _, c := range s.otherMethods(file) {
				ops = opsOf([]string{c.method})
				add("method", map[way]string{opens: "with ", closes: "without "}[c.way]+c.method, s.methodsFrom, s.methodsTo, strings.Join(c.methods, ", "), c.way)
			}
			ops = opsOf(s.methods)
		}
		e := file.code[s.from:s.to]
		if isBool(e) {
			kind := "condition"
			if s.function != "" {
				kind = "function"
			}
			add(kind, "true", s.from, s.to, "true", opens)
			add(kind, "false", s.from, s.to, "false", closes)
		}
		for _, n := range parts(file.code, s.from, s.to) {
			for _, word := range n.words {
				add(n.kind, word+" for "+strings.TrimSpace(rules[n.from:n.to]), n.from, n.to, word, map[string]way{" true ": opens, " false ": closes}[word])
			}
		}
		for _, l := range leftOut(file.code, s.from, s.to) {
			add(l.kind, strings.TrimSpace(rules[l.from:l.to])+" → "+l.text, l.from, l.to, l.text, either)
		}
	}
	return all
}
