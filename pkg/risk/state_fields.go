package risk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Fields is the state as it is stored (docs/data-model.md); what is zero is left out.
func (s *State) Fields() map[string]any {
	f := map[string]any{}
	put(f, "day_start", s.Day.Start)
	put(f, "day_end", s.Day.End)
	put(f, "day_notional", s.Day.Notional)
	put(f, "day_orders", s.Day.Orders)
	s.Mark.put(f)
	reservations := make([]any, len(s.Reservations))
	for i, r := range s.Reservations {
		m := map[string]any{"signal_id": r.SignalID, "strategy_id": r.StrategyID, "symbol": r.Symbol, "action": string(r.Action)}
		put(m, "notional", r.Notional)
		put(m, "qty", r.Qty)
		put(m, "reserved", r.Reserved)
		put(m, "held", r.Held)
		put(m, "created_at", r.CreatedAt)
		put(m, "expires_at", r.ExpiresAt)
		put(m, "settled_at", r.SettledAt)
		put(m, "executed", r.Executed)
		put(m, "shown_at", r.ShownAt)
		put(m, "mixed", r.Mixed)
		reservations[i] = m
	}
	breaches := make([]any, len(s.Breaches))
	for i, b := range s.Breaches {
		m := map[string]any{"code": b.Code, "value": b.Value.String(), "bound": b.Bound.String()}
		put(m, "strategy_id", b.Strategy)
		put(m, "at", b.At)
		breaches[i] = m
	}
	traded := make(map[string]any, len(s.Traded))
	for symbol, at := range s.Traded {
		traded[symbol] = at.UTC()
	}
	strategies := make(map[string]any, len(s.Strategies))
	for id, p := range s.Strategies {
		m := map[string]any{}
		put(m, "last_cause", int64(p.Tick))
		put(m, "ran_at", p.At)
		put(m, "day_notional", p.Notional)
		put(m, "day_orders", p.Orders)
		p.Mark.put(m)
		if len(p.Causes) > 0 {
			m["causes"] = anyOf(p.Causes)
		}
		if len(p.Asides) > 0 {
			m["asides"] = anyOf(p.Asides)
		}
		if len(p.State) > 0 {
			kept := make(map[string]any, len(p.State))
			for k, v := range p.State {
				kept[k] = v
			}
			m["state"] = kept
		}
		strategies[id] = m
	}
	f["reservations"], f["breaches"], f["traded"], f["strategies"] = reservations, breaches, traded, strategies
	return f
}

func (m Mark) put(f map[string]any) {
	if m.Equity.Valid {
		put(f, "high_water_mark", m.Equity.Decimal)
		put(f, "high_water_flow", m.Flow)
	}
	put(f, "high_water_at", m.At)
}

// put leaves out what is zero.
func put(f map[string]any, name string, v any) {
	switch v := v.(type) {
	case decimal.Decimal:
		if !v.IsZero() {
			f[name] = v.String()
		}
	case time.Time:
		if !v.IsZero() {
			f[name] = v.UTC()
		}
	case int64:
		if v != 0 {
			f[name] = v
		}
	case bool:
		if v {
			f[name] = v
		}
	case string:
		if v != "" {
			f[name] = v
		}
	}
}

// ParseState reads a stored state. What is missing is zero; what is there and can't be understood is an error that names it:
// on a state that can't be read nothing is decided.
func ParseState(f map[string]any) (*State, error) {
	r := &reader{}
	s := &State{
		Day:  Day{Start: get[time.Time](r, f, "day_start"), End: get[time.Time](r, f, "day_end"), Notional: r.decimal(f, "day_notional").Decimal, Orders: get[int64](r, f, "day_orders")},
		Mark: r.mark(f),
	}
	for _, m := range r.maps(f, "reservations") {
		s.Reservations = append(s.Reservations, signal.Reservation{
			SignalID: get[string](r, m, "signal_id"), StrategyID: get[string](r, m, "strategy_id"), Symbol: get[string](r, m, "symbol"),
			Action: signal.Action(get[string](r, m, "action")), Notional: r.decimal(m, "notional").Decimal, Qty: r.decimal(m, "qty").Decimal,
			Reserved: r.decimal(m, "reserved").Decimal, Held: r.decimal(m, "held").Decimal,
			CreatedAt: get[time.Time](r, m, "created_at"), ExpiresAt: get[time.Time](r, m, "expires_at"),
			SettledAt: get[time.Time](r, m, "settled_at"), Executed: get[bool](r, m, "executed"), ShownAt: get[time.Time](r, m, "shown_at"), Mixed: get[bool](r, m, "mixed"),
		})
	}
	for _, m := range r.maps(f, "breaches") {
		s.Breaches = append(s.Breaches, Breach{
			Strategy: get[string](r, m, "strategy_id"), Code: get[string](r, m, "code"), At: get[time.Time](r, m, "at"),
			Value: r.decimal(m, "value").Decimal, Bound: r.decimal(m, "bound").Decimal,
		})
	}
	for symbol := range get[map[string]any](r, f, "traded") {
		if s.Traded == nil {
			s.Traded = map[string]time.Time{}
		}
		s.Traded[symbol] = get[time.Time](r, f["traded"].(map[string]any), symbol)
	}
	strategies := get[map[string]any](r, f, "strategies")
	for _, id := range slices.Sorted(maps.Keys(strategies)) {
		m := get[map[string]any](r, strategies, id)
		p := Progress{Tick: tick.Tick(get[int64](r, m, "last_cause")), At: get[time.Time](r, m, "ran_at"), Notional: r.decimal(m, "day_notional").Decimal, Orders: get[int64](r, m, "day_orders"), Mark: r.mark(m)}
		for _, c := range get[[]any](r, m, "causes") {
			text, _ := c.(string)
			p.Causes = append(p.Causes, text)
		}
		for _, c := range get[[]any](r, m, "asides") {
			text, _ := c.(string)
			p.Asides = append(p.Asides, text)
		}
		if kept := get[map[string]any](r, m, "state"); kept != nil {
			p.State = strategy.State{}
			for k := range kept {
				p.State[k] = get[string](r, kept, k)
			}
		}
		s.progress(id, p)
	}
	s.former(r, f)
	return s, errors.Join(r.errs...)
}

// former reads the shape that was written before there were reservations: open (strategy|symbol → signal) and last_cause
// (strategy → tick). What was open then is ended by the next run.
func (s *State) former(r *reader, f map[string]any) {
	open := get[map[string]any](r, f, "open")
	for _, key := range slices.Sorted(maps.Keys(open)) {
		id, symbol, _ := strings.Cut(key, "|")
		s.Reservations = append(s.Reservations, signal.Reservation{SignalID: get[string](r, open, key), StrategyID: id, Symbol: symbol})
	}
	last := get[map[string]any](r, f, "last_cause")
	for _, id := range slices.Sorted(maps.Keys(last)) {
		s.progress(id, Progress{Tick: tick.Tick(get[int64](r, last, id))})
	}
}

type reader struct{ errs []error }

func (r *reader) mark(f map[string]any) Mark {
	return Mark{Equity: r.decimal(f, "high_water_mark"), At: get[time.Time](r, f, "high_water_at"), Flow: r.decimal(f, "high_water_flow").Decimal}
}

func get[T any](r *reader, f map[string]any, name string) (v T) {
	if f[name] == nil {
		return v
	}
	v, ok := f[name].(T)
	if !ok {
		r.errs = append(r.errs, fmt.Errorf("field %.40s is a %T: want a %T", name, f[name], v))
	}
	return v
}

func (r *reader) decimal(f map[string]any, name string) decimal.NullDecimal {
	d, err := account.Decimal(f[name])
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("field %.40s: %w", name, err))
	}
	return d
}

func (r *reader) maps(f map[string]any, name string) (out []map[string]any) {
	for _, e := range get[[]any](r, f, name) {
		m, ok := e.(map[string]any)
		if !ok {
			r.errs = append(r.errs, fmt.Errorf("field %.40s holds a %T: want maps", name, e))
			continue
		}
		out = append(out, m)
	}
	return out
}
