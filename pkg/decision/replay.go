package decision

import (
	"fmt"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// Replay decides again, by today's code, what a record tells of. What differs from the record's own outcome, the code has
// made different since.
func Replay(r *Record) (Outcome, error) {
	c, v, err := r.rebuild()
	if err != nil {
		return Outcome{}, fmt.Errorf("replay of %s of user %s, strategy %s: %w", r.Cause.Text, r.UserID, r.Definition.ID, err)
	}
	run := c.Decide(v.Snapshot, v.State)
	return outcomeOf(run, run.Plan(v)), nil
}

// rebuild is what the decision was made on.
func (r *Record) rebuild() (*Case, risk.View, error) {
	switch {
	case r.Version != version:
		return nil, risk.View{}, fmt.Errorf("the record is of version %d: this program replays version %d", r.Version, version)
	case len(r.Cut) > 0:
		return nil, risk.View{}, fmt.Errorf("the record was too long and lacks %s", strings.Join(r.Cut, ", "))
	}
	d := strategy.Definition{
		ID: r.Definition.ID, UserID: r.UserID, Kind: r.Definition.Kind, Params: r.Definition.Params, Mode: r.Definition.Mode, Limits: r.Definition.Limits, Enabled: true,
	}
	s, err := strategy.New(d)
	if err != nil {
		return nil, risk.View{}, err
	}
	state, err := risk.ParseState(r.State)
	if err != nil {
		return nil, risk.View{}, fmt.Errorf("risk_state: %w", err)
	}
	maxAge, err := time.ParseDuration(r.MaxAge)
	if err != nil {
		return nil, risk.View{}, fmt.Errorf("max_snapshot_age: %w", err)
	}
	life, err := time.ParseDuration(r.Life)
	if err != nil {
		return nil, risk.View{}, fmt.Errorf("signal_life: %w", err)
	}
	c := &Case{
		Definition: d, Strategy: s, Cause: strategy.Cause(r.Cause), Now: r.Now, Symbol: r.Symbol, Quotes: map[string]market.Quote{}, Bars: map[string][]market.Bar{},
		Answer: (*strategy.Answer)(r.Answer), RawModelOutput: r.Raw, Platform: r.Platform.control(), MaxSnapshotAge: maxAge, Buffer: r.Buffer,
		Life: life,
		Open: NewHours(func(h market.Hours) (open, known bool) {
			said, ok := r.Hours[h]
			return said.Open || !ok, said.Known
		}),
	}
	for symbol, q := range r.Quotes {
		c.Quotes[symbol] = market.Quote(q)
	}
	for symbol, b := range r.Bars {
		if c.Bars[symbol], err = b.bars(); err != nil {
			return nil, risk.View{}, fmt.Errorf("bars of %s: %w", symbol, err)
		}
	}
	from := r.Snapshot
	v := risk.View{
		Snapshot: account.Snapshot{
			UserID: r.UserID, Seq: from.Seq, ChangedSeq: from.ChangedSeq, Tick: from.Tick, ObservedAt: from.ObservedAt, DetailAt: from.DetailAt, Incomplete: from.Incomplete,
			Account:   account.Account(from.Account),
			Positions: each(from.Positions, func(p Position) account.Position { return account.Position(p) }), OpenOrders: each(from.Orders, func(o Order) account.Order { return account.Order(o) }),
			Flows: account.Flows{
				Recent: each(from.Flows.Recent, func(f Flow) account.Flow {
					return account.Flow{ID: f.ID, At: f.At, Seen: f.Seen, Amount: f.Amount}
				}), Total: from.Flows.Total,
				Since: from.Flows.Since, At: from.Flows.At, Gap: from.Flows.Gap,
			},
			LastEquityAt: from.LastEquityAt,
		},
		State: state, Control: r.User.control(), Ended: each(r.Ended, func(c Closing) risk.Closing { return risk.Closing(c) }),
	}
	return c, v, nil
}

func (b Bar) bars() ([]market.Bar, error) {
	n := len(b.At)
	if len(b.Open) != n || len(b.High) != n || len(b.Low) != n || len(b.Close) != n || len(b.Volume) != n {
		return nil, fmt.Errorf("columns of different lengths: %d %d %d %d %d %d", n, len(b.Open), len(b.High), len(b.Low), len(b.Close), len(b.Volume))
	}
	out := make([]market.Bar, n)
	for i, at := range b.At {
		out[i] = market.Bar{At: time.UnixMilli(at).UTC(), Open: b.Open[i], High: b.High[i], Low: b.Low[i], Close: b.Close[i], Volume: b.Volume[i]}
	}
	return out, nil
}
