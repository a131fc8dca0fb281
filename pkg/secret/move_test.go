package secret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// What one move does, by what is in the source, in the target and in the user's document. The way of a whole fleet, stops
// and rotations among it, is tested where both custodies are: cmd/agenttrader/keys.
func TestMove(t *testing.T) {
	keys := func(names ...string) (payloads [][]byte) {
		for _, n := range names {
			payloads = append(payloads, fmt.Appendf(nil, payload, n, n))
		}
		return payloads
	}
	bad := [][]byte{[]byte(`{"secret_key": "s-x"}`)}
	for name, c := range map[string]struct {
		from, to     [][]byte
		known        string
		outcome      secret.Outcome
		says         string // of the error
		version, key string // in the target, after it
		left         int    // versions in the source
		raised       string
	}{
		"moved":                             {keys("A", "B"), nil, "2", secret.Moved, "", "2", "PKB", 0, ""},
		"moved, the document did not know":  {keys("A", "B"), nil, "", secret.Moved, "", "2", "PKB", 0, "2"},
		"moved over an older copy":          {keys("A", "B"), keys("A"), "2", secret.Moved, "", "2", "PKB", 0, ""},
		"moved over what can't be read":     {keys("A", "B"), bad, "2", secret.Moved, "", "2", "PKB", 0, ""},
		"there":                             {keys("A"), keys("A"), "1", secret.There, "", "1", "PKA", 0, ""},
		"the target is newer":               {keys("A"), keys("A", "B"), "1", secret.There, "", "2", "PKB", 0, "2"},
		"moved before":                      {nil, keys("A"), "1", secret.There, "", "1", "PKA", 0, ""},
		"no keys":                           {nil, nil, "", secret.NoKeys, "", "", "", 0, ""},
		"the source can't be read":          {bad, nil, "1", secret.There, "source", "", "", 1, ""},
		"the target can't be read":          {keys("A"), bad, "1", secret.There, "remove what is there", "", "", 1, ""},
		"other keys under the same version": {keys("A"), keys("X"), "1", secret.There, "other keys", "1", "PKX", 1, ""},
	} {
		vault := func(payloads [][]byte) *mem.Vault {
			v := mem.NewVault()
			for _, p := range payloads {
				v.Add("u", p)
			}
			return v
		}
		from, to, raised := vault(c.from), vault(c.to), ""
		m := secret.Mover{From: from, To: to, Prune: true, Raise: func(_ context.Context, _, version string) error { raised = version; return nil }}
		r, err := m.Move(t.Context(), "u", c.known)
		if r.Outcome != c.outcome || (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "user u") || strings.Contains(err.Error(), "s-")) {
			t.Errorf("%s: %s, %v; want %s, %q", name, r.Outcome, err, c.outcome, c.says)
		}
		creds, version, err := to.Credentials(t.Context(), "u", "")
		if key, _ := creds.Reveal(); key != c.key || version != c.version {
			t.Errorf("%s: the target has %s, version %q, %v; want %s, %q", name, key, version, err, c.key, c.version)
		}
		if n := from.Alive("u"); n != c.left || raised != c.raised {
			t.Errorf("%s: the source has %d versions, raised %q; want %d, %q", name, n, raised, c.left, c.raised)
		}
	}
	m := secret.Mover{From: mem.NewVault(), To: mem.NewVault()}
	if _, err := m.Move(t.Context(), "u", ""); errors.Is(err, secret.ErrNotFound) {
		t.Error("no keys are no error")
	}
}
