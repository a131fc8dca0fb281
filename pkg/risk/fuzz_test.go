package risk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/risk"
)

// A limit is understood, and then read back as it was, or it is named as invalid: never ignored.
func FuzzLimit(f *testing.F) {
	for name, v := range map[string]string{"max_trade_usd": "5.50", "max_positions": "1e3", "hours": "Regular", "max_trade": "5", "cooldown_minutes": "NaN", "buffer_share": " 0.1 "} {
		f.Add(name, v)
	}
	f.Fuzz(func(t *testing.T, name, v string) {
		l := risk.ParseLimits(map[string]any{name: v})
		fields := l.Fields()
		if n := len(l.Invalid) + len(fields); n != 1 && (n != 0 || strings.TrimSpace(name) != "hours") { // hours: any
			t.Errorf("%q = %q: invalid %v, fields %v", name, v, l.Invalid, fields)
		}
		if again := risk.ParseLimits(fields); len(again.Invalid) != 0 || !cmp.Equal(again.Fields(), fields) {
			t.Errorf("%q = %q: %v came back as %v", name, v, fields, again.Fields())
		}
	})
}
