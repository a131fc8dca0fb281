package risk

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
)

// Figure is a limit that is a number.
type Figure int

// The figures. Shares are fractions: 0.25 is a quarter.
const (
	MaxTrade       Figure = iota // USD of one trade
	MaxDay                       // USD of the trades of one day
	MaxOrders                    // trades of one day
	MaxPosition                  // share of equity in one symbol
	MaxPositions                 // symbols held at once
	MaxGross                     // share of equity, long and short added up
	MaxDailyLoss                 // share of the last close's equity
	MaxDrawdown                  // share of the high-water mark
	Cooldown                     // minutes between two trades of a symbol
	MinPrice                     // USD a share
	MaxQuoteAge                  // seconds
	MaxSnapshotAge               // seconds
	Buffer                       // share of buying power that is kept back
	figures
)

// figureRule is how a figure is written, and what it may be.
type figureRule struct {
	name  string
	most  int64
	whole bool
	least bool // a larger one is tighter
	exact bool // a share or a price, which a hundredth of a cent is not fine enough for
}

var figureRules = [figures]figureRule{
	MaxTrade:       {name: "max_trade_usd", most: 1e12},
	MaxDay:         {name: "max_day_usd", most: 1e12},
	MaxOrders:      {name: "max_orders_per_day", most: 1e6, whole: true},
	MaxPosition:    {name: "max_position_share", most: 10, exact: true},
	MaxPositions:   {name: "max_positions", most: 1e6, whole: true},
	MaxGross:       {name: "max_gross_share", most: 10, exact: true},
	MaxDailyLoss:   {name: "max_daily_loss_share", most: 1, exact: true},
	MaxDrawdown:    {name: "max_drawdown_share", most: 1, exact: true},
	Cooldown:       {name: "cooldown_minutes", most: 1440, least: true},
	MinPrice:       {name: "min_price_usd", most: 1e9, least: true, exact: true},
	MaxQuoteAge:    {name: "max_quote_age_s", most: 86400},
	MaxSnapshotAge: {name: "max_snapshot_age_s", most: 86400},
	Buffer:         {name: "buffer_share", most: 1, least: true, exact: true},
}

func (f Figure) String() string { return figureRules[f].name }

// The limits that are no numbers.
const (
	allowSymbols = "allow_symbols"
	denySymbols  = "deny_symbols"
	hoursName    = "hours"
	anyHours     = "any"
)

// LimitNames are all there are.
func LimitNames() []string {
	names := []string{allowSymbols, denySymbols, hoursName}
	for _, r := range figureRules {
		names = append(names, r.name)
	}
	slices.Sort(names)
	return names
}

// maxSymbols bounds a list.
const maxSymbols = 1000

// Limits is what one level allows. The zero Limits allows everything.
type Limits struct {
	Figures [figures]decimal.NullDecimal
	Allow   []string     // nil: every symbol; empty: none
	Deny    []string     // symbols
	Hours   market.Hours // in which orders may be sent; "": any
	Invalid []string     // fields that can't be read: while there is one, nothing that opens exposure passes
}

// ParseLimits reads limits as people write them: numbers or texts of numbers, symbols in any case, blanks around them.
// nil is no limit. What can't be understood, a name that is unknown or comes twice included, is listed in Invalid and never ignored.
func ParseLimits(m map[string]any) Limits {
	var l Limits
	read := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		v, plain := m[name], strings.TrimSpace(name)
		if v == nil {
			continue
		}
		if slices.Contains(read, plain) || !l.read(plain, v) {
			l.Invalid = append(l.Invalid, fmt.Sprintf("%.40q", name))
		}
		read = append(read, plain)
	}
	return l
}

func (l *Limits) read(name string, v any) bool {
	ok := true
	switch name {
	case allowSymbols:
		l.Allow, ok = symbols(v)
	case denySymbols:
		l.Deny, ok = symbols(v)
	case hoursName:
		s, isText := v.(string)
		switch s = strings.ToLower(strings.TrimSpace(s)); {
		case isText && s == anyHours:
		case isText && (s == string(market.Regular) || s == string(market.Extended)):
			l.Hours = market.Hours(s)
		default:
			return false
		}
	default:
		i := slices.IndexFunc(figureRules[:], func(r figureRule) bool { return r.name == name })
		if i < 0 {
			return false
		}
		l.Figures[i], ok = figureRules[i].read(v)
	}
	return ok
}

func (r figureRule) read(v any) (decimal.NullDecimal, bool) {
	if s, ok := v.(string); ok {
		v = strings.TrimSpace(s)
	}
	d, err := account.Decimal(v)
	ok := err == nil && d.Valid && !d.Decimal.IsNegative() && d.Decimal.LessThanOrEqual(decimal.NewFromInt(r.most)) && (!r.whole || d.Decimal.IsInteger())
	if !ok {
		return decimal.NullDecimal{}, false
	}
	return d, true
}

func symbols(v any) ([]string, bool) {
	list, ok := v.([]any)
	if !ok || len(list) > maxSymbols {
		return []string{}, false
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, _ := e.(string)
		s = strings.ToUpper(strings.TrimSpace(s))
		if market.CheckSymbol(s) != nil {
			return []string{}, false
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

// Fields is the limits as they are stored: what ParseLimits reads.
func (l Limits) Fields() map[string]any {
	m := map[string]any{}
	for i, d := range l.Figures {
		if d.Valid {
			m[Figure(i).String()] = d.Decimal.String()
		}
	}
	for name, list := range map[string][]string{allowSymbols: l.Allow, denySymbols: l.Deny} {
		if list != nil {
			m[name] = anyOf(list)
		}
	}
	if l.Hours != "" {
		m[hoursName] = string(l.Hours)
	}
	return m
}

func anyOf(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// bound is a limit with the level that set it.
type bound struct {
	decimal.NullDecimal
	level string
}

// tightest is a figure over several levels: of equal ones the first level's.
func tightest(levels []Level, f Figure, from func(Level) bool) (b bound) {
	for _, l := range levels {
		d := l.Limits.Figures[f]
		if !d.Valid || (from != nil && !from(l)) {
			continue
		}
		if c := 0; b.Valid {
			if c = d.Decimal.Cmp(b.Decimal); figureRules[f].least {
				c = -c
			}
			if c >= 0 {
				continue
			}
		}
		b = bound{d, l.Name}
	}
	if b.Valid && !figureRules[f].exact {
		b.Decimal = cents(b.Decimal)
	}
	return b
}
