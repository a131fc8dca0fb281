package porttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Clock is the time of a run of Interleavings, the database's commit times included.
type Clock interface {
	Now() time.Time
	// Advance lets so much of the platform's time pass.
	Advance(d time.Duration)
	// Scale is a platform's duration in the clock's own time.
	Scale(d time.Duration) time.Duration
}

// Interleavings is Promise 6 under any order of runs, syncs, owners' words, their events and the clock, which may come late,
// twice or never: what is reserved never exceeds the snapshot's buying power less the buffer, the broker's own buying
// power is never overspent, and nothing is reserved for ever. A sync reads account, orders and positions one after the other,
// two of them at once perhaps; an executor claims a signal and sends the order, by notional or by shares with any limit, when it
// gets to it, or never; open signals are taken back; the owner has some of the shares sold at limits of the owner's own. A sale of what is free is
// never refused for buying power. open gives empty stores and their clock; at most so many interleavings are tried.
func Interleavings(t *testing.T, most int, open func(t *testing.T) (Stores, Clock)) {
	tried := 0
	rapid.Check(t, func(rt *rapid.T) {
		if tried++; tried > most {
			return
		}
		s, clock := open(t)
		w := &desk{t: t, Stores: s, clock: clock, held: map[string]decimal.Decimal{}, said: map[string]bool{}, short: map[string]decimal.Decimal{}, causes: 10}
		w.buffer = decimal.New(int64(rapid.IntRange(0, 3).Draw(rt, "buffer")), -1)
		w.power = decimal.NewFromInt(rapid.SampledFrom([]int64{1000, 300}).Draw(rt, "power"))
		w.held["GLD"] = decimal.NewFromInt(rapid.SampledFrom([]int64{0, 1000}).Draw(rt, "held"))
		must(t, s.PutUser(t.Context(), user.User{ID: "u", Status: user.Active}))
		w.sync()
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			w.step(rt)
			if w.fault != "" {
				rt.Fatal(w.fault)
			}
		}
		if w.end(); w.fault != "" {
			rt.Fatal(w.fault)
		}
	})
}

// desk is the user, the user's executor and the broker.
type desk struct {
	Stores
	t      *testing.T
	clock  Clock
	buffer decimal.Decimal
	fault  string

	power  decimal.Decimal // the broker's: orders sent count
	held   map[string]decimal.Decimal
	orders []account.Order
	looks  []*look // syncs under way

	causes  int
	runs    []risk.Run
	signals []signal.Signal            // all that were placed and trade
	short   map[string]decimal.Decimal // by order: the part of a sale that is not of what is held
	said    map[string]bool            // signals that their owner spoke of
	claimed []signal.Signal            // whose orders are still to be sent
	words   []string                   // signals whose documents' change events are on their way
}

// look is what a sync has read so far.
type look struct {
	snap    account.Snapshot
	ordered bool // orders too
}

func (w *desk) fail(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

func (w *desk) step(rt *rapid.T) {
	pick := func(n int, name string) int { return rapid.IntRange(0, n-1).Draw(rt, name) }
	switch what := rapid.SampledFrom([]string{"run", "run", "run", "again", "begin", "begin", "read", "read", "read", "sync", "watch", "withdraw", "take", "take", "claim", "claim", "send", "send", "rest", "cancel", "reject", "noise", "event", "event", "fill", "fill", "wait"}).Draw(rt, "step"); what {
	case "run":
		var intents []strategy.Intent
		for _, symbol := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"GLD", "TLT"}), 1, 2, func(s string) string { return s }).Draw(rt, "symbols") {
			i := Buy(symbol, fmt.Sprint(rapid.SampledFrom([]int{1, 300, 500, 700, 1000, 1001}).Draw(rt, "usd")))
			if rapid.Bool().Draw(rt, "sell") && w.held[symbol].IsPositive() {
				i.Action, i.Notional = signal.Sell, w.held[symbol]
				switch part := rapid.SampledFrom([]string{"all", "free", "half"}).Draw(rt, "part"); {
				case part == "free" && w.free(symbol).IsPositive():
					i.Notional = w.free(symbol)
				case part == "half":
					i.Notional = i.Notional.Div(decimal.NewFromInt(2))
				}
			}
			intents = append(intents, i)
		}
		w.run(fmt.Sprintf("st%d", pick(2, "strategy")), intents, rapid.SampledFrom([][]string{nil, nil, {"GLD"}, {"GLD", "TLT"}}).Draw(rt, "withdraw"))
	case "again":
		if len(w.runs) > 0 {
			r := w.runs[pick(len(w.runs), "which")]
			if placed, err := w.Place(w.t.Context(), r.Batch, r.Plan); err == nil && len(placed) > 0 {
				w.fail("cause %s was placed twice", r.Batch.Cause)
			}
		}
	case "begin":
		if len(w.looks) < 2 {
			w.begin()
		}
	case "read":
		if len(w.looks) > 0 {
			w.read(pick(len(w.looks), "which"))
		}
	case "sync":
		w.sync()
	case "watch":
		must(w.t, w.Watch(w.t.Context(), "u", risk.Lookout{Now: w.clock.Now()}.Mark))
	case "withdraw":
		wd := risk.Withdrawal{StrategyID: rapid.SampledFrom([]string{"", "st0", "st1"}).Draw(rt, "whose"), Opening: rapid.Bool().Draw(rt, "opening"), Why: risk.Stopped}
		if one := rapid.SampledFrom([]string{"", "GLD", "TLT"}).Draw(rt, "symbol"); one != "" {
			wd.Symbols = []string{one}
		}
		_, err := w.Withdraw(w.t.Context(), "u", wd, w.clock.Now())
		must(w.t, err)
	case "take", "claim", "reject":
		if len(w.signals) > 0 {
			last := w.signals[max(0, len(w.signals)-4):] // the others are over
			sig := last[pick(len(last), "which")]
			switch claimed := w.say(sig, what != "reject"); {
			case claimed && what == "take":
				w.send(rt, sig)
			case claimed:
				w.claimed = append(w.claimed, sig)
			}
		}
	case "send":
		if len(w.claimed) > 0 {
			n := pick(len(w.claimed), "which")
			sig := w.claimed[n]
			w.claimed = slices.Delete(w.claimed, n, n+1)
			w.send(rt, sig)
		}
	case "rest":
		w.rest(rapid.SampledFrom([]string{"GLD", "TLT"}).Draw(rt, "symbol"), limits.Draw(rt, "limit"), rapid.Bool().Draw(rt, "pair"))
	case "cancel": // at the broker: the platform hears of it with the next sync
		w.orders = slices.DeleteFunc(w.orders, func(o account.Order) bool { return strings.HasPrefix(o.ClientOrderID, owners) })
	case "noise":
		if len(w.signals) > 0 {
			w.words = append(w.words, w.signals[pick(len(w.signals), "which")].ID)
		}
	case "event":
		if len(w.words) > 0 { // it stays, and may come again
			if err := w.Settle(w.t.Context(), "u", w.words[pick(len(w.words), "which")]); err != nil {
				w.fail("Settle: %v", err)
			}
		}
	case "fill":
		if len(w.orders) > 0 {
			w.fill(pick(len(w.orders), "which"))
		}
	case "wait":
		w.clock.Advance(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second)
	}
}

// run is one strategy's, on the stored snapshot.
func (w *desk) run(strategyID string, intents []strategy.Intent, withdraw []string) {
	snap, err := w.Snapshot(w.t.Context(), "u")
	must(w.t, err)
	w.causes++
	r := Run(snap, strategyID, fmt.Sprintf("c%d", w.causes), tick.Tick(w.causes), intents...)
	r.Batch.ChangedSeq, r.Batch.Now = 0, w.clock.Now()
	r.Withdraw = withdraw
	r.Input.Buffer, r.Input.MaxSnapshotAge, r.Life = w.buffer, time.Hour, w.clock.Scale(15*time.Minute)
	state, err := w.RiskState(w.t.Context(), "u")
	must(w.t, err)
	placed, err := w.Place(w.t.Context(), r.Batch, r.Plan)
	if err != nil {
		w.fail("Place: %v", err)
		return
	}
	w.runs = append(w.runs, r)
	opened := false
	for _, sig := range placed {
		if sig.Status == signal.Pending {
			w.signals, opened = append(w.signals, sig), opened || sig.Action == signal.Buy
		}
		for _, i := range intents {
			if i.Symbol == sig.Symbol && i.Action == signal.Sell && strings.HasPrefix(sig.DenialCode, "BUYING_POWER") && !i.Notional.GreaterThan(free(snap, state, i.Symbol)) {
				w.fail("a sale of %s %s, which are free, was refused: %s", i.Notional, i.Symbol, sig.Reason)
			}
		}
	}
	state, err = w.RiskState(w.t.Context(), "u")
	must(w.t, err)
	power := snap.Account.BuyingPower.Decimal
	if limit := power.Sub(power.Mul(w.buffer)); opened && state.Reserved(snap).GreaterThan(limit) {
		w.fail("%s is reserved of a buying power of %s less %s", state.Reserved(snap), power, w.buffer)
	}
}

// begin reads the account, as the broker has it now.
func (w *desk) begin() {
	snap := Snapshot("u", 0, w.clock.Now())
	snap.Account.BuyingPower, snap.Raw["buying_power"] = decimal.NewNullDecimal(w.power), w.power.String()
	snap.Positions, snap.OpenOrders = nil, nil
	w.looks = append(w.looks, &look{snap: snap})
}

// read goes on with a sync: it reads the orders, and then the positions and writes. A share of anything is $1.
func (w *desk) read(n int) {
	l := w.looks[n]
	if !l.ordered {
		l.snap.OpenOrders, l.ordered = slices.Clone(w.orders), true
		return
	}
	for symbol, qty := range w.held {
		if !qty.IsZero() {
			l.snap.Positions = append(l.snap.Positions, account.Position{Symbol: symbol, Qty: qty, MarketValue: decimal.NewNullDecimal(qty)})
		}
	}
	w.looks = slices.Delete(w.looks, n, n+1)
	w.write(l.snap)
}

// write stores what was looked at, unless there is a newer look, as the syncer does.
func (w *desk) write(next account.Snapshot) {
	if was, err := w.Snapshot(w.t.Context(), "u"); err == nil {
		if next.Older(was) {
			return
		}
		next.Seq, next.Version = was.Seq, was.Version
	}
	next.Seq++
	next.ChangedSeq = next.Seq
	put(w.t, w.Stores, next)
}

func (w *desk) sync() {
	w.clock.Advance(time.Second)
	w.begin()
	for range 2 {
		w.read(len(w.looks) - 1)
	}
	w.clock.Advance(time.Second)
}

// say is the owner's executor: it takes a signal that is still pending and not over, and says so. The event of its word comes
// when it comes.
func (w *desk) say(sig signal.Signal, take bool) (claimed bool) {
	state, err := w.RiskState(w.t.Context(), "u")
	must(w.t, err)
	pending := false
	for _, r := range state.Reservations {
		pending = pending || (r.SignalID == sig.ID && r.SettledAt.IsZero())
	}
	if !pending || w.said[sig.ID] || !w.clock.Now().Before(sig.ExpiresAt) {
		return false
	}
	w.said[sig.ID], w.words = true, append(w.words, sig.ID)
	if !take {
		must(w.t, w.PutStatus(w.t.Context(), "u", sig.ID, "Rejected "))
		return false
	}
	must(w.t, w.PutStatus(w.t.Context(), "u", sig.ID, " EXECUTED"))
	return true
}

// owners begins the client_order_id of an order that the owner gives by hand.
const owners = "owner "

// limits are USD a share; all is traded at $1.
var limits = rapid.SampledFrom([]string{"0.25", "1", "3"})

// onSale is what an open order sells, in shares and USD.
func onSale(o account.Order, symbol string) (n decimal.Decimal) {
	if o.Symbol != symbol || o.Side != string(signal.Sell) || o.Status == "held" {
		return n
	}
	return o.Notional.Decimal.Add(o.Qty.Decimal) // one of them is there
}

// free is what is held at the broker and on sale by no order.
func (w *desk) free(symbol string) decimal.Decimal {
	left := w.held[symbol]
	for _, o := range w.orders {
		left = left.Sub(onSale(o, symbol))
	}
	return left
}

// free is what a snapshot shows of that, less all that is reserved.
func free(snap account.Snapshot, state *risk.State, symbol string) (left decimal.Decimal) {
	for _, p := range snap.Positions {
		if p.Symbol == symbol {
			left = left.Add(p.Qty)
		}
	}
	for _, o := range snap.OpenOrders {
		left = left.Sub(onSale(o, symbol))
	}
	for _, r := range state.Reservations {
		if r.Symbol == symbol && r.Action == signal.Sell {
			left = left.Sub(r.Notional)
		}
	}
	return left
}

// rest is an order of the owner's own that sells half of what is free of a symbol at a limit, with a stop for the same shares
// perhaps, and waits. Where a sale is on its way the owner does not meddle, and the platform hears of it before it goes on: who
// trades beside it unseen may take what it has reserved for.
func (w *desk) rest(symbol, limit string, pair bool) {
	state, err := w.RiskState(w.t.Context(), "u")
	must(w.t, err)
	half := w.free(symbol).Div(decimal.NewFromInt(2)).Truncate(0)
	if !half.IsPositive() || slices.ContainsFunc(state.Reservations, func(r signal.Reservation) bool { return r.Symbol == symbol && r.Action == signal.Sell }) {
		return
	}
	w.causes++
	o := account.Order{ID: fmt.Sprint("o", w.causes), ClientOrderID: fmt.Sprint(owners, w.causes), Symbol: symbol, Side: string(signal.Sell), Status: "new", Qty: decimal.NewNullDecimal(half), LimitPrice: decimal.NewNullDecimal(decimal.RequireFromString(limit))}
	w.orders = append(w.orders, o)
	if pair {
		o.ID, o.Status, o.LimitPrice = o.ID+"s", "held", decimal.NullDecimal{}
		w.orders = append(w.orders, o)
	}
	w.sync()
}

// send is the order of a claimed signal. After expires_at there is none any more, and the executor says so.
func (w *desk) send(rt *rapid.T, sig signal.Signal) {
	if !w.clock.Now().Before(sig.ExpiresAt) {
		must(w.t, w.PutStatus(w.t.Context(), "u", sig.ID, "rejected"))
		w.words = append(w.words, sig.ID)
		return
	}
	takes := sig.Notional
	if sig.Action == signal.Sell {
		takes = decimal.Max(sig.Notional.Sub(decimal.Max(w.free(sig.Symbol), decimal.Decimal{})), decimal.Decimal{})
		w.short[sig.ID] = takes
	}
	o := account.Order{ID: "o" + sig.ID, ClientOrderID: sig.ID, Symbol: sig.Symbol, Side: string(sig.Action), Notional: decimal.NewNullDecimal(sig.Notional)}
	if rapid.Bool().Draw(rt, "by shares") {
		o.Notional, o.Qty = o.Qty, o.Notional
		o.LimitPrice = decimal.NewNullDecimal(decimal.RequireFromString(limits.Draw(rt, "limit")))
	}
	w.orders = append(w.orders, o)
	if w.power = w.power.Sub(takes); w.power.IsNegative() {
		w.fail("the broker's buying power is overspent: %s", w.power)
	}
}

func (w *desk) fill(n int) {
	o := w.orders[n]
	if o.Status == "held" {
		return
	}
	w.orders = slices.DeleteFunc(w.orders, func(p account.Order) bool { return p.ClientOrderID == o.ClientOrderID }) // the pair ends too
	qty := o.Notional.Decimal.Add(o.Qty.Decimal)
	if o.Side == string(signal.Buy) {
		w.held[o.Symbol] = w.held[o.Symbol].Add(qty)
		return
	}
	w.held[o.Symbol] = w.held[o.Symbol].Sub(qty)
	w.power = w.power.Add(qty.Sub(w.short[o.ClientOrderID]))
}

// end lets an hour pass, with its syncs: whatever was reserved is free then, though no event came any more.
func (w *desk) end() {
	for range 4 {
		w.clock.Advance(20 * time.Minute)
		w.sync()
		w.run("last", []strategy.Intent{Buy("QQQ", "1")}, nil)
	}
	state, err := w.RiskState(w.t.Context(), "u")
	must(w.t, err)
	for _, r := range state.Reservations {
		if r.Executed && !r.Shown() && w.clock.Scale(time.Hour) < time.Hour {
			continue // the time that such an order may take is no clock's to scale
		}
		if r.StrategyID != "last" {
			w.fail("reserved for ever: %+v", r)
		}
	}
}
