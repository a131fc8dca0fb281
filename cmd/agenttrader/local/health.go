package local

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// present are the users who are there, whoever added them, and those of them who are active and well: what other processes
// acknowledge of the rest is no word of a snapshot.
func (p *platform) present(ctx context.Context) (all, well []string, err error) {
	failing, err := p.store.Failing(ctx)
	if err != nil {
		return nil, nil, err
	}
	for u, err := range user.All(ctx, p.store) {
		if err != nil {
			return nil, nil, fmt.Errorf("users of the run: %w", err)
		}
		all = append(all, u.ID)
		if _, ill := failing[u.ID]; !ill && u.Status == user.Active {
			well = append(well, u.ID)
		}
	}
	return all, well, nil
}

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
	for u, err := range user.All(ctx, p.store) {
		if err != nil {
			return nil, fmt.Errorf("users of the run: %w", err)
		}
		states[health.Of(u.Status, p.oracle.tickOf(u.ID) != 0, failing[u.ID])]++
	}
	return states, nil
}
