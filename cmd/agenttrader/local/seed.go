package local

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// params are the demo's parameters of each kind of strategy.
func params() map[string]map[string]any {
	return map[string]map[string]any{
		strategy.KindBreakout: {
			"symbols": []any{"SPY", "AAPL", "MSFT", "NVDA", "TLT"}, "timeframe": "5Min", "entry": 3, "exit": 2, "atr_stop": 2.0, "weight": 0.2,
		},
		strategy.KindDCA: {"symbol": "SPY", "notional_usd": 25.0, "every_minutes": 5},
		strategy.KindRebalance: {
			"weights":       map[string]any{"SPY": 0.4, "AAPL": 0.2, "MSFT": 0.2, "TLT": 0.1},
			"drift_band":    0.05,
			"every_minutes": 5,
		},
		strategy.KindGemini:       {"symbols": []any{"NVDA", "AMZN"}, "weight": 0.05, "every_minutes": 5},
		strategy.KindRSIReversion: {"symbols": []any{"AAPL", "MSFT"}, "timeframe": "5Min", "weight": 0.2},
		strategy.KindSMACross:     {"symbols": []any{"SPY", "NVDA"}, "timeframe": "5Min", "fast": 5, "slow": 20, "weight": 0.25},
		strategy.KindVolTarget:    {"symbol": "TLT", "target_vol": 0.1},
	}
}

// rivals in place of a kind: two strategies of one user, each of which wants all of the buying power.
const rivals = "rivals"

// kindOf is the kind of the n-th user's strategy, "" for none. Of all kinds each user has one, by turns, the first of them
// the default; the last are rivals.
func (o Options) kindOf(n int) string {
	switch o.Strategy {
	case "none":
		return ""
	case "all":
		kinds := slices.DeleteFunc(strategy.Kinds(), func(k string) bool { return k == strategy.KindRebalance })
		return slices.Concat([]string{strategy.KindRebalance}, kinds, []string{rivals})[n%(len(kinds)+2)]
	}
	return o.Strategy
}

// strategies are the n-th user's.
func (p *platform) strategies(n int) (ds []strategy.Definition) {
	switch uid, kind := p.accounts[n].userID, p.opts.kindOf(n); kind {
	case "":
	case rivals:
		for _, symbol := range []string{"AAPL", "NVDA"} {
			ds = append(ds, strategy.Definition{
				ID: "rival-" + symbol, UserID: uid, Kind: strategy.KindRebalance, Params: map[string]any{"weights": map[string]any{symbol: 1.0}}, Enabled: true,
			})
		}
	default:
		ds = append(ds, strategy.Definition{ID: kind, UserID: uid, Kind: kind, Params: params()[kind], Enabled: true})
	}
	return ds
}

// seed puts the users, their keys and their strategies where onboarding would.
func (p *platform) seed(ctx context.Context) error {
	keeper, err := p.keeper()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for n, a := range p.accounts {
		g.Go(func() error { return p.onboard(ctx, keeper, a, p.strategies(n)) })
	}
	err = g.Wait()
	p.seedReads, p.seedWrites = p.db.Counts()
	p.seedKMS = p.kmsCalls()
	return err
}

func (p *platform) onboard(ctx context.Context, keeper secret.Keeper, a account, strategies []strategy.Definition) error {
	const version = "1"
	if err := keeper.Put(ctx, a.userID, a.creds, version); err != nil {
		return fmt.Errorf("seed keys of user %s: %w", a.userID, err)
	}
	u := user.User{ID: a.userID, Status: user.Active, CadenceMinutes: 1, BrokerEnv: "paper", KeyVersion: version}
	if err := p.store.PutUser(ctx, u); err != nil {
		return fmt.Errorf("seed user %s: %w", a.userID, err)
	}
	for _, d := range strategies {
		p.oracle.edited(d.UserID, d.ID) // which the first snapshot runs
		if err := p.store.PutStrategy(ctx, d); err != nil {
			return fmt.Errorf("seed strategy %s of user %s: %w", d.ID, a.userID, err)
		}
	}
	return nil
}
