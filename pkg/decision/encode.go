package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/klauspost/compress/gzip"
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
	text []byte
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
	e := encoder{b: p.text[:0]}
	e.record(r)
	if p.text = e.b; e.err != nil {
		return nil, e.err
	}
	if _, err := p.gzip.Write(e.b); err != nil {
		return nil, err
	}
	if err := p.gzip.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(p.body.Bytes()), nil
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
	var out []check // null of nil
	if all != nil {
		out = make([]check, len(all))
	}
	for i, c := range all {
		out[i] = check(c)
	}
	return json.Marshal(out)
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
	return append(append(append(b, '"'), d.String()...), '"')
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
