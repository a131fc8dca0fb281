package signaler

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

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
// engine, the reservations and the record are those of any run. What one strategy fails of, the others do not: what came of them
// is given beside the error.
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
	if err := s.onTime(ctx, snap); err != nil {
		return nil, err
	}
	runs, broken, err := s.demanded(ctx, d)
	if err != nil {
		return nil, err
	}
	if d.ID == "" {
		d.ID = s.Now().UTC().Format("20060102T150405.000000Z")
	}
	cause := strategy.Demand(d.ID, s.Now())
	errs := broken
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

// maxOff is how far the clock of who asks may be from the database's. The day's counts, the ends of signals and cool-downs go by it.
const maxOff = 2 * time.Minute

// onTime says whether the time here is one that a decision can be made by.
func (s *Service) onTime(ctx context.Context, snap account.Snapshot) error {
	if s.Clock != nil {
		at, err := s.Clock(ctx)
		if err != nil {
			return fmt.Errorf("the database's clock: %w", err)
		}
		if now := s.Now(); now.Sub(at).Abs() > maxOff {
			return fmt.Errorf("this machine's clock says %s, and the database's %s: nothing was decided; set this one, 'agenttrader doctor' looks at it", second(now), second(at))
		}
	}
	if now := s.Now(); snap.ObservedAt.Sub(now) > skew {
		return fmt.Errorf("%s was observed at %s, and it is %s here: nothing was decided; this machine's clock is behind, or the syncer's ahead", store.SnapshotPath(snap.UserID), second(snap.ObservedAt), second(now))
	}
	return nil
}

func second(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// demanded are the strategies that are asked, with the context in them, and what is wrong with those that can't be.
func (s *Service) demanded(ctx context.Context, d Demand) (runs []strategy.Definition, broken []error, err error) {
	all, err := s.Strategies.Enabled(ctx, d.UserID)
	named := func(def strategy.Definition) bool { return def.ID == d.StrategyID }
	switch {
	case errors.Is(err, strategy.ErrTooMany) && !slices.ContainsFunc(all, named):
		broken = append(broken, err) // it may be one of those that are left out
	case err != nil && !errors.Is(err, strategy.ErrTooMany):
		return nil, nil, err
	}
	for _, def := range all {
		if d.StrategyID != "" && def.ID != d.StrategyID {
			continue
		}
		if d.Context != "" {
			if def, err = strategy.WithContext(def, d.Context); err != nil {
				broken = append(broken, fmt.Errorf("strategy %s: %w", def.ID, err))
				continue
			}
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
	case len(runs) > 0 || len(broken) > 0:
		return runs, broken, nil
	case d.StrategyID != "":
		return nil, nil, fmt.Errorf("%w: strategy %.100q of user %s is not there, not enabled or has not %s among its symbols", ErrNothingTrades, d.StrategyID, d.UserID, d.Symbol)
	default:
		return nil, nil, fmt.Errorf("%w: user %s has %d enabled strategies, and none of them has %s among its symbols", ErrNothingTrades, d.UserID, len(all), d.Symbol)
	}
}

// demand is one strategy's.
func (s *Service) demand(ctx context.Context, d Demand, cause strategy.Cause, def strategy.Definition, snap account.Snapshot) (Made, error) {
	m := Made{StrategyID: def.ID, Cause: cause.Text}
	if at, err := s.remember(ctx, d.UserID, &m); err != nil || !at.IsZero() {
		m.Repeated = !at.IsZero()
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
	if len(placed) == 0 { // it wants nothing, or another demand of this name was quicker
		at, err := s.remember(ctx, d.UserID, &m)
		m.Repeated = !at.IsZero() && !at.Equal(c.Now.Truncate(time.Microsecond)) // the database's
		return m, err
	}
	m.Signals = decision.SignalsOf(placed)
	if s.cfg.DecisionTTL > 0 {
		m.DecisionID = signal.RunID(d.UserID, def.ID, cause.Text)
	}
	return m, nil
}

// remember says what came of the run, and when; the zero time if there is no record of it.
func (s *Service) remember(ctx context.Context, userID string, m *Made) (at time.Time, err error) {
	if s.Records == nil {
		return at, nil
	}
	r, err := s.Records.Decision(ctx, userID, signal.RunID(userID, m.StrategyID, m.Cause))
	if errors.Is(err, risk.ErrNoRecord) {
		return at, nil
	}
	if err != nil {
		return at, err
	}
	m.DecisionID = r.ID
	if kept, err := decision.Decode(r.Body); err == nil {
		m.Signals = kept.Signals
	}
	return r.At.Truncate(time.Microsecond), nil
}
