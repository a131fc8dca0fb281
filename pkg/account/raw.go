package account

import (
	"fmt"

	"github.com/shopspring/decimal"
)

// FromRaw reads the broker's account object. What is missing or null stays missing; what is there and can't be
// understood is an error, which names the field and never quotes more than 40 bytes of it.
func FromRaw(raw map[string]any) (Account, error) {
	r := rawReader{raw: raw}
	a := Account{
		ID:                   r.text("id"),
		Status:               r.text("status"),
		Currency:             r.text("currency"),
		Equity:               r.decimal("equity"),
		LastEquity:           r.decimal("last_equity"),
		Cash:                 r.decimal("cash"),
		BuyingPower:          r.decimal("buying_power"),
		Multiplier:           r.decimal("multiplier"),
		TradingBlocked:       r.flag("trading_blocked"),
		AccountBlocked:       r.flag("account_blocked"),
		TransfersBlocked:     r.flag("transfers_blocked"),
		TradeSuspendedByUser: r.flag("trade_suspended_by_user"),
		ShortingEnabled:      r.flag("shorting_enabled"),
	}
	return a, r.err
}

type rawReader struct {
	raw map[string]any
	err error
}

func (r *rawReader) text(name string) string {
	switch v := r.raw[name].(type) {
	case nil:
	case string:
		return v
	default:
		r.fail(name, v)
	}
	return ""
}

func (r *rawReader) flag(name string) *bool {
	switch v := r.raw[name].(type) {
	case nil:
	case bool:
		return &v
	default:
		r.fail(name, v)
	}
	return nil
}

func (r *rawReader) decimal(name string) decimal.NullDecimal {
	d, err := Decimal(r.raw[name])
	if err != nil {
		r.fail(name, r.raw[name])
	}
	return d
}

func (r *rawReader) fail(name string, v any) {
	if r.err == nil {
		r.err = fmt.Errorf("account field %s: can't read %T %.40q", name, v, fmt.Sprint(v))
	}
}

// Decimal reads a figure as brokers and documents have it: a string, a whole number or a float; nil is missing.
func Decimal(v any) (decimal.NullDecimal, error) {
	switch v := v.(type) {
	case nil:
		return decimal.NullDecimal{}, nil
	case string:
		if len(v) > 64 { // an exponent of millions would take the machine with it
			return decimal.NullDecimal{}, fmt.Errorf("figure of %d characters", len(v))
		}
		d, err := decimal.NewFromString(v)
		if err != nil || d.Exponent() > 30 || d.Exponent() < -30 {
			return decimal.NullDecimal{}, fmt.Errorf("figure %.40q is no plain decimal", v)
		}
		return decimal.NewNullDecimal(d), nil
	case int64:
		return decimal.NewNullDecimal(decimal.NewFromInt(v)), nil
	case float64:
		if v != v || v-v != 0 { // NaN, ±Inf
			return decimal.NullDecimal{}, fmt.Errorf("figure is %v", v)
		}
		return decimal.NewNullDecimal(decimal.NewFromFloat(v)), nil
	default:
		return decimal.NullDecimal{}, fmt.Errorf("figure is a %T", v)
	}
}
