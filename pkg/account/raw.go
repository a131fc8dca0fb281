package account

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	decimal "github.com/alpacahq/alpacadecimal"
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

// PositionsFromRaw reads the broker's list of positions by the rules of FromRaw. A position without symbol or
// quantity is an error.
func PositionsFromRaw(list []any) ([]Position, error) {
	r := fieldReader{f: map[string]any{"positions": list}}
	ps := r.positions()
	return ps, errors.Join(r.errs...)
}

// OrdersFromRaw reads the broker's list of orders by the rules of FromRaw.
func OrdersFromRaw(list []any) ([]Order, error) {
	r := fieldReader{f: map[string]any{"open_orders": list}}
	os := r.orders()
	return os, errors.Join(r.errs...)
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

// places bounds a figure on both sides of the point, so that its text is never longer than the 64 characters that
// Decimal takes, and no arithmetic on it is large.
const places = 30

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
		if v == "." || err != nil || !d.IsOptimized() && (d.Exponent() < -places || d.NumDigits()+int(d.Exponent()) > places+1) {
			return decimal.NullDecimal{}, fmt.Errorf("figure %.40q is no plain decimal", v)
		}
		return decimal.NewNullDecimal(d), nil
	case int64:
		return decimal.NewNullDecimal(decimal.NewFromInt(v)), nil
	case float64:
		if !(math.Abs(v) <= 1e31) { // or NaN
			return decimal.NullDecimal{}, fmt.Errorf("figure is %v", v)
		}
		return decimal.NewNullDecimal(decimal.NewFromFloat(v).Round(places)), nil
	default:
		return decimal.NullDecimal{}, fmt.Errorf("figure is a %T", v)
	}
}

// Cents is a figure as amounts and percentages are shown, with two digits after the point.
func Cents(d decimal.Decimal) string {
	const cent = 10_000_000_000 // of the twelve digits that a figure of up to 9 million has
	d = d.Round(2)
	if !d.IsOptimized() {
		return d.StringFixed(2)
	}
	n := d.GetFixed() / cent
	b := make([]byte, 0, 16)
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/100, 10)
	return string(append(b, '.', byte('0'+n/10%10), byte('0'+n%10)))
}
