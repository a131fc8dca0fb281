package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// However an owner's client writes them: nothing that can't be read makes a strategy trade more freely.
func TestOddStrategies(t *testing.T) {
	for name, c := range map[string]struct {
		fields document.Fields
		want   strategy.Definition
	}{
		"as it should be":    {document.Fields{"mode": "live", "limits": map[string]any{"a": int64(1)}}, strategy.Definition{Mode: strategy.Live, Limits: map[string]any{"a": int64(1)}}},
		"neither":            {document.Fields{}, strategy.Definition{Mode: strategy.Live}},
		"nulls":              {document.Fields{"mode": nil, "limits": nil}, strategy.Definition{Mode: strategy.Live}},
		"shadow":             {document.Fields{"mode": "shadow"}, strategy.Definition{Mode: strategy.Shadow}},
		"a slip of the pen":  {document.Fields{"mode": "Live "}, strategy.Definition{Mode: strategy.Shadow}},
		"a number as a mode": {document.Fields{"mode": int64(1)}, strategy.Definition{Mode: strategy.Shadow}},
		"limits of no shape": {document.Fields{"limits": "none"}, strategy.Definition{Mode: strategy.Live, Limits: map[string]any{"limits": "none"}}},
	} {
		db := mem.NewDB(func() time.Time { return time.Unix(0, 0) })
		c.fields["enabled"], c.fields["kind"] = true, "rebalance"
		if err := db.Set(t.Context(), store.StrategyPath("u", "s"), c.fields); err != nil {
			t.Fatal(err)
		}
		got, err := store.New(db).Enabled(t.Context(), "u")
		for i := range got {
			got[i].UpdatedAt = time.Time{}
		}
		c.want.ID, c.want.UserID, c.want.Kind, c.want.Enabled = "s", "u", "rebalance", true
		if d := cmp.Diff([]strategy.Definition{c.want}, got); d != "" || err != nil {
			t.Errorf("%s (-want +got): %v\n%s", name, err, d)
		}
	}
}
