// Package risk decides whether an intent may become a signal. It is pure, and it denies when in doubt.
package risk

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// The predecessor's texts: callers match on them.
const (
	textStale       = "Warm-cache buying power unavailable/zero or snapshot stale; refusing to generate trade."
	textUnavailable = "Warm-cache buying power unavailable/zero; refusing to trade."
	textExceeds     = "Refusing to trade: requested notional $%s exceeds buying power $%s."
)

// The codes of denials.
const (
	SnapshotStale          = "SNAPSHOT_STALE"
	SnapshotIncomplete     = "SNAPSHOT_INCOMPLETE"
	BuyingPowerUnavailable = "BUYING_POWER_UNAVAILABLE"
	BuyingPowerExceeded    = "BUYING_POWER_EXCEEDED"
	IntentInvalid          = "INTENT_INVALID"
)

// Usable says why no strategy may run on a snapshot, nil if one may: it is older than the limit, or it does not
// show all positions and orders.
func Usable(s account.Snapshot, now time.Time, limit time.Duration) *strategy.Denial {
	switch {
	case s.Stale(now, limit):
		return &strategy.Denial{Code: SnapshotStale, Reason: textStale}
	case s.Incomplete:
		return &strategy.Denial{Code: SnapshotIncomplete, Reason: "the snapshot does not show all positions and open orders; refusing to generate trade."}
	}
	return nil
}

// Purse is the buying power that one run can still spend.
type Purse struct {
	left decimal.NullDecimal // USD
}

// NewPurse starts with the snapshot's buying power.
func NewPurse(s account.Snapshot) Purse { return Purse{left: s.Account.BuyingPower} }

// Afford spends what an intent opens of new exposure, or says why it may not. in is what the intent was decided on.
//
// The rule is the predecessor's: a notional greater than buying power is refused, an equal one passes, nothing is
// resized. Where the predecessor was wrong, it is not followed: what closes a held position is not refused for
// buying power, and an unknown action, no symbol or a notional that is not positive never passes.
func (p *Purse) Afford(in strategy.Input, i strategy.Intent) *strategy.Denial {
	if i.Symbol == "" || !i.Notional.IsPositive() || (i.Action != signal.Buy && i.Action != signal.Sell) {
		return &strategy.Denial{Code: IntentInvalid, Reason: fmt.Sprintf("a strategy wants to %.10q %.20q for $%s; refusing to trade.", i.Action, i.Symbol, i.Notional)}
	}
	held, err := strategy.Value(in, i.Symbol)
	if err != nil {
		held = decimal.Decimal{} // without a price nothing counts as closing
	}
	closing := held // selling closes what is held long, buying what is held short
	if i.Action == signal.Buy {
		closing = held.Neg()
	}
	if i.Notional.LessThanOrEqual(closing) {
		return nil
	}
	opens := i.Notional.Sub(decimal.Max(closing, decimal.Decimal{}))
	switch {
	case !p.left.Valid || !p.left.Decimal.IsPositive():
		return &strategy.Denial{Code: BuyingPowerUnavailable, Reason: textUnavailable}
	case opens.GreaterThan(p.left.Decimal):
		return &strategy.Denial{Code: BuyingPowerExceeded, Reason: fmt.Sprintf(textExceeds, i.Notional.StringFixed(2), p.left.Decimal.StringFixed(2))}
	}
	p.left.Decimal = p.left.Decimal.Sub(opens)
	return nil
}
