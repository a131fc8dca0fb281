package signaler

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Demand asks for a signal now, as the predecessor's generate_signal_with_warm_cache did.
type Demand struct {
	UserID     string
	Symbol     string
	Context    string // told to models, after what the strategy's owner tells them
	StrategyID string // "": all of the user's that trade the symbol
	ID         string // names the asking: one that comes again places nothing more; "": the time does
}

// Made is what came of a demand for one strategy.
type Made struct {
	StrategyID string            `json:"strategy_id"`
	DecisionID string            `json:"decision_id,omitempty"` // of the record; "": there is none
	Cause      string            `json:"cause"`
	Repeated   bool              `json:"repeated,omitempty"` // it was asked before, and this came of it then
	Signals    []decision.Signal `json:"signals"`            // denials among them; none: it wants nothing
}

var demandForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Validate names every fault.
func (d *Demand) Validate() error {
	var errs []error
	if err := user.CheckID(d.UserID); err != nil {
		errs = append(errs, fmt.Errorf("user: %w", err))
	}
	errs = append(errs, market.CheckSymbol(d.Symbol), strategy.CheckContext(d.Context))
	if d.ID != "" && !demandForm.MatchString(d.ID) {
		errs = append(errs, fmt.Errorf("id of the demand is %.40q: want up to 100 letters, digits, '.', '_' and '-'", d.ID))
	}
	return errors.Join(errs...)
}

// ErrNothingTrades says that no enabled strategy of the user's is asked.
var ErrNothingTrades = errors.New("no enabled strategy trades the symbol")

// Generate runs the user's enabled strategies that trade the symbol, and keeps of what they want what is about it. The risk
// engine, the reservations and the record are those of any run. What one strategy fails of, the others do not.
func (s *Service) Generate(ctx context.Context, d Demand) (made []Made, err error) {
	d.Symbol = strings.ToUpper(strings.TrimSpace(d.Symbol))
	if err := d.Validate(); err != nil {
		return nil, err
	}
	snap, err := s.Snapshots.Snapshot(ctx, d.UserID)
	if errors.Is(err, account.ErrNotFound) {
		return nil, account.Missing(store.SnapshotPath(d.UserID))
	}
	if err != nil {
		return nil, err
	}
	runs, err := s.demanded(ctx, d)
	if err != nil {
		return nil, err
	}
	if d.ID == "" {
		d.ID = s.Now().UTC().Format("20060102T150405.000000Z")
	}
	cause := strategy.Demand(d.ID, s.Now())
	var errs []error
	for _, r := range runs {
		m, err := s.demand(ctx, d, cause, r, snap)
		if err != nil {
			errs = append(errs, fmt.Errorf("strategy %s: %w", r.ID, err))
			continue
		}
		made = append(made, m)
	}
	return made, errors.Join(errs...)
}

// demanded are the strategies that are asked, with the context in them.
func (s *Service) demanded(ctx context.Context, d Demand) (runs []strategy.Definition, err error) {
	all, err := s.Strategies.Enabled(ctx, d.UserID)
	if err != nil {
		return nil, err
	}
	var broken []error
	for _, def := range all {
		if d.StrategyID != "" && def.ID != d.StrategyID {
			continue
		}
		if d.Context != "" {
			def, _ = strategy.WithContext(def, d.Context)
		}
		strat, err := strategy.New(def)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		if slices.Contains(strat.Needs().Symbols, d.Symbol) {
			runs = append(runs, def)
		}
	}
	switch {
	case len(runs) == 0 && len(broken) > 0:
		return nil, errors.Join(broken...)
	case len(runs) == 0 && d.StrategyID != "":
		return nil, fmt.Errorf("%w: strategy %.100q of user %s is not there, not enabled or has not %s among its symbols", ErrNothingTrades, d.StrategyID, d.UserID, d.Symbol)
	case len(runs) == 0:
		return nil, fmt.Errorf("%w: user %s has %d enabled strategies, and none of them has %s among its symbols", ErrNothingTrades, d.UserID, len(all), d.Symbol)
	}
	for _, err := range broken {
		s.Fault(ctx, d.UserID, err)
	}
	return runs, nil
}

// demand is one strategy's.
func (s *Service) demand(ctx context.Context, d Demand, cause strategy.Cause, def strategy.Definition, snap account.Snapshot) (Made, error) {
	m := Made{StrategyID: def.ID, Cause: cause.Text}
	if found, err := s.remember(ctx, d.UserID, &m); err != nil || found {
		m.Repeated = found
		return m, err
	}
	strat, err := strategy.New(def)
	if err != nil {
		return m, err
	}
	c, err := s.prepare(ctx, def, cause, strat, snap)
	if err != nil {
		return m, err
	}
	c.Symbol, c.Once = d.Symbol, true
	placed, err := s.decide(ctx, c, snap, s.Signals.Open)
	if errors.Is(err, signal.ErrOutdated) {
		return m, fmt.Errorf("a later cause ran it meanwhile, or the user was removed; ask again: %w", err)
	}
	if err != nil {
		return m, err
	}
	if len(placed) == 0 { // or another demand of this name was quicker
		m.Repeated, err = s.remember(ctx, d.UserID, &m)
		return m, err
	}
	m.Signals = decision.SignalsOf(placed)
	if s.cfg.DecisionTTL > 0 {
		m.DecisionID = signal.RunID(d.UserID, def.ID, cause.Text)
	}
	return m, nil
}

// remember says what came of the run before, if it was.
func (s *Service) remember(ctx context.Context, userID string, m *Made) (found bool, err error) {
	if s.Records == nil {
		return false, nil
	}
	r, err := s.Records.Decision(ctx, userID, signal.RunID(userID, m.StrategyID, m.Cause))
	if errors.Is(err, risk.ErrNoRecord) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m.DecisionID = r.ID
	if kept, err := decision.Decode(r.Body); err == nil {
		m.Signals = kept.Signals
	}
	return true, nil
}
