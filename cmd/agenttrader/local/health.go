package local

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/health"
)

// health counts the users by state, as the documents have it.
func (p *platform) health(ctx context.Context) (map[health.State]int, error) {
	failing, err := p.store.Failing(ctx)
	if err != nil {
		return nil, err
	}
	states := map[health.State]int{}
	for _, s := range health.States() {
		states[s] = 0
	}
	for after, more := "", true; more; more = after != "" {
		page, err := p.store.Users(ctx, after, 1000)
		if err != nil {
			return nil, fmt.Errorf("health of the users: %w", err)
		}
		for _, u := range page.Users {
			states[health.Of(u.Status, p.oracle.tickOf(u.ID) != 0, failing[u.ID])]++
		}
		after = page.Next
	}
	return states, nil
}
