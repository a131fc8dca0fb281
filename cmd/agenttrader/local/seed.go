package local

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// params are the demo's parameters of each kind of strategy.
func params() map[string]map[string]any {
	return map[string]map[string]any{
		strategy.KindRebalance: {
			"weights":       map[string]any{"SPY": 0.4, "AAPL": 0.2, "MSFT": 0.2, "TLT": 0.1},
			"drift_band":    0.05,
			"every_minutes": 5,
		},
		strategy.KindGemini: {"symbols": []any{"NVDA", "AMZN"}, "weight": 0.05, "every_minutes": 5},
	}
}

// seed puts the users, their keys and their strategies where onboarding would.
func (p *platform) seed(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, a := range p.accounts {
		g.Go(func() error { return p.onboard(ctx, a) })
	}
	err := g.Wait()
	p.seedReads, p.seedWrites = p.db.Counts()
	return err
}

func (p *platform) onboard(ctx context.Context, a account) error {
	keyID, secretKey := a.creds.Reveal()
	payload, err := json.Marshal(map[string]string{"key_id": keyID, "secret_key": secretKey})
	if err != nil {
		return err
	}
	version := p.vault.Add(a.userID, payload)
	u := user.User{ID: a.userID, Status: user.Active, CadenceMinutes: 1, BrokerEnv: "paper", KeyVersion: version}
	if err := p.store.PutUser(ctx, u); err != nil {
		return fmt.Errorf("seed user %s: %w", a.userID, err)
	}
	for kind, ps := range params() {
		if p.opts.Strategy != "all" && p.opts.Strategy != kind {
			continue
		}
		d := strategy.Definition{ID: kind, UserID: a.userID, Kind: kind, Params: ps, Enabled: true}
		if err := p.store.PutStrategy(ctx, d); err != nil {
			return fmt.Errorf("seed strategy %s of user %s: %w", kind, a.userID, err)
		}
	}
	return nil
}
