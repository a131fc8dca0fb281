package tick_test

import (
	"testing"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// What parses is the one text of its tick: two texts for a tick would be two documents and two message ids.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"20261124T0930Z", "19700101T0000Z", "00000101T0000Z", "99991231T2359Z", "20240229T2359Z", "20230229T0000Z", "20261124T930Z", "20261124T2400Z", "20261124T0930z", "20261124T0930Z ", "20261124T0930+00", "20261124T0930:00Z", "+2026124T0930Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := tick.Parse(s)
		if err != nil {
			if at != 0 || len(err.Error()) > 300 {
				t.Errorf("Parse(%q) = %d, %v", s, at, err)
			}
			return
		}
		if got := at.String(); got != s {
			t.Errorf("Parse(%q) = %d, which is %s", s, at, got)
		}
		if got := tick.Of(at.Time()); got != at {
			t.Errorf("Of(%s.Time()) = %s", at, got)
		}
	})
}
