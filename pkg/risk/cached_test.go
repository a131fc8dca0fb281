package risk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/risk"
)

// One read for a while; a failure is told, and the next asks again.
func TestCached(t *testing.T) {
	now, reads := noon, 0
	var fault error
	c := risk.NewCached(func(context.Context) (risk.Control, error) { reads++; return risk.Control{}, fault }, 10*time.Second, func() time.Time { return now })
	for i, s := range []struct {
		after  time.Duration
		fault  error
		failed bool
		reads  int
	}{
		{0, nil, false, 1}, {9 * time.Second, errors.New("down"), false, 1}, {time.Second, errors.New("down"), true, 2}, {0, errors.New("down"), true, 3}, {0, nil, false, 4}, {0, nil, false, 4},
	} {
		now, fault = now.Add(s.after), s.fault
		if _, err := c.Get(t.Context()); (err != nil) != s.failed || reads != s.reads {
			t.Errorf("%d: %v after %d reads, want %+v", i, err, reads, s)
		}
	}
}
