package porttest

import (
	"fmt"
	"slices"
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
// two of them at once perhaps; an executor claims a signal and sends the order when it gets to it, or never. open gives
// empty stores and their clock; at most so many interleavings are tried.
func Interleavings(t *testing.T, most int, open func(t *testing.T) (Stores, Clock)) {
	tried := 0
	rapid.Check(t, func(rt *rapid.T) {
		if tried++; tried > most {
			return
		}
		s, clock := open(t)
		w := &desk{t: t, Stores: s, clock: clock, power: decimal.NewFromInt(1000), held: map[string]decimal.Decimal{}, said: map[string]bool{}, short: map[string]decimal.Decimal{}, causes: 10}
		w.buffer = decimal.New(int64(rapid.IntRange(0, 3).Draw(rt, "buffer")), -1)
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
	switch what := rapid.SampledFrom([]string{"run", "run", "run", "again", "begin", "begin", "read", "read", "read", "sync", "watch", "take", "take", "claim", "claim", "send", "send", "reject", "noise", "event", "event", "fill", "fill", "wait"}).Draw(rt, "step"); what {
	case "run":
		var intents []strategy.Intent
		for _, symbol := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"GLD", "TLT"}), 1, 2, func(s string) string { return s }).Draw(rt, "symbols") {
			i := Buy(symbol, fmt.Sprint(rapid.SampledFrom([]int{1, 300, 500, 700, 1000, 1001}).Draw(rt, "usd")))
			if rapid.Bool().Draw(rt, "sell") && w.held[symbol].IsPositive() {
				i.Action, i.Notional = signal.Sell, w.held[symbol]
			}
			intents = append(intents, i)
		}
		w.run(fmt.Sprintf("st%d", pick(2, "strategy")), intents)
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
	case "take", "claim", "reject":
		if len(w.signals) > 0 {
			last := w.signals[max(0, len(w.signals)-4):] // the others are over
			sig := last[pick(len(last), "which")]
			switch claimed := w.say(sig, what != "reject"); {
			case claimed && what == "take":
				w.send(sig)
			case claimed:
				w.claimed = append(w.claimed, sig)
			}
		}
	case "send":
		if len(w.claimed) > 0 {
			n := pick(len(w.claimed), "which")
			sig := w.claimed[n]
			w.claimed = slices.Delete(w.claimed, n, n+1)
			w.send(sig)
		}
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
func (w *desk) run(strategyID string, intents []strategy.Intent) {
	snap, err := w.Snapshot(w.t.Context(), "u")
	must(w.t, err)
	w.causes++
	r := Run(snap, strategyID, fmt.Sprintf("c%d", w.causes), tick.Tick(w.causes), intents...)
	r.Batch.ChangedSeq, r.Batch.Now = 0, w.clock.Now()
	r.Input.Buffer, r.Input.MaxSnapshotAge, r.Life = w.buffer, time.Hour, w.clock.Scale(15*time.Minute)
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
	}
	state, err := w.RiskState(w.t.Context(), "u")
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

// send is the order of a claimed signal. After expires_at there is none any more, and the executor says so.
func (w *desk) send(sig signal.Signal) {
	if !w.clock.Now().Before(sig.ExpiresAt) {
		must(w.t, w.PutStatus(w.t.Context(), "u", sig.ID, "rejected"))
		w.words = append(w.words, sig.ID)
		return
	}
	takes := sig.Notional
	if sig.Action == signal.Sell {
		left := w.held[sig.Symbol]
		for _, o := range w.orders {
			if o.Symbol == sig.Symbol && o.Side == string(signal.Sell) {
				left = left.Sub(o.Notional.Decimal)
			}
		}
		takes = decimal.Max(sig.Notional.Sub(decimal.Max(left, decimal.Decimal{})), decimal.Decimal{})
		w.short[sig.ID] = takes
	}
	w.orders = append(w.orders, account.Order{ID: "o" + sig.ID, ClientOrderID: sig.ID, Symbol: sig.Symbol, Side: string(sig.Action), Notional: decimal.NewNullDecimal(sig.Notional)})
	if w.power = w.power.Sub(takes); w.power.IsNegative() {
		w.fail("the broker's buying power is overspent: %s", w.power)
	}
}

func (w *desk) fill(n int) {
	o := w.orders[n]
	w.orders = append(append([]account.Order{}, w.orders[:n]...), w.orders[n+1:]...)
	if o.Side == string(signal.Buy) {
		w.held[o.Symbol] = w.held[o.Symbol].Add(o.Notional.Decimal)
		return
	}
	w.held[o.Symbol] = w.held[o.Symbol].Sub(o.Notional.Decimal)
	w.power = w.power.Add(o.Notional.Decimal.Sub(w.short[o.ClientOrderID]))
}

// end lets an hour pass, with its syncs: whatever was reserved is free then, though no event came any more.
func (w *desk) end() {
	for range 4 {
		w.clock.Advance(20 * time.Minute)
		w.sync()
		w.run("last", []strategy.Intent{Buy("QQQ", "1")})
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
