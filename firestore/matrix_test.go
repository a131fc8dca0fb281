package firestore_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/firestore"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

func TestMain(m *testing.M) { emulator.Main(m) }

// Each attempt of matrix.md comes to what the page says.
func TestMatrix(t *testing.T) {
	p := readPage(t)
	emulator.Require(t)
	began := time.Now()
	var (
		work  sync.WaitGroup
		tries = p.tries()
		yes   int
	)
	for _, a := range tries {
		if a.allowed() {
			yes++
		}
	}
	for i := range stages {
		s := newStage(t, p)
		must(t, s.emulator.SetRules(t.Context(), s.project, firestore.Rules))
		work.Go(func() {
			for _, a := range tries {
				if a.line%stages != i { // a row is made in one place, so that its attempts share what is prepared
					continue
				}
				red, err := s.red(t.Context(), a)
				if err != nil {
					t.Error(err)
					return
				}
				if red != "" {
					t.Error(red)
				}
			}
		})
	}
	work.Wait()
	t.Logf("matrix: %d rows, %d callers, %d attempts: %d to be allowed, %d denied; %.1f s", len(p.rows), len(p.callers), len(tries), yes, len(tries)-yes, time.Since(began).Seconds())
}

// An emulator without rules allows everything: then the matrix would prove nothing.
func TestRulesAreInForce(t *testing.T) {
	p := readPage(t)
	s := newStage(t, p)
	tries := p.tries()
	a := tries[slices.IndexFunc(tries, func(a try) bool { return a.op == "update" && !a.allowed() })]
	if red, err := s.red(t.Context(), a); err != nil || red == "" {
		t.Errorf("denied without rules: it is not the rules that deny: %v", err)
	}
	must(t, s.emulator.SetRules(t.Context(), s.project, firestore.Rules))
	if red, err := s.red(t.Context(), a); err != nil || red != "" {
		t.Errorf("with rules: %s %v", red, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
