package demand

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/user"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// says is a generator that was told its answer.
type says struct {
	made  []signaler.Made
	err   error
	asked []signaler.Demand
	users []string // who there is
	read  int      // users
}

func (s *says) User(_ context.Context, id string) (user.User, error) {
	s.read++
	if !slices.Contains(s.users, id) {
		return user.User{}, user.ErrNotFound
	}
	return user.User{ID: id}, nil
}

func (s *says) Generate(_ context.Context, d signaler.Demand) ([]signaler.Made, error) {
	s.asked = append(s.asked, d)
	return s.made, s.err
}

func run(t *testing.T, s *says, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	closed := 0
	c := command(func(context.Context, string, *slog.Logger) (*desk, error) {
		return &desk{where: "the test", generator: s, users: s, close: func() error { closed++; return nil }}, nil
	}, func(any) bool { return false })
	c.SetArgs(append([]string{"generate"}, args...))
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	if closed != len(s.asked) {
		t.Errorf("closed %d times", closed)
	}
	s.asked = s.asked[len(s.asked)-closed:]
	return out.String(), err
}

func TestGenerate(t *testing.T) {
	bought := decision.Signal{ID: "1", Symbol: "SPY", Action: signal.Buy, Notional: decimal.NewFromInt(500), Reason: "because", Status: signal.Pending}
	denied := decision.Signal{ID: "2", Symbol: "*", Action: signal.Flat, Reason: "stale\x1b[31m", Status: signal.Rejected, DenialCode: risk.SnapshotStale}
	made := []signaler.Made{
		{StrategyID: "a", Cause: "demand:x", Signals: []decision.Signal{bought}, Repeated: true}, {StrategyID: "b", Cause: "demand:x", Signals: []decision.Signal{denied}}, {StrategyID: "c", Cause: "demand:x"},
	}
	s := &says{made: made}
	out, err := run(t, s, "--user", "alice", "--symbol", " spy", "--context", "calm", "--strategy", "a", "--id", "x")
	want := `SIGNAL  STRATEGY  WHAT                         REASON
1       a         buy SPY 500.00 (asked before)  because
2       b         flat SNAPSHOT_STALE          stale\x1b[31m
-       c         nothing                      it wants nothing to be done
`
	if squeeze(out) != squeeze(want) || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if d := s.asked[0]; d != (signaler.Demand{UserID: "alice", Symbol: "SPY", Context: "calm", StrategyID: "a", ID: "x"}) {
		t.Errorf("asked %+v", d)
	}
	s = &says{made: made[:1], err: errors.New("strategy b: odd")}
	out, err = run(t, s, "--user", "alice", "--symbol", "SPY", "--json")
	var r result
	if e := json.Unmarshal([]byte(out), &r); e != nil || err == nil || r.Made[0].Signals[0].ID != "1" || r.UserID != "alice" {
		t.Errorf("%v, %v: %s", err, e, out)
	}
}

func squeeze(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

// What is wrong is said before anything is opened.
func TestGenerateErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"user: user id":       {"--symbol", "SPY"},
		"symbol \"\"":         {"--user", "alice"},
		"looks like a key":    {"--user", "alice", "--symbol", "SPY", "--context", "PKABCDEFGHIJ12345678"},
		"id of the demand is": {"--user", "alice", "--symbol", "SPY", "--id", "a b"},
	} {
		s := &says{}
		if out, err := run(t, s, args...); err == nil || !strings.Contains(err.Error(), want) || len(s.asked) > 0 || out != "" || strings.Contains(err.Error(), "PKABC") {
			t.Errorf("%v: %q, %v; want %q", args, out, err, want)
		}
	}
	for user, want := range map[string]string{
		"alice": "Missing warm-cache snapshot at Firestore doc users/x",
		"alcie": "Missing warm-cache snapshot at Firestore doc users/x: there is no user alcie (the test)",
	} {
		s := &says{err: account.Missing("users/x"), users: []string{"alice"}}
		if out, err := run(t, s, "--user", user, "--symbol", "SPY"); err == nil || !errors.Is(err, account.ErrNotFound) || err.Error() != want || out != "" {
			t.Errorf("%q, %v; want %q", out, err, want)
		}
	}
	s := &says{err: signaler.ErrNothingTrades}
	if out, err := run(t, s, "--user", "local", "--symbol", "SPY"); !errors.Is(err, s.err) || out != "" || s.read != 0 {
		t.Errorf("one of the predecessor's, without a document: %q, %v", out, err)
	}
}
