package strategy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// params reads a definition's parameters and gathers everything that is wrong with them.
type params struct {
	in   map[string]any
	errs []error
}

func (p *params) check(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

func (p *params) figure(name string, otherwise decimal.Decimal) decimal.Decimal {
	d, err := account.Decimal(p.in[name])
	if err != nil {
		p.check(fmt.Errorf("%s: %w", name, err))
	}
	if !d.Valid {
		return otherwise
	}
	return d.Decimal
}

func (p *params) figures(name string) map[string]decimal.Decimal {
	in, ok := p.in[name].(map[string]any)
	if !ok && p.in[name] != nil {
		p.check(fmt.Errorf("%s is a %T: want a map of symbols to numbers", name, p.in[name]))
	}
	out := make(map[string]decimal.Decimal, len(in))
	for k, v := range in {
		d, err := account.Decimal(v)
		if err != nil || !d.Valid {
			p.check(fmt.Errorf("%s.%.40s is %.40q: want a number", name, k, fmt.Sprint(v)))
			continue
		}
		out[k] = d.Decimal
	}
	return out
}

// minutes reads a schedule's period.
func (p *params) minutes(name string) time.Duration {
	d := p.figure(name, decimal.Decimal{})
	if d.IsZero() && len(p.errs) == 0 {
		return 0
	}
	every := time.Duration(min(d.IntPart(), 1<<20)) * time.Minute
	if !d.IsInteger() || d.GreaterThan(decimal.NewFromInt(1440)) || every < MinSlot || every > 24*time.Hour || every%MinSlot != 0 || 24*time.Hour%every != 0 {
		p.check(fmt.Errorf("%s is %s: want a multiple of 5 that divides a day (5, 10, 15, 30, 60, … 1440)", name, d))
		return 0
	}
	return every
}

func (p *params) unknown(known ...string) {
	for _, name := range slices.Sorted(maps.Keys(p.in)) {
		if !slices.Contains(known, name) {
			p.check(errors.New("unknown parameter " + fmt.Sprintf("%.40q", name) + fmt.Sprintf(": want some of %v", known)))
		}
	}
}
