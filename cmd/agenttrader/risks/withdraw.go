package risks

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// sweepers is how many users are gone through at once.
const sweepers = 32

// withdraw takes back the open signals that a word stops. The platform's is heard by all signalers a little later, so their users
// are gone through once more then, whatever came of the first time.
func (a *cli) withdraw(ctx context.Context, c *cobra.Command, d *desk, state risk.TradingState) (err error) {
	w := risk.Withdrawal{StrategyID: a.strategy, Why: risk.TradingHalted}
	switch state {
	case risk.Active:
		return nil
	case risk.Reducing:
		w.Opening, w.Why = true, risk.TradingReducing
	}
	var n int
	if a.platform {
		n, err = sweep(ctx, d, w)
		note(c, "open signals that came to their end: %d; once more when all signalers have heard it", n)
		if err2 := d.pause(ctx); err2 != nil {
			err = errors.Join(err, err2)
		} else {
			n, err = sweep(ctx, d, w)
		}
	} else {
		n, err = d.store.Withdraw(ctx, a.user, w, d.now().UTC())
	}
	note(c, "open signals that came to their end: %d", n)
	if err != nil {
		return fmt.Errorf("the word holds, and open signals are left that executors may act on until they expire; say it again to take them back: %w", err)
	}
	return nil
}

// sweep goes through all users; what fails for one keeps no other's.
func sweep(ctx context.Context, d *desk, w risk.Withdrawal) (n int, err error) {
	var (
		mu   sync.Mutex
		errs []error
	)
	var g errgroup.Group
	g.SetLimit(sweepers)
	for u, err := range user.All(ctx, d.store) {
		if err != nil {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
			break
		}
		g.Go(func() error {
			ended, err := d.store.Withdraw(ctx, u.ID, w, d.now().UTC())
			mu.Lock()
			defer mu.Unlock()
			if n += ended; err != nil && len(errs) < 10 {
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = g.Wait()
	return n, errors.Join(errs...)
}
