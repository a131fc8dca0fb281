package local

import (
	"testing"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Every kind has a good strategy in the demo, and with "all" its share of the users.
func TestEveryKindIsSeeded(t *testing.T) {
	users := map[string]int{}
	for n := range 6 * (len(strategy.Kinds()) + 1) {
		users[Options{Strategy: "all"}.kindOf(n)]++
	}
	for _, kind := range strategy.Kinds() {
		p := map[string]any{}
		for name, v := range params()[kind] {
			if whole, ok := v.(int); ok {
				v = int64(whole) // as the database gives it back
			}
			p[name] = v
		}
		if _, err := strategy.New(strategy.Definition{ID: kind, Kind: kind, Params: p}); err != nil {
			t.Error(err)
		}
		if users[kind] != 6 || (Options{Strategy: kind}).kindOf(3) != kind {
			t.Errorf("%s: %d users, want 6", kind, users[kind])
		}
	}
	if kind := (Options{Strategy: "none"}).kindOf(3); kind != "" {
		t.Errorf("none is %s", kind)
	}
}
