package account

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	decimal "github.com/alpacahq/alpacadecimal"
)

// DefaultBand is the move of equity or buying power, in basis points of the stored figure, from which a change is
// material.
const DefaultBand = 10

// Figures are those whose moves count from a band on.
type Figures struct{ Equity, BuyingPower decimal.NullDecimal } // USD

// Figures are the account's.
func (a Account) Figures() Figures { return Figures{a.Equity, a.BuyingPower} }

// Moved says whether one of them moved by at least band basis points (0: at all).
func (f Figures) Moved(to Figures, band int64) bool {
	return moved(f.Equity, to.Equity, band) || moved(f.BuyingPower, to.BuyingPower, band)
}

// AccountChanged says whether b differs from the stored account materially: any difference of cash, status, currency, blocks,
// multiplier; equity or buying power at least band basis points (0: any) from what they were at the last
// material change, so that many small moves are seen as the one that they are.
func (s Snapshot) AccountChanged(b Account, band int64) bool {
	from := s.Changed
	if from == (Figures{}) { // not stored
		from = s.Account.Figures()
	}
	return s.Account.Restructured(b) || from.Moved(b.Figures(), band)
}

// Restructured says whether cash, status or blocks differ: the sign that positions or orders did too.
func (a Account) Restructured(b Account) bool {
	return a.ID != b.ID || a.Status != b.Status || a.Currency != b.Currency ||
		!sameDecimal(a.Cash, b.Cash) || !sameDecimal(a.Multiplier, b.Multiplier) ||
		!sameFlag(a.TradingBlocked, b.TradingBlocked) || !sameFlag(a.AccountBlocked, b.AccountBlocked) ||
		!sameFlag(a.TransfersBlocked, b.TransfersBlocked) || !sameFlag(a.TradeSuspendedByUser, b.TradeSuspendedByUser) ||
		!sameFlag(a.ShortingEnabled, b.ShortingEnabled)
}

// SameCash says whether cash does not differ.
func (a Account) SameCash(b Account) bool { return sameDecimal(a.Cash, b.Cash) }

// Digest is 16 bytes of SHA-256: equal digests, equal contents.
type Digest [16]byte

// Detail is a digest of the positions' quantities and the open orders' states, in any order; prices don't matter.
func (s Snapshot) Detail() Digest {
	if s.Kept != (Digest{}) {
		return s.Kept
	}
	return digest(strings.Join(quantities(s.Positions), " "), strings.Join(states(s.OpenOrders), " "))
}

// Hash is over all that is material, exactly: equal hashes, equal accounts.
func (s Snapshot) Hash() string {
	a, detail := s.Account, s.Detail()
	d := digest(a.ID, a.Status, a.Currency, text(a.Cash), text(a.Multiplier), text(a.Equity), text(a.BuyingPower),
		flag(a.TradingBlocked), flag(a.AccountBlocked), flag(a.TransfersBlocked), flag(a.TradeSuspendedByUser), flag(a.ShortingEnabled),
		string(detail[:]), flag(&s.Incomplete), s.Flows.Total.String(), strconv.FormatBool(s.Flows.Gap.IsZero()))
	return hex.EncodeToString(d[:])
}

func digest(parts ...string) Digest {
	b := make([]byte, 0, 256)
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...) // the length first: no two lists are alike
	}
	sum := sha256.Sum256(b)
	return Digest(sum[:16])
}

func quantities(ps []Position) []string {
	q := make([]string, len(ps))
	for i, p := range ps {
		q[i] = p.Symbol + "=" + p.Qty.String()
	}
	slices.Sort(q)
	return q
}

func states(os []Order) []string {
	q := make([]string, len(os))
	for i, o := range os {
		q[i] = strings.Join([]string{o.ID, o.Status, text(o.Qty), text(o.Notional), text(o.FilledQty), text(o.LimitPrice)}, "/")
	}
	slices.SortFunc(q, cmp.Compare[string])
	return q
}

func moved(a, b decimal.NullDecimal, band int64) bool {
	if a.Valid != b.Valid {
		return true
	}
	if !a.Valid || a.Decimal.Equal(b.Decimal) {
		return false
	}
	// |b - a| / |a| ≥ band / 10,000, without the division
	delta := b.Decimal.Sub(a.Decimal).Abs().Mul(decimal.NewFromInt(10_000))
	return delta.GreaterThanOrEqual(a.Decimal.Abs().Mul(decimal.NewFromInt(band)))
}

func sameDecimal(a, b decimal.NullDecimal) bool {
	return a.Valid == b.Valid && (!a.Valid || a.Decimal.Equal(b.Decimal))
}

func sameFlag(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func flag(b *bool) string {
	if b == nil {
		return "missing"
	}
	return strconv.FormatBool(*b)
}

func text(d decimal.NullDecimal) string {
	if !d.Valid {
		return "missing"
	}
	return d.Decimal.String()
}
