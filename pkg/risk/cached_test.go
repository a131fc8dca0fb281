package risk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
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

// All who ask while a read is under way get its outcome, each within the time that it has: a store that fails slowly costs
// nobody more than one read, and who gives up fails nobody else.
func TestCachedAsksOnce(t *testing.T) {
	for name, fault := range map[string]error{"fails": errors.New("down"), "answers": nil} {
		synctest.Test(t, func(t *testing.T) {
			begun, reads := time.Now(), 0
			c := risk.NewCached(func(ctx context.Context) (risk.Control, error) {
				reads++
				select {
				case <-time.After(200 * time.Millisecond):
					return risk.Control{}, fault
				case <-ctx.Done():
					return risk.Control{}, ctx.Err()
				}
			}, 10*time.Second, time.Now)
			ask := func(patience time.Duration) (after time.Duration, err error) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err = c.Get(ctx)
				return time.Since(begun), err
			}
			for i := range 10 {
				patience := 300 * time.Millisecond
				if i == 0 { // the first, who reads
					patience = 100 * time.Millisecond
				}
				go func() {
					switch after, err := ask(patience); {
					case i == 0 && (after != patience || !errors.Is(err, context.DeadlineExceeded)):
						t.Errorf("%s: the first: %v after %v, want its deadline", name, err, after)
					case i > 0 && (after != 200*time.Millisecond || !errors.Is(err, fault)):
						t.Errorf("%s: %v after %v", name, err, after)
					}
				}()
				synctest.Wait()
			}
			time.Sleep(5 * time.Second)
			if reads != 1 {
				t.Errorf("%s: %d reads, want 1", name, reads)
			}
		})
	}
}

// A fault in the reading is an error to who asks, and no end of the process.
func TestCachedFault(t *testing.T) {
	c := risk.NewCached(func(context.Context) (risk.Control, error) { panic("a fault") }, time.Second, time.Now)
	if _, err := c.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "a fault") {
		t.Errorf("%v, want the fault", err)
	}
}
