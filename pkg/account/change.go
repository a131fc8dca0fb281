package account

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

// DefaultBand is the move of equity or buying power, in basis points of the stored figure, from which a change is
// material.
const DefaultBand = 10

// Changed says whether b differs from a materially: any difference of cash, status, currency, blocks, multiplier;
// a move of equity or buying power of at least band basis points (0: any).
func (a Account) Changed(b Account, band int64) bool {
	return a.Restructured(b) || moved(a.Equity, b.Equity, band) || moved(a.BuyingPower, b.BuyingPower, band)
}

// Restructured says whether cash, status or blocks differ: the sign that positions or orders did too.
func (a Account) Restructured(b Account) bool {
	return a.ID != b.ID || a.Status != b.Status || a.Currency != b.Currency ||
		!sameDecimal(a.Cash, b.Cash) || !sameDecimal(a.Multiplier, b.Multiplier) ||
		!sameFlag(a.TradingBlocked, b.TradingBlocked) || !sameFlag(a.AccountBlocked, b.AccountBlocked) ||
		!sameFlag(a.TransfersBlocked, b.TransfersBlocked) || !sameFlag(a.TradeSuspendedByUser, b.TradeSuspendedByUser) ||
		!sameFlag(a.ShortingEnabled, b.ShortingEnabled)
}

// Digest is 16 bytes of SHA-256: equal digests, equal contents.
type Digest [16]byte

// Detail is a digest of the positions' quantities and the open orders' states, in any order; prices don't matter.
func (s Snapshot) Detail() Digest {
	if s.Kept != (Digest{}) {
		return s.Kept
	}
	h := sha256.New()
	_, _ = fmt.Fprintln(h, quantities(s.Positions), states(s.OpenOrders))
	return Digest(h.Sum(nil)[:16])
}

// Hash is over all that is material, exactly: equal hashes, equal accounts.
func (s Snapshot) Hash() string {
	h := sha256.New()
	a := s.Account
	_, _ = fmt.Fprintln(h, a.ID, a.Status, a.Currency, text(a.Cash), text(a.Multiplier), text(a.Equity), text(a.BuyingPower),
		flag(a.TradingBlocked), flag(a.AccountBlocked), flag(a.TransfersBlocked), flag(a.TradeSuspendedByUser), flag(a.ShortingEnabled))
	detail := s.Detail()
	_, _ = fmt.Fprintln(h, hex.EncodeToString(detail[:]), s.Incomplete)
	return hex.EncodeToString(h.Sum(nil)[:16])
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

func sameFlag(a, b *bool) bool { return flag(a) == flag(b) }

func flag(b *bool) string {
	if b == nil {
		return "missing"
	}
	return fmt.Sprint(*b)
}

func text(d decimal.NullDecimal) string {
	if !d.Valid {
		return "missing"
	}
	return d.Decimal.String()
}
