package risk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// checks is how many there are of one intent, settledChecks how many of them do not depend on it.
const (
	checks        = 26
	settledChecks = 11
)

// question is one intent, and what it would do.
type question struct {
	*Engine
	strategy.Intent
	stake  *stake          // nil: nothing is held or on its way
	amount decimal.Decimal // USD, the notional
	opens  decimal.Decimal // USD
	closes bool            // it opens nothing
	out    []Check
}

func (e *Engine) question(i strategy.Intent) *question {
	q := &question{Engine: e, Intent: i, stake: e.stakes[i.Symbol], amount: cents(i.Notional), out: make([]Check, 0, checks)}
	q.opens = q.amount
	if q.stake == nil || !q.valid() {
		return q
	}
	if closable := q.stake.closable(i.Action, q.amount); closable.IsPositive() {
		q.opens = q.amount.Sub(closable)
		if q.closes = !q.opens.IsPositive(); q.closes {
			q.opens = decimal.Decimal{}
		}
	}
	return q
}

func (q *question) valid() bool {
	return plainSymbol(q.Symbol) && q.Notional.IsPositive() && (q.Action == signal.Buy || q.Action == signal.Sell)
}

// plainSymbol is market.CheckSymbol's form, roughly and fast.
func plainSymbol(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || ((c < '0' || c > '9') && c != '.' && c != '/')) {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// all is every check, in the order in which denials count.
func (q *question) all() {
	q.fact("intent", IntentInvalid, !q.valid(), false)
	q.fact("symbols", SymbolForeign, q.in.Symbols != nil && !slices.Contains(q.in.Symbols, q.Symbol), false)
	for _, c := range q.fixed {
		c.Waived = c.Waived && q.closes
		q.add(c)
	}
	q.lists()
	q.quote()
	q.cooldown()
	q.counted(MaxOrders, OrdersExceeded)
	q.most(MaxTrade, q.limits[MaxTrade], TradeExceeded, q.amount)
	q.counted(MaxDay, DayExceeded)
	q.exposure()
	full := bound{decimal.NewNullDecimal(decimal.NewFromInt(maxReservations)), ""}
	q.measure("reservations", full, ReservationsExceeded, decimal.NewFromInt(int64(q.full+1)), false)
	q.buyingPower()
}

// settled is every check that does not depend on the intent.
func (q *question) settled() {
	state, by := q.worst()
	q.fact("trading_state", TradingHalted, state == Halted, false, "level", by.Name, "author", by.Trading.Author, "why", by.Trading.Reason)
	if _, place := q.in.State.place(q.in.StrategyID); !place { // said only then: it is about no intent, and mostly long settled
		q.fact("strategies", StrategiesExceeded, true, false, "remembered", strconv.Itoa(len(q.in.State.Strategies)))
	}
	a := q.in.Snapshot.Account
	blocked := blocks(a)
	q.fact("account", AccountBlocked, blocked != "", false, "by", blocked)
	q.hours()
	q.losses()
	q.reducing(state, by)
	invalid := invalidNames(q.in.Levels)
	q.fact("limits", LimitInvalid, invalid != "", true, "field", invalid)
	q.fact("account_status", AccountInactive, a.Status != "ACTIVE", true, "status", a.Status)
	q.fact("account_flags", AccountUnknown, a.TradingBlocked == nil || a.AccountBlocked == nil, true)
	q.snapshot()
}

func (q *question) add(c Check) { q.out = append(q.out, c) }

// fact is a check without figures; pairs explain it.
func (q *question) fact(name, code string, wrong, waivable bool, pairs ...string) {
	c := Check{Limit: name, Waived: waivable && q.closes}
	if wrong {
		c.Code, c.Note = code, note(pairs...)
	}
	q.add(c)
}

// note is pairs as key=value, values with blanks in quotes.
func note(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		value := pairs[i+1]
		if value == "" || strings.ContainsAny(value, " =\"") {
			value = fmt.Sprintf("%.200q", value)
		}
		fmt.Fprintf(&b, " %s=%s", pairs[i], value)
	}
	return b.String()
}

// measure compares a value with its bound.
func (q *question) measure(name string, b bound, code string, value decimal.Decimal, least bool) {
	c := Check{Limit: name, Level: b.level, Value: decimal.NewNullDecimal(value), Bound: b.NullDecimal, Waived: q.closes}
	if b.Valid {
		from, to := value, b.Decimal
		if least {
			from, to = to, from
		}
		c.Distance = decimal.NewNullDecimal(to.Sub(from))
		if c.Distance.Decimal.IsNegative() {
			c.Code = code
		}
	}
	q.add(c)
}

// missing is a check whose value can't be told: wrong only if there is a limit.
func (q *question) missing(name string, b bound, code, what string) {
	c := Check{Limit: name, Level: b.level, Bound: b.NullDecimal, Waived: q.closes}
	if b.Valid {
		c.Code, c.Note = code, note("missing", what)
	}
	q.add(c)
}

func (q *question) most(f Figure, b bound, code string, value decimal.Decimal) {
	q.measure(f.String(), b, code, value, figureRules[f].least)
}

// share is a limit that is a share of something, in USD.
func (b bound) share(of decimal.Decimal) bound {
	if b.Valid {
		b.Decimal = cents(b.Decimal.Mul(of))
	}
	return b
}

// text is a denial's: the predecessor's own where it had one.
func (c Check) text(q *question) string {
	switch c.Code {
	case SnapshotStale:
		return account.TextStale
	case BuyingPowerUnavailable:
		return account.TextUnavailable
	case BuyingPowerExceeded:
		return account.TextExceeds(q.Notional, decimal.Max(c.Bound.Decimal, decimal.Decimal{}))
	case IntentInvalid:
		return fmt.Sprintf("symbol=%.20q action=%.10q notional=%s", q.Symbol, q.Action, q.Notional)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "symbol=%s action=%s notional=%s limit=%s", q.Symbol, q.Action, account.Cents(q.Notional), c.Limit)
	if c.Level != "" {
		fmt.Fprintf(&b, " level=%s", c.Level)
	}
	for _, f := range []struct {
		name string
		d    decimal.NullDecimal
	}{{"value", c.Value}, {"bound", c.Bound}, {"distance", c.Distance}} {
		if f.d.Valid {
			fmt.Fprintf(&b, " %s=%s", f.name, f.d.Decimal.Round(4))
		}
	}
	return b.String() + c.Note
}

func blocks(a account.Account) string {
	switch {
	case a.TradingBlocked != nil && *a.TradingBlocked:
		return "trading_blocked"
	case a.AccountBlocked != nil && *a.AccountBlocked:
		return "account_blocked"
	case a.TradeSuspendedByUser != nil && *a.TradeSuspendedByUser:
		return "trade_suspended_by_user"
	}
	return ""
}

// hours: an order is sent in the hours of all levels, a closing one too. While the hours are not known, nothing opens.
func (q *question) hours() {
	c := Check{Limit: hoursName}
	for _, l := range q.in.Levels {
		h := l.Limits.Hours
		if h == "" || c.Code == MarketClosed {
			continue
		}
		open, known := true, false
		if q.in.Open != nil {
			open, known = q.in.Open(h)
		}
		switch {
		case known && !open:
			c.Level, c.Code, c.Waived, c.Note = l.Name, MarketClosed, false, note(hoursName, string(h))
		case !known && c.Code == "":
			c.Level, c.Code, c.Waived, c.Note = l.Name, MarketUnknown, q.closes, note(hoursName, string(h))
		}
	}
	q.add(c)
}

func (q *question) losses() {
	if loss, base, ok := dailyLoss(q.in.Snapshot); ok {
		q.loss(MaxDailyLoss, DailyLossExceeded, loss, base)
	} else {
		q.missing(MaxDailyLoss.String(), q.limits[MaxDailyLoss], DailyLossUnavailable, "equity,last_equity,flows")
	}
	if loss, base, ok := q.in.State.drawdown(q.in.Snapshot, q.in.StrategyID); ok {
		q.loss(MaxDrawdown, DrawdownExceeded, loss, base)
	} else {
		q.missing(MaxDrawdown.String(), q.limits[MaxDrawdown], DrawdownUnavailable, "equity,high_water_mark,flows")
	}
}

// loss: a gain is none.
func (q *question) loss(f Figure, code string, loss, base decimal.Decimal) {
	q.most(f, q.limits[f].share(base), code, cents(decimal.Max(loss, decimal.Decimal{})))
}

// reducing: a breach moves down what people left active.
func (q *question) reducing(state TradingState, by Level) {
	b, breached := q.breached()
	switch {
	case state == Reducing:
		q.fact("trading_state", TradingReducing, true, true, "level", by.Name, "author", by.Trading.Author, "why", by.Trading.Reason)
	case breached:
		level := levelUser
		if b.Strategy != "" {
			level = "strategy"
		}
		q.fact("trading_state", TradingReducing, true, true, "level", level, "breach", b.Code, "at", b.At.Format(time.RFC3339),
			"lost", account.Cents(b.Value), "allowed", account.Cents(b.Bound))
	default:
		q.fact("trading_state", "", false, true)
	}
}

func (q *question) snapshot() {
	l, limit := q.limits[MaxSnapshotAge], q.in.MaxSnapshotAge
	if l.Valid {
		limit = min(limit, time.Duration(l.Decimal.InexactFloat64()*float64(time.Second)))
	}
	stale := q.in.Snapshot.Stale(q.in.Now, limit)
	c := Check{Limit: MaxSnapshotAge.String(), Level: l.level, Waived: q.closes, Bound: seconds(limit)}
	if !q.in.Snapshot.ObservedAt.IsZero() {
		age := q.in.Now.Sub(q.in.Snapshot.ObservedAt)
		c.Value, c.Distance = seconds(age), seconds(limit-age)
	}
	if stale {
		c.Code = SnapshotStale
	}
	q.add(c)
	q.fact("snapshot", SnapshotIncomplete, q.in.Snapshot.Incomplete, true, "missing", "positions,open_orders")
}

func seconds(d time.Duration) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.New(int64(d/(time.Second/10000)), -scale))
}

func (q *question) lists() {
	denied, refused := "", ""
	for _, l := range q.in.Levels {
		if _, found := slices.BinarySearch(l.Limits.Deny, q.Symbol); found && denied == "" {
			denied = l.Name
		}
		if _, found := slices.BinarySearch(l.Limits.Allow, q.Symbol); l.Limits.Allow != nil && !found && refused == "" {
			refused = l.Name
		}
	}
	q.fact(denySymbols, SymbolDenied, denied != "", true, "level", denied)
	q.fact(allowSymbols, SymbolNotAllowed, refused != "", true, "level", refused)
}

func (q *question) quote() {
	name := MaxQuoteAge.String()
	quote := q.in.Quotes[q.Symbol]
	if _, ok := quote.Mid(); ok {
		q.measure(name, q.limits[MaxQuoteAge], QuoteStale, seconds(q.in.Now.Sub(quote.At)).Decimal, false)
	} else {
		q.missing(name, q.limits[MaxQuoteAge], QuoteUnavailable, "quote")
	}
	if price, ok := q.price(q.Symbol); ok {
		q.most(MinPrice, q.limits[MinPrice], PriceBelow, price)
	} else {
		q.missing(MinPrice.String(), q.limits[MinPrice], PriceUnavailable, "price")
	}
}

// cooldown runs from the last trade of the symbol, whoever's, and from other strategies' signals that may become one.
func (q *question) cooldown() {
	b := q.limits[Cooldown]
	last := q.in.State.Traded[q.Symbol]
	for _, r := range q.in.State.Reservations {
		if r.Symbol == q.Symbol && r.CreatedAt.After(last) && (r.SettledAt.IsZero() || r.Executed) {
			last = r.CreatedAt
		}
	}
	if last.IsZero() {
		q.add(Check{Limit: Cooldown.String(), Level: b.level, Bound: b.NullDecimal, Waived: q.closes})
		return
	}
	q.most(Cooldown, b, CooldownActive, decimal.New(int64(q.in.Now.Sub(last)/(time.Minute/10000)), -scale))
}

// counted is a limit of the day. The user's counts go against what is set for all of a user's strategies, the strategy's
// own against what is set for it; the nearer one is reported.
func (q *question) counted(f Figure, code string) {
	value := func(n int) decimal.Decimal {
		if f == MaxOrders {
			return decimal.NewFromInt(q.day[n].orders + 1)
		}
		return q.day[n].notional.Add(q.amount)
	}
	shared, mine := q.limits[f], q.own[f-MaxDay]
	all := value(0)
	if mine.Valid {
		if own := value(1); !shared.Valid || mine.Decimal.Sub(own).LessThan(shared.Decimal.Sub(all)) {
			q.most(f, mine, code, own)
			return
		}
	}
	q.most(f, shared, code, all)
}

// exposure is what is held and on its way, this trade included.
func (q *question) exposure() {
	after, busy, unpriced := q.amount, false, false
	if s := q.stake; s != nil {
		busy, unpriced = s.busy(), s.unpriced != 0 || s.blind
		after = s.past(q.Action).Add(after).Abs()
	}
	switch position := q.limits[MaxPosition]; {
	case !q.solvent():
		q.missing(MaxPosition.String(), position, EquityUnavailable, "equity")
	case unpriced:
		q.missing(MaxPosition.String(), position, PriceUnavailable, q.Symbol)
	default:
		q.most(MaxPosition, position, PositionExceeded, after)
	}
	symbols := q.symbols
	if !busy && !q.closes {
		symbols++
	}
	q.most(MaxPositions, q.limits[MaxPositions], PositionsExceeded, decimal.NewFromInt(int64(symbols)))
	switch gross := q.limits[MaxGross]; {
	case !q.solvent():
		q.missing(MaxGross.String(), gross, EquityUnavailable, "equity")
	case q.unknown != "":
		q.missing(MaxGross.String(), gross, PriceUnavailable, q.unknown)
	default:
		q.most(MaxGross, gross, ExposureExceeded, q.gross.Add(q.opens))
	}
}

// buyingPower is the predecessor's rule: a notional greater than buying power is refused, an equal one passes, nothing is
// resized.
func (q *question) buyingPower() {
	c := Check{Limit: "buying_power", Value: decimal.NewNullDecimal(q.opens), Bound: q.power, Waived: q.closes}
	if q.power.Valid {
		c.Distance = decimal.NewNullDecimal(q.power.Decimal.Sub(q.opens))
	}
	switch power := q.in.Snapshot.Account.BuyingPower; {
	case !power.Valid || !power.Decimal.IsPositive():
		c.Code = BuyingPowerUnavailable
	case c.Distance.Decimal.IsNegative():
		c.Code = BuyingPowerExceeded
	}
	q.add(c)
}
