package risk

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// checks is about how many there are of one intent.
const checks = 26

// question is one intent, and what it would do.
type question struct {
	*Engine
	strategy.Intent
	stake  stake
	valid  bool
	opens  decimal.Decimal // USD
	closes bool            // it opens nothing
	out    *[]Check
}

func (e *Engine) question(i strategy.Intent) *question {
	q := &question{Engine: e, Intent: i, opens: i.Notional, stake: stake{priced: true}}
	q.valid = plainSymbol(i.Symbol) && i.Notional.IsPositive() && (i.Action == signal.Buy || i.Action == signal.Sell)
	if s := e.stakes[i.Symbol]; s != nil {
		q.stake = *s
	}
	if !q.valid {
		return q
	}
	q.opens = decimal.Max(i.Notional.Sub(q.stake.closable(i.Action)), decimal.Decimal{})
	q.closes = q.opens.IsZero()
	return q
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
func (q *question) all(out *[]Check) {
	q.out = out
	q.fact("intent", IntentInvalid, !q.valid, false, "")
	q.fact("symbols", SymbolForeign, q.in.Symbols != nil && !slices.Contains(q.in.Symbols, q.Symbol), false, "")
	state, by := q.worst()
	q.fact("trading_state", TradingHalted, state == Halted, false, "level", by.Name, "author", by.Trading.Author, "why", by.Trading.Reason)
	a := q.in.Snapshot.Account
	blocked := blocks(a)
	q.fact("account", AccountBlocked, blocked != "", false, "by", blocked)
	q.hours()
	q.losses(a)
	q.reducing(state, by)
	q.fact("limits", LimitInvalid, q.invalid != "", true, "field", q.invalid)
	q.fact("account_status", AccountInactive, a.Status != "ACTIVE", true, "status", a.Status)
	q.fact("account_flags", AccountUnknown, a.TradingBlocked == nil || a.AccountBlocked == nil, true, "")
	q.snapshot()
	q.lists()
	q.quote()
	q.cooldown()
	q.counted(MaxOrders, OrdersExceeded)
	q.most(MaxTrade, q.limits[MaxTrade], TradeExceeded, q.Notional)
	q.counted(MaxDay, DayExceeded)
	q.exposure(a.Equity)
	full := bound{decimal.NewNullDecimal(decimal.NewFromInt(maxReservations)), ""}
	q.measure("reservations", full, ReservationsExceeded, decimal.NewFromInt(int64(q.full+1)), false)
	q.buyingPower(a.BuyingPower)
}

func (q *question) add(c Check) { *q.out = append(*q.out, c) }

// fact is a check without figures; pairs explain it.
func (q *question) fact(name, code string, wrong, waivable bool, pairs ...string) {
	c := Check{Limit: name, Waived: waivable && q.closes}
	if wrong {
		c.Code, c.note = code, note(pairs...)
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
		c.Distance = decimal.NewNullDecimal(b.Decimal.Sub(value))
		if least {
			c.Distance.Decimal = c.Distance.Decimal.Neg()
		}
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
		c.Code, c.note = code, note("missing", what)
	}
	q.add(c)
}

func (q *question) most(f Figure, b bound, code string, value decimal.Decimal) {
	q.measure(f.String(), b, code, value, figureRules[f].least)
}

// share is a limit that is a share of something, in USD.
func (b bound) share(of decimal.Decimal) bound {
	if b.Valid {
		b.Decimal = b.Decimal.Mul(of)
	}
	return b
}

// text is a denial's: the predecessor's own where it had one.
func (c Check) text(q *question) string {
	switch c.Code {
	case SnapshotStale:
		return textStale
	case SnapshotIncomplete:
		return textIncomplete
	case BuyingPowerUnavailable:
		return textUnavailable
	case BuyingPowerExceeded:
		return fmt.Sprintf(textExceeds, q.Notional.StringFixed(2), decimal.Max(c.Bound.Decimal, decimal.Decimal{}).StringFixed(2))
	case IntentInvalid:
		return fmt.Sprintf("a strategy wants to %.10q %.20q for $%s; refusing to trade.", q.Action, q.Symbol, q.Notional)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "symbol=%s action=%s notional=%s limit=%s", q.Symbol, q.Action, q.Notional.StringFixed(2), c.Limit)
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
	return b.String() + c.note
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
			c.Level, c.Code, c.Waived, c.note = l.Name, MarketClosed, false, note(hoursName, string(h))
		case !known && c.Code == "":
			c.Level, c.Code, c.Waived, c.note = l.Name, MarketUnknown, q.closes, note(hoursName, string(h))
		}
	}
	q.add(c)
}

func (q *question) losses(a account.Account) {
	if loss, base, ok := dailyLoss(a, q.in.Flows); ok {
		q.loss(MaxDailyLoss, DailyLossExceeded, loss, base)
	} else {
		q.missing(MaxDailyLoss.String(), q.limits[MaxDailyLoss], DailyLossUnavailable, "equity,last_equity,flows")
	}
	if loss, base, ok := q.in.State.drawdown(a, q.in.Flows); ok {
		q.loss(MaxDrawdown, DrawdownExceeded, loss, base)
	} else {
		q.missing(MaxDrawdown.String(), q.limits[MaxDrawdown], DrawdownUnavailable, "equity,high_water_mark,flows")
	}
}

// loss: a gain is none.
func (q *question) loss(f Figure, code string, loss, base decimal.Decimal) {
	q.most(f, q.limits[f].share(base), code, decimal.Max(loss, decimal.Decimal{}))
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
			"lost", b.Value.StringFixed(2), "allowed", b.Bound.StringFixed(2))
	default:
		q.fact("trading_state", "", false, true)
	}
}

func (q *question) snapshot() {
	stale := q.in.Snapshot.Stale(q.in.Now, q.maxAge)
	c := Check{Limit: MaxSnapshotAge.String(), Level: q.limits[MaxSnapshotAge].level, Waived: q.closes, Bound: seconds(q.maxAge)}
	if !q.in.Snapshot.ObservedAt.IsZero() {
		age := q.in.Now.Sub(q.in.Snapshot.ObservedAt)
		c.Value, c.Distance = seconds(age), seconds(q.maxAge-age)
	}
	if stale {
		c.Code = SnapshotStale
	}
	q.add(c)
	q.fact("snapshot", SnapshotIncomplete, q.in.Snapshot.Incomplete, true, "")
}

func seconds(d time.Duration) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.New(int64(d/time.Millisecond), -3))
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
	if quote, ok := q.in.Quotes[q.Symbol]; ok {
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
	q.most(Cooldown, b, CooldownActive, decimal.New(int64(q.in.Now.Sub(last)/time.Second), 0).DivRound(decimal.NewFromInt(60), 4))
}

// counted is a limit of the day. The user's counts go against what is set for all of a user's strategies, the strategy's
// own against what is set for it; the nearer one is reported.
func (q *question) counted(f Figure, code string) {
	i, value := 0, func(c counts) decimal.Decimal { return c.notional.Add(q.Notional) }
	if f == MaxOrders {
		i, value = 1, func(c counts) decimal.Decimal { return decimal.NewFromInt(c.orders + 1) }
	}
	all, own := value(q.day[0]), value(q.day[1])
	shared, mine := q.limits[f], q.own[i]
	if mine.Valid && (!shared.Valid || mine.Decimal.Sub(own).LessThan(shared.Decimal.Sub(all))) {
		q.most(f, mine, code, own)
		return
	}
	q.most(f, shared, code, all)
}

// exposure is what is held and on its way, this trade included, as shares of equity.
func (q *question) exposure(equity decimal.NullDecimal) {
	solvent := equity.Valid && equity.Decimal.IsPositive()
	s := q.stake
	after := s.held.Add(s.buying).Add(q.Notional)
	if q.Action == signal.Sell {
		after = s.held.Sub(s.selling).Sub(q.Notional)
	}
	more := 0
	if !s.busy() && !q.opens.IsZero() {
		more = 1
	}
	switch position := q.limits[MaxPosition]; {
	case !solvent:
		q.missing(MaxPosition.String(), position, EquityUnavailable, "equity")
	case !s.priced:
		q.missing(MaxPosition.String(), position, PriceUnavailable, q.Symbol)
	default:
		q.most(MaxPosition, position.share(equity.Decimal), PositionExceeded, after.Abs())
	}
	q.most(MaxPositions, q.limits[MaxPositions], PositionsExceeded, decimal.NewFromInt(int64(q.symbols+more)))
	switch gross := q.limits[MaxGross]; {
	case !solvent:
		q.missing(MaxGross.String(), gross, EquityUnavailable, "equity")
	case q.unknown != "":
		q.missing(MaxGross.String(), gross, PriceUnavailable, q.unknown)
	default:
		q.most(MaxGross, gross.share(equity.Decimal), ExposureExceeded, q.gross.Add(q.opens))
	}
}

// buyingPower is the predecessor's rule: a notional greater than buying power is refused, an equal one passes, nothing is
// resized.
func (q *question) buyingPower(power decimal.NullDecimal) {
	c := Check{Limit: "buying_power", Value: decimal.NewNullDecimal(q.opens), Bound: q.power, Waived: q.closes}
	switch {
	case !power.Valid || !power.Decimal.IsPositive():
		c.Code = BuyingPowerUnavailable
	case q.opens.GreaterThan(q.power.Decimal):
		c.Code = BuyingPowerExceeded
	}
	if q.power.Valid {
		c.Distance = decimal.NewNullDecimal(q.power.Decimal.Sub(q.opens))
	}
	q.add(c)
}
