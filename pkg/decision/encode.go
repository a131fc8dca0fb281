package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/shopspring/decimal"
)

// Encode is the record's body, at most MaxBody bytes. Where it would be longer, bars are left out first, then all that the
// account and the state hold: what was judged, and how, stays.
func (r *Record) Encode() ([]byte, error) {
	short := *r
	for _, cut := range []func(){
		func() {},
		func() { short.Bars, short.Cut = nil, append(slices.Clone(short.Cut), "bars") },
		func() {
			short.Snapshot.Positions, short.Snapshot.Orders, short.State = nil, nil, nil
			short.Cut = append(short.Cut, "positions", "open_orders", "risk_state")
		},
		func() {
			short.Platform, short.User, short.Definition.Params, short.Definition.Limits, short.Quotes = Control{}, Control{}, nil, nil, nil
			short.Cut = append(short.Cut, "platform", "user", "params", "limits", "quotes")
		},
	} {
		cut()
		body, err := packed(&short)
		if err != nil {
			return nil, fmt.Errorf("decision: %w", err)
		}
		if len(body) <= MaxBody {
			return body, nil
		}
	}
	return nil, fmt.Errorf("decision: more than %d bytes", MaxBody)
}

// packer is what is used again from one record to the next: a writer of gzip alone is more than 100 KB. It takes the fastest
// level, which costs a tenth of the default one and makes records a quarter longer.
type packer struct {
	body bytes.Buffer
	gzip *gzip.Writer
}

var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // no other level is refused
	return &packer{gzip: z}
}}

func packed(r *Record) ([]byte, error) {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	p.body.Reset()
	p.gzip.Reset(&p.body)
	if err := json.NewEncoder(p.gzip).Encode(r); err != nil {
		return nil, err
	}
	if err := p.gzip.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(p.body.Bytes()), nil
}

// The types below are written in one go: a record holds thousands of decimals, and each for itself costs several allocations.

// column is decimals.
type column []decimal.Decimal

// MarshalJSON implements json.Marshaler.
func (c column) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("null"), nil
	}
	b := append(make([]byte, 0, 12*len(c)+2), '[')
	for _, d := range c {
		b = appendDecimal(comma(b), d)
	}
	return append(b, ']'), nil
}

// MarshalJSON implements json.Marshaler.
func (a Account) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 320), '{')
	b = appendName(b, `"id":`, a.ID)
	b = appendName(b, `"status":`, a.Status)
	b = appendName(b, `"currency":`, a.Currency)
	b = appendFigure(b, `"equity":`, a.Equity)
	b = appendFigure(b, `"last_equity":`, a.LastEquity)
	b = appendFigure(b, `"cash":`, a.Cash)
	b = appendFigure(b, `"buying_power":`, a.BuyingPower)
	b = appendFigure(b, `"multiplier":`, a.Multiplier)
	b = appendFlag(b, `"trading_blocked":`, a.TradingBlocked)
	b = appendFlag(b, `"account_blocked":`, a.AccountBlocked)
	b = appendFlag(b, `"transfers_blocked":`, a.TransfersBlocked)
	b = appendFlag(b, `"trade_suspended_by_user":`, a.TradeSuspendedByUser)
	b = appendFlag(b, `"shorting_enabled":`, a.ShortingEnabled)
	return append(b, '}'), nil
}

// positions are all of an account.
type positions []Position

// MarshalJSON implements json.Marshaler.
func (all positions) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 128*len(all)+2), '[')
	for _, p := range all {
		b = appendText(append(comma(b), `{"symbol":`...), p.Symbol)
		b = appendDecimal(append(b, `,"qty":`...), p.Qty)
		b = appendFigure(b, `"avg_entry_price":`, p.AvgEntryPrice)
		b = appendFigure(b, `"current_price":`, p.CurrentPrice)
		b = appendFigure(b, `"market_value":`, p.MarketValue)
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

// checks are all checks of an intent.
type checks []Check

// check is one of them as it is written.
type check struct {
	Limit    string              `json:"limit"`
	Level    string              `json:"level,omitempty"`
	Value    decimal.NullDecimal `json:"value,omitzero"`
	Bound    decimal.NullDecimal `json:"bound,omitzero"`
	Distance decimal.NullDecimal `json:"distance,omitzero"`
	Code     string              `json:"code,omitempty"`
	Waived   bool                `json:"waived,omitempty"`
	Note     string              `json:"note,omitempty"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (all *checks) UnmarshalJSON(b []byte) error {
	var in []check
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*all = each(in, func(c check) Check { return Check(c) })
	return nil
}

// MarshalJSON implements json.Marshaler.
func (all checks) MarshalJSON() ([]byte, error) {
	if all == nil {
		return []byte("null"), nil
	}
	b := append(make([]byte, 0, 96*len(all)+2), '[')
	for _, c := range all {
		b = appendText(append(comma(b), `{"limit":`...), c.Limit)
		b = appendName(b, `"level":`, c.Level)
		b = appendFigure(b, `"value":`, c.Value)
		b = appendFigure(b, `"bound":`, c.Bound)
		b = appendFigure(b, `"distance":`, c.Distance)
		b = appendName(b, `"code":`, c.Code)
		if c.Waived {
			b = append(b, `,"waived":true`...)
		}
		b = appendName(b, `"note":`, c.Note)
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

// appendFigure is a member of an object, unless it is null.
func appendFigure(b []byte, name string, d decimal.NullDecimal) []byte {
	if !d.Valid {
		return b
	}
	return appendDecimal(append(comma(b), name...), d.Decimal)
}

// appendName is a member of an object, unless it is "".
func appendName(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(append(comma(b), name...), text)
}

// appendFlag is a member of an object, unless it is null.
func appendFlag(b []byte, name string, flag *bool) []byte {
	if flag == nil {
		return b
	}
	return strconv.AppendBool(append(comma(b), name...), *flag)
}

// comma parts what is next in an object or a list from what is before it.
func comma(b []byte) []byte {
	switch b[len(b)-1] {
	case '{', '[':
		return b
	}
	return append(b, ',')
}

// appendDecimal is decimal's own form, a text.
func appendDecimal(b []byte, d decimal.Decimal) []byte {
	e := int(d.Exponent())
	if e > 0 || e < -15 || d.NumDigits() > 18 {
		return append(append(append(b, '"'), d.String()...), '"')
	}
	n := d.CoefficientInt64()
	for ; e < 0 && n%10 == 0; e++ {
		n /= 10
	}
	b = append(b, '"')
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	begin := len(b)
	b = strconv.AppendInt(b, n, 10)
	if e < 0 {
		for len(b)-begin <= -e {
			b = slices.Insert(b, begin, '0')
		}
		b = slices.Insert(b, len(b)+e, '.')
	}
	return append(b, '"')
}

// appendText is a text as JSON has it.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // which takes any text
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
